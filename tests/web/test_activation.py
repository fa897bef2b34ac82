"""Listening sockets that systemd passes: taken, and kept from one exporter to the next."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.web.activation import passed_sockets
from tests.support.processes import COMMAND, KEYS, LOCAL, TIMEOUT

# As systemd starts a service: sockets are file descriptors from 3 on, and LISTEN_PID is the service's own.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execve(sys.argv[2], sys.argv[2:], os.environ | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
"""


def started(passed: socket.socket, ledger: str) -> subprocess.Popen[str]:
    """An exporter that was passed this socket, and an address that it cannot listen on."""
    command = COMMAND, "--ledger.url", ledger, "--web.listen-address", "192.0.2.1:1"
    return subprocess.Popen(
        [sys.executable, "-c", AS_SYSTEMD, str(passed.fileno()), *command],
        env=KEYS | {"PATH": os.environ["PATH"]},
        pass_fds=[passed.fileno()],
        text=True,
        stderr=subprocess.PIPE,
    )


@contextmanager
def activated(passed: socket.socket, ledger: str) -> Iterator[None]:
    """The exporter, serving; it is told to end, and must do so in order."""
    with started(passed, ledger) as process:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0


def asks(port: int) -> socket.socket:
    """Returns a connection on which the exporter's health has been asked for."""
    client = socket.create_connection((LOCAL, port), timeout=TIMEOUT)
    client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return client


def test_a_request_waits_for_the_next_exporter_on_the_same_socket(tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    with socket.create_server((LOCAL, 0)) as passed:
        port = passed.getsockname()[1]
        with activated(passed, ledger), asks(port) as first:
            assert first.recv(64).startswith(b"HTTP/1.1 200 ")
        with asks(port) as waiting, activated(passed, ledger):
            assert waiting.recv(64).startswith(b"HTTP/1.1 200 ")


def test_sockets_of_another_process_are_not_taken() -> None:
    assert passed_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, pid=2) == []
    assert passed_sockets({}, pid=2) == []


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_what_is_no_listening_tcp_socket_is_refused(family: socket.AddressFamily, tmp_path: Path) -> None:
    with socket.socket(family) as passed:
        if family is socket.AF_UNIX:
            passed.bind(str(tmp_path / "socket"))
            passed.listen()
        with started(passed, f"sqlite:///{tmp_path}/ledger.db") as process:
            _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "file descriptor 3 is no listening TCP socket; see ListenStream=" in errors
