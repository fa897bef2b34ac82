"""A long random run: faults, sloppy rows, kills and two who scrape, over a fleet whose clock they move on.

`make soak` has 10,000 scrapes, `make check` a few hundred. The first tenth and the last half belong to a
process each that nobody kills, so that what they weigh can be compared.
"""

import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock

import msgspec
import pytest
import requests
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from exporter.simulator.fleet import HOUR, MINUTE, SECOND, Fleet
from exporter.simulator.server import FAULTS, Fault, Server, create_app
from tests.support.expected_totals import COUNTERS, PROVIDERS, Key, expected, key, nonzero
from tests.support.processes import Exporter, configuration, exporter, wait_until
from tests.support.sloppy_layer import KINDS, SloppyLayer

SCRAPES = int(os.environ.get("SOAK_SCRAPES", "400"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
LIVES = max(4, SCRAPES // 250)  # of the exporter that are cut short
PULLERS = 2
ENDS = signal.SIGKILL, signal.SIGTERM
STEP = 5 * SECOND  # of the fleet's time, for each scrape; few enough that no session comes and goes unseen
TIMEOUT = "1"  # seconds; the simulator's slow answers take longer
FLEET = Fleet(
    origin=1_767_225_600 * SECOND + 123_456,
    seed=SEED,
    rate=240,
    history=300,
    retention=2 * HOUR,
    longest=30 * MINUTE,
    error_ratio=0.1,
    timeout_ratio=0.1,
    billing="upfront",
)
# A provider that asks for silence gets it, for seconds in which nothing else would be tried: rarely, then.
SHARES = {"429": 0.0005, "503": 0.0005, "slow": 0.0005}
STORM = tuple(Fault(kind, SHARES.get(kind, 0.002)) for kind in FAULTS)


class Weather:
    """The APIs, with faults and sloppy rows or without, and their clock, which stands between steps."""

    def __init__(self) -> None:
        self._lock, self._now = Lock(), FLEET.origin
        self._calm = create_app(FLEET, self.clock)
        self.sloppy = SloppyLayer(partial(create_app, FLEET, faults=STORM), self.clock, SEED)
        self.calm = True

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        return await (self._calm if self.calm else self.sloppy)(request)

    def clock(self) -> int:
        return self._now

    def step(self, by: int = STEP) -> None:
        with self._lock:
            self._now += by


class Page(msgspec.Struct, frozen=True):
    """What an answer says of sessions that are counted, of who is up, and of the process."""

    counters: dict[Key, float]
    up: float
    memory: float
    files: float


def scraped(target: Exporter, http: requests.Session) -> Page | None:
    """A scrape; none where the exporter has ended, or ends meanwhile."""
    try:
        answer = http.get(
            f"{target.url}/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": TIMEOUT}, timeout=60
        )
    except requests.ConnectionError:
        return None
    assert answer.status_code == 200, answer.text
    samples = [one for family in text_string_to_metric_families(answer.text) for one in family.samples]
    values: dict[str, float] = {one.name: one.value for one in samples if not one.labels}
    return Page(
        {key({"__name__": one.name, **one.labels}): one.value for one in samples if one.name in COUNTERS},
        sum(one.value for one in samples if one.name == "cloud_browser_up"),
        values["process_resident_memory_bytes"],
        values["process_open_fds"],
    )


class Scraper:
    """Scrapes like Prometheus, and remembers the highest that it was shown."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather
        self._http = requests.Session()
        self._highest: dict[Key, float] = {}
        self._last_good = 0  # the last answer of the APIs before the last good scrape
        self.scrapes = self.good = 0

    def scrape(self, target: Exporter, step: int = STEP) -> Page | None:
        """One scrape, some time after the last; no counter is lower than it was, and none is gone."""
        self._weather.step(step)
        self.scrapes += 1
        begun = self._weather.sloppy.serial
        page = scraped(target, self._http)
        if page is not None:
            fallen = {name for name, value in self._highest.items() if page.counters.get(name, -1) < value}
            assert not fallen, f"after {self.scrapes} scrapes"
            self._highest = page.counters
            if page.up == len(PROVIDERS):
                self.good += 1
                # The last good one may have joined a reading that had begun; this one began after that.
                self._weather.sloppy.confirm(self._last_good)
                self._last_good = begun
        return page


class Course:
    """The lives of an exporter, one after the other on one ledger, and the two who scrape from it."""

    def __init__(self, weather: Weather, flags: tuple[str | Path, ...]) -> None:
        self._weather, self._flags = weather, flags
        self._dice = random.Random(SEED)
        self.pullers = [Scraper(weather) for _ in range(PULLERS)]

    @property
    def scrapes(self) -> int:
        return sum(one.scrapes for one in self.pullers)

    def whole(self, scrapes: int) -> Page:
        """A life of so many scrapes in a storm; what is shown when it has calmed down."""
        with exporter(*self._flags) as target:
            wait_until(lambda: self._all_good(target), "both providers to be read")
            self._weather.calm = False
            self._together(lambda scraper: all(scraper.scrape(target) for _ in range(scrapes // PULLERS)))
            self._weather.calm = True
            return wait_until(lambda: self._all_good(target), "both providers to be read again")

    def cut_short(self, scrapes: int) -> None:
        """A life of so many scrapes at most, ended while somebody scrapes; then a while without any."""
        end, share = self._dice.choice(ENDS), self._dice.randint(1, scrapes) // PULLERS
        with exporter(*self._flags) as target:
            self._weather.calm = False
            self._together(partial(self._until_its_end, target, share, end))
            assert target.wait() == (0 if end == signal.SIGTERM else -end), target.log
        self._weather.step(self._dice.randrange(10 * MINUTE))

    def _until_its_end(self, target: Exporter, scrapes: int, end: signal.Signals, scraper: Scraper) -> None:
        """One of them ends it after so many scrapes; the other finds out."""
        for _ in range(scrapes):
            scraper.scrape(target)
        if scraper is self.pullers[0]:
            target.signal(end)
        while scraper.scrape(target):
            pass

    def _together(self, what: Callable[[Scraper], object]) -> None:
        with ThreadPoolExecutor(PULLERS) as pool:
            for done in [pool.submit(what, scraper) for scraper in self.pullers]:
                done.result()

    def _all_good(self, target: Exporter) -> Page | None:
        page = self.pullers[0].scrape(target, step=0)
        return page if page is not None and page.up == len(PROVIDERS) else None


def summary(course: Course, sloppy: SloppyLayer, early: Page, late: Page) -> str:
    good = sum(one.good for one in course.pullers)
    lines = [f"{course.scrapes} scrapes, {good} of them with both providers read; {LIVES} lives cut short"]
    for provider, kinds in KINDS.items():
        lines.append(f"{provider}: " + ", ".join(f"{kind} {sloppy.done[provider, kind]}" for kind in kinds))
    for name, page in (("after a tenth", early), ("at the end", late)):
        lines.append(f"{name}: {page.memory / (1 << 20):.1f} MiB, {page.files:.0f} open files")
    return "\n".join(lines)


@pytest.mark.slow
def test_counters_stay_exact_and_the_exporter_stays_small(tmp_path: Path) -> None:
    weather = Weather()
    with Server(weather) as server:
        course = Course(weather, ("--config.file", configuration(tmp_path, server.url)))
        early = course.whole(SCRAPES // 10)
        for _ in range(LIVES):
            course.cut_short(SCRAPES * 8 // 10 // LIVES)
        late = course.whole(max(SCRAPES - course.scrapes, SCRAPES // 4))
    print(summary(course, weather.sloppy, early, late))  # noqa: T201 - `make soak` shows it
    assert course.scrapes >= SCRAPES
    wanted = {(provider, kind) for provider, kinds in KINDS.items() for kind in kinds}
    assert not wanted - {done for done, times in weather.sloppy.done.items() if times}
    assert nonzero(late.counters) == expected(FLEET, weather.clock())
    assert late.memory <= 1.1 * early.memory
    assert late.files <= early.files + 4, "beside the connections to providers, which come and go"
