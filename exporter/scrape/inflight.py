"""A pull under way: whom it asks, in threads of their own, and who may share it."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TypeVar

import msgspec

from exporter.model import Account, Outcome
from exporter.scrape.plan import Plan, Target

TIMEOUT = "timeout"
MUCH_LONGER = 2  # times as long: below that a pull is content with what was asked for a shorter one

Result = TypeVar("Result")


class Report(msgspec.Struct, frozen=True):
    """A pull's outcomes, account by account, answered `at` so many seconds since 1970.

    `pages` keeps what was rendered of it, for who shares it.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...]
    at: float
    pages: dict[str, asyncio.Future[bytes]]


class Asked(msgspec.Struct, frozen=True):
    """An account that is being asked, or was: since when, and for a pull of so many seconds."""

    target: Target
    begun: float
    seconds: float
    future: Future[Outcome]

    def serves(self, target: Target, seconds: float) -> bool:
        """Whether a pull of so many seconds need not ask this target itself."""
        return self.asks_as(target) and (seconds <= MUCH_LONGER * self.seconds or self._good())

    def asks_as(self, target: Target) -> bool:
        """Whether the target would ask the same."""
        return self.target.asks == target.asks

    def _good(self) -> bool:
        return self.future.done() and self.future.result().error != TIMEOUT


@dataclass(slots=True)
class Flight:
    """A pull: its plan, when it began, the seconds it has, whom it asks, and the answer of all."""

    plan: Plan
    begun: float
    seconds: float
    asked: Mapping[Account, Asked]
    report: Report | None = None

    @property
    def deadline(self) -> float:
        """When it must be answered."""
        return self.begun + self.seconds

    def done(self) -> bool:
        """Whether nobody is being asked any more."""
        return all(one.future.done() for one in self.asked.values())

    def serves(self, plan: Plan, now: float, seconds: float) -> bool:
        """Whether a pull that comes now, and may take so many seconds, shares it."""
        if self.plan is not plan:
            return False
        if self.under_way(now):
            return seconds <= MUCH_LONGER * self.seconds
        return now < min(one.begun for one in self.asked.values()) + plan.min_interval

    def under_way(self, now: float) -> bool:
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
