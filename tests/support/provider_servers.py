"""An account's provider at an address of its own: the truth that it tells, and what may stand in its place.

Both providers tell of the same four sessions, at three moments: before a fault, while it lasts and after it.
"""

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import msgspec
import trustme

from tests.support.misbehaviour import Reply, Server, answer, replying
from tests.support.providers import BROWSER_USE, BROWSERBASE

BEFORE, MEANWHILE, AFTER = 0, 60, 120  # seconds after the base of a provider's clock
BOTH = BROWSERBASE, BROWSER_USE
MEGABYTE = 1 << 20
SECONDS_PER_MEGABYTE = 10
USD_PER_MEGABYTE = 1048.576  # at 1000 dollars for 10^6 bytes; a second of browser costs a dollar
SERIES = {BROWSERBASE: {"project": "p", "region": "us-west-2"}, BROWSER_USE: {"region": "unknown"}}
STATUSES = {BROWSERBASE: ("running", "completed"), BROWSER_USE: ("active", "stopped")}
SOURCES = {BROWSERBASE: "estimated", BROWSER_USE: "reported"}

Row: TypeAlias = dict[str, Any]
T = TypeVar("T")


class Life(msgspec.Struct, frozen=True):
    """A session, from and to so many seconds after the base."""

    id: str
    begun: int
    ended: int

    def ran(self, now: int) -> int:
        return min(now, self.ended) - self.begun


LIVES = Life("a", -500, -100), Life("b", -300, 30), Life("c", 50, 1000), Life("d", 70, 100)


def told(now: int) -> list[Life]:
    """The sessions that have begun."""
    return [life for life in LIVES if life.begun <= now]


def rows(place: "Place", now: int) -> list[Row]:
    """The list as the provider shows it."""
    row = place.pick(_browserbase, _browser_use)
    return [row(life, now, place.stamp) for life in told(now)]


def _browserbase(life: Life, now: int, stamp: Callable[[int], str]) -> Row:
    ended = life.ended <= now
    return {
        "id": life.id,
        "status": "COMPLETED" if ended else "RUNNING",
        "projectId": "p",
        "region": "us-west-2",
        "createdAt": stamp(life.begun),
        "startedAt": stamp(life.begun),
        "updatedAt": stamp(min(now, life.ended)),
        "expiresAt": stamp(life.begun + 7200),
        "proxyBytes": life.ran(now) // SECONDS_PER_MEGABYTE * MEGABYTE,
        "keepAlive": True,
        **({"endedAt": stamp(life.ended)} if ended else {}),
    }


def _browser_use(life: Life, now: int, stamp: Callable[[int], str]) -> Row:
    ended, megabytes = life.ended <= now, life.ran(now) // SECONDS_PER_MEGABYTE
    return {
        "id": life.id,
        "status": "stopped" if ended else "active",
        "startedAt": stamp(life.begun),
        "timeoutAt": stamp(life.begun + 7200),
        "finishedAt": stamp(life.ended) if ended else None,
        "proxyUsedMb": str(megabytes),
        "proxyCost": f"{megabytes * USD_PER_MEGABYTE:.3f}",
        "browserCost": str(life.ran(now)),
    }


def sample(metric: str, **labels: str) -> str:
    """A sample's name: its metric, and its labels that say something, in the order of their names."""
    return " ".join([metric, *(labels[label] for label in sorted(labels) if labels[label])])


def series(provider: str) -> Callable[..., str]:
    """Names the samples of the one series that a provider's sessions are in."""

    def at(metric: str, **labels: str) -> str:
        return sample(metric, **SERIES[provider], **labels)

    return at


def expected(provider: str, now: int) -> dict[str, float]:
    """What the counters must show, but for zeros."""
    lives, at = told(now), series(provider)
    ended = [life for life in lives if life.ended <= now]
    seconds = sum(life.ran(now) for life in lives)
    # A reported cost of browsers is charged upfront: it counts when a session has ended.
    charged = seconds if SOURCES[provider] == "estimated" else sum(life.ran(now) for life in ended)
    megabytes = sum(life.ran(now) // SECONDS_PER_MEGABYTE for life in lives)
    return {
        at("sessions_started_total"): len(lives),
        at("sessions_ended_total", status=STATUSES[provider][1]): len(ended),
        at("session_seconds_total"): seconds,
        at("session_duration_seconds_count"): len(ended),
        at("session_duration_seconds_sum"): sum(life.ran(now) for life in ended),
        at("proxy_bytes_total"): megabytes * MEGABYTE,
        at("cost_usd_total", kind="browser", source=SOURCES[provider]): charged,
        at("cost_usd_total", kind="proxy", source=SOURCES[provider]): megabytes * USD_PER_MEGABYTE,
    }


def listed(provider: str, now: int, base: int) -> dict[str, float]:
    """What the gauges of the list must show, but for zeros."""
    still_open, at = [life for life in told(now) if life.ended > now], series(provider)
    first = min(life.begun for life in still_open) + base
    keep_alive: dict[str, float] = (
        {at("keep_alive_sessions"): len(still_open)} if provider == BROWSERBASE else {}
    )
    return keep_alive | {
        at("sessions", status=STATUSES[provider][0]): len(still_open),
        at("sessions", status=STATUSES[provider][1]): len(told(now)) - len(still_open),
        at("oldest_open_session_start_timestamp_seconds"): first,
        at("next_session_expiry_timestamp_seconds"): first + 7200,
    }


class Place(msgspec.Struct):
    """Where an account's provider stands.

    base: of its clock, in seconds since 1970. elsewhere: another's address. secure: TLS is wanted.
    """

    provider: str
    base: int
    elsewhere: str
    authority: trustme.CA
    secure: bool = False
    port: int = 0

    def stamp(self, offset: int) -> str:
        """A moment, as both APIs write it."""
        return datetime.fromtimestamp(self.base + offset, UTC).isoformat().replace("+00:00", "Z")

    def pick(self, browserbase: T, browser_use: T) -> T:
        """What is for its provider."""
        return browserbase if self.provider == BROWSERBASE else browser_use

    def tls(self, name: str = "localhost", ca: trustme.CA | None = None, **terms: Any) -> ssl.SSLContext:
        """A server's side of TLS; the exporter trusts the place's own authority only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (ca or self.authority).issue_cert(name, **terms).configure_cert(context)
        return context

    def serve(self, reply: Callable[[bytes], Reply]) -> AbstractContextManager[Server]:
        """A server that proves who it is, if that is wanted."""
        return replying(reply, self.tls() if self.secure else None, self.port)

    def url(self, host: str = "localhost") -> str:
        """What is configured as the account's `base_url`."""
        return f"http{'s' if self.secure else ''}://{host}:{self.port}{self.pick('', '/api/v3')}"


Stand: TypeAlias = Callable[[Place], AbstractContextManager[Any]]


def truthful(now: int) -> Stand:
    """The provider as it should be, at a moment."""
    return lambda place: place.serve(lambda head: page(place, head, rows(place, now), now=now))


def page(
    place: Place, head: bytes, shown: Sequence[Row], *, now: int = BEFORE, clock: int = 0, **about: object
) -> bytes:
    """The answer to a request for these rows.

    Args:
        place: whose it is.
        head: the request's.
        shown: the rows; of them those are shown that it asks for.
        now: the moment.
        clock: by how many seconds the provider's clock is off.
        about: what to say of a page of Browser Use's instead of the truth.
    """
    date = formatdate(place.base + now + clock, usegmt=True)
    if place.provider == BROWSERBASE:
        return answer(msgspec.json.encode(shown), Date=date)
    query = dict(parse_qsl(head.split()[1].decode().partition("?")[2]))
    found = [row for row in shown if row["status"] == query.get("filterBy", row["status"])]
    size, number = int(query["pageSize"]), int(query["pageNumber"])
    items = found[size * (number - 1) : size * number]
    body = {"items": items, "totalItems": len(found), "pageNumber": number, "pageSize": size, **about}
    return answer(msgspec.json.encode(body), Date=date)


class Station:
    """A place, and what stands there: one thing after another, at a port that is kept for it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._stack = ExitStack()
        self._kept = socket.socket()
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind(("127.0.0.1", 0))
        place.port = self._kept.getsockname()[1]

    def put(self, stand: Stand) -> None:
        """Put something else there; whoever is connected to what stood there is cut off."""
        self._stack.close()
        self._here = self._stack.enter_context(stand(self.place))

    @property
    def asked(self) -> int:
        """How many requests came to what stands there."""
        return len(getattr(self._here, "requests", ()))

    def close(self) -> None:
        """Leave the place."""
        self._stack.close()
        self._kept.close()
