"""Panels: each kind in one look, made with Grafana's typed builders.

A panel has a title, a description that says how to read it, a unit and a text for no data. Where it has
limits, colours show them; a limit that an alert has is drawn as a dashed line.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from grafana.limits import Limits
from grafana.links import Links

SOURCE = DataSourceRef("prometheus", "${datasource}")
# The longest pause between scrapes that rates put up with: $__rate_interval is four of it at least.
SCRAPE_INTERVAL = "1m"
# The same where single sessions would show as leaps: ratios and quantiles of those that ended, and costs.
CALM = "5m"
# Up to where an axis goes at least: of nothing but zeros Grafana makes one up to 100, and 10000% of ratios.
_REACH, _REACH_OF_RATIOS = 1, 0.01
# Of a number without a value: grey, for it is neither good nor bad.
GREY = "#8e8e8e"
STATES = {"0": ("down", "red"), "1": ("read", "green"), "2": ("never read", "orange")}

Kind = TypeVar("Kind", bargauge.Panel, stat.Panel, statetimeline.Panel, tables.Panel, timeseries.Panel)

# What a panel says when there is no data.
UNWATCHED = "No exporter"
UNREAD = "No account is read"
UNCOUNTED = "No counters yet"
UNENDED = "Too few sessions ended"
UNRULED = "No data, or no rules"


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a panel is.

    text: how to read it. none: what it says when there is no data. limits: values from which on it takes
    a colour; without a value it is grey. since: the time that it covers, if not the dashboard's range.
    width: of the 24 columns; height in the grid's rows of 30 pixels. pace: the least time between points.
    links: where a click on a line or a value leads.
    """

    title: str
    text: str
    unit: str
    none: str
    width: int
    height: int = 8
    decimals: int | None = None
    limits: Limits = ()
    since: str | None = None
    pace: str = SCRAPE_INTERVAL
    links: Links = []


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """An expression, and the name of its series in the legend, with labels as `{{label}}`.

    unit, limits: where they differ from the panel's.
    line: the colour of a limit that is drawn as a dashed line. exemplars: whether they are drawn.
    """

    expression: str
    legend: str = ""
    unit: str | None = None
    limits: Limits = ()
    line: str | None = None
    exemplars: bool = False


def query(expression: str, legend: str = "") -> Query:
    """A query of an expression and its legend."""
    return Query(expression=expression, legend=legend)


def line(expression: str, legend: str, colour: str = "red") -> Query:
    """A limit, as a dashed line."""
    return Query(expression=expression, legend=legend, line=colour)


def number(about: About, *queries: Query) -> Builder[Panel]:
    """One large number, or one for each query, for now or over the whole range."""
    panel = described(stat.Panel(), about)
    for name, one in _lettered(queries):
        panel.with_target(instant(one.expression, name).legend_format(one.legend))
        if one.unit or one.limits:
            panel.override_by_query(name, _own(one))
    panel.color_scheme(builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    return (
        panel.thresholds(thresholds(about.limits or ((-1e9, "blue"),)))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
    )


def graph(about: About, *queries: Query, stacked: bool = False) -> Builder[Panel]:
    """Lines over time, or areas upon each other, from 0 up. Series that are 0 all the time are not drawn."""
    panel = described(timeseries.Panel(), about).min(0)
    panel.with_override(
        MatcherConfig("byValue", {"reducer": "allIsZero", "op": "gte", "value": 0}),
        [DynamicConfigValue("custom.hideFrom", {"viz": False, "legend": True, "tooltip": True})],
    )
    for name, one in _lettered(queries):
        panel.with_target(_ranged(one, name, about.pace))
        if one.line:
            panel.override_by_query(name, _dashed(one.line))
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    return (
        panel.fill_opacity(40 if stacked else 8)
        .axis_soft_max(_REACH_OF_RATIOS if about.unit == "percentunit" else _REACH)
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .show_points(VisibilityMode.AUTO)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .legend(_legend())
    )


def bars(about: About, one: Query, most: int = 15) -> Builder[Panel]:
    """A bar for each series, over the whole range, the longest first."""
    sorted_ = f"sort_desc(topk({most}, {one.expression}))"
    target = instant(sorted_).legend_format(one.legend)
    panel = described(bargauge.Panel(), about).with_target(target).min(0)
    return (
        panel.color_scheme(builders.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("blue"))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .text(common.VizTextDisplayOptions().title_size(13).value_size(15))
    )


def states(about: About, one: Query) -> Builder[Panel]:
    """A band over time for each account: green while it is read, red while not, orange before it ever was."""
    panel = described(statetimeline.Panel(), about).with_target(_ranged(one, "A", about.pace))
    return (
        panel.mappings([state_mapping()])
        .thresholds(thresholds(((0, "red"), (1, "green"), (2, "orange"))))
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .show_value(VisibilityMode.NEVER)
        .legend(_legend())
    )


def state_mapping() -> ValueMap:
    """An account's state in words."""
    return ValueMap(
        {value: ValueMappingResult(text=text, color=colour) for value, (text, colour) in STATES.items()}
    )


def described(panel: Kind, about: About) -> Kind:
    """A panel with what all kinds have."""
    panel.title(about.title).description(about.text).datasource(SOURCE)
    panel.unit(about.unit).no_value(about.none).span(about.width).height(about.height)
    if about.decimals is not None:
        panel.decimals(about.decimals)
    if about.since is not None:
        panel.time_from(about.since)
    if about.links:
        panel.with_override(MatcherConfig("byType", "number"), [DynamicConfigValue("links", about.links)])
    return panel


def thresholds(limits: Limits) -> builders.ThresholdsConfig:
    """Steps of colour, upon grey for no value."""
    steps = [Threshold(None, GREY), *(Threshold(value, colour) for value, colour in limits)]
    return builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def steps(limits: Limits) -> dict[str, Any]:
    """The same as an override's value."""
    each = [{"color": GREY, "value": None}, *({"color": colour, "value": value} for value, colour in limits)]
    return {"mode": "absolute", "steps": each}


def instant(expression: str, name: str = "A") -> prometheus.Dataquery:
    """A query for one moment, or for a whole range at its end."""
    target = prometheus.Dataquery().expr(expression).instant()
    return target.ref_id(name).datasource(SOURCE).interval(SCRAPE_INTERVAL)


def _lettered(queries: Sequence[Query]) -> list[tuple[str, Query]]:
    return [(chr(ord("A") + place), one) for place, one in enumerate(queries)]


def _own(one: Query) -> list[DynamicConfigValue]:
    own: list[DynamicConfigValue] = []
    if one.unit:
        own += [DynamicConfigValue("unit", one.unit), DynamicConfigValue("decimals", 0)]
    if one.limits:
        own.append(DynamicConfigValue("thresholds", steps(one.limits)))
    return own


def _dashed(colour: str) -> list[DynamicConfigValue]:
    return [
        DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour}),
        DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
        DynamicConfigValue("custom.fillOpacity", 0),
        DynamicConfigValue("custom.stacking", {"mode": "none", "group": "limit"}),
        DynamicConfigValue("custom.hideFrom", {"viz": False, "legend": True, "tooltip": False}),
    ]


def _ranged(one: Query, name: str, pace: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(one.expression).range().legend_format(one.legend)
    if one.exemplars:
        target.exemplar(True)
    return target.ref_id(name).datasource(SOURCE).interval(pace)


def _legend() -> common.VizLegendOptions:
    options = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    return options.placement(LegendPlacement.BOTTOM).show_legend(True)
