"""Connections on real sockets: how many, which one makes room for another, and how the server stops."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import msgspec
import pytest
from structlog.testing import capture_logs

from exporter.web.connection import Limits
from exporter.web.server import cap_to_nofile
from tests.support.processes import TIMEOUT, Process, wait_until
from tests.support.web_servers import Client, Front, Site, fronts

SOON = 0.3

# A server in a process that may soon open only so many more files, so that there is none for a connection.
STARVING = """
import asyncio, os, resource
from aiohttp import web
from exporter import log
from exporter.web.connection import Limits
from exporter.web.listener import listen_all
from exporter.web.server import Server

async def answer(request):
    return web.Response()

async def main():
    app = web.Application()
    app.router.add_get("/", answer)
    server = Server(app, lambda: None, limits=Limits(head=60))
    [listener] = await listen_all([("127.0.0.1", 0)])
    await server.start([listener])
    await asyncio.sleep(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 4,) * 2)
    await asyncio.Event().wait()

log.configure("info", "logfmt")
asyncio.run(main())
"""


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def small(request: pytest.FixtureRequest) -> Iterator[Front[Site]]:
    """A front with room for three."""
    with fronts(tls=request.param, connections=3) as front:
        yield front


def test_the_one_idle_for_the_longest_makes_room(small: Front[Site]) -> None:
    with small.client() as first, small.client() as second, small.client() as third:
        assert [client.get() for client in (second, first, third)] == [200, 200, 200]
        with small.client() as fourth:
            assert fourth.get() == 200
            assert second.ended()
            assert [client.get() for client in (first, third, fourth)] == [200, 200, 200]


def test_who_has_asked_for_nothing_makes_room(small: Front[Site]) -> None:
    """Be it in the middle of TLS's handshake, or of a head."""
    with small.client(shaking_hands=False) as silent, small.client() as dripping, small.client() as asking:
        assert asking.get() == 200
        dripping.send(b"GET / HTTP/1.1\r\nX: ")
        with small.client() as one, small.client() as other:
            assert [one.get(), other.get()] == [200, 200]
            assert silent.ended()
            assert dripping.ended()
            assert asking.get() == 200


def test_who_does_not_take_an_answer_makes_room(small: Front[Site]) -> None:
    with small.client() as first, small.client() as second, small.client() as deaf:
        assert [first.get(), second.get()] == [200, 200]
        deaf.request("/big")
        wait_until(lambda: len(small.site.asked) == 3, "the request")
        assert [first.get(), second.get()] == [200, 200]
        with capture_logs() as logs, small.client() as other:
            assert other.get() == 200
            assert [first.get(), second.get()] == [200, 200]
        assert [line["log_level"] for line in logs] == ["debug"]


def test_who_waits_for_an_answer_is_never_dropped(small: Front[Site]) -> None:
    with ExitStack() as stack, capture_logs() as logs:
        waiting = [stack.enter_context(small.client()) for _ in range(3)]
        for client in waiting:
            client.request("/held")
            assert small.site.waiting.acquire(timeout=TIMEOUT)
        with Client(small.port) as refused:
            assert refused.ended()
        small.do(small.site.open)
        assert [client.answer()[0] for client in waiting] == [200, 200, 200]
        with small.client() as later:
            assert later.get() == 200
    assert {line["log_level"] for line in logs} == {"debug"}


def test_a_crowd_of_idle_clients_locks_nobody_out() -> None:
    with fronts(connections=20) as front, ExitStack() as stack, front.client() as kept:
        for _ in range(10):
            for _ in range(30):
                stack.enter_context(front.client())
            with front.client() as client:
                assert client.get() == 200
        assert kept.ended()


@pytest.mark.parametrize(
    "sent", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"], ids=["silent", "half", "plain"]
)
def test_a_handshake_that_fails_is_ended_in_time_and_quietly(sent: bytes) -> None:
    with capture_logs() as logs, fronts(tls=True, handshake=SOON) as front:
        with front.client(shaking_hands=False) as client:
            client.send(sent)
            with suppress(ConnectionError):
                while client.socket.recv(100):  # an alert, maybe
                    pass
        with front.client(shaking_hands=False) as client:
            client.send(sent)  # and is gone at once
        wait_until(lambda: len(logs) >= 2, "the ends of both")
    assert {line["log_level"] for line in logs} == {"debug"}


def test_room_is_left_for_other_files() -> None:
    """Half of those that the process may open, its soft limit raised, are for connections."""
    source = (
        "import resource; from exporter.web.server import cap_to_nofile, raise_open_files_limit\n"
        "from exporter.web.connection import Limits\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (60, 100)); raise_open_files_limit()\n"
        "print(cap_to_nofile(Limits()).connections)\n"
    )
    with Process(sys.executable, "-c", f"import sys; sys.stdout = sys.stderr\n{source}") as process:
        process.wait_for_log("^50$")
    few = Limits(connections=2)
    assert msgspec.structs.asdict(cap_to_nofile(few)) == msgspec.structs.asdict(few)


def test_without_files_the_idle_make_room_and_one_line_says_so() -> None:
    with Process(sys.executable, "-c", STARVING) as process, ExitStack() as stack:
        port = int(process.wait_for_log("port=([0-9]+)")[1])
        idle = [stack.enter_context(Client(port)) for _ in range(40)]
        with Client(port) as client:
            assert client.get() == 200
        assert idle[0].ended()
        assert process.running
        assert process.log.count("\n") == 2
        assert 'level=warning msg="no connection can be accepted" error="Too many open files"' in process.log


def test_who_has_left_makes_room_although_there_is_an_answer_to_come() -> None:
    with fronts(connections=2, linger=0.1) as front:
        for _ in range(2):
            with front.client() as client:
                client.request("/held")
                assert front.site.waiting.acquire(timeout=TIMEOUT)
        with front.client() as client:
            assert client.get() == 200


@pytest.mark.parametrize("tls", [False, True])
def test_a_stop_answers_who_waits_and_keeps_nobody_else(*, tls: bool) -> None:
    """Clients that are idle, or shake hands, or drip, or do not read, do not delay the end."""
    with (
        fronts(tls=tls, linger=0.3) as front,
        front.client() as idle,
        front.client(shaking_hands=False) as silent_one,
        front.client() as dripping,
        front.client() as deaf,
        front.client() as waiting,
    ):
        assert idle.get() == 200
        dripping.send(b"GET / HTTP/1.1\r\nX: ")
        deaf.request("/big")
        waiting.request("/held")
        assert front.site.waiting.acquire(timeout=TIMEOUT)
        front.stop()
        assert idle.ended()
        assert silent_one.ended()
        assert dripping.ended()
        with pytest.raises(ConnectionRefusedError):
            Client(front.port)
        front.do(front.site.open)
        status, headers, body = waiting.answer()
        assert (status, headers["connection"], body) == (200, "close", b"/held")
        assert waiting.ended()
        front.stopped()
        assert not front.waiters_cancelled.is_set()


def test_an_abort_waits_for_nobody() -> None:
    with fronts() as front, front.client() as waiting:
        waiting.request("/held")
        assert front.site.waiting.acquire(timeout=TIMEOUT)
        front.stop()
        front.abort()
        front.stopped()
        assert waiting.ended()
        assert not front.waiters_cancelled.is_set()


def test_who_waits_for_too_long_has_its_scrape_ended_and_is_then_closed() -> None:
    with capture_logs() as logs, fronts(shutdown=0.1, linger=0.1) as front, front.client() as waiting:
        waiting.request("/held")
        assert front.site.waiting.acquire(timeout=TIMEOUT)
        front.stop()
        assert front.waiters_cancelled.wait(TIMEOUT)
        front.stopped()
        assert waiting.ended()
    assert logs == []
