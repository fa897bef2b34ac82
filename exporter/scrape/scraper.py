"""One pull: every account is asked at once, under one deadline; pulls that meet share it.

Each account is asked in a thread of its own. What is done by the deadline is the answer; an account
that is not done goes on for the next pull, and is never asked twice at the same time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from contextlib import suppress
from typing import Protocol

import structlog

from exporter.client.errors import ApiError
from exporter.labels import Words, bounded
from exporter.ledger.queries import NEVER, State
from exporter.ledger.store import Ledger, LedgerError, Reading
from exporter.model import Account, Horizon, Listing, Outcome
from exporter.scrape.inflight import TIMEOUT, Asked, Flight, Report, in_thread
from exporter.scrape.plan import Plan, Target

READING_SHARE = 0.9  # of a pull's time, in which the provider must have answered: the rest is for the ledger
LEDGER_SHARE = 0.95  # and by which the ledger must have: the rest is for the page
KNOWING_SHARE = 0.1  # for what the ledger knows, before the provider is asked

log = structlog.get_logger()


class Meter(Protocol):
    """Told of what went wrong, once each."""

    def failed(self, account: Account, reason: str) -> None:
        """A pull of an account failed, or a part of it."""

    def rejected(self, account: Account, rows: Mapping[str, int]) -> None:
        """Rows were left out, by reason."""

    def ledger_failed(self) -> None:
        """The ledger could not be written."""


class Puller:
    """Asks whom the plan names. Its methods run on one event loop; the asking does not.

    `last` is what was answered last.

    Args:
        plan: what a pull goes by that begins. It may be replaced on the event loop: a pull under way keeps
            its own, and whom it asks is asked nothing else before that has ended.
        ledger: where it is counted.
        meter: told of failures.
        clock, wall: monotonic seconds, and seconds since 1970.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        meter: Meter,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.plan, self._ledger, self._meter = plan, ledger, meter
        self._clock, self._wall = clock, wall
        self._states: dict[Account, State] = {}
        self._reasons: dict[Account, str | None] = {}
        self._asked: dict[Account, Asked] = {}
        self._flight: Flight | None = None
        self.last: Report | None = None
        self._awaited: set[asyncio.Future[Outcome]] = set()

    def hurry(self) -> None:
        """Have the pulls under way answer at once, with what is done."""
        for future in self._awaited:
            future.cancel()

    def close(self, seconds: float | None = None) -> None:
        """Wait for what is being asked, but not longer; what is not done then ends with the process."""
        wait([one.future for one in self._asked.values()], seconds)

    async def pull(self, seconds: float) -> Report:
        """Ask every account, or join those who do; return what is known in so many seconds."""
        now, flight = self._clock(), self._flight
        if flight is None or not flight.serves(self.plan, now, seconds):
            flight = self._flight = self._start(now, seconds)
        asked = [asyncio.wrap_future(one.future) for one in flight.asked.values()]
        self._awaited |= set(asked)
        try:
            await asyncio.wait(asked, timeout=max(0.0, min(flight.deadline - now, seconds)))
        finally:  # also of a pull that nobody waits for any more
            self._awaited -= set(asked)
            for future in asked:
                future.cancel()  # our waiting, not the asking, which is under way
        return self._answer(flight)

    def _start(self, now: float, seconds: float) -> Flight:
        shared = self._flight is not None and self._flight.under_way(now)
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
        return Flight(
            self.plan, now, seconds, {one.account: self._asked[one.account] for one in self.plan.targets}
        )

    def _ask_after(self, before: Asked | None, target: Target, seconds: float) -> Asked:
        """Ask when what the account was asked before has ended: its listings are recorded in order."""
        now = self._clock()

        def ask() -> Outcome:
            if before is not None:
                outcome = before.future.result()
                if before.asks_as(target) and outcome.error != TIMEOUT:
                    return outcome
            return self._ask(target, now + seconds)

        name = f"{target.account.provider}/{target.account.name}"
        return Asked(target, now, seconds, in_thread(name, ask))

    def _answer(self, flight: Flight) -> Report:
        if flight.report is not None:
            return flight.report
        outcomes = tuple(self._outcome(account, flight) for account in flight.asked)
        report = self.last = Report(flight.plan, outcomes, self._wall(), {})
        if flight.done():
            flight.report = report
        return report

    def _outcome(self, account: Account, flight: Flight) -> Outcome:
        """What an account brought. That it was late, its thread counts when it ends."""
        future = flight.asked[account].future
        if future.done():
            return future.result()
        return self._shown(account, None, TIMEOUT, self._clock() - flight.begun)

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
            listing, shown = self._read(target, begun, ends - begun)
            self._record(target, listing, shown, begun + LEDGER_SHARE * (ends - begun))
        except ApiError as error:
            reason, detail = error.reason, str(error)
        except LedgerError as error:
            reason, detail = "ledger", str(error)
        except Exception:  # an account's outermost edge: a fault of ours here must not take the others along
            reason, detail = "internal", "a fault of the exporter, please report it"
            log.exception("account failed", **_labels(account))
        late = reason is None and self._clock() >= ends
        self._tell(
            account, TIMEOUT if late else reason, "read, but too late for its pull" if late else detail
        )
        return self._shown(account, listing, reason, self._clock() - begun)

    def _read(self, target: Target, begun: float, seconds: float) -> tuple[Listing, Words]:
        """The listing as it is to be shown. Where the ledger is silent, history is not asked for."""
        with suppress(LedgerError):  # _record says so, when the gauges are safe
            self._load(target.account, KNOWING_SHARE * seconds)
        state = self._states.get(target.account)
        horizon = Horizon(NEVER) if state is None else state.horizon(target.rules)
        listing = target.read(horizon, begun + READING_SHARE * seconds)
        self._meter.rejected(target.account, listing.rejected)
        return bounded(listing, target.account.provider, Words() if state is None else state.words)

    def _load(self, account: Account, seconds: float) -> None:
        """Each time anew: another process may have counted since."""
        self._states[account] = self._ledger.state(account, seconds)

    def _record(self, target: Target, listing: Listing, shown: Words, ends: float) -> None:
        account = target.account
        try:
            known = self._known(account, ends - self._clock())
            reading = Reading(listing, known, shown, self._wall())
            left = ends - self._clock()
            self._states[account] = self._ledger.record(account, reading, target.rules, left)
        except LedgerError:
            self._meter.ledger_failed()
            raise
        target.recorded()

    def _known(self, account: Account, seconds: float) -> State:
        """What was known before the provider was asked."""
        if account not in self._states:
            self._load(account, seconds)
            raise LedgerError("the ledger could be read only after the provider was; the next pull counts")
        return self._states[account]

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
