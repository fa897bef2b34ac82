"""The installed command under load: many who scrape at once, among many who never finish a request."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from exporter.simulator.fleet import SECOND, Fleet
from exporter.simulator.server import Server, create_app
from tests.support.processes import PATIENCE, Exporter, configuration, exporter, until
from tests.support.web_servers import Client, certificate

ORIGIN = 1_767_225_600 * SECOND
PULLING, IDLE, DRIPPING, ROUNDS = 200, 200, 50, 3
TIMEOUT = f"X-Prometheus-Scrape-Timeout-Seconds: {PATIENCE}\r\n"
PATHS = "/v1/sessions", "/api/v3/browsers"
UP = b'cloud_browser_up{account="ours",provider="%s"} 1.0'


class Providers:
    """Both, who count how many requests each has under way at once, and can be held."""

    def __init__(self) -> None:
        self.running, self.most, self.asked = Counter[str](), Counter[str](), Counter[str]()
        self._gate = threading.Event()
        self._app = create_app(Fleet(origin=ORIGIN, history=300), lambda: ORIGIN)
        self.release()

    @contextmanager
    def served(self) -> Iterator[str]:
        with Server(self._counted) as server:
            yield server.url

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    async def _counted(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked[request.path] += 1
        self.running[request.path] += 1
        self.most[request.path] = max(self.most[request.path], self.running[request.path])
        try:
            await asyncio.to_thread(self._gate.wait)
            return await self._app(request)
        finally:
            self.running[request.path] -= 1


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_scrapes_are_answered_among_many_who_never_finish_a_request(tmp_path: Path, *, tls: bool) -> None:
    providers = Providers()
    with providers.served() as url, command(tmp_path, url, tls=tls) as process, ExitStack() as crowd:

        def come(number: int, *, tls: bool = tls) -> list[Client]:
            return [crowd.enter_context(Client(process.port, tls=tls)) for _ in range(number)]

        [first] = come(1)
        assert [first.get("/metrics") for _ in range(2)] == [200, 200]
        sockets, scrapes = process.sockets, providers.asked.copy()
        assert {client.get("/-/healthy") for client in come(IDLE // 2)} == {200}
        come(IDLE // 2, tls=False)  # with TLS, these have not begun to shake hands
        with dripping(come(DRIPPING)):
            providers.hold()
            scraping = [asking for _ in range(PULLING) for asking in asked(come(1))]
            until(lambda: all(providers.running[path] for path in PATHS), "a request to each provider")
            assert come(1)[0].get("/-/healthy") == 200
            providers.release()
            all_are_answered(scraping)
            assert (providers.asked - scrapes)[PATHS[0]] <= 2, (
                "they share a scrape, or the last of them the next"
            )
            for _ in range(ROUNDS - 1):
                all_are_answered(asked(scraping))
        assert first.get("/metrics") == 200
        assert [providers.most[path] for path in PATHS] == [1, 1], "one in_flight a time to each provider"
        assert all(ROUNDS <= (providers.asked - scrapes)[path] <= PULLING for path in PATHS)
        crowd.close()
        until(lambda: process.sockets < sockets, "the connections to be closed")
        assert "level=warning" not in process.log
        assert "level=error" not in process.log


@contextmanager
def command(folder: Path, providers: str, *, tls: bool) -> Iterator[Exporter]:
    flags: tuple[str | Path, ...] = "--config.file", configuration(folder, providers)
    if tls:
        cert, key = certificate(folder)
        web = folder / "web.yml"
        web.write_text(yaml.safe_dump({"tls_server_config": {"cert_file": str(cert), "key_file": str(key)}}))
        flags += "--web.config.file", web
    with exporter(*flags) as process:
        yield process


@contextmanager
def dripping(clients: list[Client]) -> Iterator[None]:
    """Each sends a byte a second of a request that has no end."""
    enough = threading.Event()

    def drip() -> None:
        while not enough.wait(1):
            for client in clients:
                with suppress(OSError):
                    client.send(b"x")

    for client in clients:
        client.send(b"GET /metrics HTTP/1.1\r\nX: ")
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def asked(clients: list[Client]) -> list[Client]:
    """The same, waiting for a scrape."""
    for client in clients:
        client.request("/metrics", headers=TIMEOUT)
    return clients


def all_are_answered(clients: list[Client]) -> None:
    for client in clients:
        status, _, page = client.answer()
        assert status == 200
        assert [page.count(UP % provider) for provider in (b"browserbase", b"browser_use")] == [1, 1]
