"""One authenticated GET, against servers that misbehave: what it brings, what it raises, what it tells."""

import gc
import gzip
import itertools
import socket
import ssl
import threading
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import TypeAlias

import pytest
import trustme
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import ReadTimeoutError

from exporter.client.api import CONNECTIONS, Answer, Api, _mapped
from exporter.client.errors import (
    NOT_THE_API,
    AnswerTimeoutError,
    ApiError,
    AuthError,
    ClientError,
    NoKeyError,
    PayloadError,
    PaymentError,
    RateLimitedError,
    RedirectError,
    ServerError,
    SlowRequestError,
    StatusError,
    TlsError,
    TooLargeError,
    UnreachableError,
)
from exporter.client.transport import IDLE_SECONDS
from tests.support.misbehaviour import Script, Server, answer, broken_off, reset, serving, silent
from tests.support.processes import TIMEOUT

KEY = "key-4f1c0de5"
PATH = "/v1/sessions"
WALL = 1_700_000_000.25
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LIMIT = 1 << 20
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ERRORS = ["error"] * 3

Reply: TypeAlias = bytes | Script


@dataclass
class Clock:
    """Moves only when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Meter:
    codes: list[str] = field(default_factory=list)
    remaining: list[int | None] = field(default_factory=list)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        assert (endpoint, seconds) == (PATH, 0)
        self.codes.append(code)

    def rate_limit(self, remaining: int | None) -> None:
        self.remaining.append(remaining)


@dataclass
class Rig:
    api: Api
    clock: Clock
    meter: Meter

    def get(self, seconds: float = 30, **params: str | int) -> bytes:
        return self.api.get(PATH, params, self.clock() + seconds).body

    def fails(self, seconds: float = 30) -> ApiError:
        with pytest.raises(ApiError) as caught:
            self.get(seconds)
        return caught.value


@contextmanager
def rigged(url: str, key: Callable[[], str] = lambda: KEY) -> Iterator[Rig]:
    clock, meter = Clock(), Meter()
    api = Api(
        url, "X-Key", key, max_bytes=LIMIT, telemetry=meter, wall=lambda: WALL, clock=clock, sleep=clock.sleep
    )
    yield Rig(api, clock, meter)


@contextmanager
def facing(*replies: Reply) -> Iterator[tuple[Rig, Server]]:
    with serving(*replies) as server, rigged(server.url) as rig:
        yield rig, server


def text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_a_request_carries_key_query_and_name_and_brings_the_body() -> None:
    with facing(answer(b'["one"]')) as (rig, server):
        assert rig.get(q="user_metadata['env']:'a&b'", pageSize=100) == b'["one"]'
    first, *headers = server.requests[0].decode().split("\r\n")
    assert first == "GET /v1/sessions?q=user_metadata%5B%27env%27%5D%3A%27a%26b%27&pageSize=100 HTTP/1.1"
    assert {f"X-Key: {KEY}", "Accept: application/json"} <= set(headers)
    assert any(header.startswith("User-Agent: cloud-browser-exporter/") for header in headers)
    assert rig.meter.codes == ["200"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_is_read(encoding: str) -> None:
    packed = gzip.compress(b"[1]") if encoding == "gzip" else zlib.compress(b"[1]")
    with facing(answer(packed, Content_Encoding=encoding)) as (rig, _):
        assert rig.get() == b"[1]"


def test_a_body_may_come_in_chunks_or_end_with_its_connection() -> None:
    chunks = CHUNKED + b"1\r\n[\r\n1;name=value\r\n]\r\n0\r\nTrailer: 1\r\n\r\n"
    with facing(chunks, broken_off(b"HTTP/1.0 200 OK\r\n\r\n[2]")) as (rig, server):
        assert (rig.get(), rig.get()) == (b"[]", b"[2]")
    assert server.connections == 1


def test_connections_are_kept() -> None:
    with facing(*[answer()] * 5) as (rig, server):
        for _ in range(5):
            rig.get()
    assert (len(server.requests), server.connections) == (5, 1)


def test_connections_end_with_the_last_who_holds_them() -> None:
    """After a reload that may be a scrape which began before."""
    with serving(answer()) as server:
        with rigged(server.url) as rig:
            rig.get()
            scrape = rig.api.get
            del rig
        assert not server.left.acquire(blocking=False)
        del scrape
        gc.collect()
        assert server.left.acquire(timeout=TIMEOUT)


def test_a_kept_connection_that_the_server_has_closed_is_no_error() -> None:
    with facing(broken_off(answer()), answer()) as (rig, server):
        assert rig.get() == b"[]"
        assert server.left.acquire(timeout=10)
        assert rig.get() == b"[]"
    assert rig.meter.codes == ["200", "200"]
    assert server.connections == 2


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_is_not() -> None:
    with facing(answer(b" " * LIMIT), answer(b" " * (LIMIT + 1))) as (rig, _):
        assert len(rig.get()) == LIMIT
        assert isinstance(rig.fails(), TooLargeError)
    assert rig.meter.codes == ["200", "error"]


def test_a_body_is_not_held_twice() -> None:
    with facing(answer(b" " * LIMIT)) as (rig, _):
        tracemalloc.start()
        try:
            rig.get()
            assert tracemalloc.get_traced_memory()[1] < 1.75 * LIMIT
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_a_gzip_bomb_costs_little_more_memory_than_a_body_may_have(layers: int) -> None:
    bomb = bytes(256 * LIMIT)
    for _ in range(layers):
        bomb = gzip.compress(bomb)
    with facing(answer(bomb, Content_Encoding=", ".join(["gzip"] * layers))) as (rig, _):
        tracemalloc.start()
        try:
            assert rig.fails().reason == "too_large"
            assert tracemalloc.get_traced_memory()[1] < 8 * LIMIT
        finally:
            tracemalloc.stop()
    assert rig.meter.codes == ["error"]


@pytest.mark.parametrize(
    ("status", "error", "reason", "attempts"),
    [
        ("204 No Content", ClientError, "client", 1),
        ("300 Multiple Choices", RedirectError, "redirect", 1),
        ("304 Not Modified", RedirectError, "redirect", 1),
        ("400 Bad Request", ClientError, "client", 1),
        ("401 Unauthorized", AuthError, "auth", 1),
        ("402 Payment Required", PaymentError, "payment", 1),
        ("403 Forbidden", AuthError, "auth", 1),
        ("404 Not Found", ClientError, "client", 1),
        ("408 Request Timeout", SlowRequestError, "client", 3),
        ("429 Too Many Requests", RateLimitedError, "rate_limited", 1),
        ("500 Internal Server Error", ServerError, "server", 3),
        ("501 Not Implemented", ServerError, "server", 1),
        ("502 Bad Gateway", ServerError, "server", 3),
        ("503 Service Unavailable", ServerError, "server", 3),
        ("504 Gateway Timeout", ServerError, "server", 3),
        ("999", ClientError, "client", 1),
    ],
)
def test_a_status_has_its_error_and_is_asked_again_where_that_can_help(
    status: str, error: type[StatusError], reason: str, attempts: int
) -> None:
    with facing(*[answer(KEY.encode(), status)] * 4) as (rig, server):
        raised = rig.fails()
    assert (type(raised), raised.reason) == (error, reason)
    assert str(raised) == f"HTTP status {status[:3]}: {error.advice}"
    assert rig.meter.codes == [status[:3]] * attempts
    assert len(server.requests) == attempts
    assert KEY not in text(raised)


BOMB = gzip.compress(bytes(64 * LIMIT))
CUT = answer(b"[1, 2, 3]")[:-4]


@pytest.mark.parametrize(
    ("script", "error", "reason", "codes"),
    [
        (broken_off(), UnreachableError, "unreachable", ERRORS),
        (broken_off(b"HTTP/1.1 20"), UnreachableError, "unreachable", ERRORS),
        (broken_off(b"HTTP/1.1 200 OK\r\n"), UnreachableError, "unreachable", ERRORS),
        (broken_off(b"HTTP/1.1 200 OK\r\nA: b\r\n"), UnreachableError, "unreachable", ERRORS),
        (broken_off(b"HTTP/1.1 200 OK\r\nContent-Len"), UnreachableError, "unreachable", ERRORS),
        (broken_off(b"HTTP/1.1 429 No\r\nA: b\r\n"), UnreachableError, "unreachable", ERRORS),
        (broken_off(CUT), UnreachableError, "unreachable", ERRORS),
        (broken_off(CHUNKED + b"9\r\n[1, 2"), UnreachableError, "unreachable", ERRORS),
        (broken_off(CHUNKED + b"2\r\n[1\r\n"), UnreachableError, "unreachable", ERRORS),
        (broken_off(CHUNKED + b"-7\r\n[1, 2"), UnreachableError, "unreachable", ERRORS),
        (CHUNKED + b"what\r\n", UnreachableError, "unreachable", ERRORS),
        (reset, UnreachableError, "unreachable", ERRORS),
        (b"220 smtp.example.com ESMTP\r\n", UnreachableError, "unreachable", ERRORS),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", UnreachableError, "unreachable", ERRORS),
        (b"HTTP/1.1 200 " + b"O" * 70_000, UnreachableError, "unreachable", ERRORS),
        (answer(b"no gzip", Content_Encoding="gzip"), PayloadError, "bad_payload", ["error"]),
        (answer(BOMB[:-9000] + b"?" * 9000, Content_Encoding="gzip"), TooLargeError, "too_large", ["error"]),
        (answer(gzip.compress(b"[]"), Content_Encoding="gzip," * 99), PayloadError, "bad_payload", ["error"]),
        (answer(b"[]", Content_Length="9"), UnreachableError, "unreachable", ERRORS),
        (broken_off(CHUNKED + b"1;" + b"x" * 70_000), UnreachableError, "unreachable", ERRORS),
        (broken_off(CHUNKED + b"f" * 17 + b"\r\n[]"), UnreachableError, "unreachable", ERRORS),
        (broken_off(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), UnreachableError, "unreachable", ERRORS),
        (silent, AnswerTimeoutError, "timeout", ["error"]),
    ],
)
def test_an_answer_that_breaks_has_its_error(
    script: Reply, error: type[ApiError], reason: str, codes: list[str]
) -> None:
    with facing(*[script] * 4) as (rig, _):
        raised = rig.fails(0.2 if script is silent else 30)
    assert (type(raised), raised.reason, rig.meter.codes) == (error, reason, codes)
    assert KEY not in text(raised)


REFUSED = "connection refused; check base_url and the network"


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("no-such-host.invalid", "no-such-host.invalid: name not found; check base_url, DNS and proxies"),
        ("a..b", "a..b: name not found; check base_url, DNS and proxies"),
        ("x" * 64, f"{'x' * 64}: name not found; check base_url, DNS and proxies"),
        ("localhost:{refused}", REFUSED),
    ],
)
def test_a_host_that_cannot_be_reached_is_named_so_with_what_to_check(host: str, told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = listener.getsockname()[1]
    with rigged(f"http://{host.format(refused=refused)}") as rig:
        raised = rig.fails()
    assert type(raised) is UnreachableError
    assert str(raised) == told
    assert rig.meter.codes == ERRORS


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (broken_off(), "connection closed before the answer's end"),
        (broken_off(CUT), "connection closed before the answer's end"),
        (reset, "connection reset by peer"),
        (b"220 smtp.example.com ESMTP\r\n", "the answer is not valid HTTP"),
    ],
)
def test_a_connection_that_breaks_is_told_in_words_not_as_an_exception(script: Reply, reason: str) -> None:
    with facing(*[script] * 4) as (rig, _):
        assert str(rig.fails()) == f"{reason}; check base_url and the network"


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
def test_a_server_must_prove_who_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    with serving(answer(), answer(), tls=context) as server:
        with rigged(server.url) as rig:
            raised = rig.fails()
            assert (type(raised), raised.reason, rig.meter.codes) == (TlsError, "tls", ["error"])
        ca.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with rigged(server.url) as rig:
            assert rig.get() == b"[]" if name == "localhost" else isinstance(rig.fails(), TlsError)
    assert KEY not in text(raised)
    assert len(server.requests) == (name == "localhost")


def test_a_server_that_speaks_no_tls_is_a_tls_failure() -> None:
    with serving(answer(status="400 Bad Request")) as server, rigged(f"https{server.url[4:]}") as rig:
        assert rig.fails().reason == "tls"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 Moved"])
def test_a_redirect_is_not_followed_nor_its_body_read(status: str) -> None:
    with serving(answer()) as other:
        head = f"HTTP/1.1 {status}\r\nLocation: {other.url}/\r\nContent-Length: 99\r\n\r\n"
        with facing(head.encode()) as (rig, server):
            assert isinstance(rig.fails(), RedirectError)
    assert rig.meter.codes == [status[:3]]
    assert (len(server.requests), other.connections) == (1, 0)


@pytest.mark.parametrize("location", ["http://[", "//", "http://a:b:c/", "\x80", "x" * 9000, "file:///etc"])
def test_a_redirect_to_nowhere_is_a_redirect(location: str) -> None:
    with facing(answer(b"", "302 Found", Location=location)) as (rig, _):
        assert rig.fails().reason == "redirect"


def test_what_fails_for_a_moment_is_tried_again_after_growing_pauses() -> None:
    with facing(reset, answer(status="503 Busy"), answer(b"[3]")) as (rig, _):
        assert rig.get() == b"[3]"
    assert rig.meter.codes == ["error", "503", "200"]
    first, second = rig.clock.slept
    assert 0.2 <= first <= 0.4 <= second <= 0.8


def test_a_retry_waits_as_long_as_the_provider_asks() -> None:
    with facing(answer(status="503 Busy", Retry_After="7"), answer(b"[2]")) as (rig, _):
        assert rig.get() == b"[2]"
    assert rig.clock.slept == [7]


@pytest.mark.parametrize("asked", ["30", "300", "3600"])
def test_a_wait_that_reaches_the_deadline_is_not_begun(asked: str) -> None:
    with facing(*[answer(status="429 Slow down", Retry_After=asked)] * 2) as (rig, _):
        raised = rig.fails(30)
    assert isinstance(raised, RateLimitedError)
    assert (raised.status, raised.wait) == (429, float(asked))
    assert str(raised).endswith(f"the provider asks to wait for {asked} s")
    assert (rig.clock.slept, rig.meter.codes) == ([], ["429"])


def test_a_429_is_not_retried_within_a_scrape() -> None:
    with facing(answer(status="429 Slow down"), answer(b"[2]")) as (rig, _):
        assert isinstance(rig.fails(), RateLimitedError)
        assert rig.get() == b"[2]", "without Retry-After, the next scrape asks again"
    assert (rig.meter.codes, rig.clock.slept) == (["429", "200"], [])


def test_a_challenge_page_of_a_firewall_is_told_apart_from_a_refused_key() -> None:
    page = answer(b"<html>", "403 Forbidden", Content_Type="text/html; charset=utf-8")
    with facing(page) as (rig, _):
        raised = rig.fails()
    assert (raised.reason, str(raised)) == ("auth", f"HTTP status 403: {NOT_THE_API}")


def test_a_kept_connection_that_a_middlebox_forgot_is_replaced_within_the_request() -> None:
    """It takes requests and never answers; each connection here answers its first one only."""
    forgotten = threading.Event()

    def once(connection: socket.socket) -> None:
        connection.sendall(answer(b"[1]"))
        connection.settimeout(TIMEOUT)
        if connection.recv(1 << 16):  # the second request: taken, never answered
            forgotten.set()
            with suppress(OSError):
                connection.recv(1)

    with facing(once, once) as (rig, server):
        assert rig.get() == b"[1]"
        time.sleep(2 * IDLE_SECONDS)  # what is tested is that time has passed
        assert rig.get(3) == b"[1]"
        assert forgotten.is_set()
    assert (rig.meter.codes, server.connections, rig.clock.slept) == (["200", "error", "200"], 2, [])


def test_no_password_of_a_netrc_file_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with facing(answer()) as (rig, server):
        rig.get()
    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_an_address_of_this_machine_is_never_asked_through_a_proxy(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answer(b"proxy")) as proxy, facing(answer(b"[7]")) as (rig, _):
        monkeypatch.setenv(variable, proxy.url)
        assert rig.get() == b"[7]"
    assert proxy.requests == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_bundle_that_is_not_there_is_named(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "absent.pem"))
    with rigged("https://localhost:9") as rig:
        raised = rig.fails()
    assert raised.reason == "tls"
    assert str(raised).startswith(f"{variable} names a certificate bundle that does not exist")


@pytest.mark.parametrize(
    ("variable", "proxy"),
    [
        ("ALL_PROXY", "socks5://user:s3cret@127.0.0.1:9"),
        ("HTTP_PROXY", "http://user:s3cret@:9"),
        ("http_proxy", "http://user:s3cret@127.0.0.1:9"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    variable: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy)
    with rigged("http://provider.invalid") as rig:
        raised = rig.fails()
    assert raised.reason == "unreachable"
    assert f"the proxy in {variable} cannot be used" in str(raised)
    assert "s3cret" not in text(raised).replace(str(monkeypatch), "")


def test_nor_is_a_pause_of_our_own() -> None:
    with facing(reset, answer()) as (rig, _):
        assert isinstance(rig.fails(0.15), UnreachableError)
    assert rig.clock.slept == []


@pytest.mark.parametrize("asked", ["", "0", "-5", "soon", "\xb2", "3601", "9" * 5000, "5, 5", DATE])
def test_a_retry_after_that_makes_no_sense_changes_nothing(asked: str) -> None:
    """A date that has passed makes none; our own pauses are what remains."""
    with facing(*[answer(status="503 Busy", Retry_After=asked, Date=DATE)] * 3, answer()) as (rig, _):
        assert isinstance(rig.fails(), ServerError)
        assert rig.get() == b"[]"
    first, second = rig.clock.slept
    assert 0.2 <= first <= 0.4 <= second <= 0.8


@pytest.mark.parametrize("ahead", [0, -9 * 3600, 9 * 3600])
def test_a_date_to_wait_for_is_the_providers(ahead: int) -> None:
    """Its own `Date` says what time that is, whatever time it is here."""
    sent = formatdate(WALL + ahead, usegmt=True)
    until = formatdate(WALL + ahead + 7, usegmt=True)
    with facing(answer(status="503 Busy", Date=sent, Retry_After=until), answer(b"[2]")) as (rig, _):
        assert rig.get() == b"[2]"
    assert rig.clock.slept == [7]


def test_a_date_to_wait_for_is_taken_by_our_clock_where_the_provider_names_none() -> None:
    until = formatdate(WALL + 7, usegmt=True)
    with facing(answer(status="503 Busy", Retry_After=until), answer(b"[2]")) as (rig, _):
        assert rig.get() == b"[2]"
    assert rig.clock.slept == [6.75]


@pytest.mark.parametrize(("status", "error"), [("429 No", RateLimitedError), ("503 No", ServerError)])
def test_an_account_keeps_silent_over_as_many_scrapes_as_the_wait_takes(
    status: str, error: type[StatusError]
) -> None:
    with facing(answer(status=status, Retry_After="100"), answer(b"[2]")) as (rig, server):
        assert isinstance(rig.fails(30), error)
        for left in (70, 40, 10):
            rig.clock.now += 30
            raised = rig.fails(30)
            assert (type(raised), raised.reason) == (error, error.reason)
            assert str(raised).endswith(f"Retry-After in force: no request for another {left} s")
            with pytest.raises(error):
                rig.api.get("/another/endpoint", {}, rig.clock() + 30)
        assert (rig.meter.codes, rig.clock.slept, len(server.requests)) == ([status[:3]], [], 1)
        rig.clock.now += 10
        assert rig.get() == b"[2]"


def test_the_last_attempts_wait_is_kept_too() -> None:
    with facing(*[answer(status="503 Busy", Retry_After="5")] * 3, answer()) as (rig, server):
        assert isinstance(rig.fails(), ServerError)
        assert rig.clock.slept == [5, 5]
        assert isinstance(rig.fails(), ServerError)
        assert len(server.requests) == 3
        rig.clock.now += 5
        assert rig.get() == b"[]"


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "403 Forbidden", "408 Late", "500 No", "502 No"])
def test_no_other_status_silences(status: str) -> None:
    with facing(*[answer(status=status, Retry_After="100")] * 3, *[answer()] * 3) as (rig, server):
        rig.get() if status == "200 OK" else rig.fails()
        asked = len(server.requests)
        with suppress(ApiError):
            rig.get()
        assert len(server.requests) > asked


def test_silence_ends_no_request_that_is_under_way() -> None:
    """But holds one that would only begin: here the first is answered when the second has been refused."""
    asked, refused = threading.Event(), threading.Event()

    def slowly(connection: socket.socket) -> None:
        asked.set()
        assert refused.wait(TIMEOUT)
        connection.sendall(answer(b"[1]"))

    with (
        facing(slowly, answer(status="429 No", Retry_After="100")) as (rig, server),
        ThreadPoolExecutor() as pool,
    ):
        first = pool.submit(rig.get)
        assert asked.wait(TIMEOUT)
        assert isinstance(rig.fails(), RateLimitedError)
        assert isinstance(rig.fails(), RateLimitedError)
        refused.set()
        assert first.result(TIMEOUT) == b"[1]"
        assert len(server.requests) == 2


def test_an_account_has_no_more_than_five_requests_in_flight() -> None:
    """Another waits for one of them to end, but not beyond its deadline, and is not sent then."""
    asked, go = threading.Semaphore(0), threading.Event()

    def held(connection: socket.socket) -> None:
        asked.release()
        assert go.wait(TIMEOUT)
        connection.sendall(answer(b"[4]"))

    with (
        facing(*[held] * CONNECTIONS, *[answer(b"[5]")] * 2) as (rig, server),
        ThreadPoolExecutor() as pool,
    ):
        taken = [pool.submit(rig.get) for _ in range(CONNECTIONS)]
        assert all(asked.acquire(timeout=TIMEOUT) for _ in taken)
        raised = rig.fails(0.3)
        assert (type(raised), raised.reason, rig.meter.codes) == (AnswerTimeoutError, "timeout", [])
        another = pool.submit(rig.get)
        assert len(server.requests) == CONNECTIONS == 5
        go.set()
        assert [one.result(TIMEOUT) for one in taken] == [b"[4]"] * CONNECTIONS
        assert another.result(TIMEOUT) == b"[5]"
        assert len(server.requests) == CONNECTIONS + 1


def test_nothing_is_sent_or_counted_after_the_deadline() -> None:
    with facing(answer()) as (rig, server):
        assert isinstance(rig.fails(0), AnswerTimeoutError)
        assert isinstance(rig.fails(-1), AnswerTimeoutError)
    assert (rig.meter.codes, server.requests) == ([], [])


def test_the_key_is_asked_for_at_each_request() -> None:
    keys = (f"key-{n}" for n in itertools.count(1))
    with serving(reset, answer(), answer()) as server, rigged(server.url, lambda: next(keys)) as rig:
        rig.get()
        rig.get()
    sent = [line for head in server.requests for line in head.split(b"\r\n") if line.startswith(b"X-Key")]
    assert sent == [b"X-Key: key-1", b"X-Key: key-2", b"X-Key: key-3"]


def test_without_a_key_nothing_is_sent_or_counted() -> None:
    def key() -> str:
        raise NoKeyError("KEY_FILE: cannot be read")

    with serving(answer()) as server, rigged(server.url, key) as rig:
        raised = rig.fails()
    assert (type(raised), raised.reason, str(raised)) == (NoKeyError, "auth", "KEY_FILE: cannot be read")
    assert (rig.meter.codes, server.connections) == ([], 0)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("17", 17),
        ("0", 0),
        ("", None),
        ("-1", None),
        ("many", None),
        ("\xb2", None),
        ("9" * 20, 999_999_999),
    ],
)
def test_the_requests_left_are_told_where_the_answer_names_them(header: str, told: int | None) -> None:
    refused = answer(b"", "503 Busy", x_ratelimit_remaining=header)
    with facing(answer(X_RateLimit_Remaining=header), answer(), refused, answer()) as (rig, _):
        rig.get()
        rig.get()
        rig.get()
    assert rig.meter.remaining == [told, None, told, None]


def test_the_requests_left_are_not_known_while_there_is_no_answer() -> None:
    with facing(answer(X_RateLimit_Remaining="9"), *[reset] * 3) as (rig, _):
        rig.get()
        rig.fails()
    assert rig.meter.remaining == [9, None, None, None]


@pytest.mark.parametrize(
    ("sent", "time"),
    [
        (answer(Date="Tue, 14 Nov 2023 22:13:17 GMT"), 1_699_999_997_000_000),
        (answer(Date=DATE), 784_111_777_000_000),  # decades before the local clock: the earlier one
        (answer(Date="Tue, 14 Nov 2024 22:13:17 GMT"), 1_700_000_000_250_000),
        (answer(), 1_700_000_000_250_000),
    ],
)
def test_an_answer_carries_the_server_time(sent: bytes, time: int) -> None:
    with facing(sent) as (rig, _):
        got = rig.api.get(PATH, {}, rig.clock() + 30)
    assert got == Answer(b"[]", time)


def test_a_connection_that_took_all_the_time_is_a_timeout() -> None:
    """It leaves none to read, which urllib3 says in its own words, without an error of a socket's."""
    error = ReadTimeoutError(HTTPConnectionPool("localhost"), PATH, "Read timed out. (read timeout=0)")
    assert _mapped(error, "http://localhost").reason == "timeout"
