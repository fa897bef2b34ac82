"""One pull: every account is asked at once, under one deadline; pulls that meet share it.

Each account is asked in a thread of its own. What is done by the deadline is the answer; an account
that is not done goes on for the next pull, and is never asked twice at the same time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Protocol

import msgspec
import structlog

from exporter.accounting import Rules
from exporter.errors import ApiError
from exporter.ledger import Ledger, LedgerError
from exporter.session import Account, Horizon, Listing, Outcome
from exporter.state import NEVER, State
from exporter.words import Words, bounded

READING_SHARE = 0.9  # of a pull's time: the rest is for the ledger

log = structlog.get_logger()


class Meter(Protocol):
    """Told of what went wrong, once each."""

    def failed(self, account: Account, reason: str) -> None:
        """A pull of an account failed, or a part of it."""

    def rejected(self, account: Account, rows: Mapping[str, int]) -> None:
        """Rows were left out, by reason."""

    def ledger_failed(self) -> None:
        """The ledger could not be written."""


class Target(msgspec.Struct, frozen=True):
    """An account to ask.

    read: its provider's reading of a horizon, by a time on the monotonic clock; raises `ApiError`.
    recorded: told when what was read last is in the ledger.
    """

    account: Account
    rules: Rules
    read: Callable[[Horizon, float], Listing]
    recorded: Callable[[], None] = lambda: None


class Report(msgspec.Struct, frozen=True):
    """A pull's outcomes, account by account. `pages` keeps what was rendered of it, for who shares it."""

    outcomes: tuple[Outcome, ...]
    pages: dict[str, bytes]


class Puller:
    """Asks the targets. Its methods run on one event loop; the asking does not.

    Args:
        targets: whom to ask.
        ledger: where it is counted.
        meter: told of failures.
        min_interval: seconds for which an answer serves again.
        clock, wall: monotonic seconds, and seconds since 1970.
    """

    def __init__(  # noqa: PLR0913 - two are the clocks, which only tests pass
        self,
        targets: Sequence[Target],
        ledger: Ledger,
        meter: Meter,
        *,
        min_interval: float = 0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._targets, self._ledger, self._meter = targets, ledger, meter
        self._min_interval, self._clock, self._wall = min_interval, clock, wall
        self._states: dict[Account, State] = {}
        self._reasons: dict[Account, str | None] = {}
        self._flight: _Flight | None = None
        self._awaited: set[asyncio.Future[Outcome]] = set()

    def hurry(self) -> None:
        """Have the pulls under way answer at once, with what is done."""
        for future in self._awaited:
            future.cancel()

    def close(self, seconds: float | None = None) -> None:
        """Wait for what is being asked, but not longer; what is not done then ends with the process."""
        if self._flight is not None:
            wait(self._flight.asked.values(), seconds)

    async def pull(self, seconds: float) -> Report:
        """Ask every account, or join those who do; return what is known in so many seconds."""
        now = self._clock()
        flight = self._flight
        if flight is None or not (flight.under_way(now) or now < flight.begun + self._min_interval):
            flight = self._flight = self._start(now, seconds)
        asked = [asyncio.wrap_future(future) for future in flight.asked.values()]
        self._awaited |= set(asked)
        _, late = await asyncio.wait(asked, timeout=max(0.0, min(flight.deadline - now, seconds)))
        self._awaited -= set(asked)
        for future in late:
            future.cancel()  # our waiting, not the asking, which is under way
        return self._answer(flight)

    def _start(self, now: float, seconds: float) -> "_Flight":
        asked = {} if self._flight is None else {a: f for a, f in self._flight.asked.items() if not f.done()}
        for target in self._targets:
            if target.account not in asked:
                asked[target.account] = self._in_thread(target, now + seconds)
        return _Flight(now, now + seconds, asked)

    def _in_thread(self, target: Target, ends: float) -> Future[Outcome]:
        """Ask, in a thread that the end of the process does not wait for, as it would for a pool's."""
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        name = f"{target.account.provider}/{target.account.name}"
        Thread(target=lambda: future.set_result(self._ask(target, ends)), name=name, daemon=True).start()
        return future

    def _answer(self, flight: "_Flight") -> Report:
        if flight.report is not None:
            return flight.report
        outcomes = tuple(self._outcome(target.account, flight) for target in self._targets)
        report = Report(outcomes, {})
        if flight.done():
            flight.report = report
        return report

    def _outcome(self, account: Account, flight: "_Flight") -> Outcome:
        """What an account brought. That it was late, its thread counts when it ends."""
        future = flight.asked[account]
        if future.done():
            return future.result()
        return self._shown(account, None, "timeout", self._clock() - flight.begun)

    def _shown(self, account: Account, listing: Listing | None, error: str | None, took: float) -> Outcome:
        state = self._states.get(account)
        complete = None if state is None else state.books is not None and state.books.complete
        return Outcome(
            account=account,
            listing=listing,
            totals=state.totals if state is not None and complete else None,
            complete=complete,
            rows=None if state is None else state.rows,
            last_success=None if state is None else state.last_success,
            error=error,
            seconds=took,
        )

    def _ask(self, target: Target, ends: float) -> Outcome:
        """One account, in its thread, for a pull that ends then."""
        begun, account = self._clock(), target.account
        listing, reason, detail = None, None, ""
        try:
            listing, shown = self._read(target, begun + READING_SHARE * (ends - begun))
            self._record(target, listing, shown)
        except ApiError as error:
            reason, detail = error.reason, str(error)
        except LedgerError as error:
            reason, detail = "ledger", str(error)
        except Exception:  # an account's outermost edge: a fault of ours here must not take the others along
            reason, detail = "internal", "a fault of the exporter, please report it"
            log.exception("account failed", **_labels(account))
        late = reason is None and self._clock() >= ends
        self._tell(
            account, "timeout" if late else reason, "read, but too late for its pull" if late else detail
        )
        return self._shown(account, listing, reason, self._clock() - begun)

    def _read(self, target: Target, deadline: float) -> tuple[Listing, Words]:
        """The listing as it is to be shown. Where the ledger is silent, history is not asked for."""
        with suppress(LedgerError):  # _record says so, when the gauges are safe
            self._load(target.account)
        state = self._states.get(target.account)
        horizon = Horizon(NEVER) if state is None else state.horizon(target.rules)
        listing = target.read(horizon, deadline)
        self._meter.rejected(target.account, listing.rejected)
        return bounded(listing, target.account.provider, Words() if state is None else state.words)

    def _load(self, account: Account) -> None:
        if account not in self._states:
            self._states[account] = self._ledger.state(account)

    def _record(self, target: Target, listing: Listing, shown: Words) -> None:
        account = target.account
        if account not in self._states:
            self._load(account)
            raise LedgerError("the ledger could be read only after the provider was; the next pull counts")
        try:
            self._states[account] = self._ledger.record(account, listing, shown, target.rules, self._wall())
        except LedgerError:
            self._meter.ledger_failed()
            raise
        target.recorded()

    def _tell(self, account: Account, reason: str | None, detail: str) -> None:
        """Count a failure, and log a change: what stays as it was is worth no line for each pull."""
        if reason is not None:
            self._meter.failed(account, reason)
        level = "debug" if self._reasons.get(account) == reason else "info" if reason is None else "warning"
        event = "account is read" if reason is None else "account failed"
        getattr(log, level)(
            event, **_labels(account), **({"reason": reason, "error": detail} if reason else {})
        )
        self._reasons[account] = reason


def _labels(account: Account) -> dict[str, str]:
    return {"provider": account.provider, "account": account.name}


@dataclass(slots=True)
class _Flight:
    """A pull under way: when it began and must end, the accounts being asked, and the answer of all."""

    begun: float
    deadline: float
    asked: dict[Account, Future[Outcome]]
    report: Report | None = None

    def done(self) -> bool:
        return all(future.done() for future in self.asked.values())

    def under_way(self, now: float) -> bool:
        return now < self.deadline and not self.done()
