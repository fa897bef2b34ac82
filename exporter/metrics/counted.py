"""Counters and histograms of the totals that the ledger keeps, with the last sessions as exemplars.

Exemplars are shown in OpenMetrics alone; the text format's renderer passes over them.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from prometheus_client.samples import Exemplar

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
    START,
    START_BUCKETS,
    START_SUM,
    STARTED,
    TIME,
    CounterKey,
    LastSession,
)
from exporter.metrics.definitions import (
    BYTES,
    COSTS,
    DURATIONS,
    ENDS,
    LOWERED,
    SECONDS,
    START_LATENCY,
    STARTS,
)
from exporter.metrics.results import AccountDescription
from exporter.metrics.samples import Families, SeriesLabels, all_series
from exporter.model import NANO_USD, SECOND, ProviderTraits, Series

_ID = re.compile(r"[A-Za-z0-9_.~-]+")  # what may be a URL is no exemplar

# What changes while sessions are open; the rest changes as they begin and end.
USAGE = frozenset({TIME, PROXY_BYTES, COST})
# Of a series, by counter and label.
Sums: TypeAlias = Mapping[tuple[str, str], int]
LastSessions: TypeAlias = Mapping[tuple[str, str], LastSession]


def parts_of_totals(
    totals: Mapping[CounterKey, int],
    last_sessions: Mapping[CounterKey, LastSession],
    listed: Iterable[Series],
    description: AccountDescription,
    at: SeriesLabels,
) -> Iterator[tuple[str, object, Callable[[Families], None]]]:
    """Yields an account's counters in parts: the name, the figures they follow from, what adds them.

    `listed` are the series that its list shows now. Series that differ only in labels that are not shown any
    more are shown as one.
    """
    used: dict[Series, dict[tuple[str, str], int]] = defaultdict(dict)
    counted: dict[Series, dict[tuple[str, str], int]] = defaultdict(dict)
    for key, value in totals.items():
        if key.series != ACCOUNT_WIDE:
            sums, name = (used if key.counter in USAGE else counted), (key.counter, key.label)
            of_series = sums[at.shown(key.series)]
            of_series[name] = of_series.get(name, 0) + value
    every = all_series(description.traits, [*listed, *used, *counted])
    add = partial(_add_usage, at, every, used, description.cost_source)
    yield "usage", (every, used, description.cost_source), add
    revisions = totals.get(CounterKey(ACCOUNT_WIDE, REVISIONS), 0)
    yield "revisions", revisions, partial(_add_revisions, at, revisions)
    last = _by_series(last_sessions, at)
    counts = partial(_add_counts, at, every, counted, last, description.traits)
    yield "counts", (every, counted, last, description.traits), counts


def _by_series(
    last_sessions: Mapping[CounterKey, LastSession], at: SeriesLabels
) -> Mapping[Series, LastSessions]:
    found: dict[Series, dict[tuple[str, str], LastSession]] = defaultdict(dict)
    for key, session in last_sessions.items():
        of_series, name = found[at.shown(key.series)], (key.counter, key.label)
        if name not in of_series or of_series[name].ended < session.ended:
            of_series[name] = session
    return found


def _add_usage(
    at: SeriesLabels,
    every: Iterable[Series],
    used: Mapping[Series, Sums],
    cost_source: str | None,
    made: Families,
) -> None:
    for series in every:
        labels, sums = at.of(series), used.get(series, {})
        made.add(SECONDS, labels, sums.get((TIME, ""), 0) / SECOND)
        made.add(BYTES, labels, sums.get((PROXY_BYTES, ""), 0))
        if cost_source is not None:
            for kind in COST_KINDS:
                cost = sums.get((COST, kind), 0) / NANO_USD
                made.add(COSTS, (*labels, kind, cost_source), cost)


def _add_revisions(at: SeriesLabels, revisions: int, made: Families) -> None:
    made.add(LOWERED, at.account, revisions)


def _add_counts(  # noqa: PLR0913, PLR0917 - all that counters show
    at: SeriesLabels,
    every: Iterable[Series],
    counted: Mapping[Series, Sums],
    last: Mapping[Series, LastSessions],
    traits: ProviderTraits,
    made: Families,
) -> None:
    for series in every:
        _add_ends(made, at.of(series), counted.get(series, {}), last.get(series, {}), traits)


def _add_ends(
    made: Families, labels: tuple[str, ...], sums: Sums, last: LastSessions, traits: ProviderTraits
) -> None:
    made.add(STARTS, labels, sums.get((STARTED, ""), 0))
    seen = (label for counter, label in sums if counter == ENDED)
    for status in dict.fromkeys([*traits.endings, *seen]):
        count = sums.get((ENDED, status), 0)
        exemplar = _exemplar(last.get((ENDED, status)), 1) if count else None
        made.add(ENDS, (*labels, status), count, None, None, exemplar)
    buckets = [*_buckets(sums, last, DURATION, DURATION_BUCKETS)]
    made.add(DURATIONS, labels, buckets, sums.get((DURATION_SUM, ""), 0) / SECOND)
    if traits.start_latency:
        buckets = [*_buckets(sums, {}, START, START_BUCKETS)]
        made.add(START_LATENCY, labels, buckets, sums.get((START_SUM, ""), 0) / SECOND)


def _buckets(
    sums: Sums, last: LastSessions, counter: str, bounds: Sequence[float]
) -> Iterator[tuple[str, float, Exemplar | None]]:
    """Yields a histogram's cumulative buckets; the ledger keeps a count for each bucket alone."""
    total = 0
    for bound in bounds_of(bounds):
        count, session = sums.get((counter, bound), 0), last.get((counter, bound))
        total += count
        exemplar = _exemplar(session, session.duration / SECOND) if session and count else None
        yield le(bound), total, exemplar


def bounds_of(buckets: Sequence[float]) -> tuple[str, ...]:
    """Returns the buckets' upper bounds, as the ledger names them."""
    return (*map(str, buckets), "+Inf")


def le(bound: str) -> str:
    """Returns a bucket's label as client libraries write it: "10" and "10.0" would be two series."""
    return bound if bound == "+Inf" else str(float(bound))


def _exemplar(session: LastSession | None, value: float) -> Exemplar | None:
    if session is None or not _ID.fullmatch(session.id):
        return None
    return Exemplar({"session_id": session.id}, value, session.ended / SECOND)
