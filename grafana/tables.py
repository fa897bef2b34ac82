"""Tables: a row for each set of labels, columns for labels and for values, links from the row."""

from collections.abc import Sequence
from typing import Any

import msgspec
from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import table as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    MatcherConfig,
    Panel,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.limits import Limits
from grafana.links import Links
from grafana.panels import STATES, About, described, instant, steps

_NARROW = 70  # pixels of a column at least; Grafana's own 150 leave no space for ten
# Labels as the columns' titles show them.
TITLES = {
    "alertname": "Alert",
    "project_name": "Project",
    "python_version": "Python",
    "severity": "Severity",
    "provider": "Provider",
    "account": "Account",
    "region": "Region",
    "status": "Status",
    "kind": "Kind",
    "source": "Source",
    "job": "Job",
    "instance": "Instance",
    "version": "Version",
    "revision": "Revision",
}


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A column of values: its title, the expression, which has the table's labels, and how it looks.

    states: whether the value is an account's state.
    """

    title: str
    expression: str
    unit: str = "none"
    decimals: int | None = None
    limits: Limits = ()
    states: bool = False


def table(
    about: About, labels: Sequence[str], *values: Value, links: Links | None = None, link_on: str = "account"
) -> Builder[Panel]:
    """A table sorted by its first column of values, the largest first; by state, what cannot be read first.

    links: where a click on the cells of the label `link_on` leads.
    """
    panel = described(builders.Panel(), about)
    for name, value in _lettered(values):
        # Without the metric's name, by which the rows of several queries would not meet.
        expression = f"max by ({', '.join(labels)}) ({value.expression})"
        panel.with_target(instant(expression, name).format(PromQueryFormat.TABLE))
    if len(values) > 1:
        panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=_columns(labels, values)))
    # Else a cell without text would read as the text for no data.
    panel.with_override(MatcherConfig("byRegexp", "/.*/"), [DynamicConfigValue("noValue", "")])
    for value in values:
        panel.override_by_name(value.title, _looks(value))
    if links:
        panel.override_by_name(TITLES[link_on], [DynamicConfigValue("links", links)])
    panel.sort_by([common.TableSortByFieldState().display_name(values[0].title).desc(not values[0].states)])
    return panel.min_width(_NARROW)


def names(about: About, labels: Sequence[str], expression: str) -> Builder[Panel]:
    """A table of labels alone, of which alerts are the widest column."""
    panel = described(builders.Panel(), about)
    rows = f"group by ({', '.join(labels)}) ({expression})"
    panel.with_target(instant(rows).format(PromQueryFormat.TABLE))
    options = _columns(labels, ())
    options["excludeByName"] |= {"Value": True}
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=options))
    panel.with_override(MatcherConfig("byRegexp", "/.*/"), [DynamicConfigValue("noValue", "")])
    panel.min_width(_NARROW)
    if "severity" in labels:
        panel.override_by_name(TITLES["severity"], [*_SEVERITY])
        panel.sort_by([common.TableSortByFieldState().display_name(TITLES["severity"]).desc(False)])
        for label in ("provider", "account"):
            panel.override_by_name(TITLES[label], [DynamicConfigValue("custom.width", 110)])
    return panel


_SEVERITY = (
    DynamicConfigValue(
        "mappings",
        [
            {
                "type": "value",
                "options": {
                    "critical": {"text": "critical", "color": "red", "index": 0},
                    "warning": {"text": "warning", "color": "yellow", "index": 1},
                },
            }
        ],
    ),
    DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
    DynamicConfigValue("custom.width", 80),
)


def _lettered(values: Sequence[Value]) -> list[tuple[str, Value]]:
    return [(chr(ord("A") + place), value) for place, value in enumerate(values)]


def _columns(labels: Sequence[str], values: Sequence[Value]) -> dict[str, Any]:
    fields = {label: TITLES[label] for label in labels}
    if len(values) == 1:
        fields["Value"] = values[0].title
    else:
        fields |= {f"Value #{name}": value.title for name, value in _lettered(values)}
    return {
        "excludeByName": {"Time": True},
        "indexByName": {field: place for place, field in enumerate(fields)},
        "renameByName": fields,
    }


def _looks(value: Value) -> list[DynamicConfigValue]:
    looks = [DynamicConfigValue("unit", value.unit)]
    if value.decimals is not None:
        looks.append(DynamicConfigValue("decimals", value.decimals))
    if value.limits:
        looks.append(DynamicConfigValue("thresholds", steps(value.limits)))
    if value.states:
        options = {number: {"text": text, "color": colour} for number, (text, colour) in STATES.items()}
        looks.append(DynamicConfigValue("mappings", [{"type": "value", "options": options}]))
    if value.limits or value.states:
        looks.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    return looks
