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
    """Call it in a thread of its own; the future has its result or its exception.

    Raises:
        RuntimeError: when no thread can be started; nothing was called.
    """
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is asked for
            future.set_exception(error)

    start(name, run)
    return future
