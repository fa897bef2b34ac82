"""The HTTP server: bounds the number of connections, and stops without losing an answer.

aiohttp speaks HTTP. Connections are accepted here, because asyncio's own servers show a connection only
after its TLS handshake, and then a limit could not close those that never finish it: each holds 256 KiB.
"""

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain

import msgspec
import structlog
from aiohttp import web

from exporter.web.connection import Connection, Limits, Phase, bare_response, send

FILES_SHARE = 0.5  # of the files that may be open, for connections: the rest is for providers and the ledger
MAX_OPEN_FILES = 65_536  # to which the soft limit is raised, where the hard one allows it
ACCEPT_RETRY_SECONDS = 0.2  # without a file descriptor, until a connection is accepted again
WARNING_SECONDS = 60  # between two log lines on that

log = structlog.get_logger()


def raise_open_files_limit() -> None:
    """Raise the soft limit of open files to the hard one, at most to `MAX_OPEN_FILES`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def cap_to_nofile(limits: Limits) -> Limits:
    """Returns the limits, with connections for at most `FILES_SHARE` of the files that may be open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return limits
    return msgspec.structs.replace(limits, connections=min(limits.connections, int(files * FILES_SHARE)))


class Server:
    """Serves an application to a bounded number of connections. Its methods run on one event loop.

    Args:
        app: what answers.
        cancel_waiters: called when requests in flight take too long for a shutdown.
        tls: None to serve plain HTTP.
        limits: what clients may take.
    """

    def __init__(
        self,
        app: web.Application,
        cancel_waiters: Callable[[], None],
        *,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._limits = cap_to_nofile(limits or Limits())
        self._cancel_waiters, self._tls = cancel_waiters, tls
        self._runner = web.AppRunner(app)
        # Those that have been waiting the longest come first.
        self._connections: dict[Connection, None] = {}
        self._empty = asyncio.Event()
        self._accepting: list[asyncio.Task[None]] = []
        self._stopping = False
        self._warn_after = 0.0

    async def start(self, listeners: Iterable[socket.socket]) -> None:
        """Accept connections from now on. The listening sockets are closed by `stop`."""
        await self._runner.setup()
        application = self._runner.server
        assert application is not None
        self._handler = application.request_handler
        self._manager = web.Server(self._answer, request_factory=application.request_factory)
        self._empty.set()
        self._accepting = [asyncio.create_task(self._accept(listener)) for listener in listeners]

    async def stop(self) -> None:
        """Accept no more, answer what is in flight, close every connection."""
        self._stopping = True
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for connection in list(self._connections):
            if connection.phase is Phase.READING:
                connection.abort()
            elif connection.phase is Phase.WRITING:
                connection.close_in(self._limits.linger)
        for seconds, then in (
            (self._limits.shutdown, self._cancel_waiters),
            (self._limits.linger, self.abort_all),
        ):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
                break
            then()
        await self._empty.wait()
        await self._runner.cleanup()

    def abort_all(self) -> None:
        """Close every connection at once, whatever it waits for."""
        for connection in list(self._connections):
            connection.abort()

    async def _accept(self, listener: socket.socket) -> None:
        """Accept one connection per loop iteration, so that an evicted one is closed first."""
        loop = asyncio.get_running_loop()
        with listener:
            listener.settimeout(0)
            while True:
                try:
                    accepted, _ = await loop.sock_accept(listener)
                except ConnectionAbortedError:
                    continue
                except OSError as error:  # no file descriptor: it would fail again at once
                    self._warn(str(error.strerror))
                    await asyncio.sleep(0 if self._evict() else ACCEPT_RETRY_SECONDS)
                    continue
                self._admit(accepted)
                await asyncio.sleep(0)

    def _warn(self, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._warn_after:
            self._warn_after = now + WARNING_SECONDS
            log.warning("no connection can be accepted", error=reason)

    def _admit(self, accepted: socket.socket) -> None:
        if len(self._connections) >= self._limits.connections and not self._evict():
            log.debug("connection refused: all others wait for an answer")
            accepted.close()
            return
        connection = Connection(self._manager, self._limits, self._changed, self._closed)
        self._connections[connection] = None
        self._empty.clear()
        connection.opening = asyncio.create_task(self._open(accepted, connection))

    def _evict(self) -> bool:
        """Close the connection that has waited for its client the longest, or whose client has left.

        Returns whether there was one.
        """
        waiting = (one for one in self._connections if one.phase is not Phase.HANDLING)
        left = (one for one in self._connections if one.client_left)
        connection = next(chain(waiting, left), None)
        if connection is None:
            return False
        log.debug("connection evicted for a new one")
        self._closed(connection)
        connection.abort()
        return True

    async def _open(self, accepted: socket.socket, connection: Connection) -> None:
        limits, opened = self._limits, False
        times = {"ssl_handshake_timeout": limits.handshake, "ssl_shutdown_timeout": limits.linger}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, **(times if self._tls else {})
            )
            opened = True
        except OSError as error:  # also an ssl.SSLError, and a handshake's timeout
            log.debug("connection closed", error=type(error).__name__, reason=str(error))
        finally:
            connection.opening = None  # else its traceback keeps asyncio's 256 KiB until a garbage collection
            if not opened:
                accepted.close()  # asyncio does not close it where the task was cancelled before it began
                self._closed(connection)

    def _changed(self, connection: Connection) -> None:
        """Move the connection to the end of the order of eviction."""
        if connection in self._connections:
            del self._connections[connection]
            self._connections[connection] = None

    def _closed(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.enter(Phase.HANDLING)
        response = await self._response(request)
        connection.enter(
            Phase.WRITING, seconds=self._limits.linger if self._stopping else self._limits.answer
        )
        try:
            return await send(request, response, last=self._stopping or connection.client_left)
        finally:
            connection.enter(Phase.READING)

    async def _response(self, request: web.BaseRequest) -> web.Response:
        """Returns the application's response; a request with a body or too long a head never reaches it."""
        if request.body_exists:
            return bare_response(413)
        if sum(map(len, chain(*request.raw_headers)), len(request.path_qs)) > self._limits.head_bytes:
            return bare_response(431)  # it came in one piece, which the connection does not measure
        try:
            response = await self._handler(request)
        except web.HTTPException as error:
            return web.Response(status=error.status, body=error.body, headers=error.headers)
        except Exception as error:  # the application's outermost edge: its fault ends no connection
            if isinstance(error, ConnectionResetError) and _has_left(request):
                log.debug("the client left", path=request.path)
            else:
                log.exception("a request failed", path=request.path)
            return web.Response(status=500)
        assert isinstance(response, web.Response)
        return response


def _has_left(request: web.BaseRequest) -> bool:
    """Whether the client closed the connection, as it may before it is told to go on (`Expect`)."""
    return request.transport is None or request.transport.is_closing()
