"""Scrapes on the event loop: all accounts at once, under one deadline; concurrent scrapes share results.

An account that is not read by the deadline goes on in its thread, for the next scrape. So does a first import
that the scrape did not complete.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial

import msgspec

from exporter.clocks import boottime
from exporter.ledger.store import Ledger
from exporter.metrics.results import AccountResult
from exporter.model import Account
from exporter.scrape.account import AccountScraper, ScrapeTelemetry
from exporter.scrape.freshness import is_old, refresh, without_old_totals
from exporter.scrape.inflight import AccountScrape, InFlightScrape, ScrapeResult
from exporter.scrape.plan import AccountTarget, ScrapePlan
from exporter.scrape.report import TIMEOUT
from exporter.threads import ThreadStarter, in_thread, start_daemon


class Scraper:
    """Scrapes the accounts of its plan. Its methods and fields belong to one event loop.

    Accounts are read in threads, each by its `AccountScraper`; they return immutable results through futures.
    `last` is the newest result.

    Args:
        plan: of new scrapes. It may be replaced on the event loop: a scrape in flight keeps its own, and an
            account is not read again before the thread that reads it has ended.
        ledger: where sessions are recorded.
        telemetry: counts failures.
        clock: seconds for ages and deadlines, the readers' among them.
        wall: seconds since 1970.
        start: starts a thread; raises RuntimeError where it cannot.
    """

    def __init__(  # noqa: PLR0913 - the last three are for tests
        self,
        plan: ScrapePlan,
        ledger: Ledger,
        telemetry: ScrapeTelemetry,
        *,
        clock: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
        start: ThreadStarter = start_daemon,
    ) -> None:
        self._plan, self._ledger, self._telemetry = plan, ledger, telemetry
        self._clock, self._wall, self._start_thread = clock, wall, start
        self.last: ScrapeResult | None = None
        self._in_flight: InFlightScrape | None = None
        self._accounts: dict[Account, AccountScraper] = {}
        self._scrapes: dict[Account, AccountScrape] = {}
        self._waiters: set[asyncio.Future[AccountResult]] = set()

    @property
    def plan(self) -> ScrapePlan:
        """The plan of new scrapes."""
        return self._plan

    @plan.setter
    def plan(self, plan: ScrapePlan) -> None:
        """Replace it; imports end whose account or requests it does not have."""
        kept = {(one.account, one.fetch_key) for one in plan.targets}
        for target in self._plan.targets:
            if (target.account, target.fetch_key) not in kept and target.account in self._accounts:
                self._accounts[target.account].turn.stop_import()
        self._plan = plan

    async def scrape(self, seconds: float) -> ScrapeResult:
        """Scrape all accounts, or share a scrape in flight; return after so many seconds at the latest."""
        now, in_flight = self._clock(), self._in_flight
        if in_flight is None or not in_flight.can_serve(self.plan, now, seconds):
            in_flight = self._in_flight = self._begin(now, seconds)
        with self._waiting(in_flight) as waiters:
            await asyncio.wait(waiters, timeout=max(0.0, min(in_flight.deadline - now, seconds)))
        return await self._refreshed(self._answer(in_flight), now, seconds)

    async def scrape_account(self, account: Account, seconds: float) -> ScrapeResult:
        """Scrape one account of the plan alone, or share its part of a scrape in flight."""
        plan, before, now = self.plan, self._scrapes.get(account), self._clock()
        if before is not None and before.is_over(now - plan.min_interval):
            del self._scrapes[account]
        scrape = self._share_or_begin(plan.target(account), seconds)
        in_flight = InFlightScrape(plan, scrape.begun, seconds, {account: scrape})
        with self._waiting(in_flight) as waiters:
            await asyncio.wait(waiters, timeout=max(0.0, seconds))
        result = await self._refreshed(self._answer(in_flight), now, seconds)
        if plan is self.plan:
            self.last = result if self.last is None else self.last.updated(result)
        return result

    def cancel_waiters(self) -> None:
        """Have all scrapes in flight answered at once, with the accounts that are done."""
        for waiter in self._waiters:
            waiter.cancel()

    def close(self, seconds: float | None = None) -> None:
        """Wait so many seconds for the accounts' threads; call it once no scrape is in flight.

        Imports end. What a thread has not recorded by then is read again after the next start.
        """
        ends = None if seconds is None else self._clock() + seconds
        for account in self._accounts.values():
            account.turn.stop_import()
        wait([one.future for one in self._scrapes.values()], seconds)
        for account in self._accounts.values():
            account.turn.join(None if ends is None else ends - self._clock())

    @contextmanager
    def _waiting(self, in_flight: InFlightScrape) -> Iterator[set[asyncio.Future[AccountResult]]]:
        """Yields futures of the loop for the results; cancelling them does not end the threads."""
        waiters = {asyncio.wrap_future(one.future) for one in in_flight.scrapes.values()}
        self._waiters |= waiters
        try:
            yield waiters
        finally:
            self._waiters -= waiters
            for waiter in waiters:
                waiter.cancel()

    def _begin(self, now: float, seconds: float) -> InFlightScrape:
        self._forget_old(now)
        scrapes = {one.account: self._share_or_begin(one, seconds) for one in self.plan.targets}
        return InFlightScrape(self.plan, now, seconds, scrapes)

    def _forget_old(self, now: float) -> None:
        """Forget results that cannot be shared any more. Accounts that a reload removed may come back."""
        shared = self._in_flight is not None and self._in_flight.running(now)
        since = now - self.plan.min_interval
        self._scrapes = {
            account: one
            for account, one in self._scrapes.items()
            if shared or not one.future.done() or one.begun > since
        }

    def _share_or_begin(self, target: AccountTarget, seconds: float) -> AccountScrape:
        before, now = self._scrapes.get(target.account), self._clock()
        if before is not None and before.can_serve(target, seconds):
            return before
        account = self._account(target.account)
        name = f"{target.account.provider}/{target.account.name}"
        sessions: Future[AccountResult] = Future()
        call = partial(_scrape_after, before, account, target, now + seconds, sessions)
        try:
            account.turn.allow_import()
            future = in_thread(name, call, self._start_thread, then=account.go_on_importing)
        except RuntimeError as error:  # not kept: the scrape before may still be in its thread
            return AccountScrape(target, now, seconds, _done(account.not_started(target, error)))
        begun = self._scrapes[target.account] = AccountScrape(target, now, seconds, future, sessions)
        return begun

    def _account(self, account: Account) -> AccountScraper:
        if account not in self._accounts:
            self._accounts[account] = AccountScraper(
                account, self._ledger, self._telemetry, self._clock, self._wall, start=self._start_thread
            )
        return self._accounts[account]

    def _answer(self, in_flight: InFlightScrape) -> ScrapeResult:
        if in_flight.result is not None:
            return in_flight.result
        results = tuple(self._result(account, in_flight) for account in in_flight.scrapes)
        result = ScrapeResult(in_flight.plan, results, self._wall())
        if in_flight is self._in_flight:  # else a newer scrape, by the plan of a reload, has begun
            self.last = result
        if in_flight.done():
            in_flight.result = result
        return result

    async def _refreshed(self, result: ScrapeResult, begun: float, seconds: float) -> ScrapeResult:
        """Return the result for a request that began then: no totals are older. See `freshness`."""
        if not self._ledger.is_shared or not any(is_old(one, begun) for one in result.results):
            return result
        ends = begun + seconds
        call = partial(refresh, result.results, self._ledger, begun, lambda: ends - self._clock())
        try:
            future = asyncio.wrap_future(in_thread("ledger", call, self._start_thread))
            results = await asyncio.wait_for(future, max(0.0, ends - self._clock()))
        except (RuntimeError, TimeoutError):  # no thread can be started; or the ledger hangs
            results = without_old_totals(result.results, begun)
        return msgspec.structs.replace(result, results=results)

    def _result(self, account: Account, in_flight: InFlightScrape) -> AccountResult:
        scrape = in_flight.scrapes[account]
        if scrape.future.done():
            return scrape.future.result()
        if scrape.sessions.done():
            return scrape.sessions.result()
        return self._accounts[account].timed_out(scrape.target, self._clock() - in_flight.begun)


def _scrape_after(
    before: AccountScrape | None,
    account: AccountScraper,
    target: AccountTarget,
    deadline: float,
    sessions: Future[AccountResult],
) -> AccountResult:
    """In the account's thread: return the result of the scrape before if it can serve; else scrape after it.

    This keeps an account's listings in order.
    """
    if before is not None:
        result = before.future.result()
        if before.same_request(target) and result.error != TIMEOUT:
            return result
    return account.scrape(target, deadline, sessions.set_result)


def _done(result: AccountResult) -> Future[AccountResult]:
    future: Future[AccountResult] = Future()
    future.set_result(result)
    return future
