"""Both providers' APIs over HTTP, answered from a simulated fleet.

    GET /v1/sessions      Browserbase: every listed session, newest first
    GET /api/v3/browsers  Browser Use: a page of its sessions, in the fleet's order
    GET /truth            what must be shown now by one who has read everything since the fleet's origin

Rows show the clock's exact time; `Date` is that time cut to whole seconds, as real servers have it.
"""

import asyncio
import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from math import fsum
from typing import Annotated, Literal, Self

import msgspec
import uvicorn
from msgspec import Meta
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator.fleet import BROWSER_USE, BROWSERBASE, SECOND, Fleet, Life, life_of, truth
from exporter.simulator.rows import encoded_rows

FAULTS = ("401", "402", "403", "404", "429", "500", "502", "503", "slow", "cut")
SLOWNESS = 5.0  # seconds
RETRY_AFTER = {BROWSERBASE: 1, BROWSER_USE: 5}  # seconds
REQUESTS_PER_WINDOW, WINDOW = 125, 5 * SECOND
KEY_HEADERS = {BROWSERBASE: "X-BB-API-Key", BROWSER_USE: "X-Browser-Use-API-Key"}

_METADATA = r"^user_metadata\['([^']+)'\]:'([^']*)'\Z"


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong, one of `FAULTS`, with a share of the requests to both APIs."""

    kind: str
    share: float


class SessionsQuery(msgspec.Struct, frozen=True):
    """The parameters of `GET /v1/sessions`."""

    status: Literal["PENDING", "RUNNING", "ERROR", "TIMED_OUT", "COMPLETED"] | None = None
    q: Annotated[str, Meta(pattern=_METADATA)] | None = None

    def asks_for(self, life: Life, t: int) -> bool:
        """Whether the list is to show this session."""
        wanted = re.findall(_METADATA, self.q or "")
        return self.status in (None, life.status(t).upper()) and life.metadata.items() >= set(wanted)


class BrowsersQuery(msgspec.Struct, frozen=True, rename="camel"):
    """The parameters of `GET /api/v3/browsers`."""

    page_size: Annotated[int, Meta(ge=1, le=100)] = 10
    page_number: Annotated[int, Meta(ge=1)] = 1
    filter_by: Literal["active", "stopped"] | None = None


def parse_fault(text: str) -> Fault:
    """Read `KIND:SHARE`, such as `503:0.1`. Raises ValueError, naming what is allowed."""
    kind, _, share = text.partition(":")
    if kind not in FAULTS or not re.fullmatch(r"0|1|0?\.[0-9]+", share):
        raise ValueError(f"{text!r} is not KIND:SHARE, KIND one of {', '.join(FAULTS)}, SHARE from 0 to 1")
    return Fault(kind, float(share))


def scaled_clock(origin: int, speed: float) -> Callable[[], int]:
    """Make a clock that shows `origin` now, in microseconds, and runs `speed` times as fast as time does.

    Raises ValueError for a speed that is none.
    """
    if not 0 < speed <= 1_000_000:
        raise ValueError("speed must be above 0 and at most 1,000,000")
    begun = time.monotonic_ns()
    return lambda: origin + int((time.monotonic_ns() - begun) * speed) // 1000


def create_app(
    fleet: Fleet, clock: Callable[[], int], keys: Collection[str] = (), faults: Collection[Fault] = ()
) -> Starlette:
    """Both APIs over `fleet`, at the time that `clock` shows in microseconds since 1970.

    keys: those accepted; with none given, any is. Two faults never strike the same request.
    Raises ValueError if the faults' shares are more than 1 together.
    """
    if fsum(fault.share for fault in faults) > 1:
        raise ValueError("the shares of all faults must be at most 1 together")
    api = _Api(fleet, clock, frozenset(keys), tuple(faults))
    routes = [
        Route("/v1/sessions", partial(api.answer, BROWSERBASE)),
        Route("/api/v3/browsers", partial(api.answer, BROWSER_USE)),
        Route("/truth", api.truth),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: api.elsewhere})


class Server:
    """Serves an application from a thread while entered, on `host` and `port` (0: a free one).

    Entering raises OSError if the address is not to be had.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> None:
        self.address = host, port
        config = uvicorn.Config(
            app, http="h11", log_config=None, access_log=False, date_header=False, server_header=False
        )
        self._server = uvicorn.Server(config)

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        listener = socket.create_server(self.address, family=family)  # listens before the thread is up
        # asyncio does so only for sockets of its own making; a kept connection would wait 40 ms a request.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = listener.getsockname()[:2]
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="simulator")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    @property
    def url(self) -> str:
        """Its root, without a slash at the end: Browserbase's base URL; Browser Use's adds `/api/v3`."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Api(msgspec.Struct, frozen=True):
    """The handlers. Requests are numbered to choose which get a fault; of the fleet nothing is kept.

    counted: Browser Use's requests in the window of its rate limit that was last asked in.
    """

    fleet: Fleet
    clock: Callable[[], int]
    keys: frozenset[str]
    faults: tuple[Fault, ...]
    numbers: Iterator[int] = msgspec.field(default_factory=itertools.count)
    counted: dict[int, int] = msgspec.field(default_factory=dict)

    async def answer(self, provider: str, request: Request) -> Response:
        """One request to a provider: its fault if it gets one, then its key, then what it asks for."""
        number = next(self.numbers)
        fault = self._fault(number)
        if fault == "slow":
            await _stall(request)
        t = self.clock()
        if fault.isdigit():
            return _failure(provider, t, int(fault))
        name = KEY_HEADERS[provider]
        key = request.headers.get(name)
        if not key or (self.keys and key not in self.keys):
            return _failure(provider, t, 401, "Invalid API key" if key else f"Missing {name.lower()} header")
        listing = self._sessions if provider == BROWSERBASE else self._browsers
        response = listing(dict(request.query_params), t)
        return _Cut(response.body, response.status_code, response.headers) if fault == "cut" else response

    def truth(self, _: Request) -> Response:
        t = self.clock()
        return _json(t, {"time": t} | {name: truth(self.fleet, name, t) for name in KEY_HEADERS})

    def elsewhere(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _json(self.clock(), {"detail": error.detail}, error.status_code, error.headers)

    def _fault(self, number: int) -> str:
        """The kind of fault that request `number` gets, or nothing."""
        digest = blake2b(f"{self.fleet.seed}/fault/{number}".encode(), digest_size=4).digest()
        chance = int.from_bytes(digest, "big") / 2**32
        for fault in self.faults:
            if chance < fault.share:
                return fault.kind
            chance -= fault.share
        return ""

    def _sessions(self, params: Mapping[str, str], t: int) -> Response:
        try:
            query = msgspec.convert(params, SessionsQuery)
        except msgspec.ValidationError as error:
            return _failure(BROWSERBASE, t, 400, str(error))
        indices: Iterable[int] = reversed(self.fleet.listed(BROWSERBASE, t))
        if query != SessionsQuery():
            indices = (i for i in indices if query.asks_for(life_of(self.fleet, BROWSERBASE, i), t))
        return _json(t, encoded_rows(self.fleet, BROWSERBASE, indices, t))

    def _browsers(self, params: Mapping[str, str], t: int) -> Response:
        headers = _limits(t, self._remaining(t))
        try:
            query = msgspec.convert(params, BrowsersQuery, strict=False)
        except msgspec.ValidationError as error:
            message, _, name = str(error).rpartition(" - at `$.")
            problem = {"loc": ["query", name.rstrip("`")], "msg": message, "type": "value_error"}
            return _json(t, {"detail": [problem]}, 422, headers)
        total, indices = self.fleet.page(t, query.page_number, query.page_size, query.filter_by)
        items = encoded_rows(self.fleet, BROWSER_USE, indices, t)
        page = {"pageNumber": query.page_number, "pageSize": query.page_size}
        return _json(t, {"items": items, "totalItems": total} | page, headers=headers)

    def _remaining(self, t: int) -> int:
        """How many requests the rate limit leaves after this one."""
        count = self.counted.get(t // WINDOW, 0) + 1
        self.counted.clear()
        self.counted[t // WINDOW] = count
        return max(0, REQUESTS_PER_WINDOW - count)


class _Cut(Response):
    """Announces its whole length, sends half of it and hangs up."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


def _json(t: int, body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    headers = {"Date": formatdate(t // SECOND, usegmt=True), **(headers or {})}
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def _limits(t: int, remaining: int) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(REQUESTS_PER_WINDOW),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(-(-(WINDOW - t % WINDOW) // SECOND)),
    }


def _failure(provider: str, t: int, status: int, message: str = "") -> Response:
    """An error as the provider words it, with what it says about trying again."""
    phrase, wait = HTTPStatus(status).phrase, RETRY_AFTER[provider]
    body: dict[str, object] = {"detail": message or phrase}
    if provider == BROWSERBASE:
        body = {"error": phrase, "message": message or phrase}
        body |= {"statusCode": status} if status != 401 else {}
    elif status == 429:
        body = {"error": "rate_limited", "limit_rps": 25, "retry_after_seconds": wait}
    elif status == 402:
        body = {"detail": {"code": "api_key_monthly_spend_limit_reached", "message": phrase}}
    headers = {"Retry-After": str(wait)} if status in (429, 503) else {}
    return _json(t, body, status, headers | (_limits(t, 0) if status == 429 else {}))


async def _stall(request: Request) -> None:
    """Wait as a slow server does, unless the client hangs up."""
    await request.body()
    with suppress(TimeoutError):
        await asyncio.wait_for(request.receive(), SLOWNESS)
