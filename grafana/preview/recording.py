"""Days of the exporter's life in two minutes: the installed command over fleets whose clock is stepped here.

Its pages are kept with the fleets' time, so that what Prometheus holds looks as if it had scraped for weeks.
"""

import asyncio
import random
import re
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import requests
import yaml
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.fleet import SECOND, Fleet
from exporter.simulator import Fault, Server, create_app

COMMAND = Path(sys.executable).with_name("cloud-browser-exporter")
PATIENCE = 60.0  # seconds
JOB, INSTANCE = "cloud-browser-exporter", "exporter:10925"
PRICES = {"browser_usd_per_hour": 0.12, "proxy_usd_per_gb": 6, "minimum_seconds": 60}
PATHS = {"browserbase": "/v1", "browser_use": "/api/v3"}
SCRAPE_TIMEOUT = "10"  # seconds, as in the shipped prometheus.yml
# Told by the exporter's own clock, which is this machine's.
OWN_TIMES = (
    "cloud_browser_last_success_timestamp_seconds",
    "cloud_browser_exporter_config_last_reload_success_timestamp_seconds",
    "process_start_time_seconds",
)
_SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>[^ ]+)")


class Stage(msgspec.Struct, frozen=True):
    """How long something lasts, in microseconds of the fleets' time, and the time between two scrapes.

    latency: seconds that half of the providers' answers take at least; 0: they come at once.
    Raises ValueError where the last scrape would come before the end.
    """

    lasts: int
    step: int
    latency: float = 0

    def __post_init__(self) -> None:
        if self.lasts % self.step:
            raise ValueError("a stage must last for a whole number of its steps")


class Outage(msgspec.Struct, frozen=True):
    """What a provider answers an account between two times: a fault of the simulator's."""

    account: str
    provider: str
    fault: str
    begin: int
    end: int


class Course(msgspec.Struct, frozen=True):
    """What is recorded. The fleets are accounts with both providers, by the accounts' names."""

    origin: int
    stages: Sequence[Stage]
    fleets: Mapping[str, Fleet]
    outages: Sequence[Outage] = ()

    @property
    def end(self) -> int:
        """The last scrape's time."""
        return self.origin + sum(stage.lasts for stage in self.stages)


class Clock:
    """The fleets' time, and how slow the providers are; and when what was, by this machine's clock."""

    def __init__(self, origin: int) -> None:
        self.now, self.latency = origin, 0.0
        self._here, self._there = [time.time()], [origin]

    def __call__(self) -> int:
        """The time, in microseconds."""
        return self.now

    def set(self, now: int, latency: float) -> None:
        """Go on to a time."""
        self.now, self.latency = now, latency
        self._here.append(time.time())
        self._there.append(now)

    def told(self, here: float) -> float:
        """The fleets' time, in seconds, at a time of this machine's."""
        return self._there[max(0, bisect_right(self._here, here) - 1)] / SECOND


class Weather:
    """An account's providers: slow as the clock says, and failing where there is an outage."""

    def __init__(self, app: ASGIApp, clock: Clock, failing: Sequence[tuple[Outage, ASGIApp]]) -> None:
        self._app, self._clock, self._failing = app, clock, failing
        self._dice = random.Random(1)  # noqa: S311 - the same pictures each time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await asyncio.sleep(self._clock.latency * self._dice.lognormvariate(0, 0.5))
        await self._for(scope.get("path", ""))(scope, receive, send)

    def _for(self, path: str) -> ASGIApp:
        for outage, app in self._failing:
            if path.startswith(PATHS[outage.provider]) and outage.begin <= self._clock.now < outage.end:
                return app
        return self._app


def record(course: Course, folder: Path) -> Iterator[str]:
    """Every sample of every scrape, as a line with its time; `folder` for the exporter's files."""
    clock = Clock(course.origin)
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Server(_app(name, course, clock))).url for name in course.fleets}
        url = stack.enter_context(_exporter(_configuration(folder, servers), folder))
        http = stack.enter_context(requests.Session())
        http.headers["X-Prometheus-Scrape-Timeout-Seconds"] = SCRAPE_TIMEOUT
        for now, latency in _scrapes(course):
            clock.set(now, latency)
            page = http.get(f"{url}/metrics", timeout=PATIENCE).text
            yield from stamped(page, clock)


def stamped(page: str, clock: Clock) -> Iterator[str]:
    """A page's samples with a target's labels and the fleets' time; and `up`, as Prometheus adds it."""
    target, at = f'instance="{INSTANCE}",job="{JOB}"', f"{clock.now / SECOND:.3f}"
    yield f"up{{{target}}} 1 {at}"
    for line in page.splitlines():
        if match := _SAMPLE.fullmatch(line):
            name, labels, value = match["name"], match["labels"], match["value"]
            if name in OWN_TIMES:
                value = f"{clock.told(float(value)):.3f}"
            yield f"{name}{{{f'{labels},' if labels else ''}{target}}} {value} {at}"


def _scrapes(course: Course) -> Iterator[tuple[int, float]]:
    """The times of all scrapes, the first at the origin, the last at the end; and the latency then."""
    now = course.origin
    yield now, 0
    for stage in course.stages:
        for now in range(now + stage.step, now + stage.lasts + 1, stage.step):  # noqa: B020 - it goes on
            yield now, stage.latency


def _app(name: str, course: Course, clock: Clock) -> Starlette:
    fleet = course.fleets[name]
    failing = [
        (outage, create_app(fleet, clock, faults=[Fault(outage.fault, 1)]))
        for outage in course.outages
        if outage.account == name
    ]
    app = create_app(fleet, clock)
    app.add_middleware(Weather, clock=clock, failing=failing)
    return app


def _configuration(folder: Path, servers: Mapping[str, str]) -> Path:
    """The exporter's file: an account with each provider for each simulator."""
    accounts = [
        {"name": name, "provider": provider, "api_key_env": "KEY", "base_url": url + path, **more}
        for name, url in servers.items()
        for provider, path, more in (
            ("browserbase", "", {"pricing": PRICES}),
            ("browser_use", PATHS["browser_use"], {}),
        )
    ]
    path = folder / "exporter.yml"
    ledger = {"url": f"sqlite:///{folder / 'ledger.db'}"}
    path.write_text(yaml.safe_dump({"accounts": accounts, "ledger": ledger}))
    return path


@contextmanager
def _exporter(configuration: Path, folder: Path) -> Iterator[str]:
    """The installed command, serving at the address that is given."""
    log = folder / "exporter.log"
    command: list[str | Path] = [
        COMMAND,
        "--config.file",
        configuration,
        "--web.listen-address",
        "127.0.0.1:0",
    ]
    environ = {"KEY": "simulated"}
    with log.open("w") as file, subprocess.Popen(command, env=environ, stderr=file) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not (match := re.search(r"msg=serving .*\bport=([0-9]+)", log.read_text())):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise OSError(f"the exporter does not come up:\n{log.read_text()}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{match[1]}"
        finally:
            process.terminate()
