"""Listening sockets that systemd has opened: socket activation, as in sd_listen_fds(3)."""

import socket
from collections.abc import Mapping

import structlog

from exporter import __version__
from exporter.web.listener import tune

FIRST_FD = 3  # SD_LISTEN_FDS_START

log = structlog.get_logger()


def passed_sockets(environ: Mapping[str, str], pid: int) -> list[socket.socket]:
    """Returns the sockets that were passed to this process; none if it was started in another way.

    Raises:
        OSError: for one that is no listening TCP socket.
    """
    if environ.get("LISTEN_PID") != str(pid):  # another process's, inherited
        return []
    count = int(environ.get("LISTEN_FDS") or 0)
    return [_taken(number) for number in range(FIRST_FD, FIRST_FD + count)]


def _taken(number: int) -> socket.socket:
    taken = socket.socket(fileno=number)
    listens = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listens or taken.family not in (socket.AF_INET, socket.AF_INET6):
        taken.detach()
        fault = f"file descriptor {number} is no listening TCP socket"
        raise OSError(f"{fault}; see ListenStream= of the socket unit")
    tune(taken)
    host, port = taken.getsockname()[:2]
    log.info("serving", host=host, port=port, version=__version__, socket="systemd")
    return taken
