"""How Ctrl-C, SIGTERM and SIGHUP end a command that does not serve: at once, and with what was opened closed.

A signal is noticed between two steps of the main thread, which must therefore not wait for a provider
or a database itself: name look-ups and locks do not end early.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from exporter.threads import in_thread

Result = TypeVar("Result")

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_WAIT = 0.2  # seconds
SIGNALLED = 128  # plus the signal's number: the exit code


def run_interruptibly(name: str, call: Callable[[], Result]) -> Result:
    """Returns what a call returns, which is made in a thread of its own while this one waits for signals.

    On the main thread. When a signal ends the wait, the call goes on, until the process ends.

    Raises:
        KeyboardInterrupt: for SIGINT, which the command line turns into exit code 130.
        SystemExit: for SIGTERM and SIGHUP: 143 and 129. A signal that is ignored, as nohup ignores SIGHUP,
            stays ignored.
        RuntimeError: when no thread can be started.
        Exception: what the call raises.
    """
    # A thread inherits what is blocked: only the main thread is to be woken.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        future = in_thread(name, call)
        with accepting_interrupts():
            # One that comes just before the wait does not end it: so each wait is short.
            while not wait([future], LONGEST_WAIT).done:
                pass
            return future.result()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def accepting_interrupts() -> Iterator[None]:
    """Let the signals end what the main thread does; threads that run already do not see them."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    handled = [number for number, handler in handlers.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, _exit)
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in handled:
            signal.signal(number, handlers[number])


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(SIGNALLED + number)
