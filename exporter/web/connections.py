"""Who is let in: connections, no more than there is room for, each in a task of its own.

`asyncio.start_server` counts nobody before TLS's handshake has ended, so that clients are accepted here. The
streams are asyncio's: `StreamReader`, `StreamReaderProtocol`, `StreamWriter`, made as it makes them itself.
"""

import asyncio
import resource
import socket
import ssl
from functools import partial
from itertools import chain

import msgspec
import structlog
from starlette.types import ASGIApp

from exporter.web.exchange import PIECE, Exchange, Limits, Turn

FILES_SHARE = 0.5  # of those that the process may have open: the rest is for providers and the ledger
STARVED_SECONDS = 0.2  # without a file to be had, until a connection is accepted again
QUIET_SECONDS = 60  # between two lines that say so

log = structlog.get_logger()


def affordable(limits: Limits) -> Limits:
    """The limits, with no more connections than this process may have files for."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return limits
    return msgspec.structs.replace(limits, connections=min(limits.connections, int(files * FILES_SHARE)))


class Connections:
    """The connections to an address. Its methods are called on the event loop.

    Args:
        app: what answers.
        limits: what clients may take, one by one and together.
        tls: None to serve plain HTTP.
    """

    def __init__(self, app: ASGIApp, limits: Limits, tls: ssl.SSLContext | None) -> None:
        self._app, self._limits, self._tls = app, limits, tls
        self._turns: dict[asyncio.Task[None], Turn] = {}  # whose turn began first comes first
        self._readers: dict[asyncio.Task[None], asyncio.StreamReader] = {}
        self._leaving = False
        self._warn_after = 0.0

    def open(self, listener: socket.socket) -> None:
        """Let clients in, one for each turn of the loop, so that whoever makes room for it has left."""
        listener.settimeout(0)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def close(self, listener: socket.socket) -> None:
        """Let nobody in, and have those leave who have asked for nothing, or do not take their answer."""
        loop = asyncio.get_running_loop()
        self._leaving = True
        loop.remove_reader(listener)
        listener.close()
        self._end(Turn.REQUEST)
        loop.call_later(self._limits.linger, self._end, Turn.TAKING)

    def drop(self) -> None:
        """Have everybody leave at once."""
        self._end(*Turn)

    async def gone(self) -> None:
        """Wait until everybody has left."""
        while self._turns:
            await asyncio.wait(self._turns)

    def _end(self, *turns: Turn) -> None:
        for task, turn in self._turns.items():
            if turn in turns:
                task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # no file to be had: asked at once again, it would only say so again
            self._starve(listener, str(error.strerror))
            return
        if len(self._turns) >= self._limits.connections and not self._make_room():
            log.debug("connection refused: all others wait for an answer")
            accepted.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(accepted))
        self._turns[task] = Turn.REQUEST
        task.add_done_callback(partial(self._ended, accepted))

    def _starve(self, listener: socket.socket, reason: str) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._warn_after:
            self._warn_after = loop.time() + QUIET_SECONDS
            log.warning("no connection can be accepted", error=reason)
        if not self._make_room():
            loop.remove_reader(listener)
            loop.call_later(STARVED_SECONDS, self._try_again, listener)

    def _try_again(self, listener: socket.socket) -> None:
        if not self._leaving:
            self.open(listener)

    def _make_room(self) -> bool:
        """End the connection that has been waiting for its client the longest, or whose client has left."""
        waiting = (task for task, turn in self._turns.items() if turn is not Turn.WORK)
        left = (task for task, reader in self._readers.items() if reader.at_eof())
        task = next(chain(waiting, left), None)
        if task is None:
            return False
        log.debug("connection ended: it makes room for another")
        del self._turns[task]
        self._readers.pop(task, None)
        task.cancel()
        return True

    def _ended(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._turns.pop(task, None)
        self._readers.pop(task, None)
        accepted.close()  # it is still ours where the task ended before it began

    def _turn(self, turn: Turn) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._turns.pop(task, None) is not None:
            self._turns[task] = turn

    async def _serve(self, accepted: socket.socket) -> None:
        try:
            await self._serve_open(accepted)
        except OSError as error:  # TLS's and timeouts are such, too: no client's fault is worth more
            log.debug("connection ended", error=type(error).__name__, reason=str(error))

    async def _serve_open(self, accepted: socket.socket) -> None:
        loop, limits = asyncio.get_running_loop(), self._limits
        reader = asyncio.StreamReader(PIECE, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        times = {"ssl_handshake_timeout": limits.handshake, "ssl_shutdown_timeout": limits.linger}
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, accepted, ssl=self._tls, **(times if self._tls else {})
        )
        # Its least: what is drained is with the kernel, and an end need not wait for a client to read.
        transport.set_write_buffer_limits(high=1)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        if (task := asyncio.current_task()) in self._turns:
            self._readers[task] = reader
        exchange = Exchange(self._app, limits, reader, writer, turn=self._turn, last=lambda: self._leaving)
        try:
            await exchange.serve()
            writer.close()
            async with asyncio.timeout(limits.linger):
                await writer.wait_closed()
        finally:
            transport.abort()
