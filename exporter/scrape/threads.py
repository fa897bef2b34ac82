"""Calls in daemon threads: the end of the process does not wait for them, as it does for a thread pool's."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")
ThreadStarter = Callable[[str, Callable[[], None]], object]


def start_daemon(name: str, run: Callable[[], None]) -> None:
    """Run it in a daemon thread.

    Raises:
        RuntimeError: when the system has no thread left.
    """
    Thread(target=run, name=name, daemon=True).start()


def in_thread(name: str, call: Callable[[], Result], start: ThreadStarter = start_daemon) -> Future[Result]:
    """Calls it in a thread of its own; returns a future of its result or exception.

    Raises:
        RuntimeError: when no thread can be started; nothing was called.
    """
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - the future raises it again
            future.set_exception(error)

    start(name, run)
    return future
