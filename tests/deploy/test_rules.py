"""The alerts, by promtool: each fires, but not just below; resets and missing scrapes change nothing."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest
import yaml

from exporter.metrics.definitions import TABLE
from tests.support.processes import program, run

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "policy" / "cloud-browser.yml"
RUNBOOKS = ROOT / "docs" / "runbooks.md"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["policy"] if "alert" in rule}
RECORDS = {rule["record"]: rule["expr"] for group in GROUPS for rule in group["policy"] if "record" in rule}

FIRES, QUIET = True, False
QUARTER, HOUR, DAY, WEEK = 15, 60, 1440, 10080  # minutes
TARGET = 'job="cloud-browser-exporter",instance="exporter:10925"'
A = f'{TARGET},provider="browserbase",account="production"'
L = f'{A},project="p",region="us-west-2"'
UP = f"cloud_browser_up{{{A}}}"
ENDED = f'cloud_browser_sessions_ended_total{{{L},status="%s"}}'
STARTED = f"cloud_browser_sessions_started_total{{{L}}}"
OLDEST = f"cloud_browser_oldest_open_session_start_timestamp_seconds{{{L}}}"
COST = f'cloud_browser_cost_usd_total{{{L},kind="browser",source="estimated"}}'
BYTES = f"cloud_browser_proxy_bytes_total{{{L}}}"
ERRORS = f'cloud_browser_exporter_errors_total{{{A},collector="sessions",reason="%s"}}'
COMPLETE = f"cloud_browser_history_complete{{{A}}}"
REMAINING = f"cloud_browser_history_remaining_sessions{{{A}}}"
TOOK = f'cloud_browser_collector_duration_seconds{{{A},collector="sessions"}}'
UNWRITTEN = f"cloud_browser_exporter_ledger_write_errors_total{{{TARGET}}}"
RELOADED = f"cloud_browser_exporter_config_last_reload_successful{{{TARGET}}}"
SCRAPED = f"up{{{TARGET}}}"

Values: TypeAlias = list[float | None]  # a sample for each step; None where a scrape fails


# Alerts on the exporter itself, not on an account.
EXPORTERS = {"LedgerNotWritable", "ConfigReloadFailed", "ExporterGone"}


class Case(msgspec.Struct, frozen=True):
    """What is scraped, and whether that makes the alert fire at the end; steps are minutes."""

    alert: str
    when: str
    fires: bool
    series: Mapping[str, Values]
    step: int = 1


def steady(value: float, minutes: int = 2 * HOUR) -> Values:
    return [value] * minutes


def rising(*pieces: tuple[float, int]) -> Values:
    """A counter that rises by so much at each of so many steps, piece after piece."""
    values: list[float | None] = []
    total = 0.0
    for by, steps in pieces:
        for _ in range(steps):
            total += by
            values.append(round(total, 6))
    return values


def endings(status: str, share: float, each: float) -> dict[str, Values]:
    """So many sessions end each minute, a share of them with this status."""
    return {
        ENDED % status: rising((each * share, 2 * HOUR)),
        ENDED % "completed": rising((each * (1 - share), 2 * HOUR)),
    }


def week(before: float, last: float) -> Values:
    """A week and some in steps of a quarter of an hour, at one pace and in the last two hours at another."""
    return rising((before, (WEEK + 2 * HOUR) // QUARTER), (last, 8))


def day(before: float, last: float) -> Values:
    """A day in steps of five minutes, at one pace, and another hour and a half at another."""
    return rising((before, DAY // 5), (last, 18))


def failing(reason: str, values: Values) -> dict[str, Values]:
    return {ERRORS % reason: values, UP: steady(0)}


def cases() -> Iterator[Case]:
    yield from provider_cases()
    yield from session_cases()
    yield from spending_cases()
    yield from exporter_cases()


def provider_cases() -> Iterator[Case]:
    yield Case("CloudBrowserProviderDown", "no scrape reads it", FIRES, {UP: steady(0)})
    alert = "CloudBrowserProviderDown"
    yield Case(alert, "one scrape in ten does", FIRES, {UP: (steady(0, 9) + steady(1, 1)) * 12})
    yield Case(alert, "two scrapes in three do", QUIET, {UP: (steady(0, 1) + steady(1, 2)) * 40})
    for alert, reason in (
        ("CloudBrowserKeyRefused", "auth"),
        ("CloudBrowserPaymentRequired", "payment"),
        ("CloudBrowserRateLimited", "rate_limited"),
    ):
        each = rising((1, 2 * HOUR))
        yield Case(alert, "each scrape is refused", FIRES, failing(reason, each))
        yield Case(alert, "it is read", QUIET, {**failing(reason, each), UP: steady(1)})
        yield Case(alert, "that has passed", QUIET, failing(reason, rising((1, HOUR), (0, HOUR))))
        yield Case(alert, "another reason", QUIET, failing("server", each))
        short = {ERRORS % reason: rising((0, 112), (1, 2), (0, 6))}
        short[UP] = steady(1, 112) + steady(0, 2) + steady(1, 6)
        yield Case(alert, "two scrapes were refused", QUIET, short)
    twice = rising((0, 110), (1, 2), (0, 8))
    yield Case("CloudBrowserRateLimited", "twice is no matter", QUIET, failing("rate_limited", twice))


def session_cases() -> Iterator[Case]:
    for alert, status in (
        ("CloudBrowserErrorRatioHigh", "error"),
        ("CloudBrowserTimeoutRatioHigh", "timed_out"),
    ):
        yield Case(alert, "a quarter of 120", FIRES, endings(status, 0.25, 4))
        yield Case(alert, "just below a fifth", QUIET, endings(status, 0.195, 4))
        yield Case(alert, "all of 18", QUIET, endings(status, 1, 0.6))
    alert, up = "CloudBrowserNoSessionsStarted", steady(1, len(week(0, 0)))
    yield Case(alert, "none for an hour", FIRES, {STARTED: week(3, 0), UP: up}, QUARTER)
    yield Case(alert, "one", QUIET, {STARTED: [*week(3, 0)[:-3], *[9e9] * 3], UP: up}, QUARTER)
    yield Case(alert, "few at any time", QUIET, {STARTED: week(1.8, 0), UP: up}, QUARTER)
    yield Case(alert, "not read", QUIET, {STARTED: week(3, 0), UP: [*up[:-6], *[0.0] * 6]}, QUARTER)
    other = STARTED.replace("exporter:", "earlier:")
    moved: dict[str, Values] = {other: rising((3, len(up) - 200)), UP: up}
    moved[other] += [None] * 200
    moved[STARTED] = [*[None] * (len(up) - 200), *rising((3, 192), (0, 8))]
    yield Case(alert, "none, and the exporter has moved", FIRES, moved, QUARTER)
    flaky = [*up[:-5], 0.0, *up[-4:]]
    yield Case(alert, "none, and one scrape failed", FIRES, {STARTED: week(3, 0), UP: flaky}, QUARTER)
    alert = "CloudBrowserSessionOpenTooLong"
    yield Case(alert, "since five hours", FIRES, {OLDEST: steady(0, 5 * HOUR + 20)})
    yield Case(alert, "just below", QUIET, {OLDEST: steady(1260, 5 * HOUR + 20)})


def spending_cases() -> Iterator[Case]:
    alert = "CloudBrowserSpendAboveHourlyBudget"
    yield Case(alert, "60 USD", FIRES, {COST: rising((1, 2 * HOUR))})
    yield Case(alert, "48 USD", QUIET, {COST: rising((0.8, 2 * HOUR))})
    outage = {COST: rising((0.17, 60), (0, 60), (120, 1), (0.17, 19))}
    outage[UP] = steady(1, 60) + steady(0, 60) + steady(1, 20)
    yield Case(alert, "twelve hours at once after an outage", QUIET, outage)
    alert = "CloudBrowserSpendAboveMonthlyBudget"
    yield Case(alert, "10,368 USD", FIRES, {COST: rising((1.2, 320))}, 5)
    yield Case(alert, "9,850 USD", QUIET, {COST: rising((1.14, 320))}, 5)
    alert = "CloudBrowserSpendAboveLastWeek"
    yield Case(alert, "3.5 times", FIRES, {COST: week(0.6, 2.1)}, QUARTER)
    yield Case(alert, "2.75 times", QUIET, {COST: week(0.6, 1.65)}, QUARTER)
    yield Case(alert, "6 times nearly nothing", QUIET, {COST: week(0.15, 0.9)}, QUARTER)
    yield Case(
        alert, "a week after the first day", QUIET, {COST: rising((1.5, WEEK // QUARTER + 5))}, QUARTER
    )
    alert = "CloudBrowserProxyTrafficSpike"
    yield Case(alert, "the first hours", QUIET, {BYTES: rising((1e8, 36))}, 5)
    yield Case(alert, "ten times", FIRES, {BYTES: day(1e7, 2e8)}, 5)
    yield Case(alert, "four times", QUIET, {BYTES: day(1e8, 4e8)}, 5)
    yield Case(alert, "a hundred times nearly nothing", QUIET, {BYTES: day(5e5, 5e7)}, 5)


def exporter_cases() -> Iterator[Case]:
    alert = "CloudBrowserHistoryImportStuck"
    yield Case(alert, "nothing read", FIRES, {COMPLETE: steady(0, 150), REMAINING: steady(500, 150)})
    falling: Values = [500.0 - minute for minute in range(150)]
    yield Case(alert, "one session a minute", QUIET, {COMPLETE: steady(0, 150), REMAINING: falling})
    yield Case(alert, "all is read", QUIET, {COMPLETE: steady(1, 150), REMAINING: steady(0, 150)})
    alert = "CloudBrowserPullSlow"
    yield Case(alert, "nine seconds", FIRES, {TOOK: steady(9)})
    yield Case(alert, "just below", QUIET, {TOOK: steady(7.9)})
    yield Case(alert, "one in ten is quick", QUIET, {TOOK: (steady(9, 9) + steady(1, 1)) * 12})
    alert = "CloudBrowserLedgerNotWritable"
    yield Case(alert, "each scrape", FIRES, {UNWRITTEN: rising((1, 2 * HOUR))})
    yield Case(alert, "it cannot be read", FIRES, {ERRORS % "ledger": rising((1, 2 * HOUR))})
    yield Case(alert, "that has passed", QUIET, {UNWRITTEN: rising((1, HOUR), (0, HOUR))})
    yield Case(alert, "once", QUIET, {UNWRITTEN: rising((0, 112), (1, 1), (0, 7))})
    yield Case("CloudBrowserConfigReloadFailed", "refused", FIRES, {RELOADED: steady(0)})
    yield Case("CloudBrowserConfigReloadFailed", "taken", QUIET, {RELOADED: steady(1)})
    alert = "CloudBrowserExporterGone"
    yield Case(alert, "no answer", FIRES, {SCRAPED: steady(0)})
    yield Case(alert, "no target", FIRES, {"up{job='other'}": steady(1)})
    yield Case(alert, "one scrape in five fails", QUIET, {SCRAPED: (steady(0, 1) + steady(1, 4)) * 24})


def as_scraped(_: str, values: Values) -> Values:
    return values


def with_a_reset(selector: str, values: Values) -> Values:
    """The counter begins again at 0, the seventh before the end."""
    if "_total{" not in selector or None in values:
        return values
    at = len(values) - 7
    return values[:at] + [(value or 0) - (values[at - 1] or 0) for value in values[at:]]


def with_a_missing_scrape(_: str, values: Values) -> Values:
    """The third before the end fails."""
    return [*values[:-4], None, *values[-3:]]


def notation(values: Values) -> str:
    """As promtool reads it; where a scrape fails, Prometheus writes that the series is stale."""
    return " ".join("stale" if value is None else str(value) for value in values)


SPOILS = (as_scraped, with_a_reset, with_a_missing_scrape)
CASES = [
    pytest.param(case, spoil, id=f"{case.alert}, {case.when}, {spoil.__name__}")
    for case in cases()
    for spoil in SPOILS
]


@pytest.mark.parametrize(("case", "spoil"), CASES)
def test_an_alert_fires_when_it_must_and_only_then(
    case: Case, spoil: Callable[[str, Values], Values], tmp_path: Path
) -> None:
    promtool = program("promtool", "prometheus")
    length = max(len(values) for values in case.series.values())
    written = [
        {"series": name, "values": notation(spoil(name, values))} for name, values in case.series.items()
    ]
    firing = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{case.step}m",
        "group_eval_order": [group["name"] for group in GROUPS],
        "tests": [
            {
                "interval": f"{case.step}m",
                "input_series": written,
                "promql_expr_test": [
                    {
                        "expr": firing,
                        "eval_time": f"{(length - 1) * case.step}m",
                        "exp_samples": [{"labels": "{}", "value": int(case.fires)}],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "case.yml"
    path.write_text(yaml.safe_dump(document))
    code, out, errors = run(promtool, "test", "policy", path)
    assert code == 0, out + errors


def test_the_rules_are_sound() -> None:
    code, out, errors = run(program("promtool", "prometheus"), "check", "policy", "--lint-fatal", RULES)
    assert code == 0, out + errors


def test_every_alert_has_cases_of_both_kinds() -> None:
    told = {(case.alert, case.fires) for case in cases()}
    assert told == {(alert, fires) for alert in ALERTS for fires in (True, False)}


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
        of_exporter = name.removeprefix("CloudBrowser") in EXPORTERS
        of_account = {"provider", "account"} | ({"region"} if "region:" in rule["expr"] else set())
        assert told <= ({"instance"} if of_exporter else of_account), name
    for expression in [*RECORDS.values(), *(rule["expr"] for rule in ALERTS.values())]:
        for labels in re.findall(r"(?:by|on|group_left) \(([^()]*)\)", expression):
            assert {label.strip() for label in labels.split(",") if label} <= known, expression


def test_every_threshold_is_used_by_the_alert_that_its_comment_names() -> None:
    thresholds = [rule["record"] for rule in GROUPS[0]["policy"]]
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
    assert RECORDS["cloud_browser:scrape_seconds:threshold"] == f"vector({seconds * 4 // 5})"
