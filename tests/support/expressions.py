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
WINDOWS = {"__rate_interval": "243s", "__range": "21607s", "__interval": "61s"}

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
    """A selector: its metric, its matchers as they are written, its window, and the function of that window.

    once: whether replicas are taken as one by an aggregation around it.
    """

    metric: str
    matchers: tuple[str, ...]
    labels: frozenset[str]
    function: str | None
    window: timedelta | None
    once: bool


def load(path: Path) -> Json:
    """A dashboard."""
    dashboard: Json = json.loads(path.read_text())
    return dashboard


def panels(dashboard: Json) -> list[Json]:
    """A dashboard's panels, those of collapsed rows included, without the headings of rows."""
    every = [one for panel in dashboard["panels"] for one in (panel, *panel.get("panels", ()))]
    return [panel for panel in every if panel["type"] != "row"]


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
    windows = [one for one in path if isinstance(one, promql.MatrixSelector | promql.SubqueryExpr)]
    around = path[path.index(windows[-1]) - 1] if windows else None
    return Selector(
        metric=node.name or "",
        matchers=tuple(str(matcher) for matcher in node.matchers.matchers),
        labels=frozenset(matcher.name for matcher in node.matchers.matchers),
        function=around.func.name if isinstance(around, promql.Call) else None,
        window=windows[-1].range if windows else None,
        once=any(_takes_once(one) for one in path),
    )


def _takes_once(node: promql.Expr | None) -> bool:
    """Whether it is a maximum or minimum, or a group, in which replicas do not add up."""
    return isinstance(node, promql.AggregateExpr) and str(node.op) in {"max", "min", "group", "topk"}


def grouped(expression: str) -> list[frozenset[str]]:
    """The labels that each sum and other aggregation of an expression keeps, where it names them."""
    found: list[frozenset[str]] = []

    def enter(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr) and not _drops(node):
            found.append(frozenset(node.modifier.labels if node.modifier else ()))

    promql.walk(parsed(expression), enter)
    return found


def _drops(node: promql.AggregateExpr) -> bool:
    return node.modifier is not None and node.modifier.type == promql.AggModifierType.Without
