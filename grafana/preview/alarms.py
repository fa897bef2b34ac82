"""Which alerts would have fired: the shipped rules, evaluated over what was recorded.

promtool fills recording rules in afterwards, but no alerts; so both are done here, minute by minute, and
stored as Prometheus would have: `ALERTS` for those that fired.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec
import yaml

from grafana.preview.monitor import Monitor, Points, Series, serving, store
from grafana.preview.questions import Span, seconds

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules" / "cloud-browser.yml"
STEP = 60  # seconds


class Rule(msgspec.Struct, frozen=True, rename={"lasting": "for"}):
    """A rule as it stands in the file: a recording one, or an alert."""

    expr: str
    record: str = ""
    alert: str = ""
    lasting: str = "0s"
    labels: Mapping[str, str] = {}


class Group(msgspec.Struct, frozen=True):
    """Rules that stand together."""

    rules: Sequence[Rule]


class Groups(msgspec.Struct, frozen=True):
    """The file."""

    groups: Sequence[Group]


def evaluate(folder: Path, span: Span, thresholds: Mapping[str, float]) -> None:
    """Add what the rules make of a folder's samples, with some thresholds set as their owner would."""
    for rules in _levels(load_rules(RULES, thresholds)):
        with serving(folder) as monitor:
            lines = [line for rule in rules for line in _lines(rule, monitor, span)]
        store(folder, lines)


def load_rules(path: Path, thresholds: Mapping[str, float]) -> list[Rule]:
    """The rules of a file, some thresholds replaced. Raises msgspec.ValidationError."""
    groups = msgspec.convert(yaml.safe_load(path.read_text()), Groups).groups
    return [
        msgspec.structs.replace(rule, expr=f"vector({thresholds[rule.record]})")
        if rule.record in thresholds
        else rule
        for group in groups
        for rule in group.rules
    ]


def _levels(rules: Sequence[Rule]) -> Iterator[list[Rule]]:
    """The rules, in the order in which they can be evaluated: those first that need no other's result."""
    named = {rule.record: rule for rule in rules if rule.record}

    @cache
    def level(expression: str) -> int:
        needed = [rule for name, rule in named.items() if name in expression]
        return 1 + max((level(rule.expr) for rule in needed), default=-1)

    highest = max(level(rule.expr) for rule in rules)
    for number in range(highest + 1):
        yield [rule for rule in rules if level(rule.expr) == number]


def _lines(rule: Rule, monitor: Monitor, span: Span) -> Iterator[str]:
    begin, end = (at // STEP * STEP for at in (span.begin, span.end))
    more = {"alertname": rule.alert, "alertstate": "firing"} if rule.alert else {}
    for series in monitor.course(rule.expr, begin, end, STEP):
        points = firing(series.points, seconds(rule.lasting)) if rule.alert else series.points
        yield from _written(rule.record or "ALERTS", series, {**rule.labels, **more}, points)


def firing(points: Points, lasting: int) -> Points:
    """The minutes in which an alert fires that has been true at these: once it was so for long enough."""
    fires: list[tuple[float, float]] = []
    begun = last = float("-inf")
    for at, _ in points:
        begun = begun if at - last <= STEP else at
        last = at
        if at - begun >= lasting:
            fires.append((at, 1))
    return fires


def _written(name: str, series: Series, more: Mapping[str, str], points: Points) -> Iterator[str]:
    labels = {key: value for key, value in series.labels.items() if key != "__name__"} | dict(more)
    text = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(labels.items()))
    for at, value in points:
        yield f"{name}{{{text}}} {value} {at:.3f}"


def _escaped(value: str) -> str:
    return re.sub(r'([\\"])', r"\\\1", value)
