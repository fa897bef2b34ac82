"""Signals: graceful shutdown, the second signal, and reloads."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.misbehaviour import replying, silent
from tests.support.processes import LOCAL, TIMEOUT, Process, configuration, exporter, wait_until
from tests.support.web_servers import Client

# A server with an application that never answers, and that tells what it is called for.
ALONE = """
import asyncio, os, signal, sys
from aiohttp import web
from exporter import log
from exporter.web.listener import listen_all
from exporter.web.server import Server
from exporter.web.shutdown import Signals, ignore_signals, shut_down

def tell(what):
    os.write(2, f"{what}\\n".encode())  # at once, between the lines of the log's thread

class Scraper:
    def cancel_waiters(self):
        tell("waiters cancelled")
    def close(self, seconds):
        tell("drained")

async def answer(request):
    tell("asked")
    await asyncio.Event().wait()

async def main():
    signals, scraper, app = Signals(), Scraper(), web.Application()
    EARLY
    app.router.add_get("/", answer)
    server = Server(app, scraper.cancel_waiters)
    await server.start(await listen_all([("127.0.0.1", 0)]))
    await signals.until_stop(RELOAD)
    await shut_down(signals, server, scraper)

log.configure("info", "logfmt")
asyncio.run(main())
ignore_signals()
signal.raise_signal(signal.SIGTERM)
signal.raise_signal(signal.SIGHUP)
tell("ended")
"""


@contextmanager
def alone(early: str = "", reload: str = "lambda: tell('reloaded')") -> Iterator[tuple[Process, int]]:
    """A process that runs a server, and its port."""
    with Process(sys.executable, "-c", ALONE.replace("EARLY", early).replace("RELOAD", reload)) as process:
        yield process, int(process.wait_for_log("msg=serving .*port=([0-9]+)")[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    with alone() as (process, _):
        process.signal(number)
        assert process.wait() == 0
        process.wait_for_log(rf'level=info msg="shutting down" signal={number.name}\n')  # by the log's thread
        process.wait_for_log(r"(?s)drained\n.*ended\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(number: signal.Signals) -> None:
    """Nothing is waited for, and signals that come later still do no harm."""
    with alone() as (process, port), Client(port) as waiting:
        waiting.request()
        process.wait_for_log("asked")
        process.signal(signal.SIGTERM)
        wait_until(lambda: refuses(port), "no more to be let in")
        process.signal(signal.SIGHUP)
        process.signal(number)
        assert waiting.ended()
        assert process.wait() == 0
        process.wait_for_log("ended\n")
        assert "waiters cancelled" not in process.log
        assert "drained" not in process.log


def test_sighup_reloads_again_and_again() -> None:
    with alone() as (process, _):
        for times in (1, 2):
            process.signal(signal.SIGHUP)
            process.wait_for_log("reloaded\n" * times)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


def test_sighup_ends_it_where_there_is_nothing_to_reload() -> None:
    with alone(reload="None") as (process, _):
        process.signal(signal.SIGHUP)
        assert process.wait() == 0
        process.wait_for_log('msg="shutting down" signal=SIGHUP\n')  # by the log's thread
        process.wait_for_log(r"(?s)drained\n.*ended\n")


def test_signals_that_come_before_it_serves_are_not_lost() -> None:
    early = "[os.kill(os.getpid(), number) for number in (signal.SIGHUP, signal.SIGTERM)]"
    with alone(early) as (process, _):
        assert process.wait() == 0
        process.wait_for_log(r"(?s)reloaded\n.*drained\n.*ended\n")


def refuses(port: int) -> bool:
    try:
        socket.create_connection((LOCAL, port), timeout=TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_command_ends_at_once_when_told_twice(tmp_path: Path) -> None:
    """While the providers still hold their connections, and without the answer that one signal leads to."""
    with replying(lambda _: silent) as provider:
        flags = "--config.file", configuration(tmp_path, provider.url)
        with exporter(*flags) as command, Client(command.port) as scrape:
            scrape.request("/metrics", headers="X-Prometheus-Scrape-Timeout-Seconds: 60\r\n")
            wait_until(lambda: len(provider.requests) >= 2, "both accounts' requests")
            command.signal(signal.SIGTERM)
            wait_until(lambda: refuses(command.port), "no more to be let in")
            assert not provider.left.acquire(blocking=False)
            command.signal(signal.SIGTERM)
            assert scrape.ended()
            assert command.wait() == 0
            assert "Traceback" not in command.log
    assert not (tmp_path / "ledger.db-wal").exists(), "the ledger was closed in order"
