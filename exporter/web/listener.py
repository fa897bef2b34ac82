"""Listening sockets: every address of a host, for IPv4 and IPv6."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TypeAlias

import structlog

from exporter import __version__

Address: TypeAlias = tuple[int, str]  # family and host

BACKLOG = 512  # connections that the kernel holds until they are accepted
RECEIVE_BYTES = 16_384  # that the kernel keeps of what a client sends ahead of its turn
ACKNOWLEDGE_MS = 30_000  # for a client to acknowledge what was sent, or to open its window again
# A name may have an address of a family that this machine does not use.
FAMILY_UNUSED = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

log = structlog.get_logger()


async def listen_all(addresses: Iterable[tuple[str, int]]) -> list[socket.socket]:
    """Returns sockets for all of these hosts and ports; one log line for each.

    Raises:
        OSError: when one cannot be listened on; names it and the reason. None is open then.
    """
    with ExitStack() as stack:
        opened: list[socket.socket] = []
        for host, port in addresses:
            own = [stack.enter_context(one) for one in await listen(host, port)]
            opened += own
            log.info("serving", host=host or "all", port=own[0].getsockname()[1], version=__version__)
        stack.pop_all()
        return opened


async def listen(host: str, port: int) -> list[socket.socket]:
    """Returns sockets for every address of a host, on one port; an empty host means all addresses.

    Raises:
        OSError: when the host cannot be listened on; names it and the reason.
    """
    try:
        with ExitStack() as stack:
            opened = listeners(await _addresses(host), port, stack)
            stack.pop_all()
            return opened
    except OSError as error:
        # Python adds the address to a system error's text; a name that is not found has a text of its own.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise OSError(f"cannot listen on {host}:{port}: {reason}; see --web.listen-address") from error


def tune(listener: socket.socket) -> None:
    """Set what the sockets inherit that a listening socket accepts."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it, macOS has not
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, ACKNOWLEDGE_MS)


def base_url(listener: socket.socket, *, secure: bool) -> str:
    """Where a listening socket is reached, without a slash at the end: by its address, or as localhost."""
    host, port = listener.getsockname()[:2]
    if host in ("::", "0.0.0.0"):  # noqa: S104 - nothing is bound to it here
        host = "localhost"
    return f"http{'s' * secure}://{f'[{host}]' if ':' in host else host}:{port}"


def listeners(addresses: Sequence[Address], port: int, stack: ExitStack) -> list[socket.socket]:
    """Returns sockets on one port. Addresses of unused families are left out if there are others."""
    opened: list[socket.socket] = []
    unused: OSError | None = None
    for family, address in addresses:
        same = opened[0].getsockname()[1] if opened else port  # one port for all, also where any will do
        try:
            opened.append(stack.enter_context(_listener(family, address, same)))
        except OSError as error:
            if error.errno not in FAMILY_UNUSED:
                raise
            unused = error
    if unused is not None and not opened:
        raise unused
    return opened


async def _addresses(host: str) -> list[Address]:
    if host in ("", "::"):
        return [(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET, "")]
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _listener(family: int, address: str, port: int) -> socket.socket:
    opened = socket.create_server(
        (address, port),
        family=family,
        dualstack_ipv6=family == socket.AF_INET6 and not address,
        backlog=BACKLOG,
    )
    tune(opened)
    return opened
