"""Pooled connections on which a request's timeout is for all of it.

A socket's timeout bounds one read, so that a server that sends byte by byte could hold a thread for hours.
Here each address and each read gets only what is left of the time. The name lookup alone cannot be cut short:
with a name server that does not answer, the system ends it after some 5 to 30 seconds. Nothing is sent then,
if the time was over.

A middlebox may have forgotten a connection that was idle, and drop what is sent on it. So a request on such a
connection gets a third of its time until the answer begins; then it fails with `IdleConnectionError`, and can
be sent on a new one.
"""

import io
import socket
from collections.abc import Sequence
from http.client import HTTPResponse, RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection

from exporter.client.environment import is_loopback
from exporter.clocks import boottime

MIN_TIMEOUT = 0.001  # seconds: a socket takes 0 for "do not wait at all"
IDLE_SECONDS = 0.01  # a connection that was unused for longer has been idle: between two pages it is not
MAX_IDLE_SECONDS = 60  # a connection that was idle for longer is not used again
IDLE_SHARE = 1 / 3  # of a request's time, for the answer to begin on a connection that was idle
# Probes on a silent connection, so that middleboxes keep it, and one that is gone is noticed.
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


def pooled_session(connections: int) -> requests.Session:
    """Returns a session that keeps up to so many connections to its one host, no cookies, no redirects.

    Its requests must name a timeout, in seconds. They raise the exceptions of requests and urllib3, and
    UnicodeError for a host's name; where the time was over, a TimeoutError is at the bottom of these.
    """
    session = _Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(pool_connections=1, pool_maxsize=connections))
    return session


def connect(addresses: Sequence[tuple[str, int]], seconds: float) -> socket.socket:
    """Returns a connection to the first address that accepts one. Each gets a share of the time left.

    Raises:
        OSError: the last address's.
    """
    until, failure = monotonic() + seconds, OSError("the host has no address")
    for tried, address in enumerate(addresses):
        share = (until - monotonic()) / (len(addresses) - tried)
        try:
            sock = socket.create_connection(address, max(share, MIN_TIMEOUT))
        except OSError as error:
            failure = error
        else:
            sock.settimeout(max(until - monotonic(), MIN_TIMEOUT))
            _keep_alive(sock)
            return sock
    raise failure


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):  # Linux has them all
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class IdleConnectionError(Exception):
    """A kept connection did not answer in its share of the time."""


class _Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        self.auth = _no_auth
        self._settings: dict[tuple[str, str], Any] = {}

    def merge_environment_settings(self, url: Any, *args: Any, **kwargs: Any) -> Any:
        """As requests does, but requests to this machine never go through a proxy.

        The environment is read once for a host: requests reads all of it twice for each request.
        """
        host = urlsplit(str(url))[:2]
        if host not in self._settings:
            settings = super().merge_environment_settings(url, *args, **kwargs)
            self._settings[host] = {**settings, "proxies": {}} if is_loopback(str(url)) else settings
        return self._settings[host]

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Returns None: a redirect would carry the key along, and requests reads its whole body first."""


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add nothing; a session without this would send the password of a `.netrc` entry."""
    return request


class _Reader(io.RawIOBase):
    """Reads from a socket until a deadline, which is the socket's timeout from the beginning.

    heading: whether the head is being read; a connection that ends within it raises RemoteDisconnected.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.heading = False
        self._sock, self._file = sock, sock.makefile("rb", buffering=0)
        self._until = monotonic() + (sock.gettimeout() or 0)

    def readable(self) -> bool:
        return True

    def extend(self, seconds: float) -> None:
        """Move the deadline by so many seconds."""
        self._until += seconds

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError("the answer was not whole in time")
        self._sock.settimeout(left)
        received = self._file.readinto(buffer)
        if received == 0 and self.heading:
            raise RemoteDisconnected("the connection ended within the head of the answer")
        return received

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self._reader = _Reader(sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """Read the head of the answer; one cut short is an error, where http.client accepts it.

        Interim answers are skipped; http.client skips only those with status 100.
        """
        self._reader.heading = True
        super().begin()
        while self.status in range(102, 200):
            self.headers = None  # type: ignore[assignment]  # as it is before the first head
            super().begin()
        self._reader.heading = False


class _Connection(HTTPConnection):
    response_class = _Response
    released: float | None = None  # when it was last given back to the pool

    @property
    def idle_seconds(self) -> float:
        """For how long it has been unused; 0 before its first request."""
        return 0 if self.released is None else boottime() - self.released

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._was_idle = self.sock is not None and self.idle_seconds > IDLE_SECONDS
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        seconds = self.timeout or 0
        if not self._was_idle:
            return super().getresponse()
        self.timeout = max(seconds * IDLE_SHARE, MIN_TIMEOUT)
        try:
            response = super().getresponse()
        except TimeoutError as error:
            raise IdleConnectionError from error
        response._original_response._reader.extend(seconds - self.timeout)  # type: ignore[union-attr]  # noqa: SLF001 - our own response class below urllib3's
        return response

    def _new_conn(self) -> socket.socket:
        until = monotonic() + (self.timeout or 0)
        found = socket.getaddrinfo(self.host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        left = until - monotonic()
        if left <= 0:
            raise TimeoutError("the look-up of the host's name took all the time")
        return connect([(str(address[0]), self.port) for *_, address in found], left)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _KeptConnections(HTTPConnectionPool):
    def _get_conn(self, timeout: float | None = None) -> Any:
        conn: Any = super()._get_conn(timeout)
        if conn.idle_seconds > MAX_IDLE_SECONDS:
            conn.close()  # the next request opens it anew
        return conn

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.released = boottime()
        super()._put_conn(conn)


class _Pool(_KeptConnections):
    ConnectionCls = _Connection


class _SecurePool(_KeptConnections, HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, ProxyManager):  # one for SOCKS has its own way to connect
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = Timeout(total=kwargs["timeout"])
        return super().send(*args, **kwargs)
