"""Calls in daemon threads: the end of the process does not wait for them, as it does for a thread pool's."""

import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

Result = TypeVar("Result")
ThreadStarter = Callable[[str, Callable[[], None]], object]


def start_daemon(name: str, run: Callable[[], None]) -> None:
    """Run it in a daemon thread.

    Raises:
        RuntimeError: when the system has no thread left.
    """
    Thread(target=run, name=name, daemon=True).start()


def _nothing() -> None:
    pass


def in_thread(
    name: str,
    call: Callable[[], Result],
    start: ThreadStarter = start_daemon,
    then: Callable[[], None] = _nothing,
) -> Future[Result]:
    """Call it in a thread of its own; the future has its result or its exception.

    `then` is called in the same thread once the future is done.

    Raises:
        RuntimeError: when no thread can be started; nothing was called.
    """
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        _call(future, call)
        then()

    start(name, run)
    return future


class DaemonPool(Generic[Result]):
    """Calls in a few daemon threads, which start as they are needed and end when the pool is dropped."""

    def __init__(self, name: str, size: int, start: ThreadStarter = start_daemon) -> None:
        self._name, self._size, self._start = name, size, start
        self._threads = 0
        self._queue: SimpleQueue[tuple[Future[Result], Callable[[], Result]] | None] = SimpleQueue()
        weakref.finalize(self, _end, self._queue, size)

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Call it in one of the threads, when one is free; the future has its result or its exception.

        Raises:
            RuntimeError: when no thread can be started, and there is none.
        """
        if self._threads < self._size:
            try:
                self._start(self._name, partial(_work, self._queue))
                self._threads += 1
            except RuntimeError:
                if not self._threads:
                    raise
        future: Future[Result] = Future()
        self._queue.put((future, call))
        return future


def _work(queue: "SimpleQueue[tuple[Future[Result], Callable[[], Result]] | None]") -> None:
    while (item := queue.get()) is not None:
        if item[0].set_running_or_notify_cancel():
            _call(*item)
        del item  # else it would be kept until the next one comes


def _end(queue: "SimpleQueue[tuple[Future[Result], Callable[[], Result]] | None]", threads: int) -> None:
    for _ in range(threads):
        queue.put(None)


def _call(future: Future[Result], call: Callable[[], Result]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised again where the result is asked for
        future.set_exception(error)
