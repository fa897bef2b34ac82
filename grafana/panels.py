"""Panels: each kind in one look, made with Grafana's typed builders.

A panel has a title, a description that says how to read it, a unit and a text for no data. Where it has
limits, colours or dashed lines show them.
"""

from collections.abc import Sequence
from typing import TypeVar

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
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.limits import Limits

SOURCE = DataSourceRef("prometheus", "${datasource}")
# The longest pause between scrapes that rates put up with: $__rate_interval is four of it at least.
SCRAPE_INTERVAL = "1m"
# The same where single sessions would show as leaps: ratios and quantiles of those that ended, and costs.
CALM = "5m"
# Up to where an axis goes at least: of nothing but zeros Grafana makes one up to 100, and 10000% of ratios.
_REACH, _REACH_OF_RATIOS = 1, 0.01

Kind = TypeVar("Kind", bargauge.Panel, stat.Panel, statetimeline.Panel, tables.Panel, timeseries.Panel)

# What a panel says when there is no data.
UNWATCHED = "No exporter"
UNREAD = "No account is read"
UNCOUNTED = "No counters yet"
UNENDED = "No session ended"


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a panel is.

    text: how to read it. none: what it says when there is no data. limits: values from which on it takes
    a colour; below the first it is green. since: the time that it covers, if not the dashboard's range.
    width: of the 24 columns; height in the grid's rows of 30 pixels. pace: the least time between points.
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


class Query(msgspec.Struct, frozen=True):
    """An expression, and the name of its series in the legend, with labels as `{{label}}`."""

    expression: str
    legend: str


def number(about: About, expression: str) -> Builder[Panel]:
    """One large number, for now or over the whole range."""
    panel = _described(stat.Panel(), about).with_target(_instant(expression))
    return (
        _coloured(panel, about.limits)
        .reduce_options(_last())
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
    )


def graph(about: About, *queries: Query, stacked: bool = False) -> Builder[Panel]:
    """Lines over time, or areas upon each other, from 0 up."""
    panel = _described(timeseries.Panel(), about).min(0)
    for place, query in enumerate(queries):
        panel.with_target(_ranged(query, chr(ord("A") + place), about.pace))
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if about.limits:
        lines = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_thresholds(about.limits)).thresholds_style(lines)
    return (
        panel.fill_opacity(40 if stacked else 8)
        .axis_soft_max(_REACH_OF_RATIOS if about.unit == "percentunit" else _REACH)
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .show_points(VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .legend(_legend())
    )


def bars(about: About, query: Query) -> Builder[Panel]:
    """A bar for each series, over the whole range."""
    target = _instant(query.expression).legend_format(query.legend)
    panel = _described(bargauge.Panel(), about).with_target(target).min(0)
    return (
        panel.color_scheme(builders.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .reduce_options(_last())
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
    )


def states(about: About, query: Query) -> Builder[Panel]:
    """A band over time for each series: green where it is 1, red where it is 0."""
    names = {"0": ("down", "red"), "1": ("up", "green")}
    mapping = ValueMap(
        {value: ValueMappingResult(text=text, color=colour) for value, (text, colour) in names.items()}
    )
    panel = _described(statetimeline.Panel(), about).with_target(_ranged(query, "A", about.pace))
    return (
        panel.mappings([mapping])
        .thresholds(_thresholds(((1, "green"),), "red"))
        .color_scheme(builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .show_value(VisibilityMode.NEVER)
        .legend(_legend())
    )


def table(about: About, expression: str, columns: Sequence[str], value: str | None) -> Builder[Panel]:
    """A row for each series: its labels, and its value under a name, largest first, unless that is None."""
    panel = _described(tables.Panel(), about).with_target(_instant(expression).format(PromQueryFormat.TABLE))
    shown = [*columns, "Value"]
    options = {
        "excludeByName": {"Time": True} | ({"Value": True, "__name__": True} if value is None else {}),
        "indexByName": {name: place for place, name in enumerate(shown)},
        "renameByName": {} if value is None else {"Value": value},
    }
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=options))
    if value is not None:
        panel.sort_by([common.TableSortByFieldState().display_name(value).desc(True)])
    return panel


def _described(panel: Kind, about: About) -> Kind:
    panel.title(about.title).description(about.text).datasource(SOURCE)
    panel.unit(about.unit).no_value(about.none).span(about.width).height(about.height)
    if about.decimals is not None:
        panel.decimals(about.decimals)
    if about.since is not None:
        panel.time_from(about.since)
    return panel


def _coloured(panel: stat.Panel, limits: Limits) -> stat.Panel:
    panel.color_scheme(builders.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    return panel.thresholds(_thresholds(limits, "green" if limits else "blue"))


def _thresholds(limits: Limits, below: str = "transparent") -> builders.ThresholdsConfig:
    steps = [Threshold(None, below), *(Threshold(value, colour) for value, colour in limits)]
    return builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _ranged(query: Query, name: str, pace: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).range().legend_format(query.legend)
    return target.ref_id(name).datasource(SOURCE).interval(pace)


def _instant(expression: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(expression).instant()
    return target.ref_id("A").datasource(SOURCE).interval(SCRAPE_INTERVAL)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _legend() -> common.VizLegendOptions:
    options = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    return options.placement(LegendPlacement.BOTTOM).show_legend(True)
