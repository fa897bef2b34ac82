"""Progress on a terminal and elsewhere, and the signals that end a command."""

import io
import re
import signal
import sys

import pytest

from exporter.commands.interrupts import run_interruptibly
from exporter.commands.progress import LINE_SECONDS, progress
from tests.support.processes import Process, run
from tests.support.terminals import CONTROL, CTRL_C, Terminal

WAITS = """
import sys
from threading import Event
from exporter.commands.interrupts import run_interruptibly
from exporter.commands.progress import progress

def work():
    shown.show("copying", 1200, 5000)
    print("begun", file=sys.stderr, flush=True)
    Event().wait()

try:
    with progress() as shown:
        run_interruptibly("work", work)
except KeyboardInterrupt:
    sys.exit(130)
"""
SHOWS = """
from exporter.commands.progress import progress
with progress() as shown:
    shown.show("[a]/b", 1200, None)
    shown.show("[a]/b", 5000, 5000)
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_elsewhere_than_on_a_terminal_a_line_is_printed_every_ten_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    with progress(stream, {}, clock) as shown:
        shown.show("reading", 1000, None)
        for done in (1500, 2000, 3000):
            clock.now += LINE_SECONDS / 2
            shown.show("reading", done, 6000)
        clock.now += 1
        shown.show("reading", 6000, 6000)
        shown.show("reading", 6000, 6000)
        shown.show("writing", 0, 0, "samples")
    assert stream.getvalue().splitlines() == [
        "reading: 1000 sessions",
        "reading: 2000 of 6000 sessions, 100/s, 40 s left",
        "reading: 6000 of 6000 sessions, 312/s",
        "writing: 0 of 0 samples",
    ]


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_redraws_nothing_gets_lines(term: str) -> None:
    with Terminal(sys.executable, "-c", SHOWS, environ={"TERM": term}) as terminal:
        assert terminal.wait() == 0
    first, second = terminal.raw.splitlines()
    assert first == "[a]/b: 1200 sessions"
    assert second.startswith("[a]/b: 5000 of 5000 sessions, ")


def test_a_terminal_gets_a_bar() -> None:
    with Terminal(sys.executable, "-c", SHOWS, environ={}) as terminal:
        assert terminal.wait() == 0
    assert "[a]/b ━" in terminal.text
    assert "5,000 of 5,000 sessions" in terminal.text
    assert "\x1b[?25h" in terminal.raw, "the cursor is hidden still"


@pytest.mark.parametrize("columns", [80, 40])
def test_a_narrow_terminal_gets_one_line_for_a_task(columns: int) -> None:
    task = "browserbase/production-of-the-north"
    shows = SHOWS.replace("[a]/b", task)
    with Terminal(sys.executable, "-c", shows, environ={}, columns=columns) as terminal:
        assert terminal.wait() == 0
    lines = re.split(r"[\r\n]+", CONTROL.sub("", terminal.raw))
    assert re.search(r"the-north .*5,000 of 5,000 .*\d:\d\d:\d\d *$", [line for line in lines if line][-1])


def test_ctrl_c_on_a_terminal_ends_what_waits_and_shows_the_cursor_again() -> None:
    with Terminal(sys.executable, "-c", WAITS, environ={}) as terminal:
        terminal.wait_for("begun")
        terminal.press(CTRL_C)
        assert terminal.wait() == 130
    assert "\x1b[?25h" in terminal.raw
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_what_waits(number: signal.Signals, code: int) -> None:
    with Process(sys.executable, "-c", WAITS, environ={}) as process:
        process.wait_for_log("begun")
        process.signal(number)
        assert process.wait() == code
    assert process.log == "copying: 1200 of 5000 sessions\nbegun\n"


def test_a_signal_that_does_not_wake_the_main_thread_ends_what_waits() -> None:
    """As one that comes just before it waits. This one comes to another thread."""
    waits = WAITS.replace(
        "    Event().wait()\n",
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})\n"
        "    signal.pthread_kill(threading.get_ident(), signal.SIGINT)\n"
        "    Event().wait()\n",
    )
    code, _, errors = run(sys.executable, "-c", f"import signal, threading\n{waits}", environ={})
    assert (code, errors.splitlines()[-1]) == (130, "begun")


def test_what_a_call_raises_is_raised_and_the_signals_are_blocked_as_before() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(ZeroDivisionError):
        run_interruptibly("fails", lambda: 1 / 0)
    assert run_interruptibly("works", lambda: 1) == 1
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == handlers
