"""`check`: what it asks and says, on a terminal and in a pipe, and its exit codes."""

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from exporter.commands.asking import Answer, Failure, ask_all
from exporter.config.settings import load
from exporter.model import Account
from exporter.providers import PROVIDERS
from exporter.simulator.fleet import SECOND, Fleet
from exporter.simulator.server import Server, create_app
from tests.support.pages import ORIGIN
from tests.support.processes import COMMAND, KEYS, Process, configuration, run, wait_until
from tests.support.terminals import CTRL_C, Terminal

BOTH = ("sessions", "account")
NOW = ORIGIN / SECOND
FLEET = Fleet(origin=ORIGIN, history=60, rate=60)
BESIDE = "/v1/projects", "/api/v3/billing/account"
SECRETS = [*KEYS.values(), "secret-in-a-body"]
UP = re.compile(r"ok, open 10, listed 60, latency \d\.\d\d s, clock [+-]\d+ s, ")


class Providers:
    """The simulator; requests for a path that begins so get the status that is set, or none."""

    def __init__(self) -> None:
        self.statuses: dict[str, int] = {}
        self.asked: list[str] = []
        self._app = create_app(FLEET, lambda: ORIGIN, keys=KEYS.values())

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        status = next((self.statuses[path] for path in self.statuses if request.path.startswith(path)), 200)
        if status == 0:
            await asyncio.Event().wait()
        if status != 200:
            return web.Response(status=status, text="secret-in-a-body")
        return await self._app(request)


@pytest.fixture
def providers() -> Providers:
    return Providers()


@contextmanager
def configured(folder: Path, providers: Providers, collectors: tuple[str, ...] = BOTH) -> Iterator[Path]:
    with Server(providers.answer) as server:
        yield configuration(folder, server.url, collectors)


def checked(config: Path, *flags: str) -> tuple[int, str, str]:
    code, out, errors = run(COMMAND, "check", "--config.file", config, *flags)
    assert not any(secret in out + errors for secret in SECRETS)
    return code, out, errors


def asked(config: Path, ahead: float = 0) -> list[Answer]:
    """What is found when the provider's clock is so many seconds ahead of this machine's."""
    return ask_all(load(config, PROVIDERS, KEYS), PROVIDERS, KEYS, lambda: NOW - ahead)


def test_each_account_is_asked_once_without_a_ledger(tmp_path: Path, providers: Providers) -> None:
    with configured(tmp_path, providers) as config:
        browserbase, browser_use = asked(config, ahead=7)
    assert not (tmp_path / "ledger.db").exists()
    assert browserbase.latency is not None
    assert browser_use.rate_limit_remaining is not None
    assert browserbase == Answer(
        Account("browserbase", "ours"),
        up=True,
        open=10,
        listed=60,
        latency=browserbase.latency,
        clock_offset=7,
        quota_limit=200,
    )
    assert browser_use == Answer(
        Account("browser_use", "ours"),
        up=True,
        open=10,
        listed=60,
        latency=browser_use.latency,
        clock_offset=7,
        rate_limit_remaining=browser_use.rate_limit_remaining,
        quota_used=10,
        quota_limit=250,
        credit=browser_use.credit,
    )
    assert browser_use.credit is not None
    assert providers.asked.count("/v1/sessions") == 1


def test_in_a_pipe_a_line_is_printed_for_each_account(tmp_path: Path, providers: Providers) -> None:
    with configured(tmp_path, providers) as config:
        code, out, errors = checked(config)
    assert (code, errors) == (0, "")
    lines = [line for line in out.splitlines() if "the clocks are more than" not in line]
    assert len(lines) == 3
    for line, name, rest in zip(
        lines,
        ("browserbase/ours", "browser_use/ours"),
        (r"quota at most 200", r"rate limit left \d+, quota 10 of 250, credit \d+\.\d\d USD"),
        strict=False,
    ):
        assert re.fullmatch(f"{name}: {UP.pattern}{rest}", line)
    assert lines[-1] == "2 accounts: all answered"


def test_on_a_terminal_a_table_is_printed(tmp_path: Path, providers: Providers) -> None:
    providers.statuses["/v1/sessions"] = 403
    with (
        configured(tmp_path, providers) as config,
        Terminal(COMMAND, "check", "--config.file", config, environ=KEYS) as terminal,
    ):
        assert terminal.wait() == 1
    header, row, other = (
        re.split(r"\s{2,}", line.strip())
        for line in terminal.text.splitlines()
        if re.match(r"(account|browser\w+/ours) ", line)
    )
    columns = ("account", "answer", "open", "listed", "latency", "clock", "limit left", "quota", "credit")
    assert header == [*columns]
    assert (row[:4], row[6:]) == (["browserbase/ours", "auth", "-", "-"], ["-", "at most 200", "-"])
    assert (other[:4], other[7]) == (["browser_use/ours", "ok", "10", "60"], "10 of 250")
    assert "browserbase/ours: auth: HTTP status 403: " in terminal.text
    assert "2 accounts: 1 of them failed" in terminal.text
    assert "\x1b[1;31mauth" in terminal.raw


@pytest.mark.parametrize("columns", [88, 40])
def test_a_narrow_terminal_cuts_no_word(tmp_path: Path, providers: Providers, columns: int) -> None:
    providers.statuses["/v1/sessions"] = 403
    with (
        configured(tmp_path, providers) as config,
        Terminal(COMMAND, "check", "--config.file", config, environ=KEYS, columns=columns) as terminal,
    ):
        assert terminal.wait() == 1
    assert "…" not in terminal.text
    table = "─" * 20 in terminal.text
    assert table == (columns == 88)
    row = r"browser_use/ours +ok +10 +60 " if table else r"browser_use/ours: ok, open 10, listed 60, "
    assert re.search(f"(?m)^{row}", terminal.text)
    assert "browserbase/ours: auth: HTTP status 403: " in terminal.text


def test_json_has_what_is_known_and_null_for_what_is_not(tmp_path: Path, providers: Providers) -> None:
    providers.statuses["/v1/sessions"] = 402
    providers.statuses["/api/v3/billing/account"] = 404
    with configured(tmp_path, providers) as config:
        code, out, errors = checked(config, "--json")
    assert code == 1
    browserbase, browser_use = json.loads(out)["accounts"]
    nothing = {"rate_limit_remaining": None, "credit_usd": None}
    for one in (browserbase, browser_use):
        assert one.pop("latency_seconds") > 0
        assert one.pop("clock_offset_seconds") <= 0
    assert browserbase == nothing | {
        "provider": "browserbase",
        "account": "ours",
        "up": False,
        "reason": "payment",
        "open": None,
        "listed": None,
        "quota": {"used": None, "limit": 200},
    }
    assert browser_use.pop("rate_limit_remaining") > 0
    assert browser_use == {
        "provider": "browser_use",
        "account": "ours",
        "up": True,
        "reason": None,
        "open": 10,
        "listed": 60,
        "quota": {"used": None, "limit": None},
        "credit_usd": None,
    }
    assert "browserbase/ours: payment: HTTP status 402: " in errors
    assert "browser_use/ours: quota and credit: client: HTTP status 404: " in errors


def test_what_fails_beside_the_sessions_is_shown_and_changes_no_exit_code(
    tmp_path: Path, providers: Providers
) -> None:
    providers.statuses |= dict.fromkeys(BESIDE, 403)
    with configured(tmp_path, providers) as config:
        code, out, _ = checked(config)
    assert code == 0
    for name in ("browserbase/ours", "browser_use/ours"):
        assert f"{name}: quota and credit: auth: HTTP status 403: " in out


def test_only_what_is_collected_is_asked_for(tmp_path: Path, providers: Providers) -> None:
    with configured(tmp_path, providers, ("account",)) as config:
        code, out, _ = checked(config)
    assert code == 0
    assert "browserbase/ours: not asked for sessions, quota at most 200\n" in out
    assert providers.asked
    assert all(path.startswith(BESIDE) for path in providers.asked)


def test_offline_nothing_is_asked_and_the_keys_must_be_there(tmp_path: Path, providers: Providers) -> None:
    with configured(tmp_path, providers) as config:
        assert checked(config, "--offline") == (0, "the configuration is valid: 2 accounts\n", "")
        code, out, _ = checked(config, "--offline", "--json")
        assert (code, {one["up"] for one in json.loads(out)["accounts"]}) == (0, {None})
        code, out, errors = run(COMMAND, "check", "--offline", "--config.file", config, environ={})
    assert (code, out) == (2, "")
    unset = r"exporter\.yml: line \d+: accounts\[\d\]\.api_key_env: environment variable \w+ is not set"
    assert len(re.findall(unset, errors)) == 2
    assert providers.asked == []


def test_an_invalid_configuration_ends_with_2_and_nothing_is_asked(
    tmp_path: Path, providers: Providers
) -> None:
    with configured(tmp_path, providers) as config:
        config.write_text(config.read_text() + "scrap: {}\n")
        code, out, errors = checked(config)
    assert (code, out) == (2, "")
    assert "scrap: unknown key; did you mean scrape?" in errors
    assert providers.asked == []


def test_an_account_that_does_not_answer_is_given_up_in_time(tmp_path: Path, providers: Providers) -> None:
    providers.statuses["/v1/sessions"] = 0
    with configured(tmp_path, providers, ("sessions",)) as config:
        config.write_text(config.read_text().replace("timeout: 30s", "timeout: 300ms"))
        browserbase, browser_use = asked(config)
    failure = "no whole answer in 0.3 s; check the network, or raise scrape.timeout"
    assert (browserbase.up, browserbase.failure) == (False, Failure("timeout", failure))
    assert browser_use.account == Account("browser_use", "ours")


def test_a_clock_that_is_far_off_is_named(tmp_path: Path, providers: Providers) -> None:
    with configured(tmp_path, providers) as config:
        _, out, _ = checked(config)
        assert [one.clock_offset for one in asked(config, ahead=-600)] == [-600, -600]
    assert "browser_use/ours: the clocks are more than 10 minutes apart; " in out


def test_ctrl_c_ends_it_with_130(tmp_path: Path, providers: Providers) -> None:
    providers.statuses["/v1/sessions"] = 0
    with configured(tmp_path, providers) as config:
        with Terminal(COMMAND, "check", "--config.file", config, environ=KEYS) as terminal:
            wait_for_request(providers)
            terminal.press(CTRL_C)
            assert terminal.wait() == 130
        assert "Traceback" not in terminal.text
        providers.asked.clear()
        with Process(COMMAND, "check", "--config.file", config, environ=KEYS) as process:
            wait_for_request(providers)
            process.signal(signal.SIGINT)
            assert process.wait() == 130
        assert process.log == ""


def wait_for_request(providers: Providers) -> None:
    wait_until(lambda: "/v1/sessions" in providers.asked, "a request")
