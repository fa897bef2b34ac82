"""The installed command through an outage: every account's provider fails at once, but for two that are well.

A good scrape, three under the faults, and two after them; between these the sessions go on, at all providers.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeAlias

import msgspec
import requests
import trustme
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse

from exporter.model import Account
from tests.support.faults import Fault
from tests.support.misbehaviour import serving
from tests.support.processes import KEYS, TIMEOUT, Exporter, exporter, wait_until
from tests.support.provider_servers import (
    AFTER,
    BEFORE,
    BOTH,
    MEANWHILE,
    MEGABYTE,
    Place,
    Station,
    sample,
    truthful,
)
from tests.support.providers import BROWSERBASE

SCRAPES = 3  # under each fault
PRICES = {"browser_usd_per_hour": 3600, "proxy_usd_per_gb": 1_000_000, "minimum_seconds": 0}
VARIABLES = dict(zip(BOTH, KEYS, strict=True))
AHEAD = 50  # seconds, of the providers: where our clock counts instead, it tells of nothing that is new
LIMIT = 8 * MEGABYTE  # max_response_bytes
OFFSET = 2.5  # seconds of each scrape's timeout in which it is to be answered, however busy the machine
FLAGS = "--web.enable-lifecycle", "--log.level", "debug"
WELL = [Account(provider, "well") for provider in BOTH]

Stations: TypeAlias = Mapping[Account, Station]


class Page:
    """What one scrape showed, by account."""

    def __init__(self, text: str) -> None:
        self._samples: dict[Account, dict[str, float]] = defaultdict(dict)
        for one in (one for family in parse(text) for one in family.samples):
            labels = dict(one.labels)
            account = Account(labels.pop("provider", ""), labels.pop("account", ""))
            self._samples[account][sample(one.name.removeprefix("cloud_browser_"), **labels)] = one.value

    def of(self, account: Account, *metrics: str) -> dict[str, float]:
        """An account's samples of these metrics."""
        return {name: value for name, value in self._samples[account].items() if name.split()[0] in metrics}

    def above(self, account: Account, *metrics: str) -> dict[str, float]:
        """Those that are not zero."""
        return {name: value for name, value in self.of(account, *metrics).items() if value}


class Course(msgspec.Struct):
    """What happened.

    pages: of each scrape. asked: how many requests each provider had had after each scrape under its fault.
    log: its lines, as fields. elsewhere: how many connections came to an address that nobody configured.
    peaks: the process's highest memory, in bytes, before the faults and at the end. base: of the providers'
    clocks.
    """

    base: int
    pages: list[Page]
    asked: dict[Account, list[int]]
    peaks: list[int]
    log: list[dict[str, str]] = []
    elsewhere: int = 0

    @property
    def good(self) -> Page:
        return self.pages[0]

    @property
    def failed(self) -> list[Page]:
        return self.pages[1 : SCRAPES + 1]

    @property
    def recovered(self) -> list[Page]:
        return self.pages[-2:]

    def said(self, account: Account, *levels: str) -> list[dict[str, str]]:
        """What was logged of an account at these levels, in order."""
        own = {"provider": account.provider, "account": account.name}.items()
        return [line for line in self.log if line.items() >= own and line["level"] in levels]


def configure(path: Path, stations: Stations, hosts: Mapping[Account, str] = {}) -> None:
    """Write the configuration of an exporter that asks these, at other hosts if any are named."""
    accounts = [
        {
            "provider": account.provider,
            "name": account.name,
            "api_key_env": VARIABLES[account.provider],
            "collectors": ["sessions"],
            "base_url": station.place.url(hosts.get(account) or "localhost"),
            **({"pricing": PRICES} if account.provider == BROWSERBASE else {}),
        }
        for account, station in stations.items()
    ]
    ledger = {"url": f"sqlite:///{path.parent}/ledger.db"}
    scrape = {"max_response_bytes": LIMIT, "timeout_offset": f"{OFFSET * 1000:.0f}ms"}
    document = {"accounts": accounts, "scrape": scrape, "ledger": ledger}
    path.write_text(yaml.safe_dump(document))


def course(folder: Path, faults: Iterable[Fault], seconds: float, ahead: int = AHEAD) -> Course:
    """All these faults at once; the scrapes under them say that they take so many seconds."""
    ill = {Account(provider, fault.name): fault for fault in faults for provider in fault.of}
    path, trusted, authority = folder / "exporter.yml", folder / "ca.pem", trustme.CA()
    authority.cert_pem.write_to_path(trusted)
    base, environ = int(time.time()) + ahead, {**KEYS, "REQUESTS_CA_BUNDLE": str(trusted)}
    with ExitStack() as stack:
        elsewhere, stations = stack.enter_context(serving()), {}
        for account in [*ill, *WELL]:
            secure = account in ill and ill[account].secure
            place = Place(account.provider, base, elsewhere.url, authority, secure)
            stations[account] = stack.enter_context(closing(Station(place)))
        put(stations, BEFORE)
        configure(path, stations)
        process = stack.enter_context(exporter("--config.file", path, *FLAGS, environ=environ))
        first, asked = scraped(process), {account: list[int]() for account in stations}
        done = Course(base, [first], asked, [process.memory("VmHWM")])
        fail(process, path, stations, ill)
        for _ in range(SCRAPES):
            done.pages.append(scraped(process, seconds))
            for account, station in stations.items():
                done.asked[account].append(station.asked)
        recover(process, path, stations, patient=any(fault.course == "silent" for fault in ill.values()))
        done.pages += [scraped(process), scraped(process)]
        done.peaks.append(process.memory("VmHWM"))
        done.log, done.elsewhere = list(map(fields, process.log.splitlines())), elsewhere.connections
    return done


def put(stations: Stations, moment: int) -> None:
    """Have all providers tell the truth of a moment."""
    for station in stations.values():
        station.put(truthful(moment))


def fail(process: Exporter, path: Path, stations: Stations, ill: Mapping[Account, Fault]) -> None:
    """Have them go on, and those that are ill do what they do."""
    put(stations, MEANWHILE)
    for account, fault in ill.items():
        stations[account].put(fault.stand)
    reconfigure(process, path, stations, {account: fault.host for account, fault in ill.items()})


def recover(process: Exporter, path: Path, stations: Stations, *, patient: bool) -> None:
    """Have all be well again; wait for those who are not asked yet."""
    put(stations, AFTER)
    reconfigure(process, path, stations, {})
    if patient:
        wait_until(lambda: all_up(process, stations), "all to be read again")


def reconfigure(process: Exporter, path: Path, stations: Stations, hosts: Mapping[Account, str]) -> None:
    configure(path, stations, hosts)
    answer = process.get("/-/reload", "POST")
    assert answer.status_code == 200, answer.text


def all_up(process: Exporter, stations: Stations) -> bool:
    page = scraped(process)
    return all(page.of(account, "up") == {"up": 1} for account in stations)


def scraped(process: Exporter, seconds: float = TIMEOUT) -> Page:
    """A scrape, which is answered within the time that it names."""
    named = {"X-Prometheus-Scrape-Timeout-Seconds": str(seconds)}
    answer = requests.get(f"{process.url}/metrics", headers=named, timeout=seconds)
    assert answer.status_code == 200
    return Page(answer.text)


def fields(line: str) -> dict[str, str]:
    """What a line of logfmt says."""
    pairs = re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))', line)
    return {name: quoted or plain for name, quoted, plain in pairs}
