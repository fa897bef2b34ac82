"""The whole way: a simulated fleet, the installed command, a real Prometheus, and the answers of PromQL.

Twenty minutes of the fleet's life pass in twenty seconds, while the exporter is killed once and told to
end once. What Prometheus then holds is compared with the truth that the simulator tells.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import partial

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tools import Exporter, Prometheus, configuration, exporter, program, prometheus, run, until

from exporter.fleet import BROWSER_USE, BROWSERBASE, HOUR, MINUTE, SECOND, Fleet, Life, life_of, truth
from exporter.simulator import Server, create_app

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
SPEED = 60
PROVIDERS = BROWSERBASE, BROWSER_USE
WINDOW = "10m"  # of real time: all samples that there are
SCRAPE = 1.0  # seconds; a pull that an end has cut off began no longer before
NANO = 10**9
USD_PER_HOUR, USD_PER_GB = Decimal("0.12"), Decimal(12)  # as configured

BOUNDS = (
    *("10.0", "30.0", "60.0", "120.0", "300.0", "600.0", "900.0"),
    *("1800.0", "3600.0", "7200.0", "14400.0", "21600.0", "+Inf"),
)
COUNTERS = (
    "cloud_browser_sessions_started_total",
    "cloud_browser_sessions_ended_total",
    "cloud_browser_session_seconds_total",
    "cloud_browser_session_duration_seconds_count",
    "cloud_browser_session_duration_seconds_sum",
    "cloud_browser_session_duration_seconds_bucket",
    "cloud_browser_proxy_bytes_total",
    "cloud_browser_cost_usd_total",
)

Key = frozenset[tuple[str, str]]
Samples = list[tuple[float, float]]


class Clock:
    """The fleet's time in microseconds: stands still until told to run, and again at the last."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self._begun: float | None = None

    def __call__(self) -> int:
        ran = 0.0 if self._begun is None else time.monotonic() - self._begun
        return min(self._first + int(ran * SPEED * SECOND), self._last)

    def run(self) -> None:
        self._begun = time.monotonic()

    def pass_by(self, moment: int) -> None:
        """Wait until it shows this moment."""
        until(lambda: self() >= moment, "the clock")


class Course(msgspec.Struct, frozen=True):
    """Who is still there, and what happened: the times of the outages, and of the last scrape."""

    exporter: Exporter
    prometheus: Prometheus
    outages: tuple[tuple[float, float], ...]
    last: float


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Twenty minutes, with two ends of the exporter; it and Prometheus are still there to be asked."""
    folder, clock = tmp_path_factory.mktemp("course"), Clock(ORIGIN, LAST)
    with Server(create_app(FLEET, clock)) as simulator:
        flags = "--config.file", configuration(folder, simulator.url)
        with exporter(*flags) as first, prometheus(first.port, folder) as monitor:
            until(lambda: good_scrapes(monitor), "a first scrape")
            clock.run()
            clock.pass_by(KILLED)
            killed = time.time()
            first.kill()
            with exporter(*flags, port=first.port):
                back = time.time()
                clock.pass_by(TOLD_TO_END)
                told = time.time()
            with exporter(*flags, port=first.port) as third:
                outages = (killed, back), (told, time.time())
                clock.pass_by(LAST)
                stood = time.time()
                # The first of them may share what was asked before the clock stood still.
                until(lambda: len(good_scrapes(monitor, stood)) >= 2, "scrapes of the end")
                yield Course(third, monitor, outages, max(good_scrapes(monitor, stood)))


def good_scrapes(monitor: Prometheus, after: float = 0) -> set[float]:
    """The times of scrapes for which both providers were read."""
    up = samples(monitor, "cloud_browser_up", time.time()).values()
    good = [{at for at, value in series if value == 1 and at > after} for series in up]
    return set.intersection(*good) if len(good) == len(PROVIDERS) else set()


def samples(monitor: Prometheus, selector: str, at: float) -> dict[Key, Samples]:
    """Every sample up to a time, as scraped."""
    return {
        key(series["metric"]): [(stamp, float(value)) for stamp, value in series["values"]]
        for series in monitor.query(f"{selector}[{WINDOW}]", at)
    }


def key(labels: Mapping[str, str]) -> Key:
    """A series' labels but for the target's; to Prometheus an empty one is none."""
    return frozenset(
        (name, value) for name, value in labels.items() if value and name not in ("instance", "job")
    )


def counters(course: Course) -> dict[Key, Samples]:
    """The samples of all counters of sessions."""
    return samples(course.prometheus, f'{{__name__=~"{"|".join(COUNTERS)}"}}', course.last)


def by_provider(course: Course, expression: str) -> dict[str, float]:
    result = course.prometheus.query(f"sum by (provider) ({expression})", course.last)
    return {one["metric"]["provider"]: float(one["value"][1]) for one in result}


def expected(t: int) -> dict[Key, float]:
    """What the counters must show at a time, but for zeros."""
    shown: dict[Key, float] = {}
    for provider in PROVIDERS:
        for total in truth(FLEET, provider, t):
            at = partial(named, provider=provider, project=total.project, region=total.region)
            shown[at("sessions_started_total")] = total.started
            shown[at("session_seconds_total")] = total.time / SECOND
            shown[at("session_duration_seconds_count")] = total.ended.total()
            shown[at("session_duration_seconds_sum")] = total.duration / SECOND
            shown[at("proxy_bytes_total")] = total.proxy_bytes
            for status, count in total.ended.items():
                shown[at("sessions_ended_total", status=status)] = count
            if provider == BROWSER_USE:
                cost = partial(at, "cost_usd_total", source="reported")
                shown[cost(kind="browser")] = total.browser_cost / NANO
                shown[cost(kind="proxy")] = total.proxy_cost / NANO
    return nonzero(shown | buckets(t) | estimates(t))


def named(name: str, **labels: str) -> Key:
    return key({"__name__": f"cloud_browser_{name}", "account": "ours", **labels})


def nonzero(values: Mapping[Key, float]) -> dict[Key, float]:
    return {name: value for name, value in values.items() if value != 0}


def lives(provider: str, t: int) -> Iterator[Life]:
    """All sessions that were listed when the exporter began, or have been created since."""
    for index in range(FLEET.listed(provider, ORIGIN).start, FLEET.listed(provider, t).stop):
        yield life_of(FLEET, provider, index)


def buckets(t: int) -> dict[Key, float]:
    """The histogram's, counted session by session."""
    counts: Counter[Key] = Counter()
    for provider in PROVIDERS:
        for life in lives(provider, t):
            at = partial(named, provider=provider, project=life.project, region=life.region)
            for bound in BOUNDS:
                if life.ended <= t and life.ended - life.started <= float(bound) * SECOND:
                    counts[at("session_duration_seconds_bucket", le=bound)] += 1
    return dict(counts)


def estimates(t: int) -> dict[Key, float]:
    """What Browserbase's sessions cost at the configured prices, each in whole nano-dollars."""
    nano: Counter[Key] = Counter()
    for life in lives(BROWSERBASE, t):
        cost = partial(named, "cost_usd_total", provider=BROWSERBASE, source="estimated")
        at = partial(cost, project=life.project, region=life.region)
        if life.started <= t:
            billed = max(life.ran(t, t // SECOND * SECOND), MINUTE)
            nano[at(kind="browser")] += rounded(USD_PER_HOUR * NANO * billed / HOUR)
        nano[at(kind="proxy")] += rounded(USD_PER_GB * life.proxy_bytes(t))
    return {name: value / NANO for name, value in nano.items()}


def rounded(nano: Decimal) -> int:
    return int(nano.to_integral_value(ROUND_HALF_UP))


def test_the_counters_start_and_end_with_the_truth(course: Course) -> None:
    scraped = counters(course)
    assert nonzero({name: series[0][1] for name, series in scraped.items()}) == expected(ORIGIN)
    assert nonzero({name: series[-1][1] for name, series in scraped.items()}) == expected(LAST)
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
    """Exactly, of first and last sample; as near as extrapolation goes, by `increase`."""
    rises: Counter[str] = Counter()
    for sign, values in ((1, expected(LAST)), (-1, expected(ORIGIN))):
        for labels, value in ((dict(name), value) for name, value in values.items()):
            if labels["__name__"] == counter:
                rises[labels["provider"]] += sign * value  # type: ignore[assignment]
    exact = f"max_over_time({counter}[{WINDOW}]) - min_over_time({counter}[{WINDOW}])"
    assert by_provider(course, exact) == pytest.approx(rises, rel=1e-9)
    assert by_provider(course, f"increase({counter}[{WINDOW}])") == pytest.approx(rises, rel=0.05)


def test_sessions_by_status_and_region_are_those_listed(course: Course) -> None:
    shown = course.prometheus.query("cloud_browser_sessions", course.last)
    assert nonzero({key(one["metric"]): float(one["value"][1]) for one in shown}) == {
        named("sessions", provider=provider, project=total.project, region=total.region, status=status): count
        for provider in PROVIDERS
        for total in truth(FLEET, provider, LAST)
        for status, count in total.listed.items()
    }


def test_the_exporter_was_up_but_for_the_outages(course: Course) -> None:
    (scrapes,) = samples(course.prometheus, "up", course.last).values()
    down = [at for at, value in scrapes if value == 0]
    assert all(any(begin - SCRAPE <= at <= end for begin, end in course.outages) for at in down)
    assert len(scrapes) >= (LAST - ORIGIN) / SECOND / SPEED / SCRAPE


def test_promtool_has_no_complaint_of_the_text(course: Course) -> None:
    promtool = program("promtool", "prometheus")
    page = course.exporter.get().text
    assert run(promtool, "check", "metrics", given=page) == (0, "", "")


def test_promtool_has_no_complaint_of_openmetrics(course: Course) -> None:
    """But one: it takes it for the text format, where a counter's help is that of its name with `_total`."""
    promtool = program("promtool", "prometheus")
    page = course.exporter.get(Accept="application/openmetrics-text; version=1.0.0").text
    families = list(text_string_to_metric_families(page))  # type: ignore[no-untyped-call]  # the library's
    counters = {family.name for family in families if family.type == "counter"}
    code, out, complaints = run(promtool, "check", "metrics", given=page)
    assert (code, out) in ((0, ""), (3, ""))  # 3: it could be read, but there are complaints
    assert set(complaints.splitlines()) <= {f"{name}_total no help text" for name in counters}
    assert all(family.documentation for family in families)
