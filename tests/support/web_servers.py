"""A server in a thread, with an application that counts and can be held; and clients that need not behave."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import trustme
from aiohttp import web

from exporter.web.connection import Limits
from exporter.web.listener import listen
from exporter.web.server import Server
from tests.support.processes import LOCAL, TIMEOUT

BIG = b"x" * (16 << 20)  # more than the kernel keeps for a connection

_CA = trustme.CA()


class App(Protocol):
    """What makes an application."""

    def app(self) -> web.Application:
        """The application, once."""


Made = TypeVar("Made", bound=App)


class Site:
    """An application: `/held` waits until `open`, `/big` is long, others answer their path.

    `/broken` raises; `/left` has lost its client, and writes to it.

    asked: methods and paths of all requests. waiting: released at each `/held`.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.waiting = threading.Semaphore(0)
        self._gate = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path))
        if request.path == "/broken":
            raise ValueError(request.path)
        if request.path == "/left":
            assert request.transport is not None
            request.transport.abort()
            await request.writer.write(
                b"HTTP/1.1 100 Continue\r\n\r\n"
            )  # as aiohttp does where it is expected
        if request.path == "/held":
            self.waiting.release()
            await self._gate.wait()
        return web.Response(body=BIG if request.path == "/big" else request.path.encode())

    def open(self) -> None:
        self._gate.set()


class Front(Generic[Made]):
    """A server of a site, in a thread while entered; its event loop must have nothing to complain of."""

    port: int

    def __init__(self, site: Made, *, tls: bool = False, **limits: float) -> None:
        self.site, self.tls, self.faults = site, tls, list[dict[str, Any]]()
        self._patient = {"handshake": TIMEOUT, "head": TIMEOUT, "idle": TIMEOUT, "answer": TIMEOUT}
        self._limits = Limits(**self._patient | limits)  # type: ignore[arg-type]  # one of them is whole
        self.waiters_cancelled = threading.Event()
        self._serving = threading.Event()
        self._told_to_stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._serving.wait(TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.abort()
        self.stopped()
        assert self.faults == []

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, fault: self.faults.append(fault))
        tls = server_side() if self.tls else None
        server = Server(self.site.app(), self.waiters_cancelled.set, tls=tls, limits=self._limits)
        self._server, opened = server, await listen(LOCAL, 0)
        self.port = opened[0].getsockname()[1]
        await server.start(opened)
        self._serving.set()
        await self._told_to_stop.wait()
        await server.stop()

    def stop(self) -> None:
        """As at a signal."""
        self.do(self._told_to_stop.set)

    def abort(self) -> None:
        """As at a second signal."""
        self.do(self._server.abort_all)

    def do(self, what: Callable[[], object]) -> None:
        """Call something on its event loop."""
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(what)

    def stopped(self) -> None:
        """Wait for its end."""
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the server does not end"

    def client(self, *, shaking_hands: bool = True) -> "Client":
        return Client(self.port, tls=self.tls and shaking_hands)


@contextmanager
def fronts(*, tls: bool = False, **limits: float) -> Iterator[Front[Site]]:
    """A front whose limits are far off, but for those given."""
    with Front(Site(), tls=tls, **limits) as front:
        yield front


class Client:
    """A connection: raw bytes there, whole answers or the end back. Patient, but not for ever."""

    def __init__(self, port: int, *, tls: bool = False) -> None:
        self.socket = socket.create_connection((LOCAL, port), timeout=TIMEOUT)
        if tls:
            self.socket = CLIENT_SIDE.wrap_socket(
                self.socket, server_hostname="localhost", suppress_ragged_eofs=False
            )
        self._left = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, path: str = "/", method: str = "GET", headers: str = "") -> None:
        self.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())

    def answer(self, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        while (end := self._left.find(b"\r\n\r\n")) < 0:
            self._receive()
        first, *lines = self._left[:end].decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        begin = end + 4
        end = begin + (int(headers["content-length"]) if body else 0)
        while len(self._left) < end:
            self._receive()
        found = bytes(self._left[begin:end])
        del self._left[:end]
        return int(first.split(" ")[1]), headers, found

    def get(self, path: str = "/") -> int:
        """The status of an answer."""
        self.request(path)
        return self.answer()[0]

    def ended(self, *, in_order: bool = False) -> bool:
        """Wait until the server ends the connection; whether without another word, and as TLS wants it."""
        try:
            return not self._left and not self.socket.recv(1)
        except (ConnectionError, ssl.SSLEOFError):
            return not in_order

    def _receive(self) -> None:
        received = self.socket.recv(1 << 16)
        assert received, f"the server has left, after {self._left!r}"
        self._left += received


def certificate(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate that clients here trust, and of its key."""
    issued = _CA.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    return folder / "cert.pem", folder / "key.pem"


def server_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _CA.issue_cert("localhost").configure_cert(context)
    return context


def _client_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _CA.configure_trust(context)
    return context


CLIENT_SIDE = _client_side()
