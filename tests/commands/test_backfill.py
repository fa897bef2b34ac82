"""`backfill`: the installed command on simulated providers, and the file that it writes."""

import asyncio
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event

import msgspec
import pytest
import yaml
from aiohttp import web

from exporter.ledger.store import Ledger
from exporter.model import HOUR, SECOND, Account
from exporter.simulator.fleet import MINUTE, Fleet
from exporter.simulator.server import Server, create_app
from tests.support.expected_totals import PROVIDERS, Key, expected
from tests.support.history_files import (
    Points,
    lasts,
    names_in_order,
    pauses,
    read_history,
    strictly_parsed,
)
from tests.support.listings import listing, session
from tests.support.processes import COMMAND, KEYS, LOCAL, Process, configuration, run
from tests.support.recording import record
from tests.support.terminals import CTRL_C, Terminal

LABELS = "job=exporter,instance=localhost:10925"
SETTLE = 15 * MINUTE
EXACT = (
    "sessions_started",
    "sessions_ended",
    "session_seconds",
    "session_duration_seconds",
    "session_start_seconds",
)


class Made(msgspec.Struct, frozen=True):
    """A file that was written, what was said of it, and the fleet whose history it is."""

    path: Path
    out: str
    errors: str
    fleet: Fleet
    begun: int
    series: dict[Key, Points]

    @property
    def last(self) -> int:
        """The last step, in microseconds."""
        return (self.begun - 3 * HOUR) // MINUTE * MINUTE


def fleet_of(now: int, days: float, history: int = 300) -> Fleet:
    """So many sessions in these days, and as many a day since."""
    return Fleet(origin=now, history=history, rate=history / days / 24, error_ratio=0.1, timeout_ratio=0.1)


def flags(folder: Path, config: Path, *more: str) -> Sequence[str | Path]:
    given = ("--config.file", config, "--output", folder / "history.om", "--labels", LABELS)
    return (COMMAND, "backfill", *given, *more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder, now = tmp_path_factory.mktemp("backfill"), time.time_ns() // 1000
    fleet = fleet_of(now, days=1, history=200)
    with Server(create_app(fleet, lambda: now)) as simulator:
        code, out, errors = run(*flags(folder, configuration(folder, simulator.url)))
        assert code == 0, errors
        path = folder / "history.om"
        assert [one.name for one in folder.iterdir() if "history" in one.name] == ["history.om"]
        yield Made(path, out, errors, fleet, now, read_history(path))


def labels_of(made: Made, name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for labels in (dict(one) for one in made.series if dict(one)["__name__"] == name):
        for label, value in labels.items():
            found.setdefault(label, set()).add(value)
    return found


def test_families_stand_together(made: Made) -> None:
    names = names_in_order(made.path)
    assert sorted(names) == sorted(set(names))
    assert set(names) == {
        "cloud_browser_sessions", "cloud_browser_sessions_started_total",
        "cloud_browser_sessions_ended_total",
        "cloud_browser_session_duration_seconds", "cloud_browser_session_seconds_total",
        "cloud_browser_session_start_seconds",
        "cloud_browser_proxy_bytes_total", "cloud_browser_cost_usd_total",
    }  # fmt: skip


def test_the_file_is_openmetrics(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with Server(create_app(fleet_of(now, days=0.3, history=40), lambda: now)) as simulator:
        code, _, errors = run(*flags(tmp_path, configuration(tmp_path, simulator.url)))
    assert code == 0, errors
    path = tmp_path / "history.om"
    assert path.read_text().endswith("\n# EOF\n")
    families = strictly_parsed(path)
    assert all(family.documentation for family in families)
    assert {family.type for family in families} == {"gauge", "counter", "histogram"}


def test_in_each_series_time_rises_in_steps_and_no_pause_is_longer_than_four_minutes(made: Made) -> None:
    for name, points in made.series.items():
        assert all(0 < pause <= 240 and pause % 60 == 0 for pause in pauses(points)), name


def test_each_series_begins_at_zero_and_ends_at_the_last_step(made: Made) -> None:
    for name, points in made.series.items():
        assert points[0][1] == 0, name
        assert any(value for _, value in points), f"{name} stays at 0"
        assert points[-1][0] == made.last // SECOND, name


def test_nothing_is_of_the_last_three_hours(made: Made) -> None:
    assert max(points[-1][0] for points in made.series.values()) <= time.time() - 3 * 3600


def test_counters_end_with_the_truth_of_the_last_step(made: Made) -> None:
    true = expected(made.fleet, made.last)
    for name in EXACT:
        prefix = f"cloud_browser_{name}"
        wanted = {one: value for one, value in true.items() if dict(one)["__name__"].startswith(prefix)}
        assert wanted
        assert lasts(made.series, prefix) == pytest.approx(wanted, abs=1e-6), name


@pytest.mark.parametrize("name", ["proxy_bytes", "cost_usd"])
def test_traffic_and_cost_end_between_what_had_settled_and_what_was_true(made: Made, name: str) -> None:
    prefix = f"cloud_browser_{name}"
    # All that had ended a quarter of an hour before the last step counts as it was in the end.
    settled, ended = (expected(made.fleet, at) for at in (made.last - SETTLE - HOUR, made.last))
    for one, value in lasts(made.series, prefix).items():
        assert settled.get(one, 0) <= value * (1 + 1e-9)
        assert value <= ended.get(one, 0) * (1 + 1e-9) + 1e-9
    assert lasts(made.series, prefix)


def test_label_values_are_spelled_as_on_the_live_page(made: Made) -> None:
    assert labels_of(made, "cloud_browser_session_duration_seconds_bucket")["le"] >= {"60.0", "+Inf"}
    assert labels_of(made, "cloud_browser_cost_usd_total") == {
        "__name__": {"cloud_browser_cost_usd_total"},
        "provider": {*PROVIDERS},
        "account": {"ours"},
        "project": labels_of(made, "cloud_browser_sessions")["project"],
        "region": {"us-west-2", "us-east-1", "eu-central-1", "ap-southeast-1", "unknown"},
        "kind": {"browser", "proxy"},
        "source": {"reported", "estimated"},
    }
    text = made.path.read_text()
    assert 'job="exporter",instance="localhost:10925",' in text
    assert '=""' not in text, "to Prometheus a label without a value is none"


def test_open_sessions_are_told_by_status_at_each_step(made: Made) -> None:
    assert labels_of(made, "cloud_browser_sessions")["status"] <= {"pending", "running", "active"}
    for name, points in made.series.items():
        if dict(name)["__name__"] == "cloud_browser_sessions":
            assert all(value >= 0 for _, value in points)


def test_the_promtool_commands_that_follow_are_printed(made: Made) -> None:
    first, second = re.findall(r"^  (promtool (?:.*\\\n)*.*)$", made.out, re.MULTILINE)
    assert first == (
        f"promtool tsdb create-blocks-from openmetrics --max-block-duration=162h {made.path} DATA_DIRECTORY"
    )
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made.last // SECOND))
    assert re.fullmatch(
        rf"promtool tsdb create-blocks-from rules --start=\S+ --end={end} \\\n"
        r"    --url=http://localhost:9090 --output-dir=DATA_DIRECTORY RULES_FILE",
        second,
    )
    assert "spread evenly" in made.out
    assert "warning" not in made.out


def test_elsewhere_than_on_a_terminal_progress_is_told_in_lines(made: Made) -> None:
    lines = made.errors.splitlines()
    assert any(re.fullmatch(r"browserbase/ours: \d+ of \d+ sessions.*", line) for line in lines)
    assert re.fullmatch(r"writing: (\d+) of \1 series.*", lines[-1])
    assert "\x1b" not in made.errors + made.out


def test_a_history_beyond_fifteen_days_is_warned_of(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with Server(create_app(fleet_of(now, days=20, history=40), lambda: now)) as simulator:
        code, out, _ = run(*flags(tmp_path, configuration(tmp_path, simulator.url)))
    assert code == 0
    assert re.search(
        r"^warning: the history is (19|20|21) days long, .*storage\.tsdb\.retention\.time", out, re.MULTILINE
    )


def test_step_until_and_labels_are_taken_as_given(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    until = (now - 12 * HOUR) // HOUR * HOUR
    with Server(create_app(fleet_of(now, days=1, history=60), lambda: now)) as simulator:
        config = configuration(tmp_path, simulator.url)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until // SECOND))
        labels = "job=j,instance={provider}/{account},replica=a:1"
        code, _, errors = run(*flags(tmp_path, config, "--step", "90s", "--until", at, "--labels", labels))
    assert code == 0, errors
    history = read_history(tmp_path / "history.om")
    for points in history.values():
        assert points[-1][0] == until // SECOND
        assert {pause % 90 for pause in pauses(points)} <= {0}
    assert (
        'job="j",instance="browser_use/ours",replica="a:1",provider="browser_use"'
        in (tmp_path / "history.om").read_text()
    )


def test_labels_of_sessions_metadata_are_those_of_the_live_page(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with Server(create_app(fleet_of(now, days=1, history=60), lambda: now)) as simulator:
        config = configuration(tmp_path, simulator.url)
        document = yaml.safe_load(config.read_text())
        document["accounts"][0]["metadata_labels"] = {"team": "team"}
        config.write_text(yaml.safe_dump(document))
        assert run(*flags(tmp_path, config))[0] == 0
        teams: dict[str, set[str | None]] = {name: set() for name in PROVIDERS}
        for name in map(dict, read_history(tmp_path / "history.om")):
            teams[name["provider"]].add(name.get("team"))
        assert teams == {"browserbase": {"checkout", "pricing", "research"}, "browser_use": {None}}
        code, _, errors = run(*flags(tmp_path, config, "--labels", "job=a,instance=b,team=c"))
        assert (code, errors) == (
            2,
            "--labels: 'team' is one of metadata_labels of browserbase/ours\n",
        )


def test_an_accounts_history_ends_where_the_ledger_begins(tmp_path: Path) -> None:
    """From then on Prometheus has what the exporter counted: both at once would look like resets."""
    now = time.time_ns() // 1000
    began = now - 10 * HOUR
    with Server(create_app(fleet_of(now, days=1, history=60), lambda: now)) as simulator:
        config = configuration(tmp_path, simulator.url)
        with closing(Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
            record(ledger, listing(session(), time=began), account=Account("browserbase", "ours"))
        code, out, errors = run(*flags(tmp_path, config))
        assert code == 0, errors
        ends: dict[str, set[int]] = {name: set() for name in PROVIDERS}
        for name, points in read_history(tmp_path / "history.om").items():
            ends[dict(name)["provider"]].add(points[-1][0])
        assert ends["browserbase"] == {(began - MINUTE) // MINUTE * 60}
        assert len(ends["browser_use"]) == 1
        assert max(ends["browser_use"]) > max(ends["browserbase"])
        assert re.search(
            r"^browserbase/ours: until .* UTC, when the exporter began to count$", out, re.MULTILINE
        )
        code, out, _ = run(*flags(tmp_path, config, "--until", "4h"))
        assert re.search(r"^warning: browserbase/ours: the exporter has counted since ", out, re.MULTILINE)
        assert "browser_use/ours" not in out


def test_a_configuration_that_skips_history_is_warned_of(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with Server(create_app(fleet_of(now, days=1, history=60), lambda: now)) as simulator:
        config = configuration(tmp_path, simulator.url, history="skip")
        code, out, _ = run(*flags(tmp_path, config))
    assert code == 0
    assert "warning: ledger.history is skip: " in out
    assert lasts(read_history(tmp_path / "history.om"), "cloud_browser_sessions_ended")


def test_without_sessions_the_file_is_empty_and_that_is_said(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with Server(create_app(Fleet(origin=now, history=0), lambda: now)) as simulator:
        code, out, _ = run(*flags(tmp_path, configuration(tmp_path, simulator.url)))
    assert code == 0
    assert "there is nothing to import" in out
    assert "promtool" not in out
    assert read_history(tmp_path / "history.om") == {}


def test_an_account_that_cannot_be_read_fails_the_command_and_leaves_no_file(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with Server(
        create_app(fleet_of(now, days=1), lambda: now, keys=[KEYS["BROWSER_USE_API_KEY"]])
    ) as simulator:
        code, out, errors = run(*flags(tmp_path, configuration(tmp_path, simulator.url)))
    assert (code, out) == (1, "")
    said = errors.splitlines()
    assert "cloud-browser-exporter: browserbase/ours: HTTP status 401: check the key" in said
    assert said[-1] == "cloud-browser-exporter: no file was written"
    assert not any("history" in one.name for one in tmp_path.iterdir())
    assert all(key not in errors for key in KEYS.values())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--labels", "job=a"], "names no instance; allowed: job=J,instance=I"),
        (["--labels", "a"], "'a' is not NAME=VALUE"),
        (["--labels", "job=a,instance=b,__x=c"], "'__x=c' is not NAME=VALUE"),
        (["--labels", "job=a,instance=b,region=c"], "'region' is a label of the metrics themselves"),
        (["--step", "5m"], "'5m' is out of range; allowed: whole seconds from 1s to 4m"),
        (["--step", "1500ms"], "'1500ms' is out of range"),
        (["--step", "often"], "is not a duration; allowed: such as"),
        (["--until", "2h"], "--until: is less than 3 hours ago"),
        (["--until", "yesterday"], "'yesterday' is no time; allowed: a duration before now, such as 3h"),
        (["--config.file", "none.yml"], "none.yml"),
    ],
)
def test_what_is_not_allowed_is_said(tmp_path: Path, more: list[str], words: str) -> None:
    code, out, errors = run(*flags(tmp_path, configuration(tmp_path, f"http://{LOCAL}:1"), *more))
    assert (code, out) == (2, "")
    assert words in errors
    assert len(errors.splitlines()) == 1
    assert not any("history" in one.name for one in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", "not a file"),
        ("none/history.om", "none/history.om: cannot be written (No such file or directory); "),
    ],
)
def test_an_output_that_cannot_be_written_ends_the_command(tmp_path: Path, name: str, words: str) -> None:
    config = configuration(tmp_path, f"http://{LOCAL}:1")
    code, _, errors = run(COMMAND, "backfill", "--config.file", config, "--labels", LABELS,
                          "--output", tmp_path / name)  # fmt: skip
    assert code == 1
    assert words in errors
    assert ".partial" not in errors


@pytest.fixture
def silent() -> Iterator[tuple[Server, Event]]:
    """A provider that takes requests and does not answer; and when it has one."""
    asked = Event()

    async def hang(request: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(3600)
        return web.Response()

    with Server(hang) as server:
        yield server, asked


def test_on_a_terminal_bars_are_shown(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with Server(create_app(fleet_of(now, days=1), lambda: now)) as simulator:
        config = configuration(tmp_path, simulator.url)
        with Terminal(*flags(tmp_path, config), environ=KEYS) as terminal:
            assert terminal.wait() == 0
    assert re.search(r"browserbase/ours ━+ \d+ of \d+ sessions", terminal.text)
    assert re.search(r"writing +━+ (\d+) of \1 series", terminal.text)
    assert "promtool tsdb create-blocks-from openmetrics" in terminal.text


def test_ctrl_c_on_a_terminal_ends_it_and_leaves_no_file(
    silent: tuple[Server, Event], tmp_path: Path
) -> None:
    server, asked = silent
    config = configuration(tmp_path, server.url)
    with Terminal(*flags(tmp_path, config), environ=KEYS) as terminal:
        assert asked.wait(60)
        terminal.press(CTRL_C)
        assert terminal.wait() == 130
    assert "Traceback" not in terminal.text
    assert not any("history" in one.name for one in tmp_path.iterdir())


def test_a_signal_while_the_file_is_written_leaves_none(tmp_path: Path) -> None:
    now = time.time_ns() // 1000
    with Server(create_app(fleet_of(now, days=20, history=600), lambda: now)) as simulator:
        config = configuration(tmp_path, simulator.url)
        with Process(*flags(tmp_path, config, "--step", "1s"), environ=KEYS) as process:
            process.wait_for_log("writing: 0 of")
            process.signal(signal.SIGINT)
            assert process.wait() == 130
    assert "Fatal" not in process.log
    assert "Traceback" not in process.log
    assert not any("history" in one.name for one in tmp_path.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_leaves_the_file_of_before(
    silent: tuple[Server, Event], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    server, asked = silent
    (tmp_path / "history.om").write_text("of before")
    with Process(*flags(tmp_path, configuration(tmp_path, server.url)), environ=KEYS) as process:
        assert asked.wait(60)
        process.signal(number)
        assert process.wait() == code
    assert process.log == ""
    assert (tmp_path / "history.om").read_text() == "of before"
    assert [one.name for one in tmp_path.iterdir() if "history" in one.name] == ["history.om"]
