"""A request's timeout is for all of it, however slowly bytes come; and nothing is kept but connections."""

import gzip
import socket
import ssl
from collections.abc import Iterator
from http.client import RemoteDisconnected
from pathlib import Path

import pytest
import requests
import trustme
from urllib3.exceptions import HTTPError

from exporter.client.transport import connect, pooled_session
from tests.support.misbehaviour import Script, answer, broken_off, deaf, dripping, serving, silent

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = OK + b"Content-Length: 100000\r\n\r\n"
GZIP = OK + b"Content-Encoding: gzip\r\n\r\n"
NAMED_GZIP = b"\x1f\x8b\x08\x08" + bytes(6)  # a file's name follows, of any length
PLAIN_GZIP = b"\x1f\x8b\x08\x00" + bytes(6)
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # of deflate: it inflates to nothing

DRIPS = {
    "before the status": dripping(b"", b"H"),
    "status": dripping(b"HTTP/1.1 200 ", b"O"),
    "interim answers": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "hints": dripping(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n"),
    "headers": dripping(OK, b"A: b\r\n"),
    "a header": dripping(OK + b"A: ", b"b"),
    "body": dripping(LENGTH, b"["),
    "body without an end": dripping(OK + b"\r\n", b"["),
    "chunks": dripping(CHUNKED, b"1\r\n[\r\n"),
    "a chunk": dripping(CHUNKED + b"ffff\r\n", b"["),
    "a chunk's size": dripping(CHUNKED, b"0"),
    "a chunk's extension": dripping(CHUNKED + b"1;", b"x"),
    "trailers": dripping(CHUNKED + b"0\r\n", b"A: b\r\n"),
    "a name in gzip": dripping(GZIP + NAMED_GZIP, b"x"),
    "deflated nothing": dripping(GZIP + PLAIN_GZIP, EMPTY_BLOCK),
}


FOREIGN = (OSError, HTTPError)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with pooled_session(2) as made:
        yield made


def fetch(session: requests.Session, url: str, seconds: float) -> bytes:
    with session.get(url, timeout=seconds, stream=True) as response:
        return b"".join(iter(lambda: response.raw.read1(4096, decode_content=True), b""))


def root(error: BaseException) -> BaseException:
    cause = error.__cause__ or error.__context__
    return root(cause) if cause else error


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's, whose certificate is trusted."""
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    return context


@pytest.mark.parametrize("script", [*DRIPS.values(), silent], ids=[*DRIPS, "silence"])
def test_an_answer_that_drips_is_cut_off_in_time(session: requests.Session, script: Script) -> None:
    with serving(script) as server, pytest.raises(FOREIGN) as caught:
        fetch(session, server.url, 0.2)
    assert isinstance(root(caught.value), TimeoutError)


@pytest.mark.parametrize("part", ["a header", "body", "a chunk's size"])
def test_so_is_one_over_tls(session: requests.Session, tls: ssl.SSLContext, part: str) -> None:
    with serving(DRIPS[part], tls=tls) as server, pytest.raises(FOREIGN) as caught:
        fetch(session, server.url, 0.5)
    assert isinstance(root(caught.value), TimeoutError)


def test_so_is_one_through_a_proxy(session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(DRIPS["a header"]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(FOREIGN) as caught:
            fetch(session, "http://provider.invalid/list", 1)
    assert proxy.requests[0].startswith(b"GET http://provider.invalid/list ")
    assert isinstance(root(caught.value), TimeoutError)


def test_a_greeting_that_nobody_returns_is_given_up_in_time(session: requests.Session) -> None:
    with serving(silent) as server, pytest.raises(FOREIGN) as caught:
        fetch(session, f"https{server.url[4:]}", 0.2)
    assert isinstance(root(caught.value), TimeoutError)


def test_the_time_begins_anew_on_a_kept_connection(session: requests.Session) -> None:
    slowly = dripping(OK + b"Content-Length: 10\r\n\r\n", b"[", drops=10)
    with serving(answer(), slowly, answer(b"[3]")) as server:
        assert fetch(session, server.url, 5) == b"[]"
        assert fetch(session, server.url, 20) == b"[" * 10
        assert fetch(session, server.url, 5) == b"[3]"
    assert server.connections == 1


def test_connections_are_kept_over_tls(session: requests.Session, tls: ssl.SSLContext) -> None:
    with serving(*[answer(bytes(300_000))] * 3, tls=tls) as server:
        assert [len(fetch(session, server.url, 20)) for _ in range(3)] == [300_000] * 3
    assert server.connections == 1


def test_a_large_body_arrives_whole(session: requests.Session) -> None:
    body = bytes(range(256)) * 40_000
    with serving(answer(body), answer(gzip.compress(body), Content_Encoding="gzip")) as server:
        assert fetch(session, server.url, 20) == body
        assert fetch(session, server.url, 20) == body


@pytest.mark.parametrize(
    "head", [b"", b"HT", OK, OK + b"A: b", OK + b"A: b\r\n", b"HTTP/1.1 100 Continue\r\n"]
)
def test_a_connection_that_ends_within_the_head_is_no_answer(session: requests.Session, head: bytes) -> None:
    with serving(broken_off(head)) as server, pytest.raises(FOREIGN) as caught:
        fetch(session, server.url, 20)
    assert isinstance(root(caught.value), RemoteDisconnected)


@pytest.mark.parametrize("head", [OK + b"\r\n", OK + b"A: b\n\n", b"HTTP/1.0 200 OK\n\n"])
def test_one_that_ends_after_the_head_is_whole(session: requests.Session, head: bytes) -> None:
    with serving(broken_off(head), broken_off(head + b"[]")) as server:
        assert [fetch(session, server.url, 20) for _ in range(2)] == [b"", b"[]"]


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 Odd"])
def test_interim_answers_are_none(session: requests.Session, status: str) -> None:
    """Were one taken for the answer, the next request on the connection would be given this one's."""
    interim = f"HTTP/1.1 {status}\r\nLink: </a>\r\nContent-Length: 9\r\n\r\n".encode()
    with serving(interim * 3 + answer(b"[1]"), answer(b"[2]")) as server:
        assert [fetch(session, server.url, 20) for _ in range(2)] == [b"[1]", b"[2]"]
    assert server.connections == 1


def test_nothing_is_sent_when_the_look_up_of_the_name_took_all_the_time(session: requests.Session) -> None:
    with serving(answer()) as server, pytest.raises(FOREIGN) as caught:
        fetch(session, server.url, 1e-9)
    assert isinstance(root(caught.value), TimeoutError)
    assert server.connections == 0


def test_connecting_takes_no_longer_than_its_time() -> None:
    with deaf() as one, deaf() as other, pytest.raises(TimeoutError):
        connect([one, other], 0.2)


def test_an_address_that_does_not_answer_leaves_time_for_the_next() -> None:
    with deaf() as one, serving() as server, connect([one, ("127.0.0.1", server.port)], 3) as connection:
        assert connection.getpeername() == ("127.0.0.1", server.port)
        assert (connection.gettimeout() or 0) <= 1.5, "the other half has been spent on the first"


def test_an_address_that_refuses_leaves_all_the_time_to_the_next() -> None:
    with socket.socket() as bound, serving() as server:
        bound.bind(("127.0.0.1", 0))  # never listens, and keeps the port from being reused
        refusing = bound.getsockname()
        accepting = ("127.0.0.1", server.port)
        for addresses in ([refusing, accepting], [accepting, refusing]):
            with connect(addresses, 1000) as connection:
                assert (connection.gettimeout() or 0) > 900
        with pytest.raises(ConnectionRefusedError):
            connect([refusing], 1000)


def test_a_host_without_addresses_is_an_error() -> None:
    with pytest.raises(OSError, match="no address"):
        connect([], 1)


def test_a_connection_that_nobody_takes_is_given_up_in_time(session: requests.Session) -> None:
    with deaf() as (host, port), pytest.raises(FOREIGN) as caught:
        fetch(session, f"http://{host}:{port}", 0.2)
    assert isinstance(root(caught.value), TimeoutError)


def test_cookies_are_not_kept(session: requests.Session) -> None:
    with serving(answer(Set_Cookie="a=b; Path=/"), answer()) as server:
        fetch(session, server.url, 5)
        fetch(session, server.url, 5)
    assert b"cookie" not in server.requests[1].lower()
    assert not session.cookies


def test_where_a_redirect_leads_is_not_looked_at(session: requests.Session) -> None:
    endless = dripping(b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n", bytes(1 << 16))
    with serving(endless) as server, session.get(server.url, timeout=5, stream=True) as response:
        assert (response.status_code, response.history) == (302, [])
