"""How far a long command has come: bars on a terminal, and a line every ten seconds elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

import msgspec

LINE_SECONDS = 10.0
NARROW = 80  # columns; a terminal with fewer has no room for the bar itself
FIGURES = 28  # columns that are kept for figures; names get the rest
PLAIN_TERMINALS = ("", "dumb", "unknown")  # values of TERM; they cannot redraw a line


class Progress(Protocol):
    """Shows how far each of a command's tasks has come; called from any thread."""

    def show(self, task: str, done: int, total: int | None, unit: str = "sessions") -> None:
        """Show a task; it is finished once it has done its total (None: that is not known yet)."""


@contextmanager
def progress(
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Yields what shows progress on a stream, by default stderr, until it is left.

    Args:
        stream: a terminal gets bars, anything else lines.
        environ: TERM names the kind of terminal.
        clock: seconds, for lines.
    """
    stream = sys.stderr if stream is None else stream
    if not is_terminal(stream, environ):
        yield _Lines(stream, clock)
        return
    bars = _rich_progress(stream)
    with bars:  # it shows the cursor again however it is left
        yield _Bars(bars)


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Returns whether a stream is a terminal that can redraw its lines."""
    return stream.isatty() and environ.get("TERM", "") not in PLAIN_TERMINALS


def _rich_progress(stream: TextIO) -> Any:
    from rich import console, progress, table, text  # noqa: PLC0415 - `serve` starts sooner without it

    terminal = console.Console(file=stream, force_terminal=True)
    narrow = terminal.width < NARROW

    def column() -> table.Column:
        return table.Column(no_wrap=True)

    class Speed(progress.ProgressColumn):
        def render(self, task: progress.Task) -> str:
            speed = task.finished_speed or task.speed
            return "" if speed is None else f"{speed:,.0f}/s"

    class Amount(progress.ProgressColumn):
        def render(self, task: progress.Task) -> str:
            total = "" if task.total is None else f" of {task.total:,.0f}"
            unit = "" if narrow else f" {task.fields['unit']}"
            return f"{task.completed:,.0f}{total}{unit}"

    class Name(progress.ProgressColumn):
        def render(self, task: progress.Task) -> text.Text:
            return text.Text(_ending(task.description, terminal.width - FIGURES))

    middle = [Amount(column())] if narrow else [progress.BarColumn(None), Amount(column()), Speed(column())]
    return progress.Progress(
        Name(column()),
        *middle,
        progress.TimeRemainingColumn(elapsed_when_finished=True, table_column=column()),
        console=terminal,
        # Nothing of this program writes to them meanwhile but log lines, which do not go through them.
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _ending(name: str, width: int) -> str:
    """Returns the end of a name, which is the account's own; at least 8 characters of it."""
    width = max(8, width)
    return name if len(name) <= width else f"…{name[1 - width :]}"


class _Bars:
    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def show(self, task: str, done: int, total: int | None, unit: str = "sessions") -> None:
        if task not in self._tasks:
            # What was done before is no part of the speed.
            self._tasks[task] = self._bars.add_task(task, total=total, completed=done, unit=unit)
        self._bars.update(self._tasks[task], completed=done, total=total)


class _Shown(msgspec.Struct):
    """When a task began, and with how much; when a line was printed last; whether it was its last."""

    begun: float
    first: int
    at: float
    finished: bool = False


class _Lines:
    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream, self._clock = stream, clock
        self._shown: dict[str, _Shown] = {}

    def show(self, task: str, done: int, total: int | None, unit: str = "sessions") -> None:
        now, known = self._clock(), self._shown.get(task)
        shown = known or self._shown.setdefault(task, _Shown(now, done, now))
        finished = total is not None and done >= total
        is_due = known is None or now - shown.at >= LINE_SECONDS or finished
        if not is_due or shown.finished:
            return
        shown.at, shown.finished = now, finished
        # In one piece: another task may be shown at the same time.
        self._stream.write(f"{_line(task, done, total, unit, _pace(shown, done, now))}\n")
        self._stream.flush()


def _pace(shown: _Shown, done: int, now: float) -> float | None:
    """Returns how many are done in a second; None before that can be said."""
    seconds = now - shown.begun
    return (done - shown.first) / seconds if seconds > 0 and done > shown.first else None


def _line(task: str, done: int, total: int | None, unit: str, pace: float | None) -> str:
    parts = [f"{task}: {done}{'' if total is None else f' of {total}'} {unit}"]
    if pace is not None:
        parts.append(f"{pace:.0f}/s")
        if total is not None and done < total:
            parts.append(f"{(total - done) / pace:.0f} s left")
    return ", ".join(parts)
