"""Counters and histograms of the totals that the ledger keeps."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from exporter.metrics.counters import (
    ACCOUNT_WIDE,
    COST,
    COST_KINDS,
    DURATION,
    DURATION_BUCKETS,
    DURATION_SUM,
    ENDED,
    PROXY_BYTES,
    REVISIONS,
    STARTED,
    TIME,
    CounterKey,
)
from exporter.metrics.definitions import BYTES, COSTS, DURATIONS, ENDS, LOWERED, SECONDS, STARTS
from exporter.metrics.results import AccountDescription
from exporter.metrics.samples import Families, all_series, series_labels
from exporter.model import NANO_USD, SECOND, Account, ProviderTraits, Series

# What changes while sessions are open, and what changes only as they begin and end.
USAGE = frozenset({TIME, PROXY_BYTES, COST})


def parts_of_totals(
    account: Account,
    totals: Mapping[CounterKey, int],
    listed: Iterable[Series],
    description: AccountDescription,
) -> Iterator[tuple[str, object, Callable[[Families], None]]]:
    """Yields an account's counters in parts: the name, the figures they follow from, what adds them.

    `listed` are the series that its list shows now.
    """
    used: dict[CounterKey, int] = {}
    counted: dict[CounterKey, int] = {}
    for key, value in totals.items():
        (used if key.counter in USAGE else counted)[key] = value
    seen = {key.series for key in totals} - {ACCOUNT_WIDE}
    every = all_series(description.traits, seen.union(listed))
    add = partial(_add_usage, account, used, every, description.cost_source)
    yield "usage", (every, used, description.cost_source), add
    add = partial(_add_counts, account, counted, every, description.traits)
    yield "counts", (every, counted, description.traits), add


def _add_usage(
    account: Account,
    totals: Mapping[CounterKey, int],
    every: Iterable[Series],
    cost_source: str | None,
    made: Families,
) -> None:
    for series in every:
        labels = series_labels(account, series)
        made.add(SECONDS, labels, totals.get(CounterKey(series, TIME), 0) / SECOND)
        made.add(BYTES, labels, totals.get(CounterKey(series, PROXY_BYTES), 0))
        if cost_source is not None:
            for kind in COST_KINDS:
                cost = totals.get(CounterKey(series, COST, kind), 0) / NANO_USD
                made.add(COSTS, (*labels, kind, cost_source), cost)


def _add_counts(
    account: Account,
    totals: Mapping[CounterKey, int],
    every: Iterable[Series],
    traits: ProviderTraits,
    made: Families,
) -> None:
    revisions = totals.get(CounterKey(ACCOUNT_WIDE, REVISIONS), 0)
    made.add(LOWERED, (account.provider, account.name), revisions)
    sums: dict[Series, dict[tuple[str, str], int]] = defaultdict(dict)
    for key, value in totals.items():
        sums[key.series][key.counter, key.label] = value
    for series in every:
        _add_ends(made, series_labels(account, series), sums[series], traits)


def _add_ends(
    made: Families,
    labels: tuple[str, ...],
    sums: Mapping[tuple[str, str], int],
    traits: ProviderTraits,
) -> None:
    made.add(STARTS, labels, sums.get((STARTED, ""), 0))
    seen = (label for counter, label in sums if counter == ENDED)
    for status in dict.fromkeys([*traits.endings, *seen]):
        made.add(ENDS, (*labels, status), sums.get((ENDED, status), 0))
    made.add(DURATIONS, labels, list(_buckets(sums)), sums.get((DURATION_SUM, ""), 0) / SECOND)


def _buckets(sums: Mapping[tuple[str, str], int]) -> Iterator[tuple[str, float]]:
    """Yields the histogram's cumulative buckets; the ledger keeps a count for each bucket alone."""
    total = 0
    for bound in (*map(str, DURATION_BUCKETS), "+Inf"):
        total += sums.get((DURATION, bound), 0)
        # As client libraries write it: "10" and "10.0" would be two series.
        yield bound if bound == "+Inf" else f"{bound}.0", total
