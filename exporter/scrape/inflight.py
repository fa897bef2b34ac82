"""Scrapes in flight, and which later scrapes may share them."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import msgspec

from exporter.metrics.results import AccountResult
from exporter.model import Account
from exporter.scrape.plan import AccountTarget, ScrapePlan
from exporter.scrape.report import TIMEOUT

# A scrape shares the requests of one with a shorter timeout, unless its own is over so many times as long.
MIN_TIMEOUT_RATIO_FOR_NEW_SCRAPE = 2


class ScrapeResult(msgspec.Struct, frozen=True):
    """The results of a scrape, one for each account of its plan.

    at: seconds since 1970.
    """

    plan: ScrapePlan
    results: tuple[AccountResult, ...]
    at: float

    def updated(self, newer: "ScrapeResult") -> "ScrapeResult":
        """Returns the same with the results of a newer scrape, which may be of other accounts."""
        results = {one.account: one for one in (*self.results, *newer.results)}
        return ScrapeResult(newer.plan, tuple(results.values()), newer.at)


class AccountScrape(msgspec.Struct, frozen=True):
    """One account's part of a scrape: what is read, since when, with a timeout of so many seconds.

    sessions: has the result once the sessions are read, while what is beside them is still being read.
    """

    target: AccountTarget
    begun: float
    seconds: float
    future: Future[AccountResult]
    sessions: Future[AccountResult] = msgspec.field(default_factory=Future)

    def can_serve(self, target: AccountTarget, seconds: float) -> bool:
        """Whether a scrape of this target with a timeout of so many seconds can share the result."""
        return self.same_request(target) and (
            seconds <= MIN_TIMEOUT_RATIO_FOR_NEW_SCRAPE * self.seconds or self._was_in_time()
        )

    def is_over(self, since: float) -> bool:
        """Whether the account was read, in a scrape that began no later than that."""
        return self.future.done() and self.begun <= since

    def same_request(self, target: AccountTarget) -> bool:
        """Whether the target would send the same requests."""
        return self.target.fetch_key == target.fetch_key

    def _was_in_time(self) -> bool:
        return self.future.done() and self.future.result().error != TIMEOUT


@dataclass(slots=True)
class InFlightScrape:
    """A scrape of all accounts of a plan; `result` is set once all have been read."""

    plan: ScrapePlan
    begun: float
    seconds: float
    scrapes: Mapping[Account, AccountScrape]
    result: ScrapeResult | None = None

    @property
    def deadline(self) -> float:
        """When it has to be answered."""
        return self.begun + self.seconds

    def done(self) -> bool:
        """Whether all accounts have their results."""
        return all(one.future.done() for one in self.scrapes.values())

    def running(self, now: float) -> bool:
        """Whether an account is still being read, before the deadline."""
        return now < self.deadline and not self.done()

    def can_serve(self, plan: ScrapePlan, now: float, seconds: float) -> bool:
        """Whether a scrape that comes now, with a timeout of so many seconds, can share the result."""
        if self.plan is not plan:
            return False
        if self.running(now):
            return seconds <= MIN_TIMEOUT_RATIO_FOR_NEW_SCRAPE * self.seconds
        return now < min(one.begun for one in self.scrapes.values()) + plan.min_interval
