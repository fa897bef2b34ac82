"""The mixin: the committed rules are made of it, its settings reach them, and it has the dashboards."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import program, run
from tests.support.rules import MIXIN, ROOT, RULES, jsonnet

pytestmark = pytest.mark.slow

SETTINGS = """
(import 'mixin.libsonnet') {
  _config+:: {
    selector: 'cluster="eu"',
    job: 'browsers',
    replicaLabels+: ['zone'],
    runbookUrl: 'https://wiki.test/runbooks',
    grafanaUrl: 'https://grafana.test',
    limits+: { budget_usd_per_hour: 7 },
  },
}
"""


def made(*command: str | Path) -> str:
    code, out, errors = run(jsonnet(), "--jpath", MIXIN, *command)
    assert code == 0, errors
    return out


def shown(snippet: str) -> Any:
    return json.loads(made("--exec", snippet))


def test_the_committed_rules_are_what_the_mixin_makes() -> None:
    assert made("--string", MIXIN / "rules.jsonnet") == RULES.read_text(), "run: make rules"


def test_the_dashboards_are_the_committed_ones() -> None:
    folder = ROOT / "grafana" / "dashboards"
    dashboards = shown("(import 'mixin.libsonnet').grafanaDashboards")
    assert dashboards == {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_settings_reach_every_rule(tmp_path: Path) -> None:
    groups = shown(f"local mixin = {SETTINGS}; mixin.prometheusRules.groups + mixin.prometheusAlerts.groups")
    text = json.dumps(groups)
    assert 'cloud-browser-exporter\\"' not in text
    assert 'up{job=\\"browsers\\",cluster=\\"eu\\"}' in text
    assert "https://wiki.test/runbooks#cloudbrowserproviderdown" in text
    assert "https://grafana.test/d/cloud-browser-spend?var-provider=" in text
    assert "endpoint, zone)" in text
    assert "vector(7)" in text
    written = tmp_path / "rules.json"
    written.write_text(json.dumps({"groups": groups}))
    code, out, errors = run(program("promtool", "prometheus"), "check", "rules", written)
    assert code == 0, out + errors


def test_every_series_of_the_exporter_has_the_selector() -> None:
    groups = shown(f"local mixin = {SETTINGS}; mixin.prometheusRules.groups + mixin.prometheusAlerts.groups")
    for rule in (rule for group in groups for rule in group["rules"]):
        for name in (
            "cloud_browser_up",
            "cloud_browser_cost_usd_total",
            "cloud_browser_sessions_ended_total",
        ):
            bare = rule["expr"].replace(f":{name}", "")
            selected = re.findall(rf'\b{name}{{[^}}]*cluster="eu"}}', bare)
            assert len(re.findall(rf"\b{name}\b", bare)) == len(selected), rule
