"""The server: an address that listens, and an end that leaves nobody without an answer."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable

import structlog
import uvicorn
from starlette.applications import Starlette

from exporter import __version__

# Of the ten seconds that a supervisor may give: for pulls under way, and for their answers.
PULL_SECONDS, ANSWER_SECONDS = 5, 2

log = structlog.get_logger()


def listener(host: str, port: int) -> socket.socket:
    """A socket that listens; an empty host means every address of this machine.

    Raises:
        OSError: when the address is not to be had; says which.
    """
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family, dualstack_ipv6=both, backlog=512)
    except OSError as error:
        # Python adds the address to a system error's words; a name that is not found has its own.
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        raise OSError(f"cannot listen on {host}:{port}: {reason}; see --web.listen-address") from error
    # asyncio does so for sockets of its own making only: an answer would wait for the client's ACK.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


class _Server(uvicorn.Server):
    """Told to end, it has what is under way hurried after a while."""

    def __init__(self, config: uvicorn.Config, hurry: Callable[[], None]) -> None:
        super().__init__(config)
        self._hurry = hurry

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().call_later(PULL_SECONDS, self._hurry)
        await super().shutdown(sockets)


def run(app: Starlette, listen: tuple[str, int], hurry: Callable[[], None]) -> None:
    """Serve on an address until a signal says otherwise; then answer what is under way.

    `hurry` is called when that takes too long. Raises OSError when the address is not to be had.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=PULL_SECONDS + ANSWER_SECONDS,
    )
    server = _Server(config, hurry)
    with listener(*listen) as opened:
        # uvicorn takes the signals over, and when it is done sends itself again those it got: to end well,
        # and not by that signal, somebody must be there to take it.
        at_signals(lambda: setattr(server, "should_exit", True))
        log.info("serving", host=listen[0] or "all", port=opened.getsockname()[1], version=__version__)
        server.run([opened])


def at_signals(leave: Callable[[], None]) -> None:
    """Have `leave` called when the process is asked to end."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: leave())
