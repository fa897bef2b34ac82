"""No panel is empty, and some are compared with the truth: simulator, installed command, real Prometheus.

Forty minutes of the fleet's life pass in forty seconds and end now. Then its clock stands still, and every
query of every panel is asked, with variables filled in as Grafana does it. Two jobs scrape the exporter, as
replicas would be scraped. The minutes of the rules are seconds, so that what they record is there.
"""

import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import yaml

from exporter.simulator.fleet import MINUTE, SECOND, Fleet
from exporter.simulator.server import Server, create_app
from tests.support.expected_totals import BROWSER_USE
from tests.support.expressions import Query, filled, queries
from tests.support.processes import LOCAL, Prometheus, configuration, exporter, prometheus, wait_until
from tests.support.stepped_clock import Clock, extrapolated, good_scrapes, samples

LASTS = 40 * MINUTE
OPEN = "pending", "running", "active"
NANO = 10**9
# As Grafana fills them in: everything chosen, over all samples that there are.
ALL = {"job": ".+", "instance": ".+", "provider": ".+", "account": ".+", "project": ".*", "region": ".*"}
WINDOWS = {"__rate_interval": "5m", "__range": "300s", "__interval": "1s"}
RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules" / "cloud-browser.yml"
BOTH = ("browserbase", "browser_use")
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
JOBS: Mapping[str, Mapping[str, Any]] = {"exporter": {}, "replica": {}}
# What is there only in some cases, which the simulator does not have: its credit does not fall.
ABSENT = {("cloud-browser-overview", "Hours until the credit is gone")}
# Browserbase tells a project's limit, and not what it counts against it.
ABSENT_OF_PROJECT = {("cloud-browser-overview", "Sessions counted against the plan's limit")}

pytestmark = pytest.mark.slow

Series = list[tuple[dict[str, str], float]]

each_query = pytest.mark.parametrize("query", queries(), ids=str)
each_present_query = pytest.mark.parametrize(
    "query", [one for one in queries() if (one.dashboard, one.panel) not in ABSENT], ids=str
)


class Total(msgspec.Struct, frozen=True):
    """What is true of a project and region; money in nano-dollars."""

    region: str
    project: str
    ended: dict[str, int]
    listed: dict[str, int]
    browser_cost: int
    proxy_cost: int


class Truth(msgspec.Struct, frozen=True):
    """What the simulator tells at `/truth`."""

    browserbase: list[Total]
    browser_use: list[Total]


class Course(msgspec.Struct, frozen=True):
    """Prometheus, which is still there; the truth at the first scrape and the last; the exporter's port."""

    prometheus: Prometheus
    first: Truth
    last: Truth
    at: float
    port: int

    def ask(self, query: Query, **chosen: str) -> Series:
        """The series of a query: labels and values, with some variables chosen, and all of the others."""
        result = self.prometheus.query(filled(query.expr, {**WINDOWS, **ALL, **chosen}), self.at)
        return [(one["metric"], float(one["value"][1])) for one in result]

    def read(self, dashboard: str, panel: str, **chosen: str) -> Series:
        """The series of a panel's first query."""
        query = next(one for one in queries() if (one.dashboard, one.panel) == (dashboard, panel))
        return self.ask(query, **chosen)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    folder, origin = tmp_path_factory.mktemp("course"), int(time.time()) * SECOND - LASTS
    clock = Clock(origin, origin + LASTS)
    fleet = Fleet(
        origin=origin, rate=600, history=300, longest=20 * MINUTE, error_ratio=0.15, timeout_ratio=0.15
    )
    with (
        Server(create_app(fleet, clock)) as simulator,
        exporter("--config.file", configured(folder, simulator.url)) as command,
        prometheus(command.port, folder, JOBS, rule_files=[shortened(folder)]) as monitor,
    ):
        wait_until(lambda: good_scrapes(monitor), "a first scrape")
        first = told(simulator)
        clock.run()
        clock.pass_by(origin + LASTS)
        stood = time.time()
        at = wait_until(lambda: settled(monitor, stood), "scrapes of the end")
        yield Course(monitor, first, told(simulator), at, command.port)


def settled(monitor: Prometheus, stood: float) -> float | None:
    """A good scrape since the clock stood still at which the rules, too, know that all accounts are read."""
    # The first of them may share what was asked before the clock stood still.
    for at in sorted(good_scrapes(monitor, stood))[1:]:
        read = monitor.query("count(account:cloud_browser_account_state:code == 1)", at)
        if read and float(read[0]["value"][1]) == len(BOTH):
            return at
    return None


def configured(folder: Path, simulator: str) -> Path:
    """Accounts with limits of their own and a label from metadata; sessions are old after a minute."""
    path = configuration(folder, simulator, ("sessions", "account"))
    document = yaml.safe_load(path.read_text())
    for account in document["accounts"]:
        account["metadata_labels"] = {"team": "team"}
        account["limits"] = {"session_age": "1m", "budget_usd_per_hour": 1, "open_sessions": 50}
    path.write_text(yaml.safe_dump(document))
    return path


def shortened(folder: Path) -> str:
    """The rules with seconds for minutes, evaluated each second; and an alert that fires."""

    def shorter(found: re.Match[str]) -> str:
        return f"{int(found[1]) * UNITS[found[2]] // 60}s"

    document = yaml.safe_load(RULES.read_text())
    for group in document["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"(?<![\w.])(\d+)([mhdw])(?![\w.])", shorter, rule["expr"])
            rule.pop("for", None)
            rule.pop("keep_firing_for", None)
    fires = {"alert": "CloudBrowserTest", "expr": "vector(1)", "labels": {"severity": "warning"}}
    document["groups"].append({"name": "test", "interval": "1s", "rules": [fires]})
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def told(simulator: Server) -> Truth:
    page = requests.get(f"{simulator.url}/truth", timeout=60)
    return msgspec.json.decode(page.content, type=Truth)


@each_present_query
def test_no_query_is_without_a_series(course: Course, query: Query) -> None:
    series = course.ask(query)
    assert series
    assert all(math.isfinite(value) for _, value in series)


@each_present_query
def test_a_choice_shows_what_was_chosen_and_nothing_else(course: Course, query: Query) -> None:
    absent = (query.dashboard, query.panel) in ABSENT_OF_PROJECT
    project = course.last.browserbase[0].project
    chosen = {
        "job": {"exporter"},
        "instance": {f"{LOCAL}:{course.port}"},
        "provider": {"browserbase", "browser_use"},
        "account": {"ours"},
        "project": {project},
        "region": {"us-west-2", "us-east-1"},
    }
    series = course.ask(query, **{name: written(values) for name, values in chosen.items()})
    assert series or absent
    for labels, _ in series:
        assert all(labels[name] in values for name, values in chosen.items() if name in labels)


def written(values: set[str]) -> str:
    """Several values as Grafana writes them into a matcher."""
    escaped = sorted(value.replace(".", r"\\.") for value in values)
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def test_a_choice_that_nothing_matches_shows_nothing(course: Course) -> None:
    """So the test before this one can fail: each variable does filter."""
    for name in ALL:
        assert course.read("cloud-browser-overview", "Open sessions", **{name: "none"}) == []


def test_the_open_sessions_are_those_that_are_open(course: Course) -> None:
    totals = {"browserbase": course.last.browserbase, "browser_use": course.last.browser_use}
    by_region: Counter[tuple[str, str]] = Counter()
    for provider, each in totals.items():
        for total in each:
            by_region[provider, total.region] += sum(total.listed.get(status, 0) for status in OPEN)
    ((_, number),) = course.read("cloud-browser-overview", "Open sessions")
    assert number == by_region.total() > 0
    shown = course.read("cloud-browser-overview", "Open sessions by region")
    assert +by_region == {(one["provider"], one["region"]): value for one, value in shown if value}


def test_the_spend_is_what_was_spent(course: Course) -> None:
    ((_, usd),) = course.read("cloud-browser-spend", "Spent in this range", provider=BROWSER_USE)
    spent = money(course.last.browser_use) - money(course.first.browser_use)
    assert usd == approximately(spent / NANO, course)
    rows = course.read("cloud-browser-spend", "Spend by account, project, region, kind and source")
    ((_, everything),) = course.read("cloud-browser-spend", "Spent in this range")
    assert sum(value for _, value in rows) == pytest.approx(everything)
    assert everything > usd > 0


def approximately(value: float, course: Course) -> object:
    """Equal to this but for what Prometheus extrapolates at both ends of the samples."""
    return pytest.approx(value, rel=0.01 + extrapolated(course.prometheus, course.at))


def money(totals: list[Total]) -> int:
    return sum(total.browser_cost + total.proxy_cost for total in totals)


def test_the_ratios_are_the_shares_of_what_ended(course: Course) -> None:
    ended = endings(course.last) - endings(course.first)
    for panel, status in (("Error ratio", "error"), ("Timeout ratio", "timed_out")):
        ((_, share),) = course.read("cloud-browser-errors", panel)
        assert share == approximately(ended[status] / ended.total(), course)
        assert share > 0


def endings(truth: Truth) -> Counter[str]:
    return sum((Counter(total.ended) for total in (*truth.browserbase, *truth.browser_use)), Counter())


def test_the_cost_of_a_session_is_the_spend_by_the_sessions(course: Course) -> None:
    ((_, usd),) = course.read("cloud-browser-spend", "Cost of a session", provider=BROWSER_USE)
    spent = money(course.last.browser_use) - money(course.first.browser_use)
    last, first = (sum(sum(one.ended.values()) for one in t.browser_use) for t in (course.last, course.first))
    assert usd == approximately(spent / NANO / (last - first), course)


def test_no_account_is_down(course: Course) -> None:
    assert course.read("cloud-browser-overview", "Accounts not read") == [({}, 0)]


def test_the_failed_scrapes_are_those_that_were_counted(course: Course) -> None:
    """None, unless the machine was too busy to answer within a second."""
    errors = samples(course.prometheus, "cloud_browser_exporter_errors_total", course.at).values()
    ((_, number),) = course.read("cloud-browser-errors", "Failed scrapes")
    assert number == approximately(sum(series[-1][1] - series[0][1] for series in errors), course)


def test_prometheus_formats_every_expression(course: Course) -> None:
    """It parses them then, with the parser that will read them."""
    for query in queries():
        filled_in: Mapping[str, str] = {"query": filled(query.expr, {**WINDOWS, **ALL})}
        url = f"{course.prometheus.url}/api/v1/format_query"
        assert requests.get(url, filled_in, timeout=60).json()["status"] == "success"
