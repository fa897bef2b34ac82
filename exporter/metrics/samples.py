"""Metric families under construction, and the series that they have in common."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from exporter.metrics.definitions import Spec
from exporter.model import Account, ProviderTraits, Series

_FAMILIES = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
    "gaugehistogram": GaugeHistogramMetricFamily,
}


class SeriesLabels:
    """The labels that all metrics of a series have.

    Args:
        account: the account of the series.
        names: all labels of sessions' metadata that families have: those of every account.
        own: those of this account.
    """

    def __init__(self, account: Account, names: Iterable[str], own: Collection[str]) -> None:
        self._account, self._names, self._own = account, tuple(names), frozenset(own)

    @property
    def account(self) -> tuple[str, str]:
        """The values of the labels that all metrics of the account have."""
        return self._account.provider, self._account.name

    def of(self, series: Series) -> tuple[str, ...]:
        """Returns the values of the labels; empty ones where a session has none."""
        metadata = dict(series.metadata)
        place = self._account.provider, self._account.name, series.project, series.region
        return (*place, *(metadata.get(name, "") for name in self._names))

    def shown(self, series: Series) -> Series:
        """Returns the series as it is shown: without labels that the configuration does not have any more."""
        if not series.metadata:  # as nearly all are where no labels are configured
            return series
        kept = tuple(pair for pair in series.metadata if pair[0] in self._own)
        return Series(series.project, series.region, kept)


class Families:
    """Metric families; each is created with its first sample.

    `metadata` are the labels of sessions' metadata that the families of series have.
    """

    def __init__(self, metadata: tuple[str, ...] = ()) -> None:
        self._metadata = metadata
        self._families: dict[str, Any] = {}

    def add(self, spec: Spec, labels: tuple[str, ...], *values: object) -> None:
        """Adds a sample; `values` are those that the family's `add_metric` takes."""
        family = self._families.get(spec.name)
        if family is None:
            labelled = spec.labels_with(self._metadata)
            family = _FAMILIES[spec.kind](spec.name, spec.text, labels=labelled)
            self._families[spec.name] = family
        family.add_metric(labels, *values)

    def families(self) -> Sequence[Metric]:
        """Returns the families that have a sample."""
        return [*self._families.values()]


def merged(parts: Iterable[Iterable[Metric]]) -> Iterable[Metric]:
    """Returns families with the samples of all parts, in their order; each name once."""
    whole: dict[str, Metric] = {}
    for part in parts:
        for family in part:
            if family.name not in whole:
                whole[family.name] = Metric(family.name, family.documentation, family.type)
            whole[family.name].samples.extend(family.samples)
    return whole.values()


def all_series(traits: ProviderTraits, seen: Iterable[Series]) -> list[Series]:
    """Returns the series seen, and those known in advance: a counter must begin at 0.

    Known are the regions of each project, and of each of its values of metadata.
    """
    found = set(seen)
    places = {(series.project, series.metadata) for series in found}
    places |= {(project, ()) for project, _ in places} or {("", ())}
    known = {Series(project, region, pairs) for project, pairs in places for region in traits.regions}
    return sorted(found | known)
