"""The last session that each total of ends counted. Pure: totals do not depend on it.

It is kept in memory, and found again after a restart as far as the sessions' rows are still there.
"""

from collections.abc import Iterable, Iterator, Mapping

from exporter.ledger.rows import Row, bucket
from exporter.metrics.counters import DURATION, ENDED, FAILURES, CounterKey, LastSession


def last_sessions(
    rows: Iterable[Row], before: Mapping[CounterKey, LastSession] | None = None
) -> Mapping[CounterKey, LastSession]:
    """Returns the last session of each total: of those before and of these rows, the one that ended last."""
    found = dict(before or {})
    for row in rows:
        for key in _keys(row):
            one = LastSession(row.id, row.high.time, _end(row))
            if key not in found or (found[key].ended, found[key].id) <= (one.ended, one.id):
                found[key] = one
    return found


def _keys(row: Row) -> Iterator[CounterKey]:
    """Yields the totals that counted the end of a session: by duration, and by status if it failed."""
    if row.ending is not None:
        yield CounterKey(row.series, DURATION, bucket(row.high.time))
        if row.ending in FAILURES:
            yield CounterKey(row.series, ENDED, row.ending)


def _end(row: Row) -> int:
    return row.created + row.high.time if row.ended is None else row.ended
