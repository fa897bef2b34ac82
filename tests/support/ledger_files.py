"""Exporters on a ledger, a fleet whose clock stands between scrapes, and what a page of theirs shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import HOUR, MINUTE, SECOND, Fleet
from exporter.simulator.server import Server, create_app
from tests.support.expected_totals import COUNTERS, PROVIDERS, Key, expected, key, named, nonzero
from tests.support.processes import Exporter, configuration

FLEET = Fleet(
    origin=1_767_225_600 * SECOND + 123_456,
    rate=240,
    history=60,
    retention=3 * HOUR,
    longest=30 * MINUTE,
    error_ratio=0.1,
    timeout_ratio=0.1,
)
STEP = 90 * SECOND
TIMEOUT = "10"  # seconds, as Prometheus names it


class Course:
    """The fleet's time, and exporters' configurations for it."""

    def __init__(self, url: str = "") -> None:
        self.now, self.url = FLEET.origin, url
        self._lock = Lock()

    def step(self, by: int = STEP) -> None:
        """Let time pass."""
        with self._lock:
            self.now += by

    def counters(self) -> dict[Key, float]:
        """What the counters must show now, but for zeros."""
        return expected(FLEET, self.now)

    def gauges(self) -> dict[Key, float]:
        """How many sessions must be shown as listed now, but for zeros."""
        return nonzero(
            {
                named(
                    "sessions", provider=provider, project=one.project, region=one.region, status=status
                ): count
                for provider in PROVIDERS
                for one in expected_totals(FLEET, SIMULATED[provider].facts, self.now)
                for status, count in one.listed.items()
            }
        )

    def flags(
        self, folder: Path, ledger: Path | None = None, account: str = "ours", url: str = ""
    ) -> tuple[str, str]:
        """For an exporter whose configuration is in this folder, and its ledger if it has no other URL."""
        path = configuration(folder, self.url, url=url or f"sqlite:///{ledger or folder / 'ledger.db'}")
        own = folder / f"{account}.yml"
        own.write_text(path.read_text().replace("ours", account))
        return "--config.file", str(own)


@contextmanager
def course() -> Iterator[Course]:
    """A simulator at whose clock the test stands."""
    made = Course()
    with Server(create_app(FLEET, lambda: made.now)) as server:
        made.url = server.url
        yield made


class Page(msgspec.Struct, frozen=True):
    """What a scrape showed. counters, gauges: but for zeros. errors: by reason, of both accounts together."""

    counters: dict[Key, float]
    gauges: dict[Key, float]
    up: float
    errors: dict[str, float]
    write_errors: float


def scraped(process: Exporter, account: str = "ours") -> Page:
    """The page of a scrape; the account's name is shown as `ours`."""
    answer = process.get(X_Prometheus_Scrape_Timeout_Seconds=TIMEOUT)
    assert answer.status_code == 200, answer.text
    found: dict[Key, float] = {}
    errors: dict[str, float] = {}
    families = text_string_to_metric_families(answer.text.replace(f'account="{account}"', 'account="ours"'))
    for one in (one for family in families for one in family.samples):
        found[key({"__name__": one.name, **one.labels})] = one.value
        if one.name == "cloud_browser_exporter_errors_total" and one.value:
            errors[one.labels["reason"]] = errors.get(one.labels["reason"], 0) + one.value
    names = {name: dict(name)["__name__"] for name in found}
    return Page(
        nonzero({name: value for name, value in found.items() if names[name] in COUNTERS}),
        nonzero({name: value for name, value in found.items() if names[name] == "cloud_browser_sessions"}),
        sum(value for name, value in found.items() if names[name] == "cloud_browser_up"),
        errors,
        found[key({"__name__": "cloud_browser_exporter_ledger_write_errors_total"})],
    )
