"""The server on real sockets: addresses, and how it ends."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.web.server import listener
from tests.support.misbehaviour import serving, silent
from tests.support.processes import LOCAL, TIMEOUT, Process, configuration, exporter, wait_until
from tests.support.web_servers import Client, fronts

# `run` alone, with an application that never answers, and that tells what it is called for.
ALONE = """
import asyncio, os, signal, sys
from exporter import logs, server

async def app(scope, receive, send):
    print("asked", file=sys.stderr)
    try:
        await asyncio.Event().wait()
    finally:
        print("broken off", file=sys.stderr)

def tell(what):
    asyncio.get_running_loop()
    print(what, file=sys.stderr)

logs.configure("info", "logfmt")
EARLY
server.run(app, ("127.0.0.1", 0), cancel_waiters=lambda: tell("hurried"), reload=lambda: tell("reloaded"))
signal.raise_signal(signal.SIGTERM)
signal.raise_signal(signal.SIGHUP)
print("ended", file=sys.stderr)
"""


def test_an_address_in_use_is_said() -> None:
    with listener("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use; see --web"
        ):
            listener("127.0.0.1", port)


@pytest.mark.parametrize("host", ["", "::"])
def test_every_address_is_every_address_of_both_kinds(host: str) -> None:
    with listener(host, 0) as opened:
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, opened.getsockname()[1]), timeout=TIMEOUT).close()


def test_an_answer_does_not_wait_for_the_client_to_acknowledge_its_first_half() -> None:
    with listener("127.0.0.1", 0) as opened, socket.create_connection(opened.getsockname()):
        accepted, _ = opened.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize("host", ["", "127.0.0.1", "localhost"])
def test_addresses_that_can_be_listened_on(host: str) -> None:
    with listener(host, 0) as opened:
        assert opened.getsockname()[1] > 0


@pytest.mark.parametrize("tls", [False, True])
def test_told_to_leave_it_answers_who_waits_and_keeps_nobody_else(*, tls: bool) -> None:
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
        front.leave()
        assert idle.ended()
        assert silent_one.ended()
        assert dripping.ended()
        with pytest.raises(ConnectionRefusedError):
            Client(front.port)
        front.do(front.site.open)
        status, headers, body = waiting.answer()
        assert (status, headers["connection"], body) == (200, "close", b"/held")
        assert waiting.ended()
        front.left()
        assert not front.hurried.is_set()


def test_told_twice_to_leave_it_waits_for_nobody() -> None:
    with fronts() as front, front.client() as waiting:
        waiting.request("/held")
        assert front.site.waiting.acquire(timeout=TIMEOUT)
        front.leave()
        front.leave()
        front.left()
        assert waiting.ended()
        assert not front.hurried.is_set()


def test_who_waits_for_too_long_is_hurried_then_dropped() -> None:
    with capture_logs() as logs, fronts(leaving=0.1, linger=0.1) as front, front.client() as waiting:
        waiting.request("/held")
        assert front.site.waiting.acquire(timeout=TIMEOUT)
        front.leave()
        assert front.hurried.wait(TIMEOUT)
        front.left()
        assert waiting.ended()
    assert logs == []


@contextmanager
def alone(early: str = "") -> Iterator[tuple[Process, int]]:
    """A process that runs a server, and its port."""
    with Process(sys.executable, "-c", ALONE.replace("EARLY", early)) as process:
        yield process, int(process.wait_for_log("msg=serving .*port=([0-9]+)")[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(number: signal.Signals) -> None:
    """Nobody is hurried first, and signals that come later still do no harm."""
    with alone() as (process, port), Client(port) as waiting:
        waiting.request()
        process.wait_for_log("asked")
        process.signal(signal.SIGTERM)
        wait_until(lambda: refuses(port), "no more to be let in")
        process.signal(number)
        assert waiting.ended()
        assert process.wait() == 0
        process.wait_for_log("broken off\nended\n")
        assert "hurried" not in process.log


def test_sighup_reloads_again_and_again() -> None:
    with alone() as (process, port):
        for times in (1, 2):
            process.signal(signal.SIGHUP)
            process.wait_for_log("reloaded\n" * times)
        with Client(port) as waiting:
            waiting.request()
            process.wait_for_log("asked")
            process.signal(signal.SIGTERM)
            wait_until(lambda: refuses(port), "no more to be let in")
            process.signal(signal.SIGHUP)
            process.wait_for_log("(?s)reloaded.*reloaded.*reloaded")
            process.signal(signal.SIGTERM)
            assert process.wait() == 0


def test_signals_that_come_before_it_serves_are_not_lost() -> None:
    """They come as the line is written that says that it serves, before the loop runs."""
    early = (
        "logs.structlog.configure(processors=[lambda *_: [os.kill(os.getpid(), n) for n in (1, 15)] and '-'])"
    )
    with Process(sys.executable, "-c", ALONE.replace("EARLY", early)) as process:
        assert process.wait() == 0
        process.wait_for_log("reloaded\nended\n")


def refuses(port: int) -> bool:
    try:
        socket.create_connection((LOCAL, port), timeout=TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_command_ends_at_once_when_told_twice(tmp_path: Path) -> None:
    """While the providers still hold their connections, and without the answer that one signal leads to."""
    with serving(silent, silent) as provider:
        flags = "--config.file", configuration(tmp_path, provider.url)
        with exporter(*flags) as command, Client(command.port) as scrape:
            scrape.request("/metrics", headers="X-Prometheus-Scrape-Timeout-Seconds: 60\r\n")
            wait_until(lambda: len(provider.requests) == 2, "both accounts' requests")
            command.signal(signal.SIGTERM)
            wait_until(lambda: refuses(command.port), "no more to be let in")
            assert not provider.left.acquire(blocking=False)
            command.signal(signal.SIGTERM)
            assert scrape.ended()
            assert command.wait() == 0
            assert "Traceback" not in command.log
    assert not (tmp_path / "ledger.db-wal").exists(), "the ledger was closed in order"
