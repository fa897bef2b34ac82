"""Expressions of PromQL: selectors that carry the dashboards' variables, and what is done with them.

The metrics and their labels are those of the exporter, so that no name stands here a second time.
Rates are taken over Grafana's `$__rate_interval`, sums over a panel's whole range over its `$__range`.
"""

from collections.abc import Sequence

from exporter.metrics.definitions import Spec
from exporter.providers import PROVIDERS

# What names the scraped process; every series has it.
TARGET = ("job", "instance")
VARIABLES = (*TARGET, "provider", "account", "project", "region")

_OPEN = dict.fromkeys(status for one in PROVIDERS.values() for status in one.traits.open_statuses)
OPEN = f'status=~"{"|".join(_OPEN)}"'
ERROR, TIMED_OUT = 'status="error"', 'status="timed_out"'
FAILED = 'status=~"error|timed_out"'
# The ending of a session that left the provider's list while it was open.
UNSEEN = 'status="unknown"'

# Of the process itself, as the client library for Prometheus shows it.
MEMORY = Spec("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.")
CPU = Spec("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.")
BEGUN = Spec("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.")


def series(spec: Spec, *matchers: str, variables: Sequence[str] = VARIABLES) -> str:
    """A metric's series, filtered by those of the variables whose label the metric has."""
    return _selector(spec.name, spec, matchers, variables)


def rate(spec: Spec, *matchers: str) -> str:
    """How fast a counter rises, for each second."""
    return f"rate({series(spec, *matchers)}[$__rate_interval])"


def increase(spec: Spec, *matchers: str) -> str:
    """How much a counter has risen over the panel's whole range."""
    return f"increase({series(spec, *matchers)}[$__range])"


def total(expression: str, by: Sequence[str] = ()) -> str:
    """A sum; of each group where labels are given."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def ratio(part: str, whole: str) -> str:
    """A quotient that is absent, not NaN, where the whole is 0: Grafana then shows the text for no data."""
    return f"{part} / ({whole} > 0)"


def share(part: str, whole: Spec, by: Sequence[str] = (), *, ranged: bool = False) -> str:
    """The share of a counter that has a status: lately, or over the panel's whole range."""
    of = increase if ranged else rate
    return ratio(total(of(whole, part), by), total(of(whole), by))


def quantile(rank: float, spec: Spec, by: Sequence[str]) -> str:
    """A quantile of what a histogram has observed lately, of each group."""
    buckets = f"rate({_selector(f'{spec.name}_bucket', spec, (), VARIABLES)}[$__rate_interval])"
    return f"histogram_quantile({rank:g}, {total(buckets, (*by, 'le'))})"


def a_minute(expression: str) -> str:
    """A rate for each minute: sessions come and go too slowly to be counted by the second."""
    return f"60 * {expression}"


def an_hour(expression: str) -> str:
    """A rate for each hour, as prices are."""
    return f"3600 * {expression}"


def legend(labels: Sequence[str], *words: str) -> str:
    """The name of a series in a legend: words, then the labels' values."""
    return " ".join([*words, *(f"{{{{{label}}}}}" for label in labels)])


def _selector(name: str, spec: Spec, matchers: Sequence[str], variables: Sequence[str]) -> str:
    labels = (label for label in variables if label in (*TARGET, *spec.labels))
    filters = ", ".join([*(f'{label}=~"${label}"' for label in labels), *matchers])
    return f"{name}{{{filters}}}" if filters else name
