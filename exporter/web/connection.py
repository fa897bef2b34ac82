"""One client's connection: aiohttp's request handler, with a deadline for each phase and a bounded head."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from aiohttp import web

HEAD_END = b"\r\n\r\n"
CHUNK_SIZE = 16_384  # bytes written at a time, so that slow clients share a page instead of copying it
ITERATIONS_TO_HANDLER = 10  # of the event loop, from a request's last byte to its handler; aiohttp needs 3

# On every answer. The page is text, links and a style of its own: a browser shall load, run, frame and keep
# nothing else.
SECURITY_HEADERS = {
    "Server": "cloud-browser-exporter",  # aiohttp would name its version
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = structlog.get_logger()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What clients may take.

    connections: at once, those in a TLS handshake included. head_bytes: a request's line and headers.
    In seconds: handshake, for TLS; head, from a request's first byte to the end of its headers, and from the
    connection on for the first; idle, between an answer and the next request; answer, for the client to
    take it; shutdown, for requests in flight when the server stops; linger, then and otherwise for
    a connection to close.
    """

    connections: int = 512
    head_bytes: int = 16_384
    handshake: float = 10
    head: float = 10
    # Prometheus scrapes every 15 s to 2 min: a new connection for each would cost it a TLS handshake.
    idle: float = 150
    answer: float = 30
    # With the ledger's drain less than the ten seconds that a supervisor may give.
    shutdown: float = 5
    linger: float = 2


class Phase(Enum):
    """What a connection waits for: the client's request, the handler, or the client to take the answer."""

    READING = auto()
    HANDLING = auto()
    WRITING = auto()


class Connection(web.RequestHandler):
    """A client's connection, closed when a deadline passes or a head is too long.

    Args:
        manager: aiohttp's server, whose handler answers.
        limits: what the client may take.
        changed: called at each change of phase.
        lost: called at the end of an open connection.
    """

    def __init__(
        self,
        manager: web.Server,
        limits: Limits,
        changed: Callable[["Connection"], None],
        lost: Callable[["Connection"], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=limits.idle,
            lingering_time=0,
            max_line_size=limits.head_bytes,
            max_field_size=limits.head_bytes,
        )
        self._limits, self._changed, self._lost = limits, changed, lost
        self._client: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._tail = b""  # the last bytes received, in which the end of a head may begin
        self._head_bytes = 0  # received of a head that has not ended
        self._requested = self._refused = False
        self.phase, self.client_left = Phase.READING, False
        self.opening: asyncio.Task[None] | None = None

    def enter(self, phase: Phase, *, seconds: float | None = None) -> None:
        """Begin a phase that may take so many seconds; reading has a deadline of its own."""
        self.phase = phase
        if phase is Phase.READING:
            self._requested = False
            seconds = self._limits.head if self._head_bytes else None  # idle is aiohttp's own deadline
            if self.client_left:
                self.close()
        self.close_in(seconds if self.connected else None)
        self._changed(self)

    def close_in(self, seconds: float | None) -> None:
        """Set the deadline; None for no deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None
        if seconds is not None:
            self._deadline = asyncio.get_running_loop().call_later(seconds, self._expire)

    def abort(self) -> None:
        """Close the connection at once, open or in its handshake; unsent data is lost."""
        if self._client is not None:
            self._client.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open, and its TLS handshake done."""
        assert isinstance(transport, asyncio.Transport)
        self._client = transport
        transport.set_write_buffer_limits(high=1)  # an answer counts as taken once the kernel has it
        super().connection_made(transport)
        self.enter(Phase.READING)
        self.close_in(self._limits.head)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is closed, by either side."""
        self.close_in(None)
        self._lost(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what the client sent, unless its head is too long."""
        self._measure(data)
        if self._head_bytes > self._limits.head_bytes:
            if not self._refused:
                self._refuse_head()
            return
        if data and self.phase is Phase.READING and self._deadline is None:
            self.close_in(self._limits.head)
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature; aiohttp's is narrower
        """Keep the connection open for an answer under way. TLS cannot, and must not return True."""
        self.client_left = True
        if not self._requested or self.ssl_context is not None:
            return False
        self._close_unless_handling(ITERATIONS_TO_HANDLER)
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - aiohttp's signature; it quotes the request
        message: str | None = None,  # noqa: ARG002 - the same
    ) -> web.StreamResponse:
        """Answer a malformed request, without quoting it: it may hold a password."""
        log.debug("request refused", status=status)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        return bare_response(status)

    def log_exception(self, *_args: Any, **fields: Any) -> None:
        """Log a fault of aiohttp's by its type: its text may quote the request."""
        log.error("connection failed", error=type(fields.get("exc_info")).__name__)

    def _close_unless_handling(self, iterations: int) -> None:
        """Close the connection unless a handler starts within so many iterations of the event loop."""
        if self.phase is Phase.READING and iterations:
            asyncio.get_running_loop().call_soon(self._close_unless_handling, iterations - 1)
        elif self.phase is Phase.READING:
            self.force_close()

    def _measure(self, data: bytes) -> None:
        """Count the bytes since the end of the last head. No request here has a body."""
        seen = self._tail + data
        end = seen.rfind(HEAD_END)
        if end >= 0:
            self._requested = True
            self._head_bytes = len(seen) - end - len(HEAD_END)
        else:
            self._head_bytes += len(data)
        self._tail = seen[1 - len(HEAD_END) :]

    def _refuse_head(self) -> None:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        log.debug("request refused", status=status.value)
        self._refused = True
        if self.phase is Phase.READING and self.transport is not None:
            lines = f"HTTP/1.1 {status.value} {status.phrase}", "Connection: close", "Content-Length: 0"
            self.transport.write("\r\n".join(lines).encode() + HEAD_END)
            self.force_close()
        self.close()  # once the request in flight is answered

    def _expire(self) -> None:
        log.debug("connection closed: too slow", phase=self.phase.name.lower())
        self.abort()


def bare_response(status: int) -> web.Response:
    """Returns an answer without a body, after which the connection is closed."""
    response = web.Response(status=status, headers=SECURITY_HEADERS)
    response.force_close()
    return response


async def send(request: web.BaseRequest, response: web.Response, *, last: bool) -> web.StreamResponse:
    """Send an answer in chunks; `last` closes the connection after it. Returns what was sent, for aiohttp."""
    body = b"" if response.body is None else response.body
    assert isinstance(body, bytes)
    sent = web.StreamResponse(status=response.status, headers=response.headers)
    sent.headers.update(SECURITY_HEADERS)
    sent.content_length = len(body)
    if last or response.keep_alive is False:
        sent.force_close()
    view = memoryview(b"" if request.method == "HEAD" else body)
    with suppress(ConnectionError):  # the client has left
        await sent.prepare(request)
        while len(view) > CHUNK_SIZE:
            await sent.write(view[:CHUNK_SIZE])
            view = view[CHUNK_SIZE:]
        await sent.write_eof(bytes(view))
    return sent
