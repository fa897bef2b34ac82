"""`make stack`: every part comes up, knows the others, and all end together."""

import re
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.support.processes import TIMEOUT, Process, program, run, wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STACK = sys.executable, "-m", "deploy.stack"


def in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def answer(url: str) -> Any:
    response = requests.get(url, timeout=TIMEOUT)
    response.raise_for_status()
    return response.json()


def test_all_parts_come_up_and_all_end() -> None:
    program("prometheus", "prometheus")
    program("prometheus-alertmanager", "prometheus-alertmanager")
    environ = {"PYTHONPATH": str(ROOT)}
    with Process(
        *STACK, "--ports", "free", "--history", "1", environ=environ, capture="stdout", grace=TIMEOUT
    ) as stack:
        stack.wait_for_log("leaves no files behind")
        pages = dict(re.findall(r"^  (\w+) +(http://localhost:\d+)", stack.log, re.MULTILINE))
        assert pages.keys() >= {"exporter", "production", "staging", "Prometheus", "Alertmanager"}
        api = f"{pages['Prometheus']}/api/v1"
        targets = wait_until(lambda: scraped(f"{api}/targets"), "a first scrape")
        assert [one["labels"]["job"] for one in targets] == ["cloud-browser-exporter"]
        groups = answer(f"{api}/rules")["data"]["groups"]
        assert {group["name"] for group in groups} >= {"cloud-browser-limits", "cloud-browser-providers"}
        managers = wait_until(lambda: active(f"{api}/alertmanagers"), "Alertmanager to be discovered")
        assert [one["url"] for one in managers] == [f"{pages['Alertmanager']}/api/v2/alerts"]
        wait_until(lambda: hours_of_history(api) > 12, "history")
        wait_until(lambda: youngest(api) > 0, "counters of all accounts")
        stack.signal(signal.SIGINT)
        assert stack.wait() == 0
    assert not [page for page in pages.values() if in_use(int(page.rpartition(":")[2]))]


def scraped(url: str) -> list[dict[str, Any]]:
    """Prometheus's targets, once all of them have been scraped."""
    targets: list[dict[str, Any]] = answer(url)["data"]["activeTargets"]
    return targets if all(one["health"] == "up" for one in targets) else []


def hours_of_history(api: str) -> float:
    """How many hours of spending Prometheus knows, of a time before it was there."""
    query = 'max(count_over_time(cloud_browser_cost_usd_total{account="production"}[1d:1h]))'
    found = answer(f"{api}/query?query={quote(query)}")["data"]["result"]
    return float(found[0]["value"][1]) if found else 0


def youngest(api: str) -> float:
    """The least age of the accounts' oldest open sessions, in seconds: nothing is begun in the future."""
    metric = "cloud_browser_oldest_open_session_start_timestamp_seconds"
    query = f"min(time() - min by (provider, account) ({metric}))"
    found = answer(f"{api}/query?query={quote(query)}")["data"]["result"]
    return float(found[0]["value"][1]) if found else 0


def active(url: str) -> list[dict[str, Any]]:
    managers: list[dict[str, Any]] = answer(url)["data"]["activeAlertmanagers"]
    return managers


def test_a_port_that_is_taken_is_named() -> None:
    program("prometheus", "prometheus")
    program("prometheus-alertmanager", "prometheus-alertmanager")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody else holds it, which is as good
            taken.bind(("localhost", 10925))
            taken.listen()
        code, _, errors = run(*STACK, environ={"PYTHONPATH": str(ROOT)})
    assert code == 1
    assert re.search(r"^make stack: port \d+ is taken", errors, re.MULTILINE)
