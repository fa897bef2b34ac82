"""The server: an address that listens, and an end that leaves nobody without an answer."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Callable
from functools import partial

import structlog
from starlette.types import ASGIApp

from exporter import __version__
from exporter.web.connections import Connections, affordable
from exporter.web.exchange import Limits

# What a client may send ahead: the kernel keeps so much for each, and none of it is read before its turn.
RECEIVE_BYTES = 16_384

log = structlog.get_logger()


def listener(host: str, port: int) -> socket.socket:
    """A socket that listens; an empty host, or `::`, means every address of this machine.

    Raises:
        OSError: when the address is not to be had; says which.
    """
    both = host in ("", "::") and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, dualstack_ipv6=both, backlog=512)
    except OSError as error:
        # Python adds the address to a system error's words; a name that is not found has its own.
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        raise OSError(f"cannot listen on {host}:{port}: {reason}; see --web.listen-address") from error
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    # Of sockets made so asyncio does not see that they are TCP's: the end of an answer would wait 40 ms.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


class Server:
    """Serves until it is told to leave; told so twice, it leaves at once.

    Args:
        app: what answers.
        cancel_waiters: called when scrapes under way take too long for an end.
        tls: None to serve plain HTTP.
        limits: what clients may take.
    """

    def __init__(
        self,
        app: ASGIApp,
        cancel_waiters: Callable[[], None],
        *,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._limits = affordable(limits or Limits())
        self._connections = Connections(app, self._limits, tls)
        self._hurry = cancel_waiters
        self._told = asyncio.Event()
        self.at_once = False

    def leave(self) -> None:
        """Answer what is under way, and end; the second time, end. On the event loop."""
        if self._told.is_set():
            self.at_once = True
            self._connections.drop()
        self._told.set()

    async def serve(self, opened: socket.socket) -> None:
        """Until told to leave; closes the listening socket."""
        self._connections.open(opened)
        await self._told.wait()
        self._connections.close(opened)
        loop, limits = asyncio.get_running_loop(), self._limits
        timers = (
            loop.call_later(limits.leaving, self._hurry),
            loop.call_later(limits.leaving + limits.linger, self._connections.drop),
        )
        await self._connections.gone()
        for timer in timers:
            timer.cancel()


def run(
    app: ASGIApp,
    listen: tuple[str, int],
    *,
    cancel_waiters: Callable[[], None],
    reload: Callable[[], None] = lambda: None,
    tls: ssl.SSLContext | None = None,
) -> bool:
    """Serve on an address until a signal says otherwise; then answer what is under way. On the main thread.

    `cancel_waiters` is called when that takes too long, `reload` on the event loop at SIGHUP. SIGTERM and
    SIGINT end it, a second one at once: whether there was one is returned.

    Raises:
        OSError: when the address is not to be had.
    """
    server = Server(app, cancel_waiters, tls=tls)
    with listener(*listen) as opened, asyncio.Runner() as runner:
        loop = runner.get_loop()
        # What comes before the loop runs waits in it; what comes when it has ended comes too late.
        at_signals(
            partial(loop.call_soon_threadsafe, server.leave), partial(loop.call_soon_threadsafe, reload)
        )
        log.info("serving", host=listen[0] or "all", port=opened.getsockname()[1], version=__version__)
        try:
            runner.run(server.serve(opened))
        finally:
            at_signals(lambda: None, lambda: None)
    return server.at_once


def at_signals(leave: Callable[[], object], reload: Callable[[], object] | None = None) -> None:
    """Have `leave` called at SIGTERM and SIGINT, and `reload` at SIGHUP."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: leave())
    if reload is not None:
        signal.signal(signal.SIGHUP, lambda *_: reload())
