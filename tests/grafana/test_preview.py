"""What `make preview` asks and lays out; the drawing itself needs Node and Chromium, and is looked at."""

import argparse
import re
from pathlib import Path

import pytest

from devtools.preview import Source, expanded, filled, height_of, page_of
from tests.support.expressions import DASHBOARDS, load, panels, queries

NOW = 1_790_000_000.0
FLAGS = argparse.Namespace(since=None, expand=False, width=1600)

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)


def test_no_variable_is_left_in_what_is_asked() -> None:
    for query in queries():
        left = set(re.findall(r"\$\{?(\w+)", filled(query.expr, NOW - 3600, NOW, 60, 60)))
        assert left <= {"1"}, "but for what label_replace puts in"


@each_dashboard
def test_each_panel_that_is_seen_gets_the_answers_to_its_queries(path: Path) -> None:
    page = page_of(load(path), Source(None, NOW), FLAGS)
    seen = [panel for panel in page["dashboard"]["panels"] if panel["type"] != "row"]
    assert page["answers"].keys() == {panel["id"] for panel in seen}
    for panel in seen:
        answers = page["answers"][panel["id"]]
        assert answers["answers"].keys() == {target["refId"] for target in panel["targets"]}
        assert answers["from"] < answers["to"] == NOW * 1000
    assert ("own" in page["caption"]) == any(panel["type"] == "state-timeline" for panel in seen)


@each_dashboard
def test_opened_rows_push_down_what_stands_below(path: Path) -> None:
    dashboard = load(path)
    shown = expanded(dashboard["panels"])
    assert {panel["id"] for panel in shown} == {
        panel["id"] for panel in (*dashboard["panels"], *panels(dashboard))
    }
    taken: set[tuple[int, int]] = set()
    for panel in shown:
        cell = panel["gridPos"]
        own = {(cell["x"] + x, cell["y"] + y) for x in range(cell["w"]) for y in range(cell["h"])}
        assert taken.isdisjoint(own)
        taken |= own
    rows = [panel for panel in dashboard["panels"] if panel.get("panels")]
    assert (height_of({"panels": shown}) > height_of(dashboard)) == bool(rows)
