"""`make stack`: everything comes up, knows the others, and leaves together."""

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.processes import PATIENCE, program, until

STACK = Path(__file__).parents[2] / "deploy" / "stack.py"
PORTS = 3000, 9090, 9093, 10925, 10926


def in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def asked(url: str) -> Any:
    return requests.get(url, timeout=PATIENCE).json()


def test_all_come_up_and_all_leave() -> None:
    program("prometheus", "prometheus")
    program("prometheus-alertmanager", "prometheus-alertmanager")
    if any(map(in_use, PORTS)):
        pytest.skip("one of its ports is taken, most likely by `make stack` itself")
    with subprocess.Popen([sys.executable, STACK], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            until(lambda: "Alertmanager " in process.stdout.readline(), "the addresses")  # type: ignore[union-attr]  # it is a pipe, as asserted
            targets = until(lambda: healthy("http://localhost:9090/api/v1/targets"), "a first scrape")
            assert [one["labels"]["job"] for one in targets] == ["cloud-browser-exporter"]
            policy = asked("http://localhost:9090/api/v1/policy")["data"]["groups"]
            assert {group["name"] for group in policy} >= {"cloud-browser-thresholds", "cloud-browser-sums"}
            managers = asked("http://localhost:9090/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
            assert [one["url"] for one in managers] == ["http://localhost:9093/api/v2/alerts"]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert not any(map(in_use, PORTS))


def healthy(url: str) -> list[dict[str, Any]]:
    """Prometheus's targets, once all of them have been scraped."""
    targets: list[dict[str, Any]] = asked(url)["data"]["activeTargets"]
    return targets if all(one["health"] == "up" for one in targets) else []
