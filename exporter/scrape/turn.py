"""Whose turn it is to read an account: scrapes come first; an import goes on between them."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Lock


class Turn:
    """At most one thread has the turn. An import gives way when a scrape waits.

    `scrape` and `importing` are called by the account's threads, the others by any.
    """

    def __init__(self) -> None:
        self._turn, self._lock = Lock(), Lock()
        self._scrapes_waiting, self._may_import = 0, False
        self._stop: Future[None] = Future()

    @contextmanager
    def scrape(self) -> Iterator[None]:
        """Wait for the turn, which ends an import."""
        with self._lock:
            self._scrapes_waiting += 1
            self._end_import()
        with self._turn:
            with self._lock:
                self._scrapes_waiting -= 1
            yield

    @contextmanager
    def importing(self) -> Iterator[Future[None] | None]:
        """The turn, if it is free, for an import until the future has a result; else None."""
        if not self._turn.acquire(blocking=False):
            yield None  # the thread that has it goes on with the import
            return
        try:
            yield self._begin_import()
        finally:
            self._turn.release()

    def allow_import(self) -> None:
        """Let imports begin from now on."""
        with self._lock:
            self._may_import = True

    def stop_import(self) -> None:
        """End an import soon, and let none begin."""
        with self._lock:
            self._may_import = False
            self._end_import()

    def join(self, seconds: float | None = None) -> None:
        """Wait so many seconds until no thread has the turn."""
        if self._turn.acquire(timeout=-1 if seconds is None else max(0.0, seconds)):
            self._turn.release()

    def _begin_import(self) -> Future[None] | None:
        with self._lock:
            if self._scrapes_waiting or not self._may_import:
                return None
            self._stop = Future()
            return self._stop

    def _end_import(self) -> None:
        if not self._stop.done():
            self._stop.set_result(None)
