"""The shipped rules: sound, documented, and of metrics, labels and thresholds that there are."""

import re

import pytest
import yaml

from exporter.metrics.definitions import TABLE
from tests.support.processes import run
from tests.support.rules import ALERTS, GROUPS, OF_EXPORTER, RECORDS, ROOT, RULES, VERSIONS, promtool

RUNBOOKS = ROOT / "docs" / "runbooks.md"


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
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}, name
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{name.lower()}"
        assert "for" in rule, name


def test_annotations_and_groupings_name_labels_that_there_are() -> None:
    """Those of an alert are all that its expression leaves, so that no text has a hole."""
    known = {"job", "instance", "provider", "account", "region", "reason"}
    for name, rule in ALERTS.items():
        told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        of_exporter = name in OF_EXPORTER
        of_account = {"provider", "account"} | ({"region"} if "region:" in rule["expr"] else set())
        assert told <= ({"instance"} if of_exporter else of_account), name
    for expression in [*RECORDS.values(), *(rule["expr"] for rule in ALERTS.values())]:
        for labels in re.findall(r"(?:by|on|group_left) \(([^()]*)\)", expression):
            assert {label.strip() for label in labels.split(",") if label} <= known, expression


def test_every_threshold_is_used_by_the_alert_that_its_comment_names() -> None:
    thresholds = [rule["record"] for rule in GROUPS[0]["rules"]]
    expressions = " ".join(rule["expr"] for rule in ALERTS.values())
    assert thresholds
    assert all(f"scalar({name})" in expressions for name in thresholds)
    named = re.findall(r"# (\w+):", RULES.read_text().split("cloud-browser-sums", maxsplit=1)[0])
    assert {f"CloudBrowser{name}" for name in named if name != "Both"} <= set(ALERTS)


def test_records_are_named_for_their_level_metric_and_operation() -> None:
    for name in RECORDS:
        assert re.fullmatch(
            r"(cloud_browser|region|account):\w+:(threshold|((ratio_)?increase|max)\d+[mhd])", name
        ), name


def test_rules_use_metrics_and_labels_that_are_there() -> None:
    known = {spec.name: {*spec.labels, "job", "instance"} for spec in TABLE} | {"up": {"job", "instance"}}
    for expression in [*RECORDS.values(), *(rule["expr"] for rule in ALERTS.values())]:
        plain = re.sub(r"by \([^)]*\)|on \([^)]*\)", "", expression)
        for name, matchers in re.findall(r"\b(cloud_browser_\w+|up)\b(?!:)(?:\{([^}]*)\})?", plain):
            if f":{name}:" not in plain:
                assert set(re.findall(r"(\w+)=", matchers)) <= known[name], expression


def test_the_job_and_its_timeout_are_the_same_everywhere() -> None:
    shipped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    block = (ROOT / "README.md").read_text().split("```yaml\nscrape_configs:", 1)[1].split("```", 1)[0]
    (shown,) = yaml.safe_load(f"scrape_configs:{block}")["scrape_configs"]
    (job,) = shipped["scrape_configs"]
    assert (shown["job_name"], shown["scrape_timeout"]) == (job["job_name"], job["scrape_timeout"])
    assert f'up{{job="{job["job_name"]}"}}' in ALERTS["CloudBrowserExporterGone"]["expr"]
    seconds = int(job["scrape_timeout"].removesuffix("s"))
    assert RECORDS["cloud_browser:pull_seconds:threshold"] == f"vector({seconds * 4 // 5})"
