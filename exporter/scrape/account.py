"""One account's side of a scrape: read it, record what was read, and say what failed.

A first import that a scrape did not complete goes on in the account's thread until the next scrape.
"""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock
from typing import Protocol

import msgspec
import structlog

from exporter.client.errors import ApiError
from exporter.clocks import boottime
from exporter.labels import SeenLabelValues, limit_cardinality
from exporter.ledger.database import BUSY_SECONDS
from exporter.ledger.queries import FAR_FUTURE, AccountState
from exporter.ledger.store import Ledger, LedgerError, RecordedListing
from exporter.metrics.definitions import ACCOUNT_COLLECTOR, SESSIONS_COLLECTOR
from exporter.metrics.results import AccountResult, ReportResult
from exporter.model import Account, AccountReport, Listing, ReadWindow
from exporter.providers.base import HistoryReader
from exporter.scrape.plan import AccountTarget
from exporter.scrape.report import INTERNAL, TIMEOUT, CollectorTelemetry, ReportScraper
from exporter.scrape.turn import Turn
from exporter.threads import ThreadStarter, start_daemon

# Shares of the time that an account has. By the end of each its part must be done.
STATE_SHARE = 0.1  # loading the account's state from the ledger
READING_SHARE = 0.9  # the provider's answers; the rest is for the ledger
LEDGER_SHARE = 0.95  # recording; the rest is for rendering

log = structlog.get_logger()


class ScrapeTelemetry(CollectorTelemetry, Protocol):
    """Counts what goes wrong; called from several threads."""

    def rejected(self, account: Account, rows: Mapping[str, int]) -> None:
        """Rows were left out, by reason."""

    def ledger_failed(self) -> None:
        """The ledger could not be written."""


class Failure(msgspec.Struct, frozen=True):
    """Why an account failed: the reason as it is counted, and a sentence for the log."""

    reason: str
    detail: str


LATE = Failure(TIMEOUT, "read, but too late for its scrape")
FAULT = Failure(INTERNAL, "a fault of the exporter, please report it")
UNKNOWN_STATE = "the ledger could be read only after the provider was; the next scrape counts"


def _ignore(_: AccountResult) -> None:
    pass


class AccountScraper:
    """Scrapes one account, and owns what is known of it: it lives as long as the process, across reloads.

    `scrape` and then `go_on_importing` run in a thread of the account; the others are called on the event
    loop, and never wait for a scrape. What several threads touch is guarded:

    * `turn` is had throughout a scrape or an import, so that at most one thread reads the account. It guards
      `_target`, whose reader keeps connections and its place in a long import, and `_may_import`.
    * `_lock` guards what the event loop touches too: `_state`, which the ledger returned last, `_asked`,
      when it was asked for that, and `_reason`, which was reported last. All are immutable, and replaced as a
      whole.

    Args:
        account: which one.
        ledger: where its sessions are recorded.
        telemetry: counts failures.
        clock: seconds, for deadlines; the readers' deadlines are on it.
        wall: seconds since 1970.
        start: starts the thread of the account collector.
    """

    def __init__(  # noqa: PLR0913 - the last three are for tests
        self,
        account: Account,
        ledger: Ledger,
        telemetry: ScrapeTelemetry,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
        *,
        start: ThreadStarter = start_daemon,
    ) -> None:
        self._account, self._ledger, self._telemetry = account, ledger, telemetry
        self._reports = ReportScraper(account, telemetry, clock, start)
        self._clock, self._wall = clock, wall
        self.turn, self._lock = Turn(), Lock()
        self._may_import = False  # whether the last scrape succeeded, but for its timeout
        self._target: AccountTarget | None = None
        self._state: AccountState | None = None
        self._asked = -math.inf
        self._reason: str | None = None

    def scrape(
        self, target: AccountTarget, deadline: float, sessions_read: Callable[[AccountResult], None] = _ignore
    ) -> AccountResult:
        """Wait until no other thread reads the account, which ends an import; then read and record it.

        Failures are in the result. An account that was read after the deadline is counted as a timeout,
        but its result is good: a later scrape may show it. `sessions_read` is given the result as it is for
        those who do not wait for what is beside the sessions.
        """
        with self.turn.scrape():
            begun = self._clock()
            reader = self._with_reader(target).account_reader
            if reader is not None:
                self._reports.begin(reader, begun + READING_SHARE * (deadline - begun))
            listing, failure = self._scrape_sessions(target, begun, deadline)
            seconds = self._clock() - begun
            result = self._result(target, listing, failure, seconds, _no_report(target, TIMEOUT, seconds))
            if reader is None:
                return result
            sessions_read(result)
            reported = self._reports.finish(reader, begun, begun + LEDGER_SHARE * (deadline - begun))
            return msgspec.structs.replace(result, reported=reported)

    def _scrape_sessions(
        self, target: AccountTarget, begun: float, deadline: float
    ) -> tuple[Listing | None, Failure | None]:
        if not _collects_sessions(target):
            self._may_import = False
            return None, None
        listing, failure = None, None
        try:
            listing, seen = self._read(target, begun, deadline - begun)
            self._record(target, listing, seen, begun + LEDGER_SHARE * (deadline - begun))
        except ApiError as error:
            failure = Failure(error.reason, str(error))
        except LedgerError as error:
            failure = Failure("ledger", str(error))
        except Exception:  # an account's outermost edge: a bug here must not fail the other accounts
            failure = FAULT
            log.exception("account failed", **self._labels())
        late = failure is None and self._clock() >= deadline
        self._may_import = failure is None or failure.reason == TIMEOUT
        self._report(LATE if late else failure)
        return listing, failure

    def go_on_importing(self) -> None:
        """Go on with a first import that the last scrape left incomplete.

        Returns when it is complete, when a scrape waits, when imports are stopped, at the first failure, and
        at once where another thread reads the account.
        """
        with self.turn.importing() as stop:
            if stop is None or not self._may_import or self._target is None:
                return
            try:
                self._import(self._target, stop)
            except ApiError as error:
                self._report_import(Failure(error.reason, str(error)))
            except LedgerError as error:
                self._report_import(Failure("ledger", str(error)))
            except Exception:  # the thread's outermost edge: nobody else would report it
                log.exception("import failed", **self._labels())
                self._report_import(FAULT)

    @property
    def imported(self) -> tuple[int, bool]:
        """How many sessions have been counted so far, and whether the history has been read to its end."""
        state = self._known() or AccountState()
        return state.started, state.progress is not None and state.progress.complete

    def timed_out(self, target: AccountTarget, seconds: float) -> AccountResult:
        """Return the result of a scrape that ends before this account's; `scrape` counts the timeout."""
        return self._result(target, None, LATE, seconds, _no_report(target, TIMEOUT, seconds))

    def not_started(self, target: AccountTarget, error: RuntimeError) -> AccountResult:
        """Count and return the result of a scrape for which there was no thread."""
        failure = Failure(INTERNAL, f"no thread for the account: {error}; check the limit of processes")
        if _collects_sessions(target):
            self._report(failure)
        if target.account_reader is not None:
            self._telemetry.scrape_failed(self._account, INTERNAL, ACCOUNT_COLLECTOR)
        return self._result(target, None, failure, 0, _no_report(target, INTERNAL, 0))

    def _read(self, target: AccountTarget, begun: float, seconds: float) -> tuple[Listing, SeenLabelValues]:
        """The listing as it is shown. Without a ledger no history is read, which could not be counted."""
        with suppress(LedgerError):  # `_record` raises it again, when the gauges are safe
            self._load_state(STATE_SHARE * seconds)
        state = self._known()
        window = ReadWindow(FAR_FUTURE) if state is None else state.window(target.policy)
        self._target = self._with_reader(target)
        listing = self._target.reader.read(window, begun + READING_SHARE * seconds)
        self._telemetry.rejected(self._account, listing.rejected)
        seen = SeenLabelValues() if state is None else state.words
        return limit_cardinality(listing, target.description.traits, seen)

    def _with_reader(self, target: AccountTarget) -> AccountTarget:
        """The target; with the reader of before, and what it knows, while the requests are the same."""
        if self._target is None or self._target.fetch_key != target.fetch_key:
            return target
        before = self._target
        return msgspec.structs.replace(target, reader=before.reader, account_reader=before.account_reader)

    def _import(self, target: AccountTarget, stop: Future[None]) -> None:
        """Record what the reader yields, until it ends or the import is complete."""
        state, reader = self._known(), target.reader
        if state is None or not (isinstance(reader, HistoryReader) and _is_importing(state)):
            return
        for listing in reader.read_on(state.window(target.policy), stop):
            self._telemetry.rejected(self._account, listing.rejected)
            shown, seen = limit_cardinality(listing, target.description.traits, state.words)
            state = self._write(target, RecordedListing(shown, state, seen, self._wall()), BUSY_SECONDS)
            if not _is_importing(state):
                log.info("history is imported", **self._labels())
                return

    def _record(self, target: AccountTarget, listing: Listing, seen: SeenLabelValues, ends: float) -> None:
        try:
            known = self._state_before_reading(ends - self._clock())
        except LedgerError:
            self._telemetry.ledger_failed()
            raise
        self._write(target, RecordedListing(listing, known, seen, self._wall()), ends - self._clock())

    def _write(self, target: AccountTarget, recorded: RecordedListing, seconds: float) -> AccountState:
        asked = self._clock()
        try:
            state = self._ledger.record(self._account, recorded, target.policy, seconds)
        except LedgerError:
            self._telemetry.ledger_failed()
            raise
        self._keep(state, asked)
        self._with_reader(target).reader.committed()
        return state

    def _state_before_reading(self, seconds: float) -> AccountState:
        state = self._known()
        if state is None:
            self._load_state(seconds)
            raise LedgerError(UNKNOWN_STATE)
        return state

    def _load_state(self, seconds: float) -> None:
        """Load the state anew before each reading: another process may have recorded since."""
        asked = self._clock()
        self._keep(self._ledger.state(self._account, seconds), asked)

    def _known(self) -> AccountState | None:
        with self._lock:
            return self._state

    def _keep(self, state: AccountState, asked: float) -> None:
        with self._lock:
            self._state, self._asked = state, asked

    def _result(
        self,
        target: AccountTarget,
        listing: Listing | None,
        failure: Failure | None,
        seconds: float,
        reported: ReportResult | None,
    ) -> AccountResult:
        with self._lock:
            state, asked = self._state, self._asked
        if not _collects_sessions(target):
            state = None  # it is of before a reload
        complete = None if state is None else state.progress is not None and state.progress.complete
        return AccountResult(
            account=self._account,
            listing=listing,
            totals=state.totals if state is not None and complete else None,
            complete=complete,
            rows=None if state is None else state.rows,
            rejected_held=None if state is None else len(state.rejected),
            last_success=None if state is None else state.last_success,
            error=None if failure is None else failure.reason,
            detail="" if failure is None else failure.detail,
            seconds=seconds,
            totals_at=asked,
            reported=reported,
            last_sessions={} if state is None else state.last_sessions,
        )

    def _report(self, failure: Failure | None) -> None:
        """Count a failure; log the outcome, at level debug where it is that of the scrape before."""
        reason = None if failure is None else failure.reason
        with self._lock:
            changed, self._reason = reason != self._reason, reason
        if failure is None:
            (log.info if changed else log.debug)("account is read", **self._labels())
            return
        self._telemetry.scrape_failed(self._account, failure.reason, SESSIONS_COLLECTOR)
        write = log.warning if changed else log.debug
        write("account failed", **self._labels(), reason=failure.reason, error=failure.detail)

    def _report_import(self, failure: Failure) -> None:
        self._telemetry.scrape_failed(self._account, failure.reason, SESSIONS_COLLECTOR)
        log.warning(
            "import interrupted; the next scrape goes on with it",
            **self._labels(),
            reason=failure.reason,
            error=failure.detail,
        )

    def _labels(self) -> dict[str, str]:
        return {"provider": self._account.provider, "account": self._account.name}


def _collects_sessions(target: AccountTarget) -> bool:
    return SESSIONS_COLLECTOR in target.description.collectors


def _no_report(target: AccountTarget, reason: str, seconds: float) -> ReportResult | None:
    return ReportResult(AccountReport(), reason, seconds) if target.account_reader is not None else None


def _is_importing(state: AccountState) -> bool:
    """Whether the history has been read in part: a scrape has begun with it."""
    return state.progress is not None and not state.progress.complete
