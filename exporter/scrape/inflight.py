"""A scrape under way: whom it asks, in threads of their own, and who may share it."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TypeVar

import msgspec

from exporter.metrics.families import AccountResult
from exporter.model import Account
from exporter.scrape.plan import AccountTarget, ScrapePlan

TIMEOUT = "timeout"
MIN_TIMEOUT_RATIO_FOR_NEW_SCRAPE = (
    2  # times as long: below that a scrape is content with what was asked for a shorter one
)

Result = TypeVar("Result")


class ScrapeResult(msgspec.Struct, frozen=True):
    """A scrape's results, account by account, answered `at` so many seconds since 1970.

    `pages` keeps what was rendered of it, for who shares it.
    """

    plan: ScrapePlan
    results: tuple[AccountResult, ...]
    at: float
    pages: dict[str, asyncio.Future[bytes]]


class AccountScrape(msgspec.Struct, frozen=True):
    """An account that is being asked, or was: since when, and for a scrape of so many seconds."""

    target: AccountTarget
    begun: float
    seconds: float
    future: Future[AccountResult]

    def serves(self, target: AccountTarget, seconds: float) -> bool:
        """Whether a scrape of so many seconds need not ask this target itself."""
        return self.same_request(target) and (
            seconds <= MIN_TIMEOUT_RATIO_FOR_NEW_SCRAPE * self.seconds or self._good()
        )

    def same_request(self, target: AccountTarget) -> bool:
        """Whether the target would ask the same."""
        return self.target.fetch_key == target.fetch_key

    def _good(self) -> bool:
        return self.future.done() and self.future.result().error != TIMEOUT


@dataclass(slots=True)
class InFlightScrape:
    """A scrape: its plan, when it began, the seconds it has, whom it asks, and the answer of all."""

    plan: ScrapePlan
    begun: float
    seconds: float
    asked: Mapping[Account, AccountScrape]
    scrape_result: ScrapeResult | None = None

    @property
    def deadline(self) -> float:
        """When it must be answered."""
        return self.begun + self.seconds

    def done(self) -> bool:
        """Whether nobody is being asked any more."""
        return all(one.future.done() for one in self.asked.values())

    def serves(self, plan: ScrapePlan, now: float, seconds: float) -> bool:
        """Whether a scrape that comes now, and may take so many seconds, shares it."""
        if self.plan is not plan:
            return False
        if self.running(now):
            return seconds <= MIN_TIMEOUT_RATIO_FOR_NEW_SCRAPE * self.seconds
        return now < min(one.begun for one in self.asked.values()) + plan.min_interval

    def running(self, now: float) -> bool:
        """Whether somebody still waits for it."""
        return now < self.deadline and not self.done()


def in_thread(name: str, call: Callable[[], Result]) -> Future[Result]:
    """Call it in a thread that the end of the process does not wait for, as it would for a pool's."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits for the result
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return future
