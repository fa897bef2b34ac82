"""The container's health check, against servers that answer, refuse, or are not there."""

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
import trustme

from devtools.processes import free_ports
from tests.support.processes import LOCAL, run
from tests.support.rules import ROOT

SCRIPT = ROOT / "deploy" / "docker" / "healthcheck.py"
PROXY = {"HTTP_PROXY": f"http://{LOCAL}:1", "http_proxy": f"http://{LOCAL}:1"}


@contextmanager
def serving(status: int, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that answers /-/healthy with this status; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/-/healthy" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Say nothing."""

    with HTTPServer((LOCAL, 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield str(server.server_port)
        server.shutdown()
        thread.join()


def certified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("exporter.example").configure_cert(context)
    return context


@pytest.mark.parametrize(("status", "code"), [(200, 0), (401, 0), (404, 1), (503, 1)])
def test_an_answer_is_healthy_also_without_a_password(status: int, code: int) -> None:
    with serving(status) as port:
        assert run(sys.executable, SCRIPT, LOCAL, port, environ=PROXY) == (code, "", "")


def test_tls_is_asked_whatever_its_certificate_says() -> None:
    with serving(200, certified()) as port:
        assert run(sys.executable, SCRIPT, LOCAL, port, environ=PROXY) == (0, "", "")


def test_nobody_is_not_healthy() -> None:
    (port,) = free_ports(1)
    assert run(sys.executable, SCRIPT, LOCAL, str(port), environ={}) == (1, "", "")
