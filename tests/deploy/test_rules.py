"""The shipped rules: sound, documented, and of metrics, labels and limits that there are."""

import re
import tomllib

import pytest

from exporter.metrics.definitions import TABLE
from tests.support.processes import run
from tests.support.rules import (
    ALERTS,
    EVERY_RULE,
    OVERRIDES,
    RECORDED,
    ROOT,
    RULES,
    VERSIONS,
    promtool,
)

RUNBOOKS = ROOT / "docs" / "runbooks.md"
EXPRESSIONS = [rule["expr"] for rule in EVERY_RULE]
SUFFIXES = ("_bucket", "_count", "_sum", "")


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_promtool_finds_no_fault_in_the_rules(version: str) -> None:
    code, out, errors = run(promtool(version), "check", "rules", "--lint-fatal", RULES)
    assert code == 0, out + errors


def test_every_alert_tells_what_to_do() -> None:
    headings = set(re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE))
    assert headings == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url", "dashboard_url"}, name
        assert "for" in rule, name


def test_links_are_absolute_and_lead_to_a_section_and_a_dashboard_that_are_there() -> None:
    bases = set()
    for name, rule in ALERTS.items():
        base, _, section = rule["annotations"]["runbook_url"].partition("#")
        assert section == name.lower()
        bases.add(base)
        found = re.fullmatch(
            r"https://grafana\.example\.com/d/([\w-]+)(\?.*)?", rule["annotations"]["dashboard_url"]
        )
        assert found, name
        assert (ROOT / "grafana" / "dashboards" / f"{found[1]}.json").is_file()
    (base,) = bases
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert base == f"{project['urls']['Documentation']}docs/{RUNBOOKS.stem}/"


def test_annotations_name_labels_that_the_expression_leaves() -> None:
    of_target = {"job", "instance"}
    of_account = {"provider", "account"}
    more = {
        "CloudBrowserRegionErrorRatioHigh": {"region"},
        "CloudBrowserQuotaNearlyUsed": {"project"},
        "CloudBrowserReplicaCannotRead": of_target,
        "CloudBrowserScrapeSlow": of_target,
    }
    for name, rule in ALERTS.items():
        told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        known = of_account | more.get(name, set()) if "account" in told else of_target
        assert told <= known, name


def test_every_limit_has_one_default_and_is_used() -> None:
    defaults = [
        (rule["labels"]["limit"], rule["labels"].get("provider"))
        for rule in EVERY_RULE
        if rule.get("record") == "cloud_browser:limit:default"
    ]
    assert len(defaults) == len(set(defaults))
    alerts = " ".join(
        rule["expr"] for rule in EVERY_RULE if rule.get("record") != "account:cloud_browser_limit:effective"
    )
    assert {name for name, _ in defaults} == set(re.findall(r'limit:effective\{limit="(\w+)"', alerts))


def test_the_exporters_limits_are_among_them() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    (row,) = re.findall(r"^\| `cloud_browser_limit` .*$", page, re.MULTILINE)
    named = {rule["labels"]["limit"] for rule in EVERY_RULE if "limit" in rule.get("labels", {})}
    assert set(re.findall(r"`(\w+)`", row)) & named == {
        "budget_usd_per_hour",
        "budget_usd_per_month",
        "open_sessions",
        "session_age_seconds",
    }


def test_series_are_named_for_their_level_metric_and_operation_and_documented() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    for name in RECORDED:
        assert re.fullmatch(r"(cloud_browser|account|region|project|job|target):\w+:\w+", name), name
        level_and_metric, _, operation = name.rpartition(":")
        assert level_and_metric.replace("region:", "account:") in page, name
        assert f":{operation}`" in page, name


def test_rules_use_metrics_and_labels_that_are_there() -> None:
    known = {
        spec.name + suffix: {*spec.labels, "job", "instance", "le"} for spec in TABLE for suffix in SUFFIXES
    }
    known |= {"up": {"job", "instance"}}
    for expression in EXPRESSIONS:
        plain = re.sub(r"(?:by|on|without|group_left|group_right) \([^)]*\)|\"[^\"]*\"", '""', expression)
        series = set(re.findall(r"\b(?:cloud_browser|account|region|project|job|target):\w+:\w+", plain))
        assert series <= RECORDED | OVERRIDES, expression
        rest = re.sub(r"\b\w+:\w+:\w+(\{[^}]*\})?", "", plain)
        for name, matchers in re.findall(r"\b(cloud_browser_\w+|up)\b(?:\{([^}]*)\})?", rest):
            assert set(re.findall(r"(\w+)[=!]", matchers)) <= known[name], expression
