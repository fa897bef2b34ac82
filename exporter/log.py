"""Log lines on stderr, as logfmt or JSON; libraries' lines too.

Lines are written by a thread of their own, so that a scrape never waits for a slow reader of stderr. The
queue of lines is bounded: lines beyond it are dropped, and counted.
"""

import atexit
import io
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from queue import Full, Queue
from threading import Thread
from typing import TextIO

import structlog
from structlog.typing import Processor

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
FORMATS = ("logfmt", "json")

QUEUED_LINES = 1000
FLUSH_SECONDS = 1.0  # at the end of the process

_FIRST = ["ts", "level", "msg"]


class BackgroundHandler(logging.Handler):
    """Writes each record's line from a thread. `dropped` counts the lines that found the queue full.

    Args:
        write: takes a line, and may block.
        capacity: how many lines may wait.
    """

    def __init__(self, write: Callable[[bytes], object], capacity: int = QUEUED_LINES) -> None:
        super().__init__()
        self.dropped = 0
        self._write, self._lines = write, Queue[bytes](capacity)
        Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line, or drop it. logging holds the handler's lock meanwhile."""
        try:
            self._lines.put_nowait(f"{self._line(record)}\n".encode(errors="backslashreplace"))
        except Full:
            self.dropped += 1

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # noqa: BLE001 - a library's faulty line must not fail what logs it
            text = f"a line of {record.name} cannot be formatted"
            return self.format(
                logging.LogRecord(record.name, record.levelno, "", 0, f"{text}: {error!r}", (), None)
            )

    def flush_within(self, seconds: float) -> bool:
        """Wait until all lines are written, but not longer; returns whether they are."""
        with self._lines.all_tasks_done:
            return self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, seconds)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            try:
                self._write(line)
            except (OSError, ValueError):  # stderr is closed, so that this cannot be logged
                self.dropped += 1
            finally:
                self._lines.task_done()


_handlers: list[BackgroundHandler] = []


def dropped_lines() -> int:
    """Returns how many lines were dropped since the process began."""
    return sum(handler.dropped for handler in _handlers)


def flush(seconds: float = FLUSH_SECONDS) -> bool:
    """Wait until all lines are written, but not longer; returns whether they are."""
    return all(handler.flush_within(seconds) for handler in _handlers[-1:])


def _write_to_stderr() -> Callable[[bytes], object]:
    """Returns what writes a line to stderr.

    It bypasses the buffer of sys.stderr, whose lock a blocked thread would hold at the end of the process.
    """
    try:
        descriptor = sys.stderr.fileno()
    except io.UnsupportedOperation:  # a stream in memory
        return partial(_write_text, sys.stderr)
    return partial(_write_whole, descriptor)


def _write_text(stream: TextIO, line: bytes) -> None:
    stream.write(line.decode())


def _write_whole(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]


def _formatter(form: str, shared: list[Processor]) -> logging.Formatter:
    final: Processor = structlog.processors.LogfmtRenderer(key_order=_FIRST, drop_missing=True)
    if form == "json":
        final = structlog.processors.JSONRenderer()
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final],
        foreign_pre_chain=shared,
    )


def _configure_standard(level: int, formatter: logging.Formatter) -> None:
    """Set up the standard library's logging, which libraries use and structlog writes to."""
    handler = BackgroundHandler(_write_to_stderr())
    _handlers.append(handler)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Below warning it logs its own workings.
    logging.getLogger("asyncio").setLevel(max(level, logging.WARNING))
    # They quote what a provider or a client sent: a key may be echoed, a bad request may hold a password.
    for library in ("urllib3", "aiohttp"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def configure(level: str, form: str) -> None:
    """Set up the process's logging: one of `LEVELS`, one of `FORMATS`."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper("iso", key="ts"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
    ]
    _configure_standard(LEVELS[level], _formatter(form, shared))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    atexit.register(flush)
