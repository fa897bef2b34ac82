"""Writes histories to a file, and says what to do with it."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from exporter.commands.errors import CommandError
from exporter.commands.history import ReadHistory
from exporter.commands.progress import Progress
from exporter.history.openmetrics import FAMILIES, text
from exporter.model import HOUR, SECOND

RETENTION = 15 * 24 * HOUR  # Prometheus's default
MAX_BLOCK = "162h"  # of 2 h, 6 h, 18 h ... the largest that promtool takes of a month's history
BUFFER = 1 << 20

NEXT = """
Next, where Prometheus's data is, and as the user that owns it:

  promtool tsdb create-blocks-from openmetrics --max-block-duration={block} {file} DATA_DIRECTORY

Prometheus takes the blocks in within a minute or two. Then let it evaluate the recording rules on them, and
once more for rules that build on others:

  promtool tsdb create-blocks-from rules --start={start} --end={end} \\
    --url=http://localhost:9090 --output-dir=DATA_DIRECTORY RULES_FILE
"""
SPREAD = (
    "Traffic and cost are spread evenly over each session's time: providers list a session's totals alone."
)
SHORT = (
    "warning: the history is {days} days long, and Prometheus keeps 15 by default: raise "
    "--storage.tsdb.retention.time before you put the blocks in place, or it deletes them"
)
ENDS_EARLIER = "{account}: until {until} UTC, when the exporter began to count"
OVERLAP = (
    "warning: {account}: the exporter has counted since {began} UTC; where Prometheus scraped it before "
    "--until, counters that it holds twice look like resets"
)
SKIPPED = (
    "warning: ledger.history is skip: the exporter's counters begin at zero where the history ends, "
    "which Prometheus takes for a reset"
)


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Yields a file that takes the path's place when it is left, and vanishes if that is by an exception.

    Raises:
        CommandError: for a path that is there and no file, and when the file cannot be opened.
        OSError: when it cannot be written.
    """
    if path.exists() and not path.is_file():
        raise CommandError(f"{path}: not a file; promtool reads none but files")
    partial = path.with_name(f".{path.name}.partial")
    try:
        stream = partial.open("w", encoding="utf-8", buffering=BUFFER, newline="\n")
    except OSError as error:
        raise CommandError(f"{path}: cannot be written ({error.strerror}); name another --output") from error
    try:
        yield stream
        stream.close()
        partial.replace(path)
    except BaseException:
        # It is not closed here: where a signal ends the command, a thread may be writing to it still.
        partial.unlink(missing_ok=True)
        raise


def write(read: Sequence[ReadHistory], stream: TextIO, progress: Progress) -> None:
    """Write the histories as OpenMetrics."""
    total = len(FAMILIES) * sum(len(one.history.series) for one in read)
    parts = text(one.history for one in read)
    for done, lines in enumerate(parts):
        stream.writelines(lines)
        progress.show("writing", min(done, total), total, "series")
    stream.flush()


def summary(read: Sequence[ReadHistory], path: Path, now: int, *, skips: bool) -> Iterator[str]:
    """Yields what is said of a file that was written, line by line."""
    starts = [one.first for one in read if one.first is not None]
    sessions, ends = sum(one.sessions for one in read), [one.history.steps.last for one in read]
    if not starts:
        yield f"{path}: no session is listed from before the end of the history; there is nothing to import"
        return
    start, end = min(starts), max(ends)
    size = path.stat().st_size / 1e6
    yield f"{path}: {sessions} sessions, from {_utc(start)} to {_utc(end)} UTC, {size:.1f} MB"
    yield SPREAD
    yield from _notes(read)
    if skips:
        yield SKIPPED
    if now - start > RETENTION:
        yield SHORT.format(days=-(-(now - start) // (24 * HOUR)))
    yield NEXT.format(
        block=MAX_BLOCK,
        file=shlex.quote(str(path.absolute())),
        start=_rfc3339(start),
        end=_rfc3339(end),
    ).rstrip()


def _notes(read: Sequence[ReadHistory]) -> Iterator[str]:
    for one in read:
        account = f"{one.history.account.provider}/{one.history.account.name}"
        if one.began is None:
            continue
        if one.history.steps.last < one.began:
            yield ENDS_EARLIER.format(account=account, until=_utc(one.history.steps.last))
        else:
            yield OVERLAP.format(account=account, began=_utc(one.began))


def _utc(time: int) -> str:
    return datetime.fromtimestamp(time // SECOND, UTC).strftime("%Y-%m-%d %H:%M")


def _rfc3339(time: int) -> str:
    return datetime.fromtimestamp(time // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
