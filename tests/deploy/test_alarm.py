"""From a provider's wave of errors to a message at somebody's door, and to the one that it is over.

Simulator, exporter, Prometheus with the shipped policy, Alertmanager and a webhook are real. Only the
minutes of the policy are made shorter: a second for three of them.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from exporter.simulator.fleet import MINUTE, SECOND, Fleet, Wave
from exporter.simulator.server import Server, create_app, scaled_clock
from tests.support.processes import LOCAL, Process, configuration, exporter, program, until

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "policy" / "cloud-browser.yml"
SHORTER = 180
SPEED = 60  # of the fleet's clock: a second for a minute
CALM, WAVE = 20, 25  # seconds
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
ORIGIN = 1_767_225_600 * SECOND


def fleet() -> Fleet:
    """Sixty sessions a second of ours end; for a while most of them in errors, then in timeouts."""
    errors = Wave("error", 0.8, CALM * SPEED * SECOND, (CALM + WAVE) * SPEED * SECOND)
    timeouts = Wave("timed_out", 0.8, errors.end, errors.end + WAVE * SPEED * SECOND)
    return Fleet(
        origin=ORIGIN,
        rate=3600,
        history=200,
        retention=15 * MINUTE,
        longest=2 * MINUTE,
        error_ratio=0.01,
        timeout_ratio=0.01,
        waves=(errors, timeouts),
    )


def in_seconds(policy: str) -> dict[str, Any]:
    """The policy with every duration made shorter."""

    def shorter(found: re.Match[str]) -> str:
        return f"{int(found[1]) * UNITS[found[2]] * 1000 // SHORTER}ms"

    document: dict[str, Any] = yaml.safe_load(policy)
    for group in document["groups"]:
        group["interval"] = "500ms"
        for rule in group["policy"]:
            rule["expr"] = re.sub(r"(?<=[\[:])(\d+)([mhdw])(?=[\]:])", shorter, rule["expr"])
            rule["expr"] = re.sub(r"(?<=offset )(\d+)([mhdw])\b", shorter, rule["expr"])
            if "for" in rule:
                rule["for"] = re.sub(r"(\d+)([mhdw])", shorter, rule["for"])
    return document


class Door:
    """Where Alertmanager's messages arrive; every alert in them is kept."""

    def __init__(self) -> None:
        self._alerts: list[dict[str, Any]] = []
        arrived = self._alerts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                arrived.extend(msgspec.json.decode(body)["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the messages are what counts."""

        self._server = ThreadingHTTPServer((LOCAL, 0), Handler)

    @contextmanager
    def open(self) -> Iterator[str]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield f"http://{LOCAL}:{self._server.server_port}/"
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def alert(self, status: str, **labels: str) -> dict[str, Any]:
        """The first alert with this status and labels; waited for."""

        def found() -> dict[str, Any] | None:
            alike = (one for one in self._alerts if labels.items() <= one["labels"].items())
            return next((one for one in alike if one["status"] == status), None)

        return until(found, f"a message that {labels} is {status}")


@contextmanager
def alertmanager(folder: Path, webhook: str) -> Iterator[str]:
    """An Alertmanager that tells a webhook at once; its address."""
    route = {"receiver": "door", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    receiver = {"name": "door", "webhook_configs": [{"url": webhook, "send_resolved": True}]}
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump({"route": route, "receivers": [receiver]}))
    with Process(
        program("prometheus-alertmanager", "prometheus-alertmanager"),
        f"--config.file={path}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={LOCAL}:0",
        "--cluster.listen-address=",
    ) as process:
        yield process.says(r'msg="Listening on" address=([0-9.:]+)')[1]


@contextmanager
def monitor(folder: Path, port: int, manager: str) -> Iterator[None]:
    """A Prometheus with the policy."""
    policy, path = folder / "policy.yml", folder / "prometheus.yml"
    policy.write_text(yaml.safe_dump(in_seconds(RULES.read_text())))
    document = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
        "rule_files": [str(policy)],
        "scrape_configs": [
            {"job_name": "cloud-browser-exporter", "static_configs": [{"targets": [f"{LOCAL}:{port}"]}]}
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
    }
    path.write_text(yaml.safe_dump(document))
    with Process(
        program("prometheus", "prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={LOCAL}:0",
        "--policy.alert.resend-delay=1s",
    ) as process:
        process.says('msg="Server is ready to receive web requests."')
        yield


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder, made = tmp_path_factory.mktemp("alarm"), Door()
    with ExitStack() as stack:
        webhook = stack.enter_context(made.open())
        manager = stack.enter_context(alertmanager(folder, webhook))
        app = create_app(fleet(), scaled_clock(ORIGIN, SPEED))
        simulator = stack.enter_context(Server(app))
        flags = "--config.file", configuration(folder, simulator.url)
        target = stack.enter_context(exporter(*flags))
        stack.enter_context(monitor(folder, target.port, manager))
        yield made


@pytest.mark.parametrize(
    ("name", "severity"),
    [("CloudBrowserErrorRatioHigh", "critical"), ("CloudBrowserTimeoutRatioHigh", "warning")],
)
def test_a_wave_is_told_of_and_so_is_its_end(door: Door, name: str, severity: str) -> None:
    alert = door.alert("firing", alertname=name)
    labels, annotations = alert["labels"], alert["annotations"]
    assert labels["provider"] in ("browserbase", "browser_use")
    assert (labels["account"], labels["severity"]) == ("ours", severity)
    assert f"account ours, {labels['region']}" in annotations["summary"]
    assert re.match(r"\d+(\.\d+)?% of sessions (fail|time out): ", annotations["summary"])
    assert "<no value>" not in "".join(annotations.values())
    assert annotations["runbook"] == f"docs/runbooks.md#{name.lower()}"
    assert door.alert("resolved", **labels)["endsAt"] > alert["startsAt"]
