"""Requests for pages that are sent before the pages are needed."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from exporter.client.api import Answer
from exporter.providers.browser_use.pagination import PageCursor
from exporter.threads import DaemonPool, in_thread

IN_FLIGHT = 4  # requests at once

Place = tuple[int, int]  # number and size of a page
Result = TypeVar("Result")


class Prefetch:
    """The answers to requests for pages of one list, which are sent from other threads.

    Its methods are called by one thread; its own threads end when it is dropped. A page that is not needed
    any more is forgotten; its request ends by itself.

    Attributes:
        answers: those that are there, or will be, by page.
    """

    def __init__(self) -> None:
        self._status: str | None = None
        self._pool: DaemonPool[Answer] = DaemonPool("page", IN_FLIGHT)
        self.answers: dict[Place, Future[Answer]] = {}

    def request(self, status: str | None, places: Sequence[Place], get: Callable[[Place], Answer]) -> None:
        """Request these pages of the list of a filter, in their order, `IN_FLIGHT` at a time."""
        kept = self.answers if status == self._status else {}
        for place, answer in self.answers.items():
            if place not in places or kept is not self.answers:
                answer.cancel()
        self._status, self.answers = status, {place: kept[place] for place in places if place in kept}
        for place in places:
            if place not in self.answers:
                self.answers[place] = self._pool.submit(partial(get, place))

    def holds(self, status: str | None, cursor: PageCursor) -> bool:
        """Returns whether the cursor's next page was requested."""
        return status == self._status and (cursor.number, cursor.size) in self.answers

    def answered(self, status: str | None, cursor: PageCursor) -> Answer | None:
        """Returns the answer to the request for the cursor's next page; None if it is not there."""
        if not self.holds(status, cursor):
            return None
        answer = self.answers[cursor.number, cursor.size]
        return answer.result() if answer.done() and answer.exception() is None else None


def in_background(call: Callable[[], Result]) -> Future[Result]:
    """Call it in a thread of its own; now, where the system has no thread left."""
    try:
        return in_thread("page", call)
    except RuntimeError:
        done: Future[Result] = Future()
        try:
            done.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised again where the result is asked for
            done.set_exception(error)
        return done
