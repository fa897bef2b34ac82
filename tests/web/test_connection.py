"""HTTP over one connection, on real sockets: what is answered, what is refused, and in what time."""

import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from exporter.web.connection import Limits
from tests.support.processes import TIMEOUT, wait_until
from tests.support.web_servers import BIG, Client, Front, Site, fronts

HTTP = "GET / HTTP/1.1\r\nHost: localhost\r\n"
SOON = 0.3  # seconds: a limit that a test waits for
SECOND = 1.0  # one that well-behaved clients must keep besides


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def front(request: pytest.FixtureRequest) -> Iterator[Front[Site]]:
    with fronts(tls=request.param, linger=SOON) as made:
        yield made


def test_a_connection_serves_request_after_request(front: Front[Site]) -> None:
    with front.client() as client:
        for path in ("/a", "/b", "/c"):
            client.request(path)
            status, headers, body = client.answer()
            assert (status, body) == (200, path.encode())
            assert "connection" not in headers
            assert headers["date"].endswith("GMT")


@pytest.mark.parametrize(
    "request_", [HTTP + "Connection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"], ids=["close", "1.0"]
)
def test_who_wants_one_answer_gets_one_and_the_end(front: Front[Site], request_: str) -> None:
    with front.client() as client:
        client.send(request_.encode())
        status, headers, _ = client.answer()
        assert (status, headers.get("connection", "close")) == (200, "close")
        assert client.ended(in_order=True)


def test_head_gets_the_headers_alone(front: Front[Site]) -> None:
    with front.client() as client:
        client.request("/abc", "HEAD")
        status, headers, _ = client.answer(body=False)
        assert (status, headers["content-length"]) == (200, "4")
        assert client.get() == 200


def test_a_long_answer_arrives_whole(front: Front[Site]) -> None:
    with front.client() as client:
        client.request("/big")
        assert client.answer()[2] == BIG
        assert client.get() == 200


def test_slow_clients_share_the_page_that_they_take() -> None:
    with fronts(linger=SOON) as front, ExitStack() as stack:
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        for _ in range(8):
            stack.enter_context(front.client()).request("/big")
        wait_until(lambda: len(front.site.asked) == 8, "all to have asked")
        with front.client() as client:
            assert client.get("/small") == 200, "and to be answered"
        assert tracemalloc.get_traced_memory()[1] < len(BIG)


def test_a_fault_of_the_application_is_500_and_logged() -> None:
    with capture_logs() as logs, fronts() as front, front.client() as client:
        assert client.get("/broken") == 500
        assert client.get() == 200
    assert [(line["log_level"], line["path"]) for line in logs] == [("error", "/broken")]


def test_that_a_client_left_within_its_request_is_no_fault() -> None:
    with capture_logs() as logs, fronts() as front:
        with front.client() as client:
            client.request("/left")
            assert client.ended()
        with front.client() as client:
            assert client.get() == 200
    assert [(line["log_level"], line["path"]) for line in logs] == [("debug", "/left")]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("GET /" + "x" * 20_000, 431),
        ("GET / HTTP/1.1\r\nX: " + "x" * 20_000, 431),
        (HTTP + f"X: {'x' * 400}\r\n" * 60, 431),
        (HTTP + "X: xxxxxxxxx\r\n" * 200 + "\r\n", 400),
        ("\x16\x03\x01\x02", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (HTTP + "xxx y\r\n\r\n", 400),
        (HTTP + "Transfer-Encoding: gzip\r\n\r\n", 400),
        (HTTP + "Content-Length: x\r\n\r\n", 400),
        (HTTP + "Content-Length: 1\r\n\r\n", 413),
        (HTTP + "Content-Length: 1\r\n\r\nx" + HTTP, 413),
        (HTTP + "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n", 413),
        (HTTP + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
        (HTTP.replace("GET", "HEAD") + "Content-Length: 1\r\n\r\nx", 413),
    ],
    ids=[
        "target", "header", "long headers", "many headers", "binary", "no host", "no colon", "encoding",
        "length", "body", "body there", "expect", "chunks", "head",
    ],
)  # fmt: skip
def test_what_is_refused_closes_and_reaches_nobody(front: Front[Site], sent: str, status: int) -> None:
    with capture_logs() as logs, front.client() as client:
        client.send(sent.encode("latin-1"))
        answered, headers, _ = client.answer()
        assert (answered, headers.get("connection", "close")) == (status, "close")
        assert client.ended()
    assert front.site.asked == []
    assert {line["log_level"] for line in logs} <= {"debug"}
    assert "xxx" not in str(logs), "what a client sends may be a password"


def test_a_request_of_nearly_the_limit_is_served(front: Front[Site]) -> None:
    with front.client() as client:
        client.request(headers="X: " + "y" * 16_000 + "\r\n")
        assert client.answer()[0] == 200


def test_a_body_without_end_is_not_taken(front: Front[Site]) -> None:
    """The client sends until it is broken off."""
    with front.client() as client:
        client.request("/", "POST", "Transfer-Encoding: chunked\r\n")
        with pytest.raises(OSError, match=r"."):
            send_without_end(client, b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
    assert front.site.asked == []


def test_who_sends_more_than_is_read_gets_an_answer_all_the_same() -> None:
    """Also one that closes its sending side, as `nc -N` does."""
    with fronts() as front, front.client() as client:
        client.request("/held", headers="Connection: close\r\n")
        assert front.site.waiting.acquire(timeout=TIMEOUT)
        client.send(b"x" * 200_000)
        client.socket.shutdown(socket.SHUT_WR)
        front.do(front.site.open)
        assert client.answer()[0] == 200
        assert client.ended()


def test_requests_sent_ahead_are_answered_one_by_one(front: Front[Site]) -> None:
    with front.client() as client:
        client.send(b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in ("/held", "/b")))
        assert front.site.waiting.acquire(timeout=60)
        with front.client() as other:
            assert other.get("/c") == 200, "meanwhile others are served"
        assert [path for _, path in front.site.asked] == ["/held", "/c"]
        front.do(front.site.open)
        assert [client.answer()[2] for _ in range(2)] == [b"/held", b"/b"]


def test_who_asks_without_end_and_reads_nothing_is_not_read_either(front: Front[Site]) -> None:
    """Requests ahead are taken while there is room for their answers, and no longer."""
    with front.client() as client:
        client.socket.settimeout(SOON)
        with pytest.raises(TimeoutError):
            send_without_end(client, b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with front.client() as other:
            assert other.get() == 200
    assert len(front.site.asked) < 100


def test_a_target_may_name_scheme_and_host(front: Front[Site]) -> None:
    with front.client() as client:
        client.request("http://localhost/a")
        assert client.answer()[2] == b"/a"


def test_a_head_is_measured_also_when_it_comes_at_once(front: Front[Site]) -> None:
    with front.client() as client:
        client.request("/", headers=f"X-Long: {'x' * Limits().head_bytes}\r\n")
        assert client.answer()[0] == 431
    assert not front.site.asked


@pytest.mark.parametrize("tls", [False, True])
def test_a_head_must_be_whole_in_time(*, tls: bool) -> None:
    with fronts(tls=tls, head=SOON) as front, front.client() as silent, front.client() as dripping:
        drops = threading.Thread(target=drip, args=(dripping,), daemon=True)
        drops.start()
        assert silent.ended()
        assert dripping.ended()
        drops.join(TIMEOUT)


def send_without_end(client: Client, data: bytes) -> None:
    while True:
        client.send(data)


def drip(client: Client) -> None:
    """Send a header byte by byte, until broken off."""
    try:
        client.send(HTTP.encode() + b"X: ")
        while True:
            client.send(b"x")
            threading.Event().wait(0.01)
    except OSError:
        pass


def test_a_later_head_must_be_whole_in_time_too() -> None:
    """Whether it begins after the answer before it, or was sent ahead."""
    with fronts(head=SECOND) as front:
        with front.client() as client:
            assert client.get() == 200
            client.send(b"G")
            assert client.ended()
        with front.client() as client:
            client.send(f"{HTTP}\r\nG".encode())
            assert client.answer()[0] == 200
            assert client.ended()


def test_an_idle_connection_is_kept_for_longer_than_a_head() -> None:
    with fronts(head=SECOND) as front, front.client() as idle, front.client() as silent:
        assert idle.get() == 200
        assert silent.ended(), "which shows that the time for a head has passed"
        assert idle.get() == 200


def test_an_idle_connection_is_ended_at_last() -> None:
    with fronts(idle=SOON) as front, front.client() as client:
        assert client.get() == 200
        assert client.ended()


def test_an_idle_connection_is_kept_for_prometheus_longest_usual_interval() -> None:
    assert 120 < Limits().idle < 300


@pytest.mark.parametrize("tls", [False, True])
def test_who_does_not_take_an_answer_is_ended(*, tls: bool) -> None:
    with capture_logs() as logs, fronts(tls=tls, answer=SOON) as front, front.client() as client:
        client.request("/big")
        wait_until(lambda: logs, "the end of the connection")
        assert [(line["log_level"], line["phase"]) for line in logs] == [("debug", "writing")]
        with pytest.raises((OSError, AssertionError)):
            client.answer()
        with front.client() as other:
            assert other.get() == 200
