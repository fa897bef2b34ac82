"""The counters that the ledger sums, and the keys of their totals."""

import msgspec

from exporter.model import Series

# The counters that the ledger sums, by the names under which it keeps them.
STARTED, ENDED, TIME, PROXY_BYTES = "started", "ended", "time", "proxy_bytes"
COST, DURATION, DURATION_SUM, REVISIONS = "cost", "duration", "duration_sum", "revisions"
COST_KINDS = ("browser", "proxy")
# Upper bounds in seconds: from a failed start to the longest sessions that the providers offer.
DURATION_BUCKETS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600)

# Of an account's totals, those that belong to no series.
ACCOUNT_WIDE = Series("", "")


class CounterKey(msgspec.Struct, frozen=True, order=True):
    """The name of one total: a counter of a series; `label` is its status, cost kind or bucket."""

    series: Series
    counter: str
    label: str = ""
