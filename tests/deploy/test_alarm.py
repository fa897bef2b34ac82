"""From a provider's wave of errors to Alertmanager's notification, and to the one that it is resolved.

Simulator, exporter, Prometheus with the shipped rules, Alertmanager and a webhook are real. Only the
minutes of the rules are made shorter: a second for three of them.
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
from exporter.simulator.server import Server, create_app
from tests.support.processes import LOCAL, alertmanager, configuration, exporter, prometheus, wait_until
from tests.support.stepped_clock import SPEED, Clock, good_scrapes

pytestmark = pytest.mark.slow

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules" / "cloud-browser.yml"
SHORTER = 180
CALM, WAVE = 20, 25  # seconds; SPEED makes minutes of them
LAST = (CALM + 6 * WAVE) * SPEED * SECOND
WAIT = 150.0  # seconds for all of that
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


def in_seconds(rules: str) -> dict[str, Any]:
    """The rules with every duration made shorter."""

    def shorter(found: re.Match[str]) -> str:
        return f"{int(found[1]) * UNITS[found[2]] * 1000 // SHORTER}ms"

    document: dict[str, Any] = yaml.safe_load(rules)
    for group in document["groups"]:
        group["interval"] = "500ms"
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"(?<=[\[:])(\d+)([mhdw])(?=[\]:])", shorter, rule["expr"])
            rule["expr"] = re.sub(r"(?<=offset )(\d+)([mhdw])\b", shorter, rule["expr"])
            if "for" in rule:
                rule["for"] = re.sub(r"(\d+)([mhdw])", shorter, rule["for"])
    return document


class Webhook:
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

    def alert(self, status: str, /, **labels: str) -> dict[str, Any]:
        """The first alert with this status and labels; waited for."""

        def found() -> dict[str, Any] | None:
            alike = (one for one in self._alerts if labels.items() <= one["labels"].items())
            return next((one for one in alike if one["status"] == status), None)

        return wait_until(found, f"a message that {labels} is {status}", WAIT)


@pytest.fixture(scope="module")
def webhook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """A course of calm, errors and timeouts, which begins once everything is up."""
    folder, made = tmp_path_factory.mktemp("alarm"), Webhook()
    rules, clock = folder / "rules.yml", Clock(ORIGIN, ORIGIN + LAST)
    rules.write_text(yaml.safe_dump(in_seconds(RULES.read_text())))
    with ExitStack() as stack:
        manager = stack.enter_context(alertmanager(folder, stack.enter_context(made.open())))
        simulator = stack.enter_context(Server(create_app(fleet(), clock)))
        target = stack.enter_context(exporter("--config.file", configuration(folder, simulator.url)))
        monitor = stack.enter_context(
            prometheus(
                target.port,
                folder,
                {"cloud-browser-exporter": {}},
                interval="500ms",
                flags=("--rules.alert.resend-delay=1s",),
                rule_files=[str(rules)],
                alerting={"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
            )
        )
        wait_until(lambda: good_scrapes(monitor), "a first scrape")
        clock.run()
        yield made


@pytest.mark.parametrize(
    ("name", "severity"),
    [("CloudBrowserErrorRatioHigh", "critical"), ("CloudBrowserTimeoutRatioHigh", "warning")],
)
def test_a_wave_is_told_of_and_so_is_its_end(webhook: Webhook, name: str, severity: str) -> None:
    alert = webhook.alert("firing", alertname=name)
    labels, annotations = alert["labels"], alert["annotations"]
    assert labels["provider"] in ("browserbase", "browser_use")
    assert (labels["account"], labels["severity"]) == ("ours", severity)
    assert annotations["summary"].endswith("account ours")
    assert re.search(r"By region: [\w-]+ \d+;", annotations["description"])
    assert re.match(r"\d+(\.\d+)?% of sessions (fail|time out): ", annotations["summary"])
    assert "<no value>" not in "".join(annotations.values())
    assert annotations["runbook_url"].endswith(f"/docs/runbooks/#{name.lower()}")
    assert annotations["dashboard_url"].endswith(f"?var-provider={labels['provider']}&var-account=ours")
    assert webhook.alert("resolved", **labels)["endsAt"] > alert["startsAt"]
