"""One authenticated GET, against servers that misbehave: what it brings, what it raises, what it tells."""

import gzip
import itertools
import socket
import ssl
import traceback
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from misbehave import Script, Server, answer, broken_off, reset, serving, silent

from exporter.api import Api, mended, provider_time
from exporter.errors import (
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
    StatusError,
    TlsError,
    TooLargeError,
    UnreachableError,
)

KEY = "key-4f1c0de5"
PATH = "/v1/sessions"
WALL = 1_700_000_000.25
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
    remaining: list[int] = field(default_factory=list)

    def sent(self, endpoint: str, code: str, seconds: float) -> None:
        assert (endpoint, seconds) == (PATH, 0)
        self.codes.append(code)

    def rate_limit(self, remaining: int) -> None:
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
        url, "X-Key", key, max_bytes=LIMIT, meter=meter, wall=lambda: WALL, clock=clock, sleep=clock.sleep
    )
    with closing(api):
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


@pytest.mark.parametrize("layers", [1, 2])
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
        ("408 Request Timeout", ClientError, "client", 3),
        ("429 Too Many Requests", RateLimitedError, "rate_limited", 3),
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


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64, "localhost:{refused}"])
def test_a_host_that_cannot_be_reached_is_named_so_with_what_to_check(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = listener.getsockname()[1]
    with rigged(f"http://{host.format(refused=refused)}") as rig:
        raised = rig.fails()
    assert type(raised) is UnreachableError
    assert "check base_url and the network" in str(raised)
    assert rig.meter.codes == ERRORS


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


@pytest.mark.parametrize("status", ["429 Slow down", "503 Busy"])
def test_a_retry_waits_as_long_as_the_provider_asks(status: str) -> None:
    with facing(answer(status=status, Retry_After="7"), answer(b"[2]")) as (rig, _):
        assert rig.get() == b"[2]"
    assert rig.clock.slept == [7]


@pytest.mark.parametrize("asked", ["30", "300", "99999999999999999999"])
def test_a_wait_that_reaches_the_deadline_is_not_begun(asked: str) -> None:
    with facing(*[answer(status="429 Slow down", Retry_After=asked)] * 2) as (rig, _):
        raised = rig.fails(30)
    assert isinstance(raised, RateLimitedError)
    assert (raised.status, raised.wait) == (429, float(asked[:9]))
    assert (rig.clock.slept, rig.meter.codes) == ([], ["429"])


def test_nor_is_a_pause_of_our_own() -> None:
    with facing(reset, answer()) as (rig, _):
        assert isinstance(rig.fails(0.15), UnreachableError)
    assert rig.clock.slept == []


@pytest.mark.parametrize(
    "asked", ["", "-5", "1e9", "soon", "\xb2", "9" * 5000, "Mon, 01 Jan 2024 00:00:00 GMT", "5, 5"]
)
def test_an_odd_retry_after_is_no_reason_to_fall(asked: str) -> None:
    with facing(answer(status="503 Busy", Retry_After=asked), answer()) as (rig, _):
        if asked.startswith("99"):
            assert isinstance(rig.fails(), ServerError)
        else:
            assert rig.get() == b"[]"


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
    [("17", [17]), ("0", [0]), ("", []), ("-1", []), ("many", []), ("\xb2", []), ("9" * 20, [999_999_999])],
)
def test_the_requests_left_are_told_where_the_answer_names_them(header: str, told: list[int]) -> None:
    refused = answer(b"", "503 Busy", x_ratelimit_remaining=header)
    with facing(answer(X_RateLimit_Remaining=header), answer(), refused, answer()) as (rig, _):
        rig.get()
        rig.get()
        rig.get()
    assert rig.meter.remaining == told * 2


@pytest.mark.parametrize("header", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 09:49:37 +0100"])
def test_the_time_is_the_providers(header: str) -> None:
    with facing(answer(Date=header)) as (rig, _):
        assert rig.api.get(PATH, {}, rig.clock() + 30).time == 784_111_777_000_000


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "0",
        "yesterday",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 99999999999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +999999999999999999",
        "Sun, 06 Nov 1994 08:49:37 +9999",
        "Mon, 01 Jan 1900 00:00:00 GMT",
    ],
)
def test_without_a_sensible_date_the_time_is_our_own(header: str | None) -> None:
    assert provider_time(header, WALL) == 1_700_000_000_250_000


@given(st.text(alphabet="MonJa,: GT+-0123456789") | st.text())
def test_no_date_is_too_odd(header: str) -> None:
    assert provider_time(header, WALL) >= 0


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\uDE00b"', "\ufffdb"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\ud83d\ud83d\ude00\ude00"', "\ufffd\U0001f600\ufffd"),
        (rb'"plain"', "plain"),
    ],
)
def test_half_a_character_spoils_no_body(body: bytes, text: str) -> None:
    assert mended(msgspec.json.decode, body) == text
