"""The whole way: a simulated fleet, the installed command, a real Prometheus, and the answers of PromQL.

Twenty minutes of the fleet's life pass in twenty seconds, while the exporter is killed once and told to
end once. What Prometheus then holds is compared with the truth that the simulator tells.
"""

import time
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import MINUTE, SECOND, Fleet
from exporter.simulator.server import Server, create_app
from tests.support.expected_totals import COUNTERS, PROVIDERS, Key, expected, key, named, nonzero
from tests.support.processes import (
    Exporter,
    Prometheus,
    configuration,
    exporter,
    program,
    prometheus,
    run,
    wait_until,
)
from tests.support.stepped_clock import WINDOW, Clock, Samples, extrapolated, good_scrapes, samples

ORIGIN = 1_767_225_600 * SECOND + 123_456
# Every session leaves the list an hour after its creation, and has long settled then; some do so here.
FLEET = Fleet(
    origin=ORIGIN,
    rate=300,
    history=400,
    retention=60 * MINUTE,
    longest=30 * MINUTE,
    error_ratio=0.1,
    timeout_ratio=0.1,
)
KILLED, TOLD_TO_END, LAST = ORIGIN + 7 * MINUTE, ORIGIN + 14 * MINUTE, ORIGIN + 20 * MINUTE

pytestmark = pytest.mark.slow


class Course(msgspec.Struct, frozen=True):
    """Who is still there, and what happened: the times of the two ends, and of the last scrape."""

    exporter: Exporter
    prometheus: Prometheus
    ends: tuple[float, float]
    last: float


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Twenty minutes, with two ends of the exporter; it and Prometheus are still there to be asked."""
    folder, clock = tmp_path_factory.mktemp("course"), Clock(ORIGIN, LAST)
    with Server(create_app(FLEET, clock)) as simulator:
        flags = "--config.file", configuration(folder, simulator.url)
        with exporter(*flags) as first, prometheus(first.port, folder) as monitor:
            wait_until(lambda: good_scrapes(monitor), "a first scrape")
            clock.run()
            clock.pass_by(KILLED)
            killed = time.time()
            first.kill()
            with exporter(*flags, port=first.port):
                clock.pass_by(TOLD_TO_END)
                wait_until(lambda: good_scrapes(monitor, killed), "a scrape after the kill")
                told = time.time()
            with exporter(*flags, port=first.port) as third:
                clock.pass_by(LAST)
                stood = time.time()
                # The first of them may share what was asked before the clock stood still.
                wait_until(lambda: len(good_scrapes(monitor, stood)) >= 2, "scrapes of the end")
                yield Course(third, monitor, (killed, told), max(good_scrapes(monitor, stood)))


def counters(course: Course) -> dict[Key, Samples]:
    """The samples of all counters of sessions."""
    return samples(course.prometheus, f'{{__name__=~"{"|".join(COUNTERS)}"}}', course.last)


def by_provider(course: Course, expression: str) -> dict[str, float]:
    result = course.prometheus.query(f"sum by (provider) ({expression})", course.last)
    return {one["metric"]["provider"]: float(one["value"][1]) for one in result}


def test_the_counters_start_and_end_with_the_truth(course: Course) -> None:
    scraped = counters(course)
    assert nonzero({name: series[0][1] for name, series in scraped.items()}) == expected(FLEET, ORIGIN)
    assert nonzero({name: series[-1][1] for name, series in scraped.items()}) == expected(FLEET, LAST)
    assert {series[-1][0] for series in scraped.values()} == {course.last}


def test_no_counter_ever_falls(course: Course) -> None:
    for name, series in counters(course).items():
        values = [value for _, value in series]
        assert values == sorted(values), name
    for counter in COUNTERS:
        resets = course.prometheus.query(f"resets({counter}[{WINDOW}])", course.last)
        assert {one["value"][1] for one in resets} == {"0"}, counter


@pytest.mark.parametrize("counter", COUNTERS)
def test_increase_tells_what_has_happened(course: Course, counter: str) -> None:
    """Exactly, of first and last sample; and by `increase`, but for what it extrapolates."""
    rises: Counter[str] = Counter()
    for sign, values in ((1, expected(FLEET, LAST)), (-1, expected(FLEET, ORIGIN))):
        for labels, value in ((dict(name), value) for name, value in values.items()):
            if labels["__name__"] == counter:
                rises[labels["provider"]] += sign * value  # type: ignore[assignment]
    exact = f"max_over_time({counter}[{WINDOW}]) - min_over_time({counter}[{WINDOW}])"
    assert by_provider(course, exact) == pytest.approx(rises, rel=1e-9)
    more = 1 + extrapolated(course.prometheus, course.last)
    for provider, increase in by_provider(course, f"increase({counter}[{WINDOW}])").items():
        assert 0.999 * rises[provider] <= increase <= 1.001 * more * rises[provider]


def test_sessions_by_status_and_region_are_those_listed(course: Course) -> None:
    shown = course.prometheus.query("cloud_browser_sessions", course.last)
    assert nonzero({key(one["metric"]): float(one["value"][1]) for one in shown}) == {
        named("sessions", provider=provider, project=total.project, region=total.region, status=status): count
        for provider in PROVIDERS
        for total in expected_totals(FLEET, SIMULATED[provider].facts, LAST)
        for status, count in total.listed.items()
    }


def test_both_providers_were_read_before_between_and_after_the_ends(course: Course) -> None:
    good, (killed, told) = good_scrapes(course.prometheus), course.ends
    assert min(good) < killed < told < max(good)
    assert any(killed < at < told for at in good)


def test_promtool_has_no_complaint_of_the_text(course: Course) -> None:
    promtool = program("promtool", "prometheus")
    page = course.exporter.get().text
    assert run(promtool, "check", "metrics", given=page) == (0, "", "")


def test_promtool_has_no_complaint_of_openmetrics(course: Course) -> None:
    """But one: it takes it for the text format, where a counter's help is that of its name with `_total`.

    That has no gauge histograms and no exemplars, so it is not shown them; Prometheus itself takes them in.
    """
    promtool = program("promtool", "prometheus")
    page = course.exporter.get(Accept="application/openmetrics-text; version=1.0.0").text
    families = list(text_string_to_metric_families(page))  # type: ignore[no-untyped-call]  # the library's
    counters = {family.name for family in families if family.type == "counter"}
    lines = (line.partition(" # {")[0] for line in page.splitlines())
    plain = "".join(f"{line}\n" for line in lines if "open_session_age_seconds" not in line)
    code, out, complaints = run(promtool, "check", "metrics", given=plain)
    assert (code, out) in ((0, ""), (3, ""))  # 3: it could be read, but there are complaints
    assert set(complaints.splitlines()) <= {f"{name}_total no help text" for name in counters}
    assert all(family.documentation for family in families)
