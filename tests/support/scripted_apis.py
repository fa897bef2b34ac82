"""Providers' APIs that answer from rows that a test sets, and an exporter on which each test has an account.

The providers' clock is set by the test too. It stands in the past: of two clocks that are more than ten
minutes apart the exporter uses the earlier one, so that hours of the provider's time pass in none of ours.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import msgspec
import yaml

from tests.support.misbehaviour import Reply, Server, answer, replying
from tests.support.pages import Page
from tests.support.processes import KEYS, Exporter, exporter
from tests.support.provider_servers import MEGABYTE, USD_PER_MEGABYTE
from tests.support.providers import BROWSER_USE, BROWSERBASE

BASE = 1_767_225_600  # the providers' clock counts from here, in seconds since 1970
PATHS = {BROWSERBASE: "/v1/sessions", BROWSER_USE: "/api/v3/browsers"}
VARIABLES = dict(zip((BROWSERBASE, BROWSER_USE), KEYS, strict=True))
OPEN = {BROWSERBASE: "RUNNING", BROWSER_USE: "active"}
ENDED = {BROWSERBASE: "COMPLETED", BROWSER_USE: "stopped"}
# A second costs a dollar; so do 1,000 bytes.
PRICES = {"browser_usd_per_hour": 3600, "proxy_usd_per_gb": 1_000_000, "minimum_seconds": 0}
LIST_GAUGES = (
    "sessions",
    "keep_alive_sessions",
    "oldest_open_session_start_timestamp_seconds",
    "next_session_expiry_timestamp_seconds",
    "open_sessions_cost_usd",
    "open_session_age_seconds_bucket",
)
SETTLE = 900  # seconds: `settle_after`

Row: TypeAlias = dict[str, Any]
Shown: TypeAlias = dict[str, float]


def stamp(seconds: float) -> str:
    """A time of the providers' clock, as both APIs write it."""
    return (
        datetime.fromtimestamp(BASE + seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def counters(  # noqa: PLR0913 - an argument for each counter
    started: int = 0,
    *,
    ended: Mapping[str, int] = {},
    seconds: float = 0,
    duration: float = 0,
    megabytes: float = 0,
    browser: float = 0,
    proxy: float | None = None,
) -> Shown:
    """What `ScriptedApi.counters` must be: `duration` is that of ended sessions, costs are in dollars."""
    shown = {f"ended {status}": number for status, number in ended.items()} | {
        "started": started,
        "seconds": seconds,
        "durations": sum(ended.values()),
        "duration": duration,
        "bytes": megabytes * MEGABYTE,
        "browser usd": browser,
        "proxy usd": megabytes * USD_PER_MEGABYTE if proxy is None else proxy,
    }
    return {name: value for name, value in shown.items() if value}


class ScriptedApi:
    """A provider of one account. Whatever is set holds for all requests from then on.

    Attributes:
        provider, name: the account.
        now: the provider's clock, in seconds after `BASE`.
        rows: all that it lists, in this order.
        headers: of each answer, beside `Date`.
        filters: whether Browser Use's `filterBy` has an effect.
        total: of Browser Use's pages: None for the true one.
        instead: answers requests instead of the list, where set.
        requests: the heads of those that came to the list.
    """

    def __init__(self, provider: str, name: str) -> None:
        self.provider, self.name = provider, name
        self.now: float = 0
        self.rows: list[Row] = []
        self.headers: dict[str, str] = {}
        self.filters = True
        self.total: int | None = None
        self.instead: Callable[[bytes], Reply] | None = None
        self.requests: list[bytes] = []
        self.server: Server

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}{'/api/v3' if self.provider == BROWSER_USE else ''}"

    @property
    def open(self) -> str:
        """The status of open sessions, as the metrics have it."""
        return OPEN[self.provider].lower()

    @property
    def ended(self) -> str:
        return ENDED[self.provider].lower()

    def session(
        self, name: str, begun: float, ended: float | None = None, *, megabytes: int = 0, **fields: object
    ) -> Row:
        """A sound row: expires two hours after it began, costs a dollar a second.

        fields: what is otherwise, by the names of the API.
        """
        row = self._browserbase if self.provider == BROWSERBASE else self._browser_use
        return {"id": name, **row(begun, ended, megabytes), **fields}

    def _browserbase(self, begun: float, ended: float | None, megabytes: int) -> Row:
        return {
            "status": "RUNNING" if ended is None else "COMPLETED",
            "projectId": "p",
            "region": "us-west-2",
            "createdAt": stamp(begun),
            "startedAt": stamp(begun),
            "updatedAt": stamp(self.now if ended is None else ended),
            "expiresAt": stamp(begun + 7200),
            "proxyBytes": megabytes * MEGABYTE,
            "keepAlive": False,
            **({} if ended is None else {"endedAt": stamp(ended)}),
        }

    def _browser_use(self, begun: float, ended: float | None, megabytes: int) -> Row:
        ran = (self.now if ended is None else ended) - begun
        return {
            "status": "active" if ended is None else "stopped",
            "startedAt": stamp(begun),
            "timeoutAt": stamp(begun + 7200),
            "finishedAt": None if ended is None else stamp(ended),
            "proxyUsedMb": str(megabytes),
            "proxyCost": f"{megabytes * USD_PER_MEGABYTE:.3f}",
            "browserCost": f"{ran:f}",
        }

    def reply(self, head: bytes) -> Reply:
        """Answer a request."""
        url = urlsplit(head.split()[1].decode())
        if url.path != PATHS[self.provider]:
            return answer(b"{}", "404 Not Found", **self._headers())
        self.requests.append(head)
        return self.list(head) if self.instead is None else self.instead(head)

    def list(self, head: bytes) -> bytes:
        """The list that is asked for, as it is now."""
        if self.provider == BROWSERBASE:
            return answer(msgspec.json.encode(self.rows), **self._headers())
        query = dict(parse_qsl(urlsplit(head.split()[1].decode()).query))
        status = query.get("filterBy") if self.filters else None
        found = [row for row in self.rows if status in (None, row["status"])]
        size, number = int(query.get("pageSize", "10")), int(query.get("pageNumber", "1"))
        body = {
            "items": found[size * (number - 1) : size * number],
            "totalItems": len(found) if self.total is None else self.total,
            "pageNumber": number,
            "pageSize": size,
        }
        return answer(msgspec.json.encode(body), **self._headers())

    def _headers(self) -> dict[str, str]:
        return {"Date": formatdate(BASE + self.now, usegmt=True), **self.headers}

    def read(self, page: Page, name: str, **labels: str) -> float | None:
        """The sum of the account's samples of a name and these labels; None where there is none."""
        wanted = {"account": self.name, **labels}.items()
        found = [n for (_, has), n in page.of(self.provider, name).items() if wanted <= set(has)]
        return sum(found) if found else None

    def shows(self, page: Page, name: str, label: str) -> Shown:
        """The account's samples of a name that are not zero, by the value of a label."""
        shown: Shown = {}
        for (_, has), value in page.of(self.provider, name).items():
            labels = dict(has)
            if labels["account"] == self.name and value:
                shown[labels[label]] = shown.get(labels[label], 0) + value
        return shown

    def counters(self, page: Page) -> Shown:
        """The account's counters of sessions that are not zero: see `counters`."""
        ends = self.shows(page, "sessions_ended_total", "status")
        shown = {f"ended {status}": value for status, value in ends.items()} | {
            "started": self.read(page, "sessions_started_total"),
            "seconds": self.read(page, "session_seconds_total"),
            "durations": self.read(page, "session_duration_seconds_count"),
            "duration": self.read(page, "session_duration_seconds_sum"),
            "bytes": self.read(page, "proxy_bytes_total"),
            "browser usd": self.read(page, "cost_usd_total", kind="browser"),
            "proxy usd": self.read(page, "cost_usd_total", kind="proxy"),
        }
        return {name: value for name, value in shown.items() if value}

    def up(self, page: Page) -> float | None:
        return self.read(page, "up")


@contextmanager
def scripted(provider: str, name: str) -> Iterator[ScriptedApi]:
    """A provider, listening."""
    api = ScriptedApi(provider, name)
    with replying(api.reply) as api.server:
        yield api


def document(apis: Sequence[ScriptedApi], ledger: Path, **options: Mapping[str, object]) -> dict[str, Any]:
    """A configuration for these accounts; `options` of a provider replace its key's variable."""
    accounts = [
        {
            "provider": api.provider,
            "name": api.name,
            "base_url": api.base_url,
            "collectors": ["sessions"],
            **({"pricing": PRICES} if api.provider == BROWSERBASE else {}),
            **options.get(api.provider, {"api_key_env": VARIABLES[api.provider]}),
        }
        for api in apis
    ]
    return {"accounts": accounts, "ledger": {"url": f"sqlite:///{ledger}", "settle_after": f"{SETTLE}s"}}


def configured(folder: Path, *apis: ScriptedApi, **options: Mapping[str, object]) -> tuple[str, Path]:
    """The flags for an exporter that reads these accounts, and keeps its ledger in this folder."""
    path = folder / "exporter.yml"
    path.write_text(yaml.safe_dump(document(apis, folder / "ledger.db", **options)))
    return "--config.file", path


class SharedExporter:
    """The installed command, which reads another account for each test."""

    def __init__(self, process: Exporter, folder: Path) -> None:
        self._process, self._folder = process, folder
        self._numbers = count(1)

    @contextmanager
    def account(self, provider: str) -> Iterator[ScriptedApi]:
        """An account of its own, at a provider that lists nothing yet."""
        with scripted(provider, f"account-{next(self._numbers)}") as api:
            configured(self._folder, api)
            reloaded = self._process.get("/-/reload", "POST")
            assert reloaded.status_code == 200, reloaded.text
            yield api

    def scrape(self, seconds: float = 10) -> Page:
        """A scrape that waits so long."""
        named = {"X_Prometheus_Scrape_Timeout_Seconds": str(seconds)}
        return Page(self._process.get(**named))

    @property
    def log(self) -> str:
        return self._process.log


@contextmanager
def shared_exporter(folder: Path) -> Iterator[SharedExporter]:
    """Starts with an account that is never read, for a configuration needs one."""
    with scripted(BROWSERBASE, "first") as first:
        flags = configured(folder, first)
        with exporter(*flags, "--web.enable-lifecycle") as process:
            yield SharedExporter(process, folder)
