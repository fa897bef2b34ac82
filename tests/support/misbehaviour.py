"""HTTP servers that answer by script, and need not behave: raw sockets, a thread for each connection."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

DRIPS = 2000  # twenty seconds of them: far beyond any test's deadline, and yet they end

Script: TypeAlias = Callable[[socket.socket], None]
Reply: TypeAlias = bytes | Script


class Server:
    """Each request gets the reply to its head, whatever connection it comes on.

    requests: the heads that came. connections: how many were accepted. left: released as each ends.
    """

    def __init__(self, reply: Callable[[bytes], Reply], tls: ssl.SSLContext | None, port: int = 0) -> None:
        self._reply, self._tls = reply, tls
        self._listener = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.requests: list[bytes] = []
        self.connections = 0
        self.left = threading.Semaphore(0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"

    def accept(self) -> None:
        """Until `leave`."""
        with self._listener:
            while True:
                connection = self._listener.accept()[0]
                if self._closed:
                    connection.close()
                    return
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def leave(self) -> None:
        """Accept no more."""
        self._closed = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # `accept` looks up

    def break_off(self) -> None:
        """End what is under way; for when nothing new can come."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            wrapped = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with wrapped:
                self._open.append(wrapped)
                while head := _head(wrapped):
                    self.requests.append(head)
                    reply = self._reply(head)
                    if isinstance(reply, bytes):
                        wrapped.sendall(reply)
                    else:
                        reply(wrapped)
        self.left.release()


@contextmanager
def serving(*replies: Reply, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Each request gets the next reply; when there is none left, the connection is closed."""
    scripts = iter(replies)
    with replying(lambda _: next(scripts, broken_off()), tls) as server:
        yield server


@contextmanager
def replying(
    reply: Callable[[bytes], Reply], tls: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[Server]:
    """A server on this port, or on any that is free."""
    server = Server(reply, tls, port)
    thread = threading.Thread(target=server.accept)
    thread.start()
    try:
        yield server
    finally:
        server.leave()
        thread.join()
        server.break_off()


@contextmanager
def deaf(port: int = 0) -> Iterator[tuple[str, int]]:
    """An address that takes no connection and refuses none: its queue is full."""
    with socket.create_server(("127.0.0.1", port), backlog=0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address):
            yield address


def answer(body: bytes = b"[]", status: str = "200 OK", **headers: str) -> bytes:
    """A well-made answer; underscores in names of headers stand for hyphens."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{''.join(lines)}\r\n"
    return head.encode("latin-1") + body


def broken_off(sent: bytes = b"") -> Script:
    """So many bytes, then the end."""

    def script(connection: socket.socket) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_RDWR)

    return script


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def silent(connection: socket.socket) -> None:
    """Nothing, for as long as the client waits."""
    connection.recv(1)


def dripping(head: bytes, drop: bytes, drops: int = DRIPS) -> Script:
    """A head, then drop by drop; the connection is broken off if the client takes all that there can be."""

    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(drops):
            threading.Event().wait(0.01)
            connection.sendall(drop)
        if drops == DRIPS:
            connection.shutdown(socket.SHUT_RDWR)

    return script


def _head(connection: socket.socket) -> bytes:
    """A request without a body, or TLS's greeting to one who knows none; empty when the client has left."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and not head.startswith(b"\x16"):
        received = connection.recv(4096)
        if not received:
            return b""
        head += received
    return head
