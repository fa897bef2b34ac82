"""Exemplars: what OpenMetrics shows, and what a real Prometheus stores of it, against the fleet's truth."""

import time
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.metrics.counters import DURATION_BUCKETS
from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.fleet import MINUTE, SECOND, SimulatedSession, session_at
from tests.support.expected_totals import PROVIDERS, Key, key, named
from tests.support.ledger_files import FLEET, TIMEOUT, course
from tests.support.processes import Exporter, Prometheus, exporter, prometheus, wait_until

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
ENDED, DURATION = "cloud_browser_sessions_ended_total", "cloud_browser_session_duration_seconds_bucket"
FEATURES = ("--enable-feature=exemplar-storage",)
FAILURES = ("error", "timed_out")


def last_sessions(now: int) -> dict[Key, SimulatedSession]:
    """The last session of each series that is to name one, by the fleet's truth."""
    found: dict[Key, SimulatedSession] = {}
    for provider in PROVIDERS:
        facts = SIMULATED[provider].facts
        for index in range(FLEET.listed(facts, FLEET.origin).start, FLEET.listed(facts, now).stop):
            one = session_at(FLEET, facts, index)
            place = {"provider": provider, "project": one.project, "region": one.region}
            names = [named("session_duration_seconds_bucket", **place, le=bucket(one))]
            if one.ending in FAILURES:
                names.append(named("sessions_ended_total", **place, status=one.ending))
            for name in names if one.ended <= now else ():
                if name not in found or found[name].ended < one.ended:
                    found[name] = one
    return found


def bucket(session: SimulatedSession) -> str:
    lasted = (session.ended - session.started) / SECOND
    return next((f"{bound}.0" for bound in DURATION_BUCKETS if lasted <= bound), "+Inf")


def shown(process: Exporter) -> dict[Key, Any]:
    """The exemplars of an OpenMetrics page, by series."""
    page = process.get(Accept=OPENMETRICS, X_Prometheus_Scrape_Timeout_Seconds=TIMEOUT).text
    return {
        named(sample.name.removeprefix("cloud_browser_"), **sample.labels): sample.exemplar
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call]  # the library's
        for sample in family.samples
        if sample.exemplar is not None
    }


def test_exemplars_are_the_last_sessions_that_failed_and_of_each_duration(tmp_path: Path) -> None:
    with course() as run:
        with exporter(*run.flags(tmp_path)) as process:
            for _ in range(4):
                expected, found = last_sessions(run.now), shown(process)
                assert {name: one.labels for name, one in found.items()} == {
                    name: {"session_id": one.id} for name, one in expected.items()
                }
                for name, exemplar in found.items():
                    assert float(exemplar.timestamp) == pytest.approx(expected[name].ended / SECOND, abs=1e-3)
                    ran = (expected[name].ended - expected[name].started) / SECOND
                    assert exemplar.value == (1 if "status" in dict(name) else pytest.approx(ran))
                run.step(11 * MINUTE)
            text = process.get()
        assert " # {" not in text.text
        assert {dict(name)["__name__"] for name in found} == {ENDED, DURATION}
        with exporter(*run.flags(tmp_path)) as process:
            again, expected = shown(process), last_sessions(run.now)
        # After a restart those are known whose rows the ledger holds; none is another than the last.
        assert again
        assert all(one.labels["session_id"] == expected[name].id for name, one in again.items())


def stored(monitor: Prometheus, query: str) -> dict[Key, list[dict[str, Any]]]:
    """What Prometheus's API of exemplars answers, by series."""
    begin = (FLEET.origin - FLEET.retention) / SECOND
    span = {"query": query, "start": f"{begin:.3f}", "end": f"{time.time() + 3600:.3f}"}
    answer = requests.get(f"{monitor.url}/api/v1/query_exemplars", span, timeout=60).json()
    assert answer["status"] == "success", answer
    return {key(one["seriesLabels"]): one["exemplars"] for one in answer["data"]}


@pytest.mark.slow
def test_prometheus_stores_the_exemplars_that_it_scrapes(tmp_path: Path) -> None:
    with (
        course() as run,
        exporter(*run.flags(tmp_path)) as process,
        prometheus(process.port, tmp_path, interval="2s", flags=FEATURES) as monitor,
    ):
        for _ in range(2):
            run.step(11 * MINUTE)
            expected = last_sessions(run.now)

            def is_stored(expected: dict[Key, SimulatedSession] = expected) -> bool:
                found = stored(monitor, ENDED) | stored(monitor, DURATION)
                return {name: some[-1]["labels"] for name, some in found.items()} == {
                    name: {"session_id": one.id} for name, one in expected.items()
                }

            wait_until(is_stored, "the exemplars of the last scrape")
        for name, some in stored(monitor, DURATION).items():
            assert [one["timestamp"] for one in some] == sorted(one["timestamp"] for one in some), name
            assert {*some[-1]} == {"labels", "value", "timestamp"}
        assert "out-of-order exemplar" not in monitor.log
