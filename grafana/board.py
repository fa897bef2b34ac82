"""What the dashboards have in common: variables, links, annotations, and the grid."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardCursorSync,
    DashboardLink,
    DashboardLinkType,
    GridPos,
    Panel,
    RowPanel,
    VariableHide,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from exporter.metrics.definitions import BUILD, STARTS, UP, Spec
from grafana.panels import SCRAPE_INTERVAL, SOURCE
from grafana.promql import BEGUN, VARIABLES, gauge, of_exporters, once, series

# That of Grafana 11.6; later versions bring it to their own, and earlier ones read it as it is.
SCHEMA = 41
# The dashboards carry it and link to all that do.
TAG = "cloud-browser"
# The rules' alerts begin so. One that is of no account, or of no one account, has no such label.
ALERTS = (
    'ALERTS{alertstate="firing", alertname=~"CloudBrowser.+", provider=~"$provider|", account=~"$account|"}'
)
# The data source that the import form asks for; the variable begins with it.
_INPUT = "DS_PROMETHEUS"
_GRAFANA = "11.0.0"
_KINDS = {
    "bargauge": "Bar gauge",
    "stat": "Stat",
    "state-timeline": "State timeline",
    "table": "Table",
    "timeseries": "Time series",
}

# Whose labels each variable offers, and what it matches when all are chosen: sessions of Browser Use have no
# project, and Prometheus knows an empty label from none as little as Grafana does.
_OFFERED: Mapping[str, tuple[Spec, str]] = {
    "job": (BUILD, ".+"),
    "instance": (BUILD, ".+"),
    "provider": (UP, ".+"),
    "account": (UP, ".+"),
    "project": (STARTS, ".*"),
    "region": (STARTS, ".*"),
}


class Row(msgspec.Struct, frozen=True):
    """Panels under a heading; collapsed ones are asked for only when somebody opens them."""

    heading: str
    panels: Sequence[Builder[Panel]]
    collapsed: bool = False


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A dashboard: panels in rows under headings, with the time that it shows at first.

    hidden: variables that no panel here has the labels of. They are kept, so that links carry them on.
    """

    uid: str
    title: str
    text: str
    since: str
    rows: Sequence[Row]
    hidden: Sequence[str] = ()


def build(board: Board) -> Dashboard:
    """The dashboard as Grafana's model, its panels numbered from 1 in order."""
    frame = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.text)
        .tags([TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .refresh("1m")
        .variables([_source(), *_variables(board.hidden)])
        .link(_link())
    )
    for annotation in _annotations():
        frame.annotation(annotation)
    for row in board.rows:
        _add(row, frame)
    return _finished(frame.build())


def encode(model: Dashboard) -> str:
    """The JSON that Grafana imports; the same for the same dashboard."""
    dashboard = json.loads(JSONEncoder(sort_keys=True).encode(model))
    # Grafana 13 knows none of these; the builders write them for earlier versions.
    for variable in dashboard["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    for panel in _flat(dashboard["panels"]):
        panel.get("options", {}).pop("footer", None)
    dashboard |= {"__inputs": [_input()], "__requires": _requires(dashboard)}
    return json.dumps(dashboard, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _add(row: Row, frame: builders.Dashboard) -> None:
    heading = builders.Row(row.heading)
    if row.collapsed:
        for panel in row.panels:
            heading.with_panel(panel)
        frame.with_row(heading.collapsed(True))
        return
    frame.with_row(heading)
    for panel in row.panels:
        frame.with_panel(panel)


def _finished(model: Dashboard) -> Dashboard:
    """The model with what the builders leave out, and without what they put in of their own."""
    model.schema_version = SCHEMA
    number = hidden = 0
    for panel in model.panels or ():
        inner = panel.panels if isinstance(panel, RowPanel) else []
        for one in (panel, *inner):
            number += 1
            one.id_val = number
            # What stands below a collapsed row moves up; the builders leave the space of its panels.
            _cell(one).y -= hidden
        top = _cell(panel).y + 1
        hidden += max((_cell(one).y + _cell(one).h - top for one in inner), default=0)
    # Links and annotations would be put into a menu, out of sight.
    for shown in (*(model.links or ()), *(model.annotations.list_val or () if model.annotations else ())):
        shown.placement = None
    return model


def _cell(panel: Panel | RowPanel) -> GridPos:
    assert panel.grid_pos is not None  # the builders have laid it out
    return panel.grid_pos


def _flat(panels: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from panel.get("panels", ())


def _input() -> dict[str, str]:
    return {
        "name": _INPUT,
        "label": "Prometheus",
        "description": "The Prometheus that scrapes cloud-browser-exporter.",
        "type": "datasource",
        "pluginId": "prometheus",
        "pluginName": "Prometheus",
    }


def _requires(dashboard: Mapping[str, Any]) -> list[dict[str, str]]:
    kinds = sorted({panel["type"] for panel in _flat(dashboard["panels"])} - {"row"})
    return [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _GRAFANA},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *({"type": "panel", "id": kind, "name": _KINDS[kind], "version": ""} for kind in kinds),
    ]


def _source() -> Builder[VariableModel]:
    variable = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    chosen = f"${{{_INPUT}}}"
    return variable.current(VariableOption(selected=True, text=chosen, value=chosen))


def _variables(hidden: Sequence[str]) -> Iterator[Builder[VariableModel]]:
    """A variable for each label, which offers what is left by those before it."""
    for place, name in enumerate(VARIABLES):
        spec, everything = _OFFERED[name]
        variable = builders.QueryVariable(name).label(name.capitalize()).datasource(SOURCE)
        variable.query(f"label_values({series(spec, variables=VARIABLES[:place])}, {name})")
        variable.multi(True).include_all(True).all_value(everything)
        variable.current(VariableOption(selected=True, text=["All"], value=["$__all"]))
        variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
        yield variable.hide(VariableHide.HIDE_VARIABLE if name in hidden else VariableHide.DONT_HIDE)


def _link() -> Builder[DashboardLink]:
    link = builders.DashboardLink("Cloud browsers").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.include_vars(True).keep_time(True)


def _annotations() -> Iterator[Builder[AnnotationQuery]]:
    account, before = "{{provider}} {{account}}", once(f"{series(UP)} offset 2m")
    alerts = _annotation("Alerts", "red", ALERTS, "{{alertname}}", f"{account} {{{{region}}}}")
    yield alerts.tag_keys("severity")
    started = f"time() - ({of_exporters(BEGUN)}) < bool 120"
    yield _annotation("Restarts", "blue", started, "The exporter was started", "{{instance}}")
    down = f"{gauge(UP)} == bool 0"
    yield _annotation("Outages", "orange", down, "The account could not be read", account)
    again = f"{gauge(UP)} == 1 and on (provider, account) {before} == 0"
    late = "Read again: what was missed is counted now"
    yield _annotation("Catch-up", "purple", again, late, account)


def _annotation(name: str, colour: str, expression: str, title: str, text: str) -> builders.AnnotationQuery:
    query = builders.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour)
    return query.expr(expression).step(SCRAPE_INTERVAL).title_format(title).text_format(text)
