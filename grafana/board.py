"""What the dashboards have in common: variables, links, the alerts that fired, and the grid."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

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
    Panel,
    VariableHide,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from exporter.metrics.definitions import BUILD, STARTS, UP, Spec
from grafana.panels import SCRAPE_INTERVAL, SOURCE
from grafana.promql import VARIABLES, series

# That of Grafana 11.6; later versions bring it to their own, and earlier ones read it as it is.
SCHEMA = 41
# The dashboards carry it and link to all that do.
TAG = "cloud-browser"
# The rules' alerts begin so. One that is of no account, or of no one account, has no such label.
ALERTS = (
    'ALERTS{alertstate="firing", alertname=~"CloudBrowser.+", provider=~"$provider|", account=~"$account|"}'
)

Rows: TypeAlias = Mapping[str, Sequence[Builder[Panel]]]

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


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A dashboard: panels in rows under headings, with the time that it shows at first.

    hidden: variables that no panel here has the labels of. They are kept, so that links carry them on.
    """

    uid: str
    title: str
    text: str
    since: str
    rows: Rows
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
        .annotation(_alerts())
    )
    for heading, panels in board.rows.items():
        frame.with_row(builders.Row(heading))
        for panel in panels:
            frame.with_panel(panel)
    return _finished(frame.build())


def encode(model: Dashboard) -> str:
    """The JSON that Grafana imports; the same for the same dashboard."""
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(model) + "\n"


def _finished(model: Dashboard) -> Dashboard:
    """The model with what the builders leave out, and without what they put in of their own."""
    model.schema_version = SCHEMA
    for number, panel in enumerate(model.panels or (), 1):
        panel.id_val = number
    # Links and annotations would be put into a menu, out of sight.
    for shown in (*(model.links or ()), *(model.annotations.list_val or () if model.annotations else ())):
        shown.placement = None
    return model


def _source() -> Builder[VariableModel]:
    return builders.DatasourceVariable("datasource").label("Data source").type("prometheus")


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


def _alerts() -> Builder[AnnotationQuery]:
    query = builders.AnnotationQuery().name("Alerts").datasource(SOURCE).enable(True).icon_color("red")
    query.expr(ALERTS).step(SCRAPE_INTERVAL).tag_keys("severity")
    return query.title_format("{{alertname}}").text_format("{{provider}} {{account}} {{region}}")
