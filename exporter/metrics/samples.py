"""Metric families under construction, and the series that they have in common."""

from collections.abc import Iterable, Sequence
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


class Families:
    """Metric families; each is created with its first sample."""

    def __init__(self) -> None:
        self._families: dict[str, Any] = {}

    def add(self, spec: Spec, labels: tuple[str, ...], *values: object) -> None:
        """Adds a sample; `values` are those that the family's `add_metric` takes."""
        family = self._families.get(spec.name)
        if family is None:
            family = _FAMILIES[spec.kind](spec.name, spec.text, labels=spec.labels)
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
    """Returns the series seen, and those known in advance of each project: a counter must begin at 0."""
    found = set(seen)
    projects = {series.project for series in found} or {""}
    known = {Series(project, region) for project in projects for region in traits.regions}
    return sorted(found | known)


def series_labels(account: Account, series: Series) -> tuple[str, str, str, str]:
    """Returns the values of the labels that all metrics of a series have."""
    return account.provider, account.name, series.project, series.region
