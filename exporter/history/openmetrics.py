"""Histories as OpenMetrics with timestamps, for `promtool tsdb create-blocks-from openmetrics`.

A family's samples stand together, and of each series in the order of time. What Prometheus would do as it
scrapes is done here: the target's labels are added, and labels without a value are left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, chain

import msgspec

from exporter.history.series import OPEN, SeriesHistory
from exporter.history.steps import LONGEST_PAUSE, Change, Steps, counted, ramped, thinned, vectors
from exporter.metrics.counted import bounds_of, le
from exporter.metrics.counters import (
    COST,
    DURATION,
    DURATION_BUCKETS,
    DURATION_SUM,
    ENDED,
    PROXY_BYTES,
    START,
    START_BUCKETS,
    START_SUM,
    STARTED,
    TIME,
)
from exporter.metrics.definitions import (
    BYTES,
    COSTS,
    DURATIONS,
    ENDS,
    SECONDS,
    SESSIONS,
    START_LATENCY,
    STARTS,
    Spec,
)
from exporter.metrics.samples import SeriesLabels
from exporter.model import NANO_USD, SECOND, Account, Series

END = "# EOF\n"
# A rate needs two samples in its window, which in the dashboards is four minutes long at least; that of a
# histogram is twenty minutes long.
PAUSE = LONGEST_PAUSE // 2


class Plain(msgspec.Struct, frozen=True):
    """A family of single values. counter: what they count; unit: how many of it make one of the metric's."""

    spec: Spec
    counter: str
    unit: int = 1


class Histogram(msgspec.Struct, frozen=True):
    """A family of histograms. buckets, total: what they count; bounds: of the buckets."""

    spec: Spec
    buckets: str
    total: str
    bounds: tuple[str, ...]


FAMILIES: tuple[Plain | Histogram, ...] = (
    Plain(SESSIONS, OPEN),
    Plain(STARTS, STARTED),
    Plain(ENDS, ENDED),
    Plain(SECONDS, TIME, SECOND),
    Plain(BYTES, PROXY_BYTES),
    Plain(COSTS, COST, NANO_USD),
    Histogram(DURATIONS, DURATION, DURATION_SUM, bounds_of(DURATION_BUCKETS)),
    Histogram(START_LATENCY, START, START_SUM, bounds_of(START_BUCKETS)),
)

_ESCAPES = {ord("\\"): r"\\", ord("\n"): r"\n", ord('"'): r"\""}


class AccountHistory(msgspec.Struct, frozen=True):
    """An account's history.

    cost_source: as the exporter shows it; None where it shows no cost.
    steps: the times at which there are samples.
    labels: what Prometheus adds to the series of the target.
    metadata_labels: the names of the labels of the sessions' metadata.
    """

    account: Account
    cost_source: str | None
    steps: Steps
    labels: Mapping[str, str]
    series: Mapping[Series, SeriesHistory]
    metadata_labels: tuple[str, ...] = ()


def text(histories: Iterable[AccountHistory]) -> Iterator[Iterator[str]]:
    """Yields the lines of each family's head, those of each of its series of sessions, and the end.

    What is yielded has to be read before the next is asked for.
    """
    places = [
        _Place(history, series, history.series[series])
        for history in histories
        for series in sorted(history.series)
    ]
    for family in FAMILIES:
        yield iter(_header(family.spec))
        for place in places:
            yield _plain(family, place) if isinstance(family, Plain) else _histogram(family, place)
    yield iter([END])


def _header(spec: Spec) -> list[str]:
    name = spec.name.removesuffix("_total")
    return [f"# HELP {name} {spec.text}\n", f"# TYPE {name} {spec.kind}\n"]


def _plain(family: Plain, place: "_Place") -> Iterator[str]:
    spec, steps, unit = family.spec, place.history.steps, family.unit
    source = (place.history.cost_source,) if spec is COSTS else ()
    if None in source:
        return
    for label in place.sessions.names(family.counter):
        start = f"{spec.name}{{{place.labels(spec, *([label] if label else []), *source)}}}"
        changes = _changes(place.sessions, (family.counter, label), steps)
        for at, value in thinned(changes, 0, steps, PAUSE):
            yield f"{start} {value if unit == 1 else value / unit} {at // SECOND}\n"


def _changes(one: SeriesHistory, name: tuple[str, str], steps: Steps) -> Iterator[Change[int]]:
    """Yields what has happened, or what rises evenly: no counter has both."""
    return chain(counted(one.events(name), steps), ramped(one.ramps(name), steps))


def _histogram(family: Histogram, place: "_Place") -> Iterator[str]:
    """Yields a histogram's samples, all of one time together."""
    spec, bounds, steps = family.spec, family.bounds, place.history.steps
    events = [
        (at, index, amount)
        for index, bound in enumerate(bounds)
        for at, amount in place.sessions.events((family.buckets, bound))
        if at <= steps.last
    ]
    if not events:
        return
    first = min(index for _, index, _ in events)  # the buckets before stay at 0
    events += [(at, len(bounds), amount) for at, amount in place.sessions.events((family.total, ""))]
    labels, zero = place.labels(spec), [0] * (len(bounds) + 1)
    starts = [f'{spec.name}_bucket{{{labels},le="{le(bound)}"}}' for bound in bounds[first:]]
    for at, values in thinned(vectors(events, len(zero), steps), zero, steps):
        counts, when = [*accumulate(values[first:-1])], at // SECOND
        for start, count in zip(starts, counts, strict=True):
            yield f"{start} {count} {when}\n"
        yield f"{spec.name}_count{{{labels}}} {counts[-1]} {when}\n"
        yield f"{spec.name}_sum{{{labels}}} {values[-1] / SECOND} {when}\n"


class _Place(msgspec.Struct, frozen=True):
    """A series of sessions of an account."""

    history: AccountHistory
    series: Series
    sessions: SeriesHistory

    def labels(self, spec: Spec, *more: str | None) -> str:
        """Returns the labels of a metric as text. To Prometheus a label without a value is none."""
        names = self.history.metadata_labels
        values = SeriesLabels(self.history.account, names, names).of(self.series)
        own = zip(spec.labels_with(names), (*values, *more), strict=True)
        shown = {name: value for name, value in (*self.history.labels.items(), *own) if value}
        return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in shown.items())
