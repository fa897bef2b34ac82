"""What the configuration says reaches the rooms that act on it, at the start and at a reload."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
import yaml
from msgspec.structs import replace
from structlog.testing import capture_logs

from exporter.accounts import AccountTargets
from exporter.client.errors import NoKeyError, TooLargeError, UnreachableError
from exporter.clocks import boottime
from exporter.config.settings import AccountConfig, Config, LedgerConfig, Limits, Pricing, Scrape
from exporter.ledger.accounting import AccountingPolicy
from exporter.metrics.telemetry import Telemetry
from exporter.model import SECOND, ReadWindow
from exporter.providers import PROVIDERS
from exporter.providers.browser_use import Options as BrowserUseOptions
from exporter.providers.browserbase import Options
from exporter.scrape.plan import AccountTarget, TimeoutPolicy
from exporter.simulator.server import Server, create_app
from tests.support.pages import FLEET, ORIGIN, Page
from tests.support.processes import KEYS, TIMEOUT, Exporter, configuration, exporter, wait_until
from tests.support.providers import BROWSER_USE, BROWSERBASE

STAGING = "user_metadata['env']:'staging'"
VALID = "exporter_config_last_reload_successful"
ONE = AccountConfig("a", "browserbase", "KEY", base_url="http://127.0.0.1:1", options=Options())
TWO = AccountConfig("b", "browser_use", "KEY", base_url="http://127.0.0.1:1", options=BrowserUseOptions())


def priced_account(*prices: int) -> AccountConfig:
    return replace(ONE, options=Options(pricing=Pricing(*prices)))


def wiring() -> AccountTargets:
    return AccountTargets(PROVIDERS, {"KEY": "right"}, Telemetry())


def wired(account: AccountConfig, scrape: Scrape | None = None) -> AccountTarget:
    ledger = LedgerConfig("sqlite:///unused.db", history="skip", settle_after=7 * SECOND)
    return wiring().plan(Config((account,), scrape or Scrape(), ledger)).targets[0]


def read(target: AccountTarget) -> int:
    """How many sessions are listed."""
    return sum(target.reader.read(ReadWindow(None), boottime() + 60).listed.values())


def test_ledger_and_prices_become_rules() -> None:
    priced = priced_account(1, 2, 3)
    assert wired(priced).policy == AccountingPolicy(
        7 * SECOND, skip=True, browser_per_hour=1, proxy_per_gb=2, minimum=3
    )
    assert wired(ONE).policy == AccountingPolicy(7 * SECOND, skip=True)


def test_only_priced_accounts_of_browserbase_show_a_cost() -> None:
    priced = replace(priced_account(), name="c")
    described = wiring().plan(Config((priced, ONE, TWO))).descriptions
    assert {account.name: one.cost_source for account, one in described.items()} == {
        "c": "estimated",
        "a": None,
        "b": "reported",
    }


def test_the_labels_of_metadata_are_described_by_their_names() -> None:
    labelled = replace(ONE, metadata_labels=(("env", "env"), ("team", "Team Name")))
    described = wiring().plan(Config((labelled, TWO))).descriptions
    assert [one.metadata_labels for one in described.values()] == [("env", "team"), ()]


def test_times_become_the_plans() -> None:
    plan = wiring().plan(Config((ONE,), Scrape(timeout=90, timeout_offset=0.25, min_interval=5)))
    assert (plan.timeouts, plan.min_interval) == (TimeoutPolicy(90, 0.25), 5)


def test_key_query_and_limit_reach_the_provider(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with Server(create_app(FLEET, lambda: ORIGIN, keys=["right"])) as server:
        whole = replace(ONE, base_url=server.url)
        some = replace(whole, api_key_env="", api_key_file=str(file), options=Options(query=STAGING))
        rotated = wired(some)
        with pytest.raises(NoKeyError, match="key"):
            read(rotated)
        file.write_text("right\n")
        assert 0 < read(rotated) < read(wired(whole)), (
            "the file is read again, and the query narrows the list"
        )
        with pytest.raises(TooLargeError, match="100"):
            read(wired(whole, Scrape(max_response_bytes=100)))


def test_the_way_to_an_account_is_kept_for_as_long_as_it_is_asked_the_same() -> None:
    wires = wiring()
    first = wires.plan(Config((ONE, TWO))).targets
    priced = wires.plan(Config((TWO, priced_account(1)))).targets
    assert {one.account: one.reader for one in first} == {one.account: one.reader for one in priced}
    assert priced[1].policy.browser_per_hour == 1
    assert wires.plan(Config((TWO, priced_account(1)))).targets == priced
    for change in (
        {"options": Options(query="x")},
        {"base_url": "http://127.0.0.2"},
        {"api_key_env": "OTHER"},
        {"metadata_labels": (("team", "team"),)},
    ):
        before = wires.plan(Config((ONE,))).targets[0]
        after = wires.plan(Config((replace(ONE, **change),))).targets[0]
        assert before.reader != after.reader
        assert before.fetch_key != after.fetch_key


def test_a_key_file_that_others_may_read_is_warned_of_when_that_is_new(tmp_path: Path) -> None:
    file, link = tmp_path / "key", tmp_path / "link"
    file.write_text("right")
    link.symlink_to(file)
    file.chmod(0o644)
    by_file = Config(tuple(replace(one, api_key_env="", api_key_file=str(link)) for one in (ONE, TWO)))
    wires = wiring()
    with capture_logs() as logged:
        target = wires.plan(by_file).targets[0]
        for mode in (0o644, 0o600, 0o604):
            file.chmod(mode)
            for _ in range(2):
                with suppress(UnreachableError):
                    read(target)
        wires.plan(by_file)
    assert [line["advice"] for line in logged] == [f"chmod 600 {link}"] * 3
    assert {line["log_level"] for line in logged} == {"warning"}


@contextmanager
def command(folder: Path, *flags: str) -> Iterator[tuple[Exporter, Path]]:
    """The command over a simulated fleet, and its configuration file: accounts `ours` of both providers."""
    with Server(create_app(FLEET, lambda: ORIGIN, keys=KEYS.values())) as server:
        file = configuration(folder, server.url)
        with exporter("--config.file", file, *flags) as process:
            yield process, file


def rewrite(file: Path, **changes: object) -> None:
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


def hang_up(process: Exporter, result: str) -> None:
    """SIGHUP, and the line that says what came of it."""
    before = process.log.count(result)
    process.signal(signal.SIGHUP)
    wait_until(lambda: process.log.count(result) > before, result)


def ask_to_reload(process: Exporter, method: str = "POST") -> requests.Response:
    return requests.request(method, f"{process.url}/-/reload", timeout=TIMEOUT)


def test_accounts_go_and_come_back_and_their_counters_go_on(tmp_path: Path) -> None:
    with command(tmp_path) as (process, file):
        whole = yaml.safe_load(file.read_text())["accounts"]
        both = Page(process.get())
        rewrite(file, accounts=whole[:1])
        hang_up(process, "configuration reloaded")
        one = Page(process.get())
        rewrite(file, accounts=[*whole, whole[1] | {"name": "third"}])
        hang_up(process, "configuration reloaded")
        three = Page(process.get())
    sent, counted = "exporter_api_requests_total", "sessions_started_total"
    assert not [name for name, labels in one.samples if ("provider", BROWSER_USE) in labels]
    assert one.sum(BROWSERBASE, sent) == both.sum(BROWSERBASE, sent) + 1
    for name in (sent, counted, "proxy_bytes_total", "exporter_errors_total"):
        assert three.sum(BROWSER_USE, name, account="ours") >= both.sum(BROWSER_USE, name), name
    assert three.sum(BROWSER_USE, sent, account="ours") > both.sum(BROWSER_USE, sent) > 0
    third = three.sum(BROWSER_USE, counted, account="third")
    assert third == three.sum(BROWSER_USE, counted, account="ours") > 0


def test_a_bad_file_is_refused_at_a_signal_and_the_old_one_stays_in_force(tmp_path: Path) -> None:
    with command(tmp_path) as (process, file):
        rewrite(file, accounts=[], scrape={"timeout": "-1s"})
        hang_up(process, "configuration not reloaded")
        page = Page(process.get())
        assert (page.samples[VALID, frozenset()], page.sum(BROWSERBASE, "up")) == (0, 1)
        configuration(tmp_path, "http://127.0.0.1:9")
        hang_up(process, "configuration reloaded")
        page = Page(process.get())
        assert (page.samples[VALID, frozenset()], page.sum(BROWSERBASE, "up")) == (1, 0)
    (line,) = [line for line in process.log.splitlines() if "not reloaded" in line]
    assert "scrape.timeout" in line
    assert "accounts: an empty list; allowed: " in line


def test_a_reload_over_http_names_the_faults_and_no_secret(tmp_path: Path) -> None:
    with command(tmp_path, "--web.enable-lifecycle") as (process, file):
        assert [ask_to_reload(process).status_code, ask_to_reload(process, "PUT").status_code] == [200, 200]
        misplaced = {"name": "a", "provider": "browserbase", "api_key_env": KEYS["BROWSERBASE_API_KEY"]}
        rewrite(file, accounts=[misplaced | {"base_url": "https://u:bb-secret@h", "api_key": "bb-secret"}])
        answer = ask_to_reload(process)
        assert answer.status_code == 500
        assert {line.split(": ")[2] for line in answer.text.splitlines()} == {
            "accounts[0].base_url",
            "accounts[0].api_key",
            "accounts[0].api_key_env",
        }
        assert "bb-secret" not in answer.text + process.log
        assert process.get().status_code == 200


def test_another_ledger_takes_a_restart(tmp_path: Path) -> None:
    with command(tmp_path, "--web.enable-lifecycle") as (process, file):
        rewrite(file, ledger={"url": f"sqlite:///{tmp_path}/other.db"})
        answer = ask_to_reload(process)
        page = Page(process.get())
    assert (answer.status_code, answer.text.count("\n")) == (500, 1)
    assert "ledger.url" in answer.text
    assert "restart" in answer.text
    assert page.sum(BROWSERBASE, "up") == 1
    assert not (tmp_path / "other.db").exists()


def test_a_reload_must_be_enabled_but_for_the_signal(tmp_path: Path) -> None:
    with command(tmp_path) as (process, _):
        assert ask_to_reload(process).status_code == 403
        hang_up(process, "configuration reloaded")


def test_without_a_file_a_reload_changes_nothing(tmp_path: Path) -> None:
    with Server(create_app(FLEET, lambda: ORIGIN, keys=KEYS.values())) as server:
        environ = {"HOME": str(tmp_path), "BROWSERBASE_API_KEY": KEYS["BROWSERBASE_API_KEY"]}
        with exporter(environ=environ | {"BROWSERBASE_BASE_URL": server.url}) as process:
            before = Page(process.get()).sum(BROWSERBASE, "sessions_started_total")
            hang_up(process, "configuration reloaded")
            after = Page(process.get())
    assert after.sum(BROWSERBASE, "sessions_started_total") == before > 0
    assert after.sum(BROWSERBASE, "up") == 1


def test_limits_and_prices_are_described_and_change_no_request() -> None:
    limited = replace(ONE, limits=Limits(open_sessions=3), options=Options(pricing=Pricing(120_000_000)))
    before, after = (wired(one) for one in (ONE, limited))
    assert before.fetch_key == after.fetch_key
    assert (before.description.limits, before.description.prices) == ({}, {})
    assert after.description.limits == {"open_sessions": 3}
    assert after.description.prices == {"hour": 0.12, "gb": 0}
