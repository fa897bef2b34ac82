"""The providers' APIs over HTTP, answered from a simulated fleet.

    GET {base path}{path}  of each provider: its sessions
    GET /truth             the totals that an exporter shows after reading everything since the fleet's origin

Rows show the clock's exact time; `Date` is that time cut to whole seconds, as real servers have it.
"""

import asyncio
import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from email.utils import formatdate
from hashlib import blake2b
from http import HTTPStatus
from math import fsum
from typing import Self

import msgspec
from aiohttp import web

from exporter.simulator import PROVIDERS
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import SECOND, Fleet
from exporter.simulator.provider import Reply, SimulatedProvider

FAULTS = ("401", "402", "403", "404", "429", "500", "502", "503", "slow", "cut")
SLOWNESS = 5.0  # seconds
REQUESTS_PER_WINDOW, WINDOW = 125, 5 * SECOND
ACCEPT_ITERATIONS = 3  # of the event loop, from an accepted socket to a connection
DRAIN_SECONDS = 4.0  # for requests in flight at the end; aiohttp may wait for twice as long

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong, one of `FAULTS`, with a share of the requests to all APIs."""

    kind: str
    share: float


def parse_fault(text: str) -> Fault:
    """Read `KIND:SHARE`, such as `503:0.1`. Raises ValueError, naming what is allowed."""
    kind, _, share = text.partition(":")
    if kind not in FAULTS or not re.fullmatch(r"0|1|0?\.[0-9]+", share):
        raise ValueError(f"{text!r} is not KIND:SHARE, KIND one of {', '.join(FAULTS)}, SHARE from 0 to 1")
    return Fault(kind, float(share))


def scaled_clock(origin: int, speed: float) -> Callable[[], int]:
    """Returns a clock that shows `origin` now, in microseconds, and runs `speed` times as fast as time does.

    Raises ValueError for a speed out of range.
    """
    if not 0 < speed <= 1_000_000:
        raise ValueError("--speed must be above 0 and at most 1,000,000")
    begun = time.monotonic_ns()
    return lambda: origin + int((time.monotonic_ns() - begun) * speed) // 1000


def create_app(
    fleet: Fleet,
    clock: Callable[[], int],
    keys: Collection[str] = (),
    faults: Collection[Fault] = (),
    providers: Collection[SimulatedProvider] = tuple(PROVIDERS.values()),
) -> Handler:
    """Returns the handler of all APIs over `fleet` at the time of `clock`, in microseconds since 1970.

    keys: those accepted; with none given, any is. Two faults never strike the same request.
    Raises ValueError if the faults' shares are more than 1 together.
    """
    if fsum(fault.share for fault in faults) > 1:
        raise ValueError("the shares of all --fault must be at most 1 together")
    paths = {
        base + provider.path: provider
        for provider in providers
        for base in (provider.base_path, *provider.more_base_paths)
    }
    return _Api(fleet, clock, frozenset(keys), tuple(faults), paths).answer


class Server:
    """Serves a handler from a thread while entered, on `host` and `port` (0: a free one).

    Entering raises OSError if the address cannot be listened on; names it and the reason.
    """

    def __init__(self, app: Handler, host: str = "127.0.0.1", port: int = 0) -> None:
        self.address = host, port
        self._app = app

    def __enter__(self) -> Self:
        listener = _listener(*self.address)  # listens before the thread is up
        # asyncio does so only for sockets of its own making; a kept connection would wait 40 ms a request.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = listener.getsockname()[:2]
        runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # sets no loop for this thread
        self._loop, self._leaving = runner.get_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(runner, listener), name="simulator")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._leaving.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Its root, without a slash at the end: a provider's base URL adds its base path."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _run(self, runner: asyncio.Runner, listener: socket.socket) -> None:
        with runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        server = web.Server(self._app, handler_cancellation=True, access_log=None, lingering_time=0)
        runner = web.ServerRunner(server, shutdown_timeout=DRAIN_SECONDS)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await self._leaving.wait()
        # asyncio leaks a socket that is accepted just before its server closes, so accept no more and wait.
        self._loop.remove_reader(listener)
        for _ in range(ACCEPT_ITERATIONS):
            await asyncio.sleep(0)
        await runner.cleanup()
        await asyncio.sleep(0)
        await server.shutdown(0)  # a connection that was accepted while the others were closed


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        # Python adds the address to a system error's text; a name that is not found has a text of its own.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise OSError(f"cannot listen on {host}:{port}: {reason}; see --listen-address") from error


class _Api(msgspec.Struct, frozen=True):
    """Answers requests. They are numbered to choose which get a fault; of the fleet nothing is kept.

    counted: the last window of each key's rate limit in which a request came, and the requests in it.
    """

    fleet: Fleet
    clock: Callable[[], int]
    keys: frozenset[str]
    faults: tuple[Fault, ...]
    paths: Mapping[str, SimulatedProvider]
    numbers: Iterator[int] = msgspec.field(default_factory=itertools.count)
    counted: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Route a request."""
        provider = self.paths.get(request.path) or self._beside(request.path)
        if provider is None and request.path != "/truth":
            return self._refusal(404)
        if request.method not in ("GET", "HEAD"):
            return self._refusal(405, Allow="GET, HEAD")
        return self._expected() if provider is None else await self._api(provider, request)

    async def _api(self, provider: SimulatedProvider, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to a provider: with its fault if it gets one, else after a check of its key."""
        fault = self._fault(next(self.numbers))
        if fault == "slow":
            await asyncio.sleep(SLOWNESS)  # cancelled when the client hangs up
        t = self.clock()
        if fault.isdigit():
            return _failure(provider, t, int(fault))
        name = provider.key_header
        key = request.headers.get(name)
        if not key or (self.keys and key not in self.keys):
            return _failure(provider, t, 401, "Invalid API key" if key else f"Missing {name.lower()} header")
        limits = _limits(t, self._remaining(key, t)) if provider.sends_rate_limit else {}
        if request.path in self.paths:
            params = {name: request.query.getall(name) for name in request.query}
            reply = provider.list_sessions(self.fleet, params, t)
        else:
            reply = provider.account(self.fleet, request.path, t) or Reply({"detail": "Not Found"}, 404)
        response = _json(t, reply.body, reply.status, limits)
        return await _cut(request, response) if fault == "cut" else response

    def _beside(self, path: str) -> SimulatedProvider | None:
        """Returns the provider that answers a path which is no list of sessions."""
        found = (
            one for one in self.paths.values() if one.account(self.fleet, path, self.clock()) is not None
        )
        return next(found, None)

    def _expected(self) -> web.Response:
        t = self.clock()
        facts = {provider.facts.name: provider.facts for provider in self.paths.values()}
        told = {name: expected_totals(self.fleet, each, t) for name, each in facts.items()}
        return _json(t, {"time": t} | told)

    def _refusal(self, status: int, **headers: str) -> web.Response:
        return _json(self.clock(), {"detail": HTTPStatus(status).phrase}, status, headers)

    def _fault(self, number: int) -> str:
        """Returns the kind of fault that request `number` gets, or nothing."""
        digest = blake2b(f"{self.fleet.seed}/fault/{number}".encode(), digest_size=4).digest()
        chance = int.from_bytes(digest, "big") / 2**32
        for fault in self.faults:
            if chance < fault.share:
                return fault.kind
            chance -= fault.share
        return ""

    def _remaining(self, key: str, t: int) -> int:
        """Count a request; returns how many more the rate limit leaves, which each API key has of its own."""
        window, count = self.counted.get(key, (0, 0))
        count = count + 1 if window == t // WINDOW else 1
        self.counted[key] = t // WINDOW, count
        return max(0, REQUESTS_PER_WINDOW - count)


def _json(t: int, body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    headers = {"Date": formatdate(t // SECOND, usegmt=True), **(headers or {})}
    return web.Response(
        body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/json"
    )


def _limits(t: int, remaining: int) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(REQUESTS_PER_WINDOW),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(-(-(WINDOW - t % WINDOW) // SECOND)),
    }


def _failure(provider: SimulatedProvider, t: int, status: int, message: str = "") -> web.Response:
    """Returns an error in the provider's own form, with its Retry-After and rate limit headers."""
    body = provider.error_body(status, message or HTTPStatus(status).phrase)
    headers = {"Retry-After": str(provider.retry_after)} if status in (429, 503) else {}
    return _json(t, body, status, headers | (_limits(t, 0) if status == 429 else {}))


async def _cut(request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
    """Announce the whole length, send half of the body and hang up."""
    assert isinstance(response.body, bytes)
    cut = web.StreamResponse(status=response.status, headers=response.headers)
    cut.content_length = len(response.body)
    await cut.prepare(request)
    await cut.write(response.body[: len(response.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return cut
