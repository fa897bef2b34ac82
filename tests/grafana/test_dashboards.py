"""The dashboards' JSON: as the code makes it, as Grafana takes it, and of the exporter's own metrics."""

import re
from collections.abc import Mapping
from datetime import timedelta
from itertools import combinations, pairwise, product
from pathlib import Path

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter.metrics.definitions import Spec
from exporter.providers import PROVIDERS
from grafana import records
from grafana.build import FOLDER, files
from grafana.promql import REPLICAS, VARIABLES
from tests.support.expressions import (
    DASHBOARDS,
    RANGE,
    RATE_INTERVAL,
    Json,
    Query,
    grouped,
    load,
    panels,
    parsed,
    queries,
    selectors,
)
from tests.support.processes import COMMAND, LOCAL, TIMEOUT, Process

ROOT = FOLDER.parent.parent
UIDS = [
    "cloud-browser-errors",
    "cloud-browser-exporter",
    "cloud-browser-overview",
    "cloud-browser-spend",
]
# The ids of Grafana's units that are used, with Grafana's own names for them.
UNITS = {
    "none": "Number",
    "percentunit": "Percent (0.0-1.0)",
    "currencyUSD": "Dollars ($)",
    "s": "seconds (s)",
    "h": "hours (h)",
    "bytes": "bytes(IEC)",
    "decbytes": "bytes(SI)",
    "bool_yes_no": "Yes / No",
}
# What a panel may cover beside the dashboard's range: Grafana knows these by name, "today so far" and so on.
SINCE = {"now/d", "now/M", "14d"}
# Labels that the configuration names: `metadata_labels`.
METADATA = frozenset({"team"})
RECORDED = {spec.name: frozenset(spec.labels) for spec in vars(records).values() if isinstance(spec, Spec)}
RECORDED |= {spec.name: frozenset(spec.labels) for spec in records.BURN_RATES.values()}

Exposed = Mapping[str, frozenset[str]]

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
each_query = pytest.mark.parametrize("query", queries(), ids=str)


def test_the_committed_json_is_what_the_code_makes() -> None:
    assert {path: path.read_text() for path in DASHBOARDS} == dict(files()), "run: make dashboards"
    assert sorted(FOLDER.iterdir()) == DASHBOARDS


@each_dashboard
def test_a_dashboard_keeps_its_address_and_leads_to_the_others(path: Path) -> None:
    dashboard = load(path)
    assert [dashboard["uid"], dashboard["editable"]] == [path.stem, False]
    assert [one.stem for one in DASHBOARDS] == UIDS
    (link,) = dashboard["links"]
    assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
    assert link["tags"] == dashboard["tags"] == ["cloud-browser"]
    assert "placement" not in link, "Grafana would hide it in a menu"


@each_dashboard
def test_panels_are_numbered_and_stand_beside_each_other_on_the_grid(path: Path) -> None:
    top = load(path)["panels"]
    numbers = [panel["id"] for one in top for panel in (one, *one.get("panels", ()))]
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) > 0
    for group in (top, *(row["panels"] for row in top if row.get("collapsed"))):
        for panel in group:
            cell = panel["gridPos"]
            assert cell["x"] >= 0 < cell["w"]
            assert cell["x"] + cell["w"] <= 24
        assert not [
            (one["title"], other["title"]) for one, other in combinations(group, 2) if overlap(one, other)
        ]


@each_dashboard
def test_what_stands_below_a_collapsed_row_follows_it(path: Path) -> None:
    for one, other in pairwise(load(path)["panels"]):
        if one["type"] == "row":
            assert other["gridPos"]["y"] == one["gridPos"]["y"] + 1
            assert bool(one["panels"]) is one.get("collapsed", False)
            assert all(panel["gridPos"]["y"] > one["gridPos"]["y"] for panel in one["panels"])


def overlap(one: Json, other: Json) -> bool:
    return not cells(one).isdisjoint(cells(other))


def cells(panel: Json) -> set[tuple[int, int]]:
    place = panel["gridPos"]
    columns = range(place["x"], place["x"] + place["w"])
    return set(product(columns, range(place["y"], place["y"] + place["h"])))


@each_dashboard
def test_every_line_of_the_grid_is_full(path: Path) -> None:
    top = load(path)["panels"]
    for group in (top, *(row["panels"] for row in top if row.get("collapsed"))):
        lines: dict[int, list[Json]] = {}
        for panel in group:
            lines.setdefault(panel["gridPos"]["y"], []).append(panel["gridPos"])
        for cells in lines.values():
            assert sum(cell["w"] for cell in cells) == 24
            assert len({cell["h"] for cell in cells}) == 1


@each_dashboard
def test_every_panel_says_what_it_is_how_to_read_it_and_what_no_data_means(path: Path) -> None:
    titles = [panel["title"] for panel in panels(load(path))]
    assert len(set(titles)) == len(titles)
    for panel in panels(load(path)):
        assert panel["title"]
        assert len(panel["description"]) > len(panel["title"])
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["noValue"]
        assert panel.get("timeFrom") in {None, *SINCE}


@each_dashboard
def test_limits_rise_from_grey_which_is_the_colour_of_no_value(path: Path) -> None:
    for panel in panels(load(path)):
        own = panel["fieldConfig"]["defaults"].get("thresholds")
        others = [one["value"] for one in overridden(panel) if one["id"] == "thresholds"]
        for one in ([own] if own else []) + others:
            base, *steps = one["steps"]
            assert (base["value"], base["color"]) == (None, "#8e8e8e")
            assert all(lower["value"] < higher["value"] for lower, higher in pairwise(steps))
        assert panel["type"] != "stat" or own, "Grafana's own first step is green"


def overridden(panel: Json) -> list[Json]:
    return [one for override in panel["fieldConfig"]["overrides"] for one in override["properties"]]


@each_dashboard
def test_a_tables_cells_without_text_are_blank(path: Path) -> None:
    """Grafana shows the text for no data in a cell whose label is empty, too."""
    for panel in panels(load(path)):
        if panel["type"] == "table":
            (every,) = (
                one for one in panel["fieldConfig"]["overrides"] if one["matcher"]["options"] == "/.*/"
            )
            assert every["properties"] == [{"id": "noValue", "value": ""}]


@each_dashboard
def test_links_say_where_they_lead_and_lead_to_a_dashboard(path: Path) -> None:
    found = [
        link
        for panel in panels(load(path))
        for one in overridden(panel)
        if one["id"] == "links"
        for link in one["value"]
    ]
    for link in found:
        uid, chosen = re.fullmatch(r"/d/([\w-]+)\?(.+)", link["url"]).groups()  # type: ignore[union-attr]
        assert uid in UIDS
        assert uid != path.stem
        assert set(re.findall(r"var-(\w+)=", chosen)) <= {"datasource", *VARIABLES}
        assert link["title"].endswith("of this account")
    assert path.stem == "cloud-browser-exporter" or found


@each_dashboard
def test_columns_that_links_are_filled_from_are_there(path: Path) -> None:
    for panel in panels(load(path)):
        (organize,) = [one for one in panel.get("transformations", []) if one["id"] == "organize"] or [None]
        links = [link for one in overridden(panel) if one["id"] == "links" for link in one["value"]]
        for link in links if organize else []:
            columns = organize["options"]["renameByName"].values()
            assert set(re.findall(r'fields\["(.+?)"\]', link["url"])) <= set(columns)


@each_dashboard
def test_an_importer_is_asked_for_the_data_source_and_told_what_is_needed(path: Path) -> None:
    dashboard = load(path)
    (asked,) = dashboard["__inputs"]
    assert (asked["type"], asked["pluginId"]) == ("datasource", "prometheus")
    assert dashboard["templating"]["list"][0]["current"]["value"] == f"${{{asked['name']}}}"
    needed = {(one["type"], one["id"]) for one in dashboard["__requires"]}
    kinds = {("panel", panel["type"]) for panel in panels(dashboard)}
    assert needed == {("grafana", "grafana"), ("datasource", "prometheus"), *kinds}


def test_units_are_grafanas() -> None:
    every = [panel for path in DASHBOARDS for panel in panels(load(path))]
    used = {panel["fieldConfig"]["defaults"]["unit"] for panel in every}
    used |= {one["value"] for panel in every for one in overridden(panel) if one["id"] == "unit"}
    assert used == set(UNITS)


@each_dashboard
def test_every_source_is_the_chosen_one(path: Path) -> None:
    dashboard = load(path)
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    users = [*panels(dashboard), *dashboard["annotations"]["list"], *variables(dashboard)]
    users += [target for panel in panels(dashboard) for target in panel["targets"]]
    assert all(user["datasource"] == chosen for user in users)


@each_dashboard
def test_variables_stand_in_order_and_offer_all(path: Path) -> None:
    source, *rest = load(path)["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert [one["name"] for one in rest] == list(VARIABLES)
    for place, one in enumerate(rest):
        assert one["multi"] is one["includeAll"] is True
        assert one["current"]["value"] == ["$__all"]
        assert one["allValue"] == (".*" if one["name"] in ("project", "region") else ".+")
        expression, label = offered(one)
        (selector,) = selectors(expression)
        assert label == one["name"]
        assert selector.matchers == tuple(f'{name}=~"${name}"' for name in VARIABLES[:place])


@each_dashboard
def test_variables_that_no_panel_has_the_labels_of_are_hidden(path: Path) -> None:
    dashboard = load(path)
    used = {name for query in queries() if query.dashboard == path.stem for name in mentioned(query)}
    assert {one["name"] for one in variables(dashboard) if one["hide"] == 0} == used


def mentioned(query: Query) -> set[str]:
    return set(re.findall(r'~"\$(\w+)"', query.expr))


def variables(dashboard: Json) -> list[Json]:
    return [one for one in dashboard["templating"]["list"] if one["type"] == "query"]


def offered(variable: Json) -> tuple[str, str]:
    """The expression and the label of `label_values(EXPRESSION, LABEL)`."""
    match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
    assert match
    return match[1], match[2]


@each_dashboard
def test_alerts_restarts_outages_and_what_is_counted_after_them_are_marked(path: Path) -> None:
    marked = load(path)["annotations"]["list"]
    assert [one["name"] for one in marked] == ["Alerts", "Restarts", "Outages", "Catch-up"]
    metrics = [{selector.metric for selector in selectors(one["expr"])} for one in marked]
    start = {"process_start_time_seconds", "cloud_browser_exporter_build_info"}
    assert metrics == [{"ALERTS"}, start, {"cloud_browser_up"}, {"cloud_browser_up"}]
    assert all("placement" not in one for one in marked), "Grafana would hide it in a menu"


@each_query
def test_an_expression_is_promql(query: Query) -> None:
    parsed(query.expr)


def test_the_recorded_series_are_those_of_the_rules() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules" / "cloud-browser.yml").read_text())
    recorded = {rule.get("record") for group in rules["groups"] for rule in group["rules"]}
    assert RECORDED.keys() <= recorded


def test_the_limits_are_those_of_the_rules() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "rules" / "cloud-browser.yml").read_text()
    for query in queries():
        for limit in re.findall(r'limit="(\w+)"', query.expr):
            assert re.search(rf"limit: \W?{limit}\b", rules), limit


@each_query
def test_every_selector_is_filtered_by_all_variables_that_it_has(query: Query, exposed: Exposed) -> None:
    for selector in selectors(query.expr):
        own = {f'{name}=~"${name}"' for name in VARIABLES if name in exposed[selector.metric]}
        assert own - optional(selector.metric) <= set(selector.matchers)
        assert selector.metric in {"ALERTS", *RECORDED} or {'job=~"$job"', 'instance=~"$instance"'} <= own


def optional(metric: str) -> set[str]:
    """Alerts that are of no account have no such label, so that their matchers are others."""
    return {f'{name}=~"${name}"' for name in VARIABLES} if metric == "ALERTS" else set()


@each_query
def test_replicas_are_taken_as_one(query: Query) -> None:
    """Of what is about sessions; processes are shown each by itself, and so is what they send."""
    for selector in selectors(query.expr):
        if query.dashboard != "cloud-browser-exporter" and selector.metric not in {"ALERTS", *RECORDED}:
            assert selector.once, f"{selector.metric} doubles with a second replica"
    for dropped in re.findall(r"without \((.+?)\)", query.expr):
        assert dropped == ", ".join(REPLICAS)


@each_query
def test_counters_are_read_through_rate_or_increase_over_grafanas_windows(query: Query) -> None:
    read = {(None, None), ("rate", RATE_INTERVAL)}
    read |= {("increase", window) for window in (RANGE, RATE_INTERVAL, timedelta(days=3))}
    for selector in selectors(query.expr):
        if selector.function == "last_over_time":
            assert selector.metric == "cloud_browser_project_info"
            continue
        counter = re.search(r"_(total|bucket|count|sum)$", selector.metric)
        assert (selector.function if selector.window else None, selector.window) in read
        assert bool(counter) == (selector.window is not None)


@each_query
def test_a_whole_range_is_asked_for_once_and_a_rate_at_each_step(query: Query) -> None:
    windows = {selector.window for selector in selectors(query.expr)}
    assert RANGE not in windows or query.instant
    assert RATE_INTERVAL not in windows or not query.instant


@pytest.fixture(scope="module")
def exposed() -> Exposed:
    """The names of the samples that the installed command exposes, and the labels that Prometheus has."""
    flags = "--web.listen-address", f"{LOCAL}:0", "--listen-address", f"{LOCAL}:0"
    with Process(COMMAND, "demo", *flags, environ={}, grace=TIMEOUT) as demo:
        port = demo.wait_for_log(r"msg=serving .*port=(\d+)")[1]
        page = requests.get(f"http://{LOCAL}:{port}/metrics", timeout=60).text
    scraped = {
        sample.name: frozenset({*sample.labels, "job", "instance"})
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    alerts = frozenset({"alertname", "alertstate", "severity", "provider", "account", "region"})
    return {**scraped, **RECORDED, "ALERTS": alerts}


@each_query
def test_an_expression_uses_what_the_exporter_exposes(query: Query, exposed: Exposed) -> None:
    for selector in selectors(query.expr):
        assert selector.metric in exposed
        assert selector.labels - METADATA <= exposed[selector.metric]
    has = set().union(*(exposed[selector.metric] for selector in selectors(query.expr)), METADATA)
    assert all(labels <= has for labels in grouped(query.expr))


@each_query
def test_a_legend_names_labels_that_its_series_have(query: Query, exposed: Exposed) -> None:
    kept = frozenset().union(*grouped(query.expr), *(exposed[one.metric] for one in selectors(query.expr)))
    assert set(re.findall(r"{{(\w+)}}", query.legend)) <= kept


@each_dashboard
def test_variables_offer_labels_that_are_there(path: Path, exposed: Exposed) -> None:
    for variable in variables(load(path)):
        expression, label = offered(variable)
        (selector,) = selectors(expression)
        assert {label, *selector.labels} <= exposed[selector.metric]


def test_the_readmes_expressions_use_what_the_exporter_exposes(exposed: Exposed) -> None:
    (block,) = re.findall(r"```promql\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    expressions = re.sub(r" +#.*|\n(?= )", "", block).splitlines()
    assert len(expressions) > 2
    for expression in expressions:
        for selector in selectors(expression):
            assert selector.labels <= exposed[selector.metric]


def test_provisioning_names_the_variables_that_the_readme_does() -> None:
    texts = [path.read_text() for path in (FOLDER.parent / "provisioning").rglob("*.yml")]
    assert all(yaml.safe_load(text)["apiVersion"] == 1 for text in texts)
    named = set(re.findall(r": \$(\w+)", "".join(texts)))
    assert named == {"CLOUD_BROWSER_DASHBOARDS", "PROMETHEUS_URL"}
    assert all(f"{name}=" in (FOLDER.parent / "README.md").read_text() for name in named)


def test_exemplars_lead_to_the_page_that_the_provider_is_registered_with() -> None:
    text = (FOLDER.parent / "provisioning" / "datasources" / "prometheus.yml").read_text()
    (link,) = yaml.safe_load(text)["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"]
    assert link["url"].replace("$${__value.raw}", "{id}") == PROVIDERS["browserbase"].traits.session_page
