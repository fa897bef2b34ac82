"""One scrape: every account is asked at once, under one deadline; scrapes that meet share it.

Each account is asked in a thread of its own. What is done by the deadline is the answer; an account
that is not done goes on for the next scrape, and is never asked twice at the same time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from contextlib import suppress
from typing import Protocol

import structlog

from exporter.client.errors import ApiError
from exporter.labels import SeenLabelValues, limit_cardinality
from exporter.ledger.queries import FAR_FUTURE, AccountState
from exporter.ledger.store import Ledger, LedgerError, Reading
from exporter.metrics.families import AccountResult
from exporter.model import Account, Listing, ReadWindow
from exporter.scrape.inflight import TIMEOUT, AccountScrape, InFlightScrape, ScrapeResult, in_thread
from exporter.scrape.plan import AccountTarget, ScrapePlan

READING_SHARE = (
    0.9  # of a scrape's time, in which the provider must have answered: the rest is for the ledger
)
LEDGER_SHARE = 0.95  # and by which the ledger must have: the rest is for the page
KNOWING_SHARE = 0.1  # for what the ledger knows, before the provider is asked

log = structlog.get_logger()


class ScrapeTelemetry(Protocol):
    """Told of what went wrong, once each."""

    def scrape_failed(self, account: Account, reason: str) -> None:
        """A scrape of an account failed, or a part of it."""

    def rejected(self, account: Account, rows: Mapping[str, int]) -> None:
        """Rows were left out, by reason."""

    def ledger_failed(self) -> None:
        """The ledger could not be written."""


class Scraper:
    """Asks whom the plan names. Its methods run on one event loop; the asking does not.

    `last` is what was answered last.

    Args:
        plan: what new scrapes go by. It may be replaced on the event loop: a scrape in flight keeps its own,
            and an account is not asked again before its request in flight has ended.
        ledger: where it is counted.
        telemetry: told of failures.
        clock, wall: monotonic seconds, and seconds since 1970.
    """

    def __init__(
        self,
        plan: ScrapePlan,
        ledger: Ledger,
        telemetry: ScrapeTelemetry,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.plan, self._ledger, self._telemetry = plan, ledger, telemetry
        self._clock, self._wall = clock, wall
        self._states: dict[Account, AccountState] = {}
        self._reasons: dict[Account, str | None] = {}
        self._asked: dict[Account, AccountScrape] = {}
        self._in_flight: InFlightScrape | None = None
        self.last: ScrapeResult | None = None
        self._awaited: set[asyncio.Future[AccountResult]] = set()

    def cancel_waiters(self) -> None:
        """Have the scrapes under way answer at once, with what is done."""
        for future in self._awaited:
            future.cancel()

    def close(self, seconds: float | None = None) -> None:
        """Wait for what is being asked, but not longer; what is not done then ends with the process."""
        wait([one.future for one in self._asked.values()], seconds)

    async def scrape(self, seconds: float) -> ScrapeResult:
        """Ask every account, or join those who do; return what is known in so many seconds."""
        now, in_flight = self._clock(), self._in_flight
        if in_flight is None or not in_flight.serves(self.plan, now, seconds):
            in_flight = self._in_flight = self._start(now, seconds)
        asked = [asyncio.wrap_future(one.future) for one in in_flight.asked.values()]
        self._awaited |= set(asked)
        try:
            await asyncio.wait(asked, timeout=max(0.0, min(in_flight.deadline - now, seconds)))
        finally:  # also of a scrape that nobody waits for any more
            self._awaited -= set(asked)
            for future in asked:
                future.cancel()  # our waiting, not the asking, which is under way
        return self._answer(in_flight)

    def _start(self, now: float, seconds: float) -> InFlightScrape:
        shared = self._in_flight is not None and self._in_flight.running(now)
        since = now - self.plan.min_interval
        # Also of an account that a reload took away: it may come back before its thread has ended.
        self._asked = {
            account: one
            for account, one in self._asked.items()
            if shared or not one.future.done() or one.begun > since
        }
        for target in self.plan.targets:
            before = self._asked.get(target.account)
            if before is None or not before.serves(target, seconds):
                self._asked[target.account] = self._ask_after(before, target, seconds)
        return InFlightScrape(
            self.plan, now, seconds, {one.account: self._asked[one.account] for one in self.plan.targets}
        )

    def _ask_after(
        self, before: AccountScrape | None, target: AccountTarget, seconds: float
    ) -> AccountScrape:
        """Ask when what the account was asked before has ended: its listings are recorded in order."""
        now = self._clock()

        def ask() -> AccountResult:
            if before is not None:
                result = before.future.result()
                if before.same_request(target) and result.error != TIMEOUT:
                    return result
            return self._ask(target, now + seconds)

        name = f"{target.account.provider}/{target.account.name}"
        return AccountScrape(target, now, seconds, in_thread(name, ask))

    def _answer(self, in_flight: InFlightScrape) -> ScrapeResult:
        if in_flight.scrape_result is not None:
            return in_flight.scrape_result
        results = tuple(self._result(account, in_flight) for account in in_flight.asked)
        scrape_result = self.last = ScrapeResult(in_flight.plan, results, self._wall(), {})
        if in_flight.done():
            in_flight.scrape_result = scrape_result
        return scrape_result

    def _result(self, account: Account, in_flight: InFlightScrape) -> AccountResult:
        """What an account brought. That it was late, its thread counts when it ends."""
        future = in_flight.asked[account].future
        if future.done():
            return future.result()
        return self._shown(account, None, TIMEOUT, self._clock() - in_flight.begun)

    def _shown(
        self, account: Account, listing: Listing | None, error: str | None, took: float
    ) -> AccountResult:
        state = self._states.get(account)
        complete = None if state is None else state.progress is not None and state.progress.complete
        return AccountResult(
            account=account,
            listing=listing,
            totals=state.totals if state is not None and complete else None,
            complete=complete,
            rows=None if state is None else state.rows,
            last_success=None if state is None else state.last_success,
            error=error,
            seconds=took,
        )

    def _ask(self, target: AccountTarget, ends: float) -> AccountResult:
        """One account, in its thread, for a scrape that ends then."""
        begun, account = self._clock(), target.account
        listing, reason, detail = None, None, ""
        try:
            listing, shown = self._read(target, begun, ends - begun)
            self._record(target, listing, shown, begun + LEDGER_SHARE * (ends - begun))
        except ApiError as error:
            reason, detail = error.reason, str(error)
        except LedgerError as error:
            reason, detail = "ledger", str(error)
        except Exception:  # an account's outermost edge: a fault of ours here must not take the others along
            reason, detail = "internal", "a fault of the exporter, please scrape_result it"
            log.exception("account failed", **_labels(account))
        late = reason is None and self._clock() >= ends
        self._tell(
            account, TIMEOUT if late else reason, "read, but too late for its scrape" if late else detail
        )
        return self._shown(account, listing, reason, self._clock() - begun)

    def _read(self, target: AccountTarget, begun: float, seconds: float) -> tuple[Listing, SeenLabelValues]:
        """The listing as it is to be shown. Where the ledger is silent, history is not asked for."""
        with suppress(LedgerError):  # _record says so, when the gauges are safe
            self._load(target.account, KNOWING_SHARE * seconds)
        state = self._states.get(target.account)
        window = ReadWindow(FAR_FUTURE) if state is None else state.window(target.policy)
        listing = target.reader.read(window, begun + READING_SHARE * seconds)
        self._telemetry.rejected(target.account, listing.rejected)
        return limit_cardinality(
            listing, target.description.traits, SeenLabelValues() if state is None else state.words
        )

    def _load(self, account: Account, seconds: float) -> None:
        """Each time anew: another process may have counted since."""
        self._states[account] = self._ledger.state(account, seconds)

    def _record(self, target: AccountTarget, listing: Listing, shown: SeenLabelValues, ends: float) -> None:
        account = target.account
        try:
            known = self._known(account, ends - self._clock())
            reading = Reading(listing, known, shown, self._wall())
            left = ends - self._clock()
            self._states[account] = self._ledger.record(account, reading, target.policy, left)
        except LedgerError:
            self._telemetry.ledger_failed()
            raise
        target.reader.committed()

    def _known(self, account: Account, seconds: float) -> AccountState:
        """What was known before the provider was asked."""
        if account not in self._states:
            self._load(account, seconds)
            raise LedgerError("the ledger could be read only after the provider was; the next scrape counts")
        return self._states[account]

    def _tell(self, account: Account, reason: str | None, detail: str) -> None:
        """Count a failure, and log a change: what stays as it was is worth no line for each scrape."""
        if reason is not None:
            self._telemetry.scrape_failed(account, reason)
        level = "debug" if self._reasons.get(account) == reason else "info" if reason is None else "warning"
        event = "account is read" if reason is None else "account failed"
        getattr(log, level)(
            event, **_labels(account), **({"reason": reason, "error": detail} if reason else {})
        )
        self._reasons[account] = reason


def _labels(account: Account) -> dict[str, str]:
    return {"provider": account.provider, "account": account.name}
