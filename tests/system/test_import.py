"""A first import through the installed command: complete, exact, in time, at the provider's rate, resumed."""

import signal
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import MINUTE, SECOND, Fleet
from exporter.simulator.server import Server, create_app
from tests.support.pages import Page
from tests.support.processes import Exporter, exporter, wait_until
from tests.support.slow_api import Request, SlowApi
from tests.support.stepped_clock import Clock

ORIGIN = 1_767_225_600 * SECOND
KEY = {"BROWSER_USE_API_KEY": "bu-secret-key"}
BROWSER_USE = "browser_use"
FACTS = SIMULATED[BROWSER_USE].facts
TIMEOUT = 2.0  # seconds, of a scrape
NAMES = "started", "ended", "time", "duration", "proxy_bytes", "browser_cost", "proxy_cost"
NANO = 10**9
MOST_IN_HAND = 12 + 16  # pages read and not recorded, and those requested ahead


def config(folder: Path, server: Server) -> Path:
    account = {
        "name": "ours",
        "provider": BROWSER_USE,
        "api_key_env": "BROWSER_USE_API_KEY",
        "collectors": ["sessions"],
        "base_url": f"{server.url}/api/v3",
    }
    document: Mapping[str, Any] = {
        "accounts": [account],
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
    }
    path = folder / "exporter.yml"
    path.write_text(yaml.safe_dump(document))
    return path


@contextmanager
def slow(fleet: Fleet, clock: Callable[[], int], seconds: float = 0) -> Iterator[tuple[Server, SlowApi]]:
    api = SlowApi(create_app(fleet, clock), seconds)
    with Server(api.answer) as server:
        yield server, api


def scrape(process: Exporter) -> tuple[Page, float]:
    """What a scrape shows, and how long it took."""
    begun = time.monotonic()
    page = Page(process.get(X_Prometheus_Scrape_Timeout_Seconds=str(TIMEOUT)))
    return page, time.monotonic() - begun


def scrapes(process: Exporter, most: int) -> Iterator[Page]:
    """One a second, each in time, until the import is complete; so many at most."""
    for _ in range(most):
        page, seconds = scrape(process)
        assert seconds < TIMEOUT
        assert page.sum(BROWSER_USE, "up") == 1, process.log
        yield page
        if page.sum(BROWSER_USE, "history_complete"):
            return
        assert page.sum(BROWSER_USE, "history_remaining_sessions") > 0
        assert not page.of(BROWSER_USE, "sessions_started_total"), "partial counters"
        time.sleep(max(0.0, 1 - seconds))
    pytest.fail(f"the import was not complete after {most} scrapes")


def shown(page: Page) -> dict[str, float]:
    ended = sum(page.of(BROWSER_USE, "sessions_ended_total").values())
    figures = (
        page.sum(BROWSER_USE, "sessions_started_total"),
        ended,
        page.sum(BROWSER_USE, "session_seconds_total"),
        page.sum(BROWSER_USE, "session_duration_seconds_sum"),
        page.sum(BROWSER_USE, "proxy_bytes_total"),
        page.sum(BROWSER_USE, "cost_usd_total", kind="browser"),
        page.sum(BROWSER_USE, "cost_usd_total", kind="proxy"),
    )
    return dict(zip(NAMES, figures, strict=True))


def truth(fleet: Fleet, t: int) -> dict[str, float]:
    (totals,) = expected_totals(fleet, FACTS, t, begun=fleet.origin)
    figures = (
        totals.started,
        totals.ended.total(),
        totals.time / SECOND,
        totals.duration / SECOND,
        totals.proxy_bytes,
        totals.browser_cost / NANO,
        totals.proxy_cost / NANO,
    )
    return dict(zip(NAMES, figures, strict=True))


def most_in_a_second(requests: list[Request]) -> int:
    """The most requests that came in any second."""
    times = sorted(request.at for request in requests)
    return max(bisect_left(times, at + 1) - place for place, at in enumerate(times))


@pytest.mark.slow
def test_a_slow_provider_whose_pages_shift_is_imported_within_fifteen_scrapes(tmp_path: Path) -> None:
    """A session begins in each second of the import, and another ends; then the clock stands still."""
    fleet = Fleet(origin=ORIGIN, history=6000, rate=60)
    clock = Clock(ORIGIN, ORIGIN + 20 * MINUTE)
    with (
        slow(fleet, clock, 0.4) as (server, api),
        exporter("--config.file", config(tmp_path, server), environ=KEY) as process,
    ):
        clock.run()
        assert len(list(scrapes(process, 15))) > 2
        clock.pass_by(ORIGIN + 20 * MINUTE)
        last, _ = scrape(process)
    assert shown(last) == pytest.approx(truth(fleet, clock()), rel=1e-12)
    assert api.most_at_once == 4


@pytest.mark.slow
def test_an_import_goes_at_the_providers_rate_and_ends_in_order_at_sigterm(tmp_path: Path) -> None:
    fleet = Fleet(origin=ORIGIN, history=20_000, rate=60)
    with slow(fleet, lambda: ORIGIN) as (server, api):
        flags = "--config.file", config(tmp_path, server)
        with exporter(*flags, environ=KEY) as process:
            wait_until(
                lambda: scrape(process)[0].sum(BROWSER_USE, "history_remaining_sessions") < 15_000, "pages"
            )
            begun = time.monotonic()
            process.signal(signal.SIGTERM)
            assert process.wait() == 0, process.log
            assert time.monotonic() - begun < 4
        before = len(api.requests)
        with exporter(*flags, environ=KEY) as process:
            *_, last = scrapes(process, 30)
    assert shown(last) == pytest.approx(truth(fleet, ORIGIN), rel=1e-12)
    for requests_of_one in (api.requests[:before], api.requests[before:]):
        assert 15 < most_in_a_second(requests_of_one) <= 25


@pytest.mark.slow
def test_an_import_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """At most the pages in hand are requested again, and each session counts once."""
    fleet = Fleet(origin=ORIGIN, history=20_000, rate=60)
    with slow(fleet, lambda: ORIGIN, 0.02) as (server, api):
        flags = "--config.file", config(tmp_path, server)
        with exporter(*flags, environ=KEY) as process:
            scrape(process)
            wait_until(lambda: len(api.pages()) > 80, "pages")
            process.kill()
        before = len(api.pages())
        with exporter(*flags, environ=KEY) as process:
            *_, last = scrapes(process, 30)
    assert shown(last) == pytest.approx(truth(fleet, ORIGIN), rel=1e-12)
    assert len(api.pages()) - before < 20_000 / 90 - before + MOST_IN_HAND
