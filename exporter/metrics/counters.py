"""The counters that the ledger sums, and the keys of their totals."""

import msgspec

from exporter.model import Series

# The counters that the ledger sums, by the names under which it keeps them.
STARTED, ENDED, TIME, PROXY_BYTES = "started", "ended", "time", "proxy_bytes"
COST, DURATION, DURATION_SUM, REVISIONS = "cost", "duration", "duration_sum", "revisions"
START, START_SUM = "start", "start_sum"
COST_KINDS = ("browser", "proxy")
# Upper bounds in seconds: from a session that dies at once to the longest that the providers offer.
DURATION_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600)
START_BUCKETS = (0.5, 1, 2, 5, 10, 30, 60, 120)
# The endings whose last session is told.
FAILURES = frozenset({"error", "timed_out"})

# Of an account's totals, those that belong to no series.
ACCOUNT_WIDE = Series("", "")


class CounterKey(msgspec.Struct, frozen=True, order=True):
    """The name of one total: a counter of a series; `label` is its status, cost kind or bucket."""

    series: Series
    counter: str
    label: str = ""


class LastSession(msgspec.Struct, frozen=True):
    """The last session that a total counted: its id, its duration, and when it ended."""

    id: str
    duration: int
    ended: int
