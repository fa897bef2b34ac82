"""One authenticated GET: under a deadline, within a size, retried where that can help.

Every foreign exception becomes one of `errors` here, once.
"""

import io
import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import IncompleteRead, RemoteDisconnected
from threading import BoundedSemaphore
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
import requests
from requests.exceptions import InvalidSchema, InvalidURL, ProxyError
from urllib3.exceptions import DecodeError, HTTPError, LocationParseError
from urllib3.exceptions import TimeoutError as PoolTimeoutError

from exporter import __version__
from exporter.client.environment import missing_ca_bundle, proxy_variable
from exporter.client.errors import (
    MORE_TIME,
    AnswerTimeoutError,
    ApiError,
    PayloadError,
    StaleConnectionError,
    StatusError,
    TlsError,
    TooLargeError,
    UnreachableError,
    status_error,
)
from exporter.client.rate_limit import RateLimiter
from exporter.client.retry_after import RETRY_AFTER_STATUSES, RetryAfterGate, parse_retry_after
from exporter.client.server_time import http_date, resolve_time
from exporter.client.transport import IdleConnectionError, pooled_session
from exporter.clocks import boottime
from exporter.model import SECOND

ATTEMPTS = 3
BACKOFF_SECONDS = 0.2
CHUNK = 1 << 18
CONNECTIONS = 5  # four pages of an import, and a request of a scrape
NAME_ERRORS = (socket.gaierror, UnicodeError, LocationParseError)
PROXY_ERRORS = (InvalidSchema, InvalidURL, ProxyError)  # base_url itself is valid by its configuration
RETRIED = {408, 500, 502, 503, 504}  # a 429 is not: what it limits would only come later


class RequestTelemetry(Protocol):
    """Receives the outcome of every request as it ends."""

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """`code` is the HTTP status, or `error` when there was no answer."""

    def rate_limit(self, remaining: int | None) -> None:
        """How many requests the provider's last answer says are left; None if it does not say."""


class Answer(msgspec.Struct, frozen=True):
    """A body, and the server time when it began to arrive, in microseconds since 1970."""

    body: bytes
    time: int


class Endpoint(msgspec.Struct, frozen=True):
    """What a request is counted under: a path or its template. base_url: where it is, if not the API's."""

    name: str
    base_url: str = ""


class Holds(msgspec.Struct, frozen=True):
    """What holds back an account's requests: a Retry-After in force, and the rate limit."""

    gate: RetryAfterGate
    limiter: RateLimiter


class Api:
    """One account's HTTP client, with pooled connections; several threads may use it.

    The connections are closed with the last reference to it: a scrape that began before a reload may still
    use them.

    Args:
        base_url: where paths are appended.
        header: the name of the header that carries the key.
        key: called for each request, so that a rotated key works at once; it may raise NoKeyError.
        max_bytes: the largest body, decompressed.
        telemetry: counts every request.
        requests_per_second: how many may be sent in any second; None for no limit of the exporter's own.
        dated: called with the seconds by which an answer's `Date`, which has whole ones, is ahead of `wall`.
        beside: the `holds` of the account's main client. They hold here too, so that both together keep to
            the rate limit; what answers here ask for does not hold there.
        wall, clock, sleep: seconds since 1970, seconds for deadlines, and how to wait.
    """

    def __init__(  # noqa: PLR0913 - three are the clocks, which only tests pass
        self,
        base_url: str,
        header: str,
        key: Callable[[], str],
        *,
        max_bytes: int,
        telemetry: RequestTelemetry,
        requests_per_second: int | None = None,
        dated: Callable[[float], None] = lambda _: None,
        beside: Holds | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = boottime,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base, self._header, self._key = base_url, header, key
        self._max_bytes, self._telemetry, self._dated = max_bytes, telemetry, dated
        self._wall, self.clock, self._sleep = wall, clock, sleep
        self.holds = Holds(RetryAfterGate(), RateLimiter(requests_per_second, clock, sleep))
        self._beside, self._slots = beside, BoundedSemaphore(CONNECTIONS)
        self._http = pooled_session(CONNECTIONS)
        self._http.headers["Accept"] = "application/json"
        self._http.headers["User-Agent"] = f"cloud-browser-exporter/{__version__}"

    @property
    def base_url(self) -> str:
        """Where paths are appended."""
        return self._base

    def get(
        self,
        path: str,
        params: Mapping[str, str | int],
        deadline: float,
        *,
        background: bool = False,
        endpoint: Endpoint | None = None,
    ) -> Answer:
        """Returns the answer to `GET base_url + path`, by a deadline on `clock`.

        The path is also the `endpoint` under which the request is counted, unless one is given. In the
        background, it leaves room in the rate limit for others.

        Raises:
            ApiError: the last attempt's; `errors` draws their tree.
        """
        attempt = 1
        while True:
            with self._slot(deadline), self._permission(deadline, background=background):
                try:
                    return self._measured(endpoint or Endpoint(path), path, params, deadline)
                except StaleConnectionError:
                    self._http.close()  # the other idle connections went the same way; new ones are made
                    continue
                except (UnreachableError, StatusError) as error:
                    failure = error
            wait = self._pause(failure, attempt)
            if wait is None or self.clock() + wait >= deadline:
                raise failure
            self._sleep(wait)
            attempt += 1

    @contextmanager
    def _slot(self, deadline: float) -> Iterator[None]:
        """One of the requests that an account may have under way."""
        if not self._slots.acquire(timeout=max(0, deadline - self.clock())):
            raise AnswerTimeoutError(
                f"{CONNECTIONS} other requests were under way until the deadline; {MORE_TIME}"
            )
        try:
            yield
        finally:
            self._slots.release()

    @contextmanager
    def _permission(self, deadline: float, *, background: bool) -> Iterator[None]:
        """A place in the rate limit, while no Retry-After is in force."""
        with ExitStack() as stack:
            stack.enter_context(self.holds.limiter.request(deadline, background=background))
            self.holds.gate.check(self.clock())
            if self._beside is not None:
                stack.enter_context(self._beside.limiter.request(deadline, background=background))
                self._beside.gate.check(self.clock())
            yield

    def _pause(self, error: ApiError, attempt: int) -> float | None:
        """Returns the seconds until the next attempt; None if there is none, or it cannot help."""
        if attempt == ATTEMPTS:
            return None
        backoff = BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
        if isinstance(error, StatusError):
            return max(backoff, error.wait or 0) if error.status in RETRIED else None
        return None if isinstance(error, TlsError) else backoff

    def _measured(
        self, endpoint: Endpoint, path: str, params: Mapping[str, str | int], deadline: float
    ) -> Answer:
        url = (endpoint.base_url or self._base) + path
        key, begun, code = self._key(), self.clock(), "error"
        if begun >= deadline:
            raise AnswerTimeoutError(f"the deadline passed before the request was sent; {MORE_TIME}")
        try:
            answer = self._request(url, params, key, deadline - begun)
            code = "200"
        except StatusError as error:
            code = str(error.status)
            raise
        finally:
            self._telemetry.request_finished(endpoint.name, code, self.clock() - begun)
        return answer

    def _request(self, url: str, params: Mapping[str, str | int], key: str, seconds: float) -> Answer:
        try:
            with self._http.get(
                url, params=params, headers={self._header: key}, timeout=seconds, stream=True
            ) as response:
                date, wall = http_date(response.headers.get("date", "")), int(self._wall() * SECOND)
                if date is not None:
                    self._dated(float(date // SECOND - wall // SECOND))
                self._check(response, wall if date is None else date)
                return Answer(self._body(response), resolve_time(date, wall))
        except IdleConnectionError as error:
            raise StaleConnectionError("a kept connection did not answer") from error
        except (OSError, HTTPError, UnicodeError) as error:
            self._telemetry.rate_limit(None)
            raise _mapped(error, url) from error

    def _check(self, response: requests.Response, now: int) -> None:
        self._telemetry.rate_limit(self.holds.limiter.read_headers(response.headers))
        status = response.status_code
        if status != 200:
            header = response.headers.get("retry-after") if status in RETRY_AFTER_STATUSES else None
            html = "html" in response.headers.get("content-type", "").lower()
            error = status_error(status)(status, parse_retry_after(header, now), html=html)
            self.holds.gate.close(error, self.clock())
            raise error

    def _body(self, response: requests.Response) -> bytes:
        body = io.BytesIO()
        while chunk := response.raw.read1(CHUNK, decode_content=True):
            if body.tell() + len(chunk) > self._max_bytes:
                raise TooLargeError(
                    f"a body over scrape.max_response_bytes ({self._max_bytes}); raise it, or check base_url"
                )
            body.write(chunk)
        return body.getvalue()


def _mapped(error: Exception, url: str) -> ApiError:
    """Maps the exceptions of requests, urllib3 and sockets to one of `errors`."""
    root: BaseException = error
    while cause := root.__cause__ or root.__context__:
        root = cause  # messages on the way down repeat the address and more
    if isinstance(root, (TimeoutError, PoolTimeoutError)):
        return AnswerTimeoutError(f"no whole answer by the deadline; {MORE_TIME}")
    if (variable := missing_ca_bundle()) and "CA certificate bundle" in str(root):
        return TlsError(f"{variable} names a certificate bundle that does not exist; correct or unset it")
    if isinstance(root, ssl.SSLError):
        return TlsError("TLS failed: check base_url and the certificates this machine trusts")
    if isinstance(error, DecodeError):
        return PayloadError("the body is not compressed as its header says; check base_url")
    return _unreachable(error, root, url)


def _unreachable(error: Exception, root: BaseException, url: str) -> UnreachableError:
    if isinstance(error, PROXY_ERRORS) and (variable := proxy_variable(url)):
        return UnreachableError(f"the proxy in {variable} cannot be used ({_reason(root)}); check it")
    if isinstance(root, NAME_ERRORS):
        return UnreachableError(f"{urlsplit(url).hostname}: name not found; check base_url, DNS and proxies")
    return UnreachableError(f"{_reason(root)}; check base_url and the network")


def _reason(error: BaseException) -> str:
    """What the user can make of an exception at the bottom of a failed request."""
    if isinstance(error, NAME_ERRORS):
        return "name not found"
    if isinstance(error, (RemoteDisconnected, IncompleteRead)):
        return "connection closed before the answer's end"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return "the answer is not valid HTTP"
