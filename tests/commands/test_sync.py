"""`sync`: the history in the ledger, exactly; interrupted, beside an exporter, and after failures."""

import asyncio
import io
import json
import re
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from exporter.accounts import AccountTargets
from exporter.commands.importing import ATTEMPTS, PAUSE_SECONDS, Import, Outcome
from exporter.commands.progress import progress
from exporter.config.settings import load
from exporter.ledger.store import Ledger
from exporter.metrics.telemetry import Telemetry
from exporter.model import Account
from exporter.providers import PROVIDERS
from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import SECOND, Fleet
from exporter.simulator.server import Server, create_app
from tests.support.pages import ORIGIN, Page
from tests.support.processes import COMMAND, KEYS, Process, configuration, exporter, run, wait_until
from tests.support.slow_api import SlowApi
from tests.support.terminals import CTRL_C, Terminal

BROWSERBASE, BROWSER_USE = Account("browserbase", "ours"), Account("browser_use", "ours")
ACCOUNTS = BROWSERBASE, BROWSER_USE
SMALL = Fleet(origin=ORIGIN, history=300, rate=60)
LONG = Fleet(origin=ORIGIN, history=20_000, rate=60)
MOST_IN_HAND = 12 + 16  # pages read and not recorded, and those requested ahead


class Providers:
    """The simulator; `status` of the next requests for each path that begins so, as often as is said."""

    def __init__(self, fleet: Fleet, seconds: float = 0) -> None:
        self.failures: dict[str, list[int]] = {}
        self.hanging: str | None = None
        self.asked: list[str] = []
        self._app = create_app(fleet, lambda: ORIGIN, keys=KEYS.values())
        self.slow = SlowApi(self._answer, seconds)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.hanging is not None and request.path.startswith(self.hanging):
            await asyncio.Event().wait()
        failures = self.failures.get(request.path)
        if failures:
            return web.Response(status=failures.pop())
        return await self._app(request)


@contextmanager
def configured(folder: Path, providers: Providers, **ledger: str) -> Iterator[Path]:
    with Server(providers.slow.answer) as server:
        yield configuration(folder, server.url, **ledger)


def totals(config: Path) -> dict[str, dict[str, Any]]:
    """What the ledger holds of each provider's account, and whether its history is complete."""
    code, out, errors = run(COMMAND, "ledger", "show", "--json", "--config.file", config)
    assert code == 0, errors
    shown = {}
    for one in json.loads(out)["accounts"]:
        sums = one["totals"]
        shown[one["provider"]] = {
            "complete": one["history_complete"],
            "started": sums["sessions_started"],
            "ended": sum(sums["sessions_ended"].values()),
            "seconds": sums["session_seconds"],
            "bytes": sums["proxy_bytes"],
        }
    return shown


def truth(fleet: Fleet) -> dict[str, dict[str, Any]]:
    shown = {}
    for name, simulated in SIMULATED.items():
        series = expected_totals(fleet, simulated.facts, ORIGIN)
        shown[name] = {
            "complete": True,
            "started": sum(one.started for one in series),
            "ended": sum(one.ended.total() for one in series),
            "seconds": pytest.approx(sum(one.time for one in series) / SECOND, rel=1e-12),
            "bytes": sum(one.proxy_bytes for one in series),
        }
    return shown


def imported(config: Path, pauses: list[float]) -> tuple[list[Outcome], str]:
    """The outcomes of an import in this process, and the lines that it showed."""
    read, lines = load(config, PROVIDERS, KEYS), io.StringIO()
    telemetry = Telemetry()
    plan = AccountTargets(PROVIDERS, KEYS, telemetry).plan(read)
    with closing(Ledger(read.ledger.url)) as ledger, progress(lines, {}) as shown:
        return [*Import(plan, ledger, telemetry, shown, pauses.append).run()], lines.getvalue()


def test_in_a_pipe_lines_say_how_far_it_is_and_a_second_time_finds_it_complete(tmp_path: Path) -> None:
    with configured(tmp_path, Providers(SMALL)) as config:
        for before in (0, 300):
            code, out, errors = run(COMMAND, "sync", "--config.file", config)
            lines = [line for line in errors.splitlines() if not line.startswith("ts=")]
            assert code == 0, errors
            assert out == "".join(f"{name}/ours: complete, 300 sessions\n" for name in PROVIDERS)
            assert {f"{name}/ours: {before} sessions" for name in PROVIDERS} <= {*lines}
            assert sum(": 300 of 300 sessions" in line for line in lines) == 2
    assert totals(config) == truth(SMALL)


def test_on_a_terminal_bars_show_sessions_rate_and_time_left(tmp_path: Path) -> None:
    with (
        configured(tmp_path, Providers(SMALL)) as config,
        Terminal(COMMAND, "sync", "--config.file", config, environ=KEYS) as terminal,
    ):
        assert terminal.wait() == 0
    for name in PROVIDERS:
        assert re.search(rf"{name}/ours ━+ 300 of 300 sessions", terminal.text)
        assert f"{name}/ours: complete, 300 sessions" in terminal.text
    assert "level=info" not in terminal.text
    assert "\x1b[?25h" in terminal.raw, "the cursor is hidden still"


@pytest.mark.slow
@pytest.mark.parametrize("is_terminal", [True, False])
def test_ctrl_c_ends_it_with_130_and_it_goes_on_where_it_was(tmp_path: Path, *, is_terminal: bool) -> None:
    providers = Providers(LONG, 0.1)
    with configured(tmp_path, providers) as config:
        command = COMMAND, "sync", "--config.file", config
        if is_terminal:
            with Terminal(*command, environ=KEYS) as terminal:
                terminal.wait_for(r"browser_use/ours [━╸╺]+ +[1-9][\d,]+ of 20,000 sessions")
                terminal.press(CTRL_C)
                assert terminal.wait() == 130
                said = terminal.text
        else:
            with Process(*command, environ=KEYS) as process:
                wait_until(lambda: len(providers.slow.pages()) > 80, "pages")
                process.signal(signal.SIGINT)
                assert process.wait() == 130
                said = process.log
        assert "Traceback" not in said
        assert "complete" not in said
        assert not totals(config).get("browser_use", {}).get("complete")
        assert run(*command)[0] == 0
    assert totals(config) == truth(LONG)
    assert len(providers.slow.pages()) < 20_000 / 90 + MOST_IN_HAND, "what was read is read again"


@pytest.mark.slow
def test_beside_an_exporter_every_session_counts_once(tmp_path: Path) -> None:
    providers = Providers(LONG, 0.05)
    with configured(tmp_path, providers) as config, exporter("--config.file", config) as process:
        with Process(COMMAND, "sync", "--config.file", config, environ=KEYS) as syncing:
            while syncing.running:
                process.get(X_Prometheus_Scrape_Timeout_Seconds="3")
            assert syncing.wait() == 0, syncing.log
        page = Page(process.get())
    for name, sums in truth(LONG).items():
        assert page.sum(name, "history_complete") == 1
        assert page.sum(name, "sessions_started_total") == sums["started"]
        assert sum(page.of(name, "sessions_ended_total").values()) == sums["ended"]
        assert page.sum(name, "session_seconds_total") == sums["seconds"]
        assert page.sum(name, "proxy_bytes_total") == sums["bytes"]
    assert totals(config) == truth(LONG)


def test_an_account_that_fails_ends_it_with_1_and_the_others_are_complete(tmp_path: Path) -> None:
    keys = KEYS | {"BROWSER_USE_API_KEY": "wrong"}
    with configured(tmp_path, Providers(SMALL)) as config:
        code, out, errors = run(COMMAND, "sync", "--config.file", config, environ=keys)
        assert (code, out.splitlines()) == (
            1,
            [
                "browserbase/ours: complete, 300 sessions",
                "browser_use/ours: failed (auth) after 0 sessions; run it again to go on from there",
            ],
        )
        assert 'reason=auth error="HTTP status 401: check the key"' in errors
        assert not any(key in out + errors for key in keys.values())
        assert run(COMMAND, "sync", "--config.file", config)[0] == 0
    assert totals(config) == truth(SMALL)


def test_a_failure_that_passes_is_outlasted(tmp_path: Path) -> None:
    providers, pauses = Providers(SMALL), list[float]()
    providers.failures = {"/v1/sessions": [500] * 7}
    with configured(tmp_path, providers) as config:
        outcomes, lines = imported(config, pauses)
    assert outcomes == [Outcome(account, 300) for account in ACCOUNTS]
    assert pauses == [PAUSE_SECONDS * 2, PAUSE_SECONDS * 4]
    assert "browserbase/ours: 300 of 300 sessions" in lines


def test_a_failure_that_does_not_pass_is_given_up(tmp_path: Path) -> None:
    providers, pauses = Providers(SMALL), list[float]()
    providers.failures = {"/v1/sessions": [503] * 100}
    with configured(tmp_path, providers) as config:
        outcomes, _ = imported(config, pauses)
    assert outcomes == [Outcome(BROWSERBASE, 0, "server"), Outcome(BROWSER_USE, 300)]
    assert len(pauses) == ATTEMPTS - 1


def test_accounts_whose_sessions_are_not_collected_are_left_alone(tmp_path: Path) -> None:
    providers = Providers(SMALL)
    with configured(tmp_path, providers) as config:
        config.write_text(config.read_text().replace("- sessions", "- account"))
        outcomes, _ = imported(config, [])
    assert outcomes == [Outcome(account) for account in ACCOUNTS]
    assert providers.asked == []


def test_without_history_it_is_complete_at_once_and_counts_from_zero(tmp_path: Path) -> None:
    with configured(tmp_path, Providers(SMALL), history="skip") as config:
        outcomes, _ = imported(config, [])
        shown = totals(config)
    assert [one.error for one in outcomes] == [None, None]
    assert [one.counted for one in outcomes] == [shown[name]["started"] for name in PROVIDERS]
    assert [shown[name]["ended"] for name in PROVIDERS] == [0, 0]


def test_ledger_and_configuration_are_named_as_for_serve(tmp_path: Path) -> None:
    environ = KEYS | {"XDG_STATE_HOME": str(tmp_path / "state")}
    with Server(Providers(SMALL).slow.answer) as server:
        environ |= {
            "BROWSERBASE_BASE_URL": server.url,
            "BROWSER_USE_BASE_URL": f"{server.url}/api/v3",
        }
        assert run(COMMAND, "sync", environ=environ)[0] == 0
        named = f"sqlite:///{tmp_path}/named.db"
        assert run(COMMAND, "sync", "--ledger.url", named, environ=environ)[0] == 0
    assert (tmp_path / "state" / "cloud-browser-exporter" / "ledger.db").exists()
    assert (tmp_path / "named.db").exists()


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--ledger.url", "nowhere.db"), 2, "--ledger.url: a text of 10 characters is not a file of SQLite"),
        (("--ledger.url", "sqlite:////proc/no/ledger.db"), 1, "/proc/no/ledger.db: "),
        (("--config.file", "absent.yml"), 2, "absent.yml: cannot be read"),
    ],
)
def test_what_cannot_be_used_ends_it_at_once(flags: tuple[str, ...], code: int, words: str) -> None:
    ended, out, errors = run(COMMAND, "sync", *flags)
    assert (ended, out, words in errors) == (code, "", True), errors
