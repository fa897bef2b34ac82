"""Expressions of PromQL: selectors that carry the dashboards' variables, and what is done with them.

The metrics and their labels are those of the exporter, so that no name stands here a second time.
Replicas export the same sessions. What is shown of sessions is their maximum, taken before any sum, so that
two replicas, or one exporter that two jobs scrape, show the same numbers as one.
Rates are taken over Grafana's `$__rate_interval`, sums over a panel's whole range over its `$__range`.
"""

from collections.abc import Sequence

from exporter.metrics.definitions import BUILD, PROJECT, Spec
from exporter.providers import PROVIDERS
from grafana.records import LIMIT

# What names the scraped process; every series that the exporter exposes has it.
TARGET = ("job", "instance")
VARIABLES = (*TARGET, "provider", "account", "project", "region")
# In which replicas of one exporter may differ, and the jobs that scrape it: those of the rules' mixin.
REPLICAS = (*TARGET, "replica", "pod", "container", "endpoint")
# Of fewer ended sessions a ratio says nothing.
FLOOR = 5

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


def once(expression: str) -> str:
    """Each series once, however many replicas and jobs it has: the highest of them."""
    return f"max without ({', '.join(REPLICAS)}) ({expression})"


def gauge(spec: Spec, *matchers: str) -> str:
    """What a gauge shows now, each series once."""
    return once(series(spec, *matchers))


def rate(spec: Spec, *matchers: str) -> str:
    """How fast a counter rises, for each second, each series once."""
    return once(f"rate({series(spec, *matchers)}[$__rate_interval])")


def lately(spec: Spec, *matchers: str) -> str:
    """How much a counter has risen over `$__rate_interval`, each series once."""
    return once(f"increase({series(spec, *matchers)}[$__rate_interval])")


def increase(spec: Spec, *matchers: str) -> str:
    """How much a counter has risen over the panel's whole range.

    The replicas' maximum is taken first: an exporter that moves, and has another `instance` from then on,
    goes on where it was.
    """
    return f"increase({gauge(spec, *matchers)}[$__range:$__interval])"


def of_exporters(spec: Spec) -> str:
    """A series of the client library, of exporters alone: every program that is scraped has it."""
    return f"{series(spec)} and on ({', '.join(TARGET)}) {series(BUILD)}"


def total(expression: str, by: Sequence[str] = ()) -> str:
    """A sum; of each group where labels are given."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def ratio(part: str, whole: str, floor: str = "> 0") -> str:
    """A quotient that is absent where the whole is below a floor: Grafana then shows the text for no data."""
    return f"{part} / ({whole} {floor})"


def share(part: str, whole: Spec, by: Sequence[str] = (), *, ranged: bool = False) -> str:
    """The share of ended sessions that has a status: lately, or over the panel's whole range."""
    of = increase if ranged else lately
    return ratio(total(of(whole, part), by), total(of(whole), by), f">= {FLOOR}")


def quantile(rank: float, spec: Spec, by: Sequence[str]) -> str:
    """A quantile of what a histogram has observed lately, of each group."""
    buckets = once(f"rate({_selector(f'{spec.name}_bucket', spec, (), VARIABLES)}[$__rate_interval])")
    return f"histogram_quantile({rank:g}, {total(buckets, (*by, 'le'))})"


def limit(name: str) -> str:
    """An account's limit, as the alerts use it."""
    return series(LIMIT, f'limit="{name}"')


def of_limit(expression: str, name: str) -> str:
    """What is so much by account, as a share of the account's limit."""
    return f"{expression} / on (provider, account) {limit(name)}"


def named(expression: str) -> str:
    """A series of each project with its name as `project_name`; where none is known, with its ID."""
    on = "provider, account, project"
    # The name at the range's end is that of the whole range: it may have changed, and is there only while the
    # account can be read.
    known = f"max by ({on}, project_name) (last_over_time({series(PROJECT)}[1h] @ end()))"
    return (
        f"({expression}) * on ({on}) group_left (project_name) topk by ({on}) (1, {known})"
        f' or on ({on}) label_replace({expression}, "project_name", "$1", "project", "(.*)")'
    )


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
    # Recorded series have the labels that they are listed with; what is scraped has its target's beside them.
    has = spec.labels if ":" in spec.name else (*TARGET, *spec.labels)
    filters = ", ".join([*(f'{label}=~"${label}"' for label in variables if label in has), *matchers])
    return f"{name}{{{filters}}}" if filters else name
