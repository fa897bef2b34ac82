"""One connection's requests and their answers, one after the other, each within its limits.

h11 speaks HTTP/1.1, the application ASGI. Nothing here takes a body, so that none is read.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from enum import Enum, auto
from http import HTTPStatus
from itertools import chain
from typing import Any
from urllib.parse import unquote

import h11
import msgspec
import structlog
from starlette.types import ASGIApp, Message, Scope

PIECE = 16_384  # bytes read or written at a time: a page under way to many slow clients is held once
LINGER_PIECES = 64  # what is still read of a client that has had its last answer

log = structlog.get_logger()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What clients may take.

    connections: at once, those shaking hands included. head_bytes: a request's line and headers.
    In seconds: handshake, TLS's; head, from a request's first byte to the end of its headers, and from the
    connection on for the first; idle, between an answer and the next request; answer, for the client to
    take it; leaving, for answers under way when the server is told to leave; linger, then and otherwise for
    a connection to end in order.
    """

    connections: int = 512
    head_bytes: int = 16_384
    handshake: float = 10
    head: float = 10
    # Prometheus asks every 15 s to 2 min, and would keep its connection for 5: each new one costs it TLS's
    # handshake.
    idle: float = 150
    answer: float = 30
    # Together with the ledger's end less than the ten that a supervisor may give.
    leaving: float = 5
    linger: float = 2


class Turn(Enum):
    """What a connection waits for: the client's request, our work, or the client's taking the answer."""

    REQUEST = auto()
    WORK = auto()
    TAKING = auto()


class Answer(msgspec.Struct, frozen=True):
    """What the application answers: status, headers and body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Exchange:
    """A client's connection.

    Args:
        app: an ASGI application.
        limits: what the client may take.
        reader, writer: the connection, open, and closed by others.
        turn: told what is waited for, at every change; at first it is a request.
        last: whether the next answer is the last.
    """

    def __init__(  # noqa: PLR0913 - a connection has two ends, and is told and tells one thing each
        self,
        app: ASGIApp,
        limits: Limits,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        turn: Callable[[Turn], None],
        last: Callable[[], bool],
    ) -> None:
        self._app, self._limits, self._turn, self._last = app, limits, turn, last
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, limits.head_bytes)

    async def serve(self) -> None:
        """Until the client has left, or an answer was the last.

        Raises:
            OSError: when the client broke off, or was too slow.
        """
        idle = False
        while (request := await self._request(idle=idle)) is not None:
            self._turn(Turn.WORK)
            answer = await self._ask(self._scope(request))
            self._turn(Turn.TAKING)
            await self._send(answer, head_only=request.method == b"HEAD")
            if self._http.our_state is not h11.DONE:
                break
            self._turn(Turn.REQUEST)
            self._http.start_next_cycle()
            idle = not self._http.trailing_data[0]
            await asyncio.sleep(0)  # who has sent many requests ahead is not answered before all others
        await self._part()

    async def _request(self, *, idle: bool) -> h11.Request | None:
        """The next request, without a body; None when the client has left, or was refused."""
        try:
            event = await self._head(idle=idle)
        except h11.RemoteProtocolError as error:
            await self._refuse(HTTPStatus(error.error_status_hint))
            return None
        if not isinstance(event, h11.Request):
            return None
        if sum(map(len, (event.target, *chain(*event.headers)))) > self._limits.head_bytes:
            await self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)  # which came whole, in one piece
            return None
        headers = dict(event.headers)
        if b"transfer-encoding" in headers or int(headers.get(b"content-length", 0)) > 0:
            await self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        self._http.next_event()  # its end, which without a body is there already
        return event

    async def _head(self, *, idle: bool) -> Any:
        """h11's next event: a request, or that the client has left."""
        async with asyncio.timeout(self._limits.idle if idle else self._limits.head) as limit:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(PIECE))
                if idle:
                    idle = False
                    limit.reschedule(asyncio.get_running_loop().time() + self._limits.head)
        return event

    def _scope(self, request: h11.Request) -> Scope:
        path, _, query = _origin(request.target).partition(b"?")
        tls = self._writer.get_extra_info("sslcontext") is not None
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.http_version.decode(),
            "method": request.method.decode(),
            "scheme": "https" if tls else "http",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": list(request.headers),
            "client": self._writer.get_extra_info("peername"),
            "server": self._writer.get_extra_info("sockname"),
        }

    async def _ask(self, scope: Scope) -> Answer:
        """The application's answer, once it is whole; 500 if it has none."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        try:
            await self._app(scope, _nothing_more, send)
        except Exception:  # the application's outermost edge: its fault is not the server's end
            log.exception("a request failed", path=scope["path"])
        if not sent or sent[-1].get("more_body", "status" in sent[-1]):
            return _bare(HTTPStatus.INTERNAL_SERVER_ERROR)
        start, *parts = sent
        body = b"".join(part.get("body", b"") for part in parts)
        return Answer(start["status"], list(start.get("headers", ())), body)

    async def _refuse(self, status: HTTPStatus) -> None:
        log.debug("request refused", status=status.value)  # h11's reason quotes headers: a password, too
        self._turn(Turn.TAKING)
        answer = _bare(status)
        answer.headers.append((b"connection", b"close"))
        await self._send(answer)

    async def _part(self) -> None:
        """Read what is still sent: to close with bytes unread resets the connection, and loses the answer."""
        if not self._writer.can_write_eof():
            return  # TLS has an end of its own, for which both sides wait
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger):
                for _ in range(LINGER_PIECES):
                    if not await self._reader.read(PIECE):
                        return

    async def _send(self, answer: Answer, *, head_only: bool = False) -> None:
        headers = [*answer.headers, (b"date", formatdate(usegmt=True).encode())]
        if self._last():
            headers.append((b"connection", b"close"))
        reason = HTTPStatus(answer.status).phrase.encode()
        start = h11.Response(status_code=answer.status, headers=headers, reason=reason)
        parts = [self._http.send(start) or b""]
        if answer.body and not head_only:
            parts.append(self._http.send(h11.Data(data=answer.body)) or b"")
        parts.append(self._http.send(h11.EndOfMessage()) or b"")
        async with asyncio.timeout(self._limits.answer):
            for part in parts:  # not joined: that would be a copy for each client
                for begin in range(0, len(part), PIECE):
                    self._writer.write(memoryview(part)[begin : begin + PIECE])
                    await self._writer.drain()


def _origin(target: bytes) -> bytes:
    """The path and query of a target that may name scheme and host before them."""
    if not target.startswith((b"http://", b"https://")):
        return target
    _, slash, rest = target.partition(b"://")[2].partition(b"/")
    return slash + rest or b"/"


async def _nothing_more() -> Message:
    """What an application receives: no request here has a body."""
    return {"type": "http.disconnect"}


def _bare(status: HTTPStatus) -> Answer:
    """An answer that says nothing more: so it fits any method."""
    return Answer(status, [(b"content-length", b"0")], b"")
