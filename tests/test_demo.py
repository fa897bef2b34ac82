"""The commands that bring a simulator: what they serve, and how they end."""

import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import requests

from exporter.demo import PRICES, accounts_of
from exporter.providers import PROVIDERS
from exporter.providers.base import pricing_of
from exporter.simulator import PROVIDERS as SIMULATED
from tests.support.processes import COMMAND, LOCAL, TIMEOUT, Process
from tests.support.toy_provider import TOY

KEYS = {provider.key_header: "any" for provider in SIMULATED.values()}


@contextmanager
def simulate(*flags: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The running command, and the URLs that it prints."""
    line = str(COMMAND), "simulate", "--listen-address", f"{LOCAL}:0", *flags
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(len(SIMULATED) + 1)]
            yield process, dict(re.split(r": +", line.strip()) for line in lines)
        finally:
            process.kill()


def rows(url: str) -> list[dict[str, Any]]:
    page = requests.get(f"{url}/browsers?pageSize=100", headers=KEYS, timeout=60)
    found: list[dict[str, Any]] = page.json()["items"]
    return found


def billed_minutes(row: dict[str, Any]) -> int:
    """At two cents an hour."""
    return round(Decimal(row["browserCost"]) * 3000)


def minutes(row: dict[str, Any]) -> int:
    """The whole period of a session."""
    period = datetime.fromisoformat(row["timeoutAt"]) - datetime.fromisoformat(row["startedAt"])
    return -int(-period.total_seconds() // 60)


def test_simulate_prints_where_everything_is() -> None:
    with simulate("--history", "7", "--rate", "1") as (_, urls):
        for title, path in (("Browserbase", "/v1/sessions"), ("Browser Use", "/browsers")):
            assert requests.get(urls[title] + path, headers=KEYS, timeout=60).status_code == 200
        assert set(requests.get(urls["Expected totals"], timeout=60).json()) == {"time", *SIMULATED}


def test_upfront_open_browsers_cost_their_whole_period() -> None:
    flags = "--rate", "600", "--seed", "7"
    with simulate(*flags, "--billing", "upfront") as (_, urls):
        upfront = [row for row in rows(urls["Browser Use"]) if row["status"] == "active"]
    with simulate(*flags) as (_, urls):
        metered = [row for row in rows(urls["Browser Use"]) if row["status"] == "active"]
    assert len(upfront) > 10
    assert all(billed_minutes(row) == minutes(row) for row in upfront)
    assert any(billed_minutes(row) < minutes(row) for row in metered)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_simulate_ends_within_ten_seconds_whoever_is_waiting(number: signal.Signals) -> None:
    statuses: list[int] = []
    with simulate("--fault", "slow:1") as (process, urls):
        ask = threading.Thread(target=lambda: statuses.append(slow_answer(urls["Browserbase"])))
        with requests.Session() as idle:
            assert idle.get(urls["Expected totals"], timeout=60).status_code == 200
            ask.start()
            process.send_signal(number)
            assert process.wait(10) == 0
    ask.join(TIMEOUT)
    assert statuses in ([200], [0])


def slow_answer(url: str) -> int:
    try:
        return requests.get(f"{url}/v1/sessions", headers=KEYS, timeout=60).status_code
    except requests.ConnectionError:  # it had not been accepted yet
        return 0


def test_an_address_in_use_ends_simulate_and_is_named() -> None:
    with simulate() as (_, urls):
        address = urls["Browserbase"].removeprefix("http://")
        line = COMMAND, "simulate", "--listen-address", address
        ended = subprocess.run(line, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False)
    assert ended.returncode == 1
    reason = f"cannot listen on {address}: Address already in use; see --listen-address"
    assert ended.stderr == f"cloud-browser-exporter: {reason}\n"


def test_the_demo_has_an_account_of_every_registered_provider_that_is_simulated() -> None:
    accounts = accounts_of("http://simulator", {**PROVIDERS, TOY.name: TOY})
    assert {account.provider: account.base_url for account in accounts} == {
        "browserbase": "http://simulator",
        "browser_use": "http://simulator/api/v3",
    }
    assert {account.metadata_labels for account in accounts} == {(("team", "team"),)}
    assert {account.provider: pricing_of(account.options) for account in accounts} == {
        "browserbase": PRICES,
        "browser_use": None,
    }


def demo(*addresses: str) -> Process:
    listen = [f"--web.listen-address={address}" for address in addresses]
    return Process(COMMAND, "demo", f"--listen-address={LOCAL}:0", *listen, capture="stdout", grace=TIMEOUT)


def test_the_demo_names_each_address_and_is_served_there_when_it_says_so() -> None:
    with demo(f"{LOCAL}:0", ":0") as process:
        urls = process.wait_for_log(
            r"metrics +(http://127\.0\.0\.1:\d+/metrics)  (http://localhost:\d+/metrics)\n"
        )
        for url in urls.groups():
            assert requests.get(url, timeout=TIMEOUT).status_code == 200


def test_a_demo_that_cannot_listen_welcomes_nobody() -> None:
    with demo("192.0.2.1:1") as process:
        assert process.wait() == 1
    assert process.log == ""


def test_the_demo_prints_where_the_page_and_the_metrics_are() -> None:
    flags = "--web.listen-address", f"{LOCAL}:0", "--listen-address", f"{LOCAL}:0", "--history", "7"
    with subprocess.Popen((str(COMMAND), "demo", *flags), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            urls = dict(line.split() for line in lines if "://" in line)
            assert "cloud_browser_up" in requests.get(urls["metrics"], timeout=60).text
            assert "All is well" in requests.get(urls["page"], timeout=60).text
        finally:
            process.kill()
