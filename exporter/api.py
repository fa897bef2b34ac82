"""One authenticated GET: under a deadline, within a size, tried again where that can help.

Every foreign exception becomes one of `errors` here, once.
"""

import random
import re
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

import msgspec
import requests
from urllib3.exceptions import DecodeError, HTTPError

from exporter import __version__
from exporter.errors import (
    AnswerTimeoutError,
    ApiError,
    PayloadError,
    StatusError,
    TlsError,
    TooLargeError,
    UnreachableError,
    status_error,
)
from exporter.session import micros
from exporter.transport import pooled_session

ATTEMPTS = 3
BACKOFF_SECONDS = 0.2
CHUNK = 1 << 18
CONNECTIONS = 4
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
Decoded = TypeVar("Decoded")
RETRIED = {408, 429, 500, 502, 503, 504}


class Meter(Protocol):
    """Told of every request as it ends."""

    def sent(self, endpoint: str, code: str, seconds: float) -> None:
        """`code` is the HTTP status, or `error` when there was no answer."""

    def rate_limit(self, remaining: int) -> None:
        """How many requests the provider says are left."""


class Answer(msgspec.Struct, frozen=True):
    """A body, and the provider's clock when it was sent (the exporter's own where it names none)."""

    body: bytes
    time: int


class Api:
    """One account's way to its provider, with connections that are kept.

    Args:
        base_url: where paths are appended.
        header: the name of the header that carries the key.
        key: called for each request, so that a rotated key works at once; it may raise NoKeyError.
        max_bytes: the largest body, decompressed.
        meter: told of every request.
        wall, clock, sleep: time in seconds since 1970, monotonic seconds, and how to wait.
    """

    def __init__(  # noqa: PLR0913 - three are the clocks, which only tests pass
        self,
        base_url: str,
        header: str,
        key: Callable[[], str],
        *,
        max_bytes: int,
        meter: Meter,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base, self._header, self._key = base_url, header, key
        self._max_bytes, self._meter = max_bytes, meter
        self._wall, self.clock, self._sleep = wall, clock, sleep
        self._http = pooled_session(CONNECTIONS)
        self._http.headers["Accept"] = "application/json"
        self._http.headers["User-Agent"] = f"cloud-browser-exporter/{__version__}"

    def close(self) -> None:
        """Give the connections up."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str | int], deadline: float) -> Answer:
        """The answer to `GET base_url + path`, by a deadline on the monotonic clock.

        The path is also the `endpoint` under which the request is counted.

        Raises:
            ApiError: the last attempt's; see the tree above.
        """
        for attempt in range(1, ATTEMPTS):
            try:
                return self._measured(path, params, deadline)
            except (UnreachableError, StatusError) as error:
                wait = self._pause(error, attempt)
                if wait is None or self.clock() + wait >= deadline:
                    raise
            self._sleep(wait)
        return self._measured(path, params, deadline)

    def _pause(self, error: ApiError, attempt: int) -> float | None:
        """How long to wait before the next attempt; None if none can help."""
        backoff = BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - jitter, no secret
        if isinstance(error, StatusError):
            return max(backoff, error.wait or 0) if error.status in RETRIED else None
        return None if isinstance(error, TlsError) else backoff

    def _measured(self, path: str, params: Mapping[str, str | int], deadline: float) -> Answer:
        key, begun, code = self._key(), self.clock(), "error"
        if begun >= deadline:
            raise AnswerTimeoutError("the deadline passed before the request was sent")
        try:
            answer = self._request(path, params, key, deadline - begun)
            code = "200"
        except StatusError as error:
            code = str(error.status)
            raise
        finally:
            self._meter.sent(path, code, self.clock() - begun)
        return answer

    def _request(self, path: str, params: Mapping[str, str | int], key: str, seconds: float) -> Answer:
        try:
            with self._http.get(
                self._base + path, params=params, headers={self._header: key}, timeout=seconds, stream=True
            ) as response:
                self._check(response)
                sent = provider_time(response.headers.get("date"), self._wall())
                return Answer(self._body(response), sent)
        except (OSError, HTTPError, UnicodeError) as error:
            raise _mapped(error) from error

    def _check(self, response: requests.Response) -> None:
        remaining = response.headers.get("x-ratelimit-remaining", "")
        if remaining.isdecimal():
            self._meter.rate_limit(int(remaining[:9]))
        status, wait = response.status_code, response.headers.get("retry-after", "")
        if status != 200:
            raise status_error(status)(status, float(wait[:9]) if wait.isdecimal() else None)

    def _body(self, response: requests.Response) -> bytes:
        chunks, size = [], 0
        while chunk := response.raw.read1(CHUNK, decode_content=True):
            size += len(chunk)
            if size > self._max_bytes:
                raise TooLargeError(f"a body over scrape.max_response_bytes ({self._max_bytes})")
            chunks.append(chunk)
        return b"".join(chunks)


def provider_time(date: str | None, wall: float) -> int:
    """The time in a `Date` header, in microseconds; where that is absent or nonsense, the wall clock's."""
    try:
        stamp = micros(parsedate_to_datetime(date or ""))
    except (ValueError, OverflowError):
        stamp = -1
    return stamp if stamp >= 0 else int(wall * 1_000_000)


def mended(decode: Callable[[bytes], Decoded], body: bytes) -> Decoded:
    """What is decoded of a body, if need be without the halves of characters that JavaScript leaves.

    It cuts text between the two escapes of one character, and no decoder takes the half that remains.
    """
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return decode(_HALF.sub(rb"\\ufffd", body))


def _mapped(error: Exception) -> ApiError:
    """All of requests' and urllib3's exceptions, and those of sockets, as one of ours."""
    root: BaseException = error
    while cause := root.__cause__ or root.__context__:
        root = cause  # messages on the way down repeat the address and more
    if isinstance(root, TimeoutError):
        return AnswerTimeoutError("no whole answer by the deadline")
    if isinstance(root, ssl.SSLError):
        return TlsError("TLS failed: check base_url and the certificates this machine trusts")
    if isinstance(error, DecodeError):
        return PayloadError("the body is not compressed as its header says")
    return UnreachableError(f"{type(root).__name__}: check base_url and the network")
