"""A page of metrics, parsed."""

from collections.abc import Callable, Iterable, Mapping

import requests
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.simulator.fleet import (
    SECOND,
    Fleet,
)

ORIGIN = 1_767_225_600 * SECOND

FLEET = Fleet(origin=ORIGIN, history=300, rate=300)

PARSERS: Mapping[str, Callable[[str], Iterable[Metric]]] = {
    "text/plain": parse_text,
    "application/openmetrics-text": parse_openmetrics,
}

Labels = frozenset[tuple[str, str]]


class Page:
    """The samples of an answer: their values by name, without the prefix, and labels."""

    def __init__(self, response: requests.Response) -> None:
        assert response.status_code == 200
        form = response.headers["Content-Type"].partition(";")[0]
        self.samples = {
            (sample.name.removeprefix("cloud_browser_"), frozenset(sample.labels.items())): sample.value
            for family in PARSERS[form](response.text)
            for sample in family.samples
            if sample.name.startswith("cloud_browser_")
        }

    def of(self, provider: str, *names: str) -> dict[tuple[str, Labels], float]:
        """A provider's samples of these names."""
        return {
            (name, labels): value
            for (name, labels), value in self.samples.items()
            if name in names and ("provider", provider) in labels
        }

    def sum(self, provider: str, name: str, **labels: str) -> float:
        """Of a provider's samples of a name and these labels; one must be there."""
        found = [n for (_, has), n in self.of(provider, name).items() if labels.items() <= set(has)]
        assert found, f"no {name} of {provider} with {labels}"
        return sum(found)
