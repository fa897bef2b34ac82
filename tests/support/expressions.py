"""The dashboards' JSON and its expressions, taken apart for tests: panels, queries, selectors."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import promql_parser as promql

DASHBOARDS = sorted((Path(__file__).parents[2] / "grafana" / "dashboards").glob("*.json"))
# Windows of lengths that nobody writes, to be known again in a parsed expression.
RATE_INTERVAL, RANGE = timedelta(seconds=243), timedelta(seconds=21_607)
WINDOWS = {"__rate_interval": "243s", "__range": "21607s", "__range_s": "21607"}

Json = dict[str, Any]


class Query(msgspec.Struct, frozen=True):
    """One expression of a panel; the words after it are Grafana's."""

    dashboard: str
    panel: str
    expr: str
    legend: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}/{self.panel}/{self.legend}"


class Selector(msgspec.Struct, frozen=True):
    """A selector: its metric, its matchers as they are written, the function around it, and its window."""

    metric: str
    matchers: tuple[str, ...]
    labels: frozenset[str]
    function: str | None
    window: timedelta | None


def load(path: Path) -> Json:
    """A dashboard."""
    dashboard: Json = json.loads(path.read_text())
    return dashboard


def panels(dashboard: Json) -> list[Json]:
    """A dashboard's panels, without the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """Every query of every panel of every dashboard."""
    return [
        Query(path.stem, panel["title"], target["expr"], target.get("legendFormat", ""), target["instant"])
        for path in DASHBOARDS
        for panel in panels(load(path))
        for target in panel["targets"]
    ]


def filled(expression: str, values: Mapping[str, str]) -> str:
    """An expression with variables replaced; those without a value stay. Raises nothing."""

    def value(match: re.Match[str]) -> str:
        return values.get(match[1], match[0])

    return re.sub(r"\$(\w+)", value, expression)


def parsed(expression: str) -> promql.Expr:
    """Its syntax tree, with windows for Grafana's. Raises ValueError where it is no PromQL."""
    return promql.parse(filled(expression, WINDOWS))


def selectors(expression: str) -> list[Selector]:
    """All that an expression selects."""
    found: list[Selector] = []
    path: list[promql.Expr | None] = [None]

    def enter(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(_selector(node, path))
        path.append(node)

    def leave(_: promql.Expr) -> None:
        path.pop()

    promql.walk(parsed(expression), enter, leave)
    return found


def _selector(node: promql.VectorSelector, path: list[promql.Expr | None]) -> Selector:
    window = path[-1].range if isinstance(path[-1], promql.MatrixSelector) else None
    around = path[-1] if window is None else path[-2]
    return Selector(
        metric=node.name or "",
        matchers=tuple(str(matcher) for matcher in node.matchers.matchers),
        labels=frozenset(matcher.name for matcher in node.matchers.matchers),
        function=around.func.name if isinstance(around, promql.Call) else None,
        window=window,
    )


def grouped(expression: str) -> list[frozenset[str]]:
    """The labels that each sum and other aggregation of an expression keeps."""
    found: list[frozenset[str]] = []

    def enter(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr):
            found.append(frozenset(node.modifier.labels if node.modifier else ()))

    promql.walk(parsed(expression), enter)
    return found
