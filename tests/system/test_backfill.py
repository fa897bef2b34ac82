"""History in a real Prometheus: blocks made of the file, and the exporter scraped with the same labels."""

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import requests
import yaml

from exporter.history.openmetrics import FAMILIES
from exporter.simulator.fleet import DAY, HOUR, SECOND, Fleet
from exporter.simulator.server import Server, create_app
from tests.support.expected_totals import COUNTERS, Key, expected, key
from tests.support.expressions import Query, filled, queries, selectors
from tests.support.history_files import read_history
from tests.support.processes import (
    COMMAND,
    KEYS,
    LOCAL,
    Process,
    Prometheus,
    configuration,
    exporter,
    program,
    prometheus,
    run,
    wait_until,
)
from tests.support.rules import RULES

WINDOW = "31d"
HISTOGRAM = "_bucket", "_count", "_sum"
KEEP = "--storage.tsdb.retention.time=60d"
ALL = {"job": ".+", "instance": ".+", "provider": ".+", "account": ".+", "project": ".*", "region": ".*"}
# What the file holds; no metadata is a label here. Of the past nobody knows which sessions left unseen.
IN_THE_FILE = {
    f"{spec.name}{suffix}" for family in FAMILIES for spec in (family.spec,) for suffix in ("", *HISTOGRAM)
}
OF_SESSIONS = [
    one
    for one in queries()
    if IN_THE_FILE.issuperset(selector.metric for selector in selectors(one.expr))
    and "unknown" not in one.expr
    and "team" not in one.legend
]

pytestmark = pytest.mark.slow


class Joined(msgspec.Struct, frozen=True):
    """Prometheus with the history and the exporter's scrapes; the fleet, and times in seconds."""

    prometheus: Prometheus
    file: Path
    fleet: Fleet
    now: int
    at: float


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joined]:
    """The fleet's clock stands still, so that all that is scraped is true of one moment."""
    folder, now = tmp_path_factory.mktemp("joined"), time.time_ns() // 1000
    fleet = Fleet(origin=now - 4 * HOUR, history=600, rate=600 / 29 / 24, error_ratio=0.1, timeout_ratio=0.1)
    with Server(create_app(fleet, lambda: now)) as simulator:
        config, file = configuration(folder, simulator.url), folder / "history.om"
        with exporter("--config.file", config) as process:
            labels = f"job=exporter,instance={LOCAL}:{process.port}"
            code, _, errors = run(COMMAND, "backfill", "--config.file", config, "--output", file,
                                  "--labels", labels, "--step", "4m")  # fmt: skip
            assert code == 0, errors
            make_blocks("openmetrics", "--max-block-duration=162h", file, folder / "prometheus")
            with prometheus(process.port, folder, flags=(KEEP,)) as monitor:
                wait_until(lambda: monitor.query("cloud_browser_up == 1"), "a scrape")
                wait_until(
                    lambda: len(monitor.query("cloud_browser_history_complete == 1")) == 2, "an import"
                )
                wait_until(
                    lambda: monitor.query(f"min(count_over_time(cloud_browser_up[{WINDOW}])) > 2"), "scrapes"
                )
                yield Joined(monitor, file, fleet, now, time.time())


def make_blocks(*arguments: str | Path) -> None:
    code, _, errors = run(
        program("promtool", "prometheus"), "tsdb", "create-blocks-from", *arguments, seconds=300
    )
    assert code == 0, errors


def by_series(joined: Joined, expression: str, at: float | None = None) -> dict[Key, float]:
    found = joined.prometheus.query(expression, joined.at if at is None else at)
    return {key(one["metric"]): float(one["value"][1]) for one in found}


def test_every_sample_of_the_file_is_in_the_blocks(joined: Joined) -> None:
    points = read_history(joined.file)
    for metric in {dict(name)["__name__"] for name in points}:
        name = ("__name__", metric)
        taken = by_series(joined, f"count_over_time({metric}[{WINDOW}] offset 3h)")
        assert taken == {one - {name}: len(each) for one, each in points.items() if name in one}


@pytest.mark.parametrize("counter", COUNTERS)
def test_no_counter_is_reset_where_history_and_scrapes_meet(joined: Joined, counter: str) -> None:
    resets = by_series(joined, f"resets({counter}[{WINDOW}])")
    assert resets
    assert set(resets.values()) == {0}


@pytest.mark.parametrize("counter", COUNTERS)
def test_the_increase_over_the_month_is_the_truth(joined: Joined, counter: str) -> None:
    true: dict[Key, float] = defaultdict(float)
    for name, value in expected(joined.fleet, joined.now).items():
        if dict(name)["__name__"] == counter:
            true[name - {("__name__", counter)}] = value
    shown = by_series(joined, f"increase({counter}[{WINDOW}])")
    assert true
    # A session that lists its first figures after the history has ended begins with the scrapes: nothing is
    # missing of series that the history has.
    begun = {
        name - {("__name__", counter)} for name in read_history(joined.file) if ("__name__", counter) in name
    }
    assert {name: shown[name] for name in begun} == pytest.approx(
        {name: true[name] for name in begun}, rel=1e-4
    )
    assert sum(true[name] for name in true.keys() - begun) <= 0.02 * sum(true.values())


def test_the_past_is_what_happened_then(joined: Joined) -> None:
    """In the middle of the month, over a day that begins and ends at a step."""
    end = (joined.now // SECOND - 12 * 24 * 3600) // 240 * 240
    total = "sum by (provider) (cloud_browser_sessions_started_total{})"
    day = by_series(joined, f"{total.format('')} - {total.format(' offset 1d')}", end)
    after, before = (expected(joined.fleet, end * SECOND - ago) for ago in (0, DAY))
    for provider in ("browserbase", "browser_use"):
        started = sum(
            sign * value
            for sign, values in ((1, after), (-1, before))
            for name, value in values.items()
            if {("provider", provider), ("__name__", "cloud_browser_sessions_started_total")} <= name
        )
        assert started > 5
        assert day[frozenset({("provider", provider)})] == started


def test_recording_rules_are_evaluated_on_the_past(joined: Joined, tmp_path: Path) -> None:
    end = joined.now // SECOND - 10 * 24 * 3600
    make_blocks(
        "rules", f"--start={end - 7200}", f"--end={end}", f"--url={joined.prometheus.url}",
        f"--output-dir={tmp_path / 'blocks'}", RULES,
    )  # fmt: skip
    code, out, _ = run(program("promtool", "prometheus"), "tsdb", "list", tmp_path / "blocks")
    assert code == 0
    assert len(out.splitlines()) > 1


@pytest.mark.parametrize("query", OF_SESSIONS, ids=str)
def test_dashboards_show_sessions_of_the_past(joined: Joined, query: Query) -> None:
    windows = {"__rate_interval": "2d", "__interval": "4m", "__range": "7d", "__range_s": "604800"}
    at = joined.now // SECOND - 5 * 24 * 3600
    assert by_series(joined, filled(query.expr, {**windows, **ALL}), at)


def test_a_hundred_thousand_sessions_take_two_minutes_and_300_mib_at_most(tmp_path: Path) -> None:
    """Of one day: of a month the file is thirty times as large, which takes some ten seconds more."""
    now = time.time_ns() // 1000
    fleet = Fleet(origin=now, history=100_000, rate=100_000 / 24)
    with Server(create_app(fleet, lambda: now)) as simulator:
        config, file = configuration(tmp_path, simulator.url), tmp_path / "history.om"
        accounts = yaml.safe_load(config.read_text())
        accounts["accounts"] = accounts["accounts"][:1]
        config.write_text(yaml.safe_dump(accounts))
        given = ("--config.file", config, "--output", file, "--labels", "job=j,instance=i")
        # The page of 100,000 sessions is made before, so that its making is not measured.
        requests.get(f"{simulator.url}/v1/sessions", headers={"X-BB-API-Key": "any"}, timeout=300)
        begun = time.monotonic()
        with Process(COMMAND, "backfill", *given, environ=KEYS) as process:
            process.wait_for_log(r"writing: (\d+) of \1 series", 300)
            seconds, memory = time.monotonic() - begun, process.memory("VmHWM")
            assert process.wait() == 0
    assert len(read_history(file)) > 100
    assert seconds < 120
    assert memory < 300 << 20
