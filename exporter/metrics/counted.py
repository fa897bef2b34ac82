"""Counters and histograms of the totals that the ledger keeps."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

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

DURATION_BOUNDS = (*map(str, DURATION_BUCKETS), "+Inf")


def add_totals(
    account: Account,
    totals: Mapping[CounterKey, int],
    listed: Collection[Series],
    description: AccountDescription,
    made: Families,
) -> None:
    """Adds an account's counters; `listed` are the series that its list shows now."""
    made.add(LOWERED, (account.provider, account.name), totals.get(CounterKey(ACCOUNT_WIDE, REVISIONS), 0))
    sums: dict[Series, dict[tuple[str, str], int]] = defaultdict(dict)
    for key, value in totals.items():
        if key.series != ACCOUNT_WIDE:
            sums[key.series][key.counter, key.label] = value
    source = description.cost_source
    for series in all_series(description.traits, [*listed, *sums]):
        _add_counters(made, series_labels(account, series), sums[series], description.traits)
        if source is not None:
            for kind in COST_KINDS:
                cost = sums[series].get((COST, kind), 0) / NANO_USD
                made.add(COSTS, (*series_labels(account, series), kind, source), cost)


def _add_counters(
    made: Families,
    labels: tuple[str, ...],
    sums: Mapping[tuple[str, str], int],
    traits: ProviderTraits,
) -> None:
    made.add(STARTS, labels, sums.get((STARTED, ""), 0))
    made.add(SECONDS, labels, sums.get((TIME, ""), 0) / SECOND)
    made.add(BYTES, labels, sums.get((PROXY_BYTES, ""), 0))
    seen = (label for counter, label in sums if counter == ENDED)
    for status in dict.fromkeys([*traits.endings, *seen]):
        made.add(ENDS, (*labels, status), sums.get((ENDED, status), 0))
    made.add(DURATIONS, labels, list(_buckets(sums)), sums.get((DURATION_SUM, ""), 0) / SECOND)


def _buckets(sums: Mapping[tuple[str, str], int]) -> Iterator[tuple[str, float]]:
    """Yields the histogram's cumulative buckets; the ledger keeps a count for each bucket alone."""
    total = 0
    for bound in DURATION_BOUNDS:
        total += sums.get((DURATION, bound), 0)
        yield le(bound), total


def le(bound: str) -> str:
    """Returns a bucket's label as client libraries write it: "10" and "10.0" would be two series."""
    return bound if bound == "+Inf" else f"{bound}.0"
