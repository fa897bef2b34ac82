"""The installed command under load: many who scrape at once, among many who never finish a request."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from tests.support.misbehaviour import answer, replying
from tests.support.processes import TIMEOUT, Exporter, configuration, exporter, wait_until
from tests.support.web_servers import Client, certificate

SCRAPING, IDLE, DRIPPING, ROUNDS = 200, 200, 50, 3
TIMEOUT_HEADER = f"X-Prometheus-Scrape-Timeout-Seconds: {TIMEOUT}\r\n"
NO_SESSIONS = {
    "/v1/sessions": b"[]",
    "/api/v3/browsers": b'{"items": [], "totalItems": 0, "pageNumber": 1, "pageSize": 100}',
}
PATHS = tuple(NO_SESSIONS)
UP = b'cloud_browser_up{account="ours",provider="%s"} 1.0'


class Providers:
    """Both, without sessions; they count how many requests each has in flight at once, and can be held."""

    def __init__(self) -> None:
        self.running, self.most, self.asked = Counter[str](), Counter[str](), Counter[str]()
        self._lock, self._gate = threading.Lock(), threading.Event()
        self.release()

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def reply(self, head: bytes) -> bytes:
        """As `replying` wants it: called in a thread for each connection."""
        path = head.split()[1].decode().partition("?")[0]
        with self._lock:
            self.asked[path] += 1
            self.running[path] += 1
            self.most[path] = max(self.most[path], self.running[path])
        self._gate.wait()
        with self._lock:
            self.running[path] -= 1
        return answer(NO_SESSIONS[path])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_scrapes_are_answered_among_many_who_never_finish_a_request(tmp_path: Path, *, tls: bool) -> None:
    providers = Providers()
    with (
        replying(providers.reply) as served,
        command(tmp_path, served.url, tls=tls) as process,
        ExitStack() as crowd,
    ):

        def come(number: int, *, tls: bool = tls) -> list[Client]:
            return [crowd.enter_context(Client(process.port, tls=tls)) for _ in range(number)]

        [first] = come(1)
        assert [first.get("/metrics") for _ in range(2)] == [200, 200]
        sockets, scrapes = process.sockets, providers.asked.copy()
        assert {client.get("/-/healthy") for client in come(IDLE // 2)} == {200}
        come(IDLE // 2, tls=False)  # with TLS, these have not begun to shake hands
        with dripping(come(DRIPPING)):
            providers.hold()
            scraping = [asking for _ in range(SCRAPING) for asking in asked(come(1))]
            wait_until(lambda: all(providers.running[path] for path in PATHS), "a request to each provider")
            assert come(1)[0].get("/-/healthy") == 200
            providers.release()
            all_are_answered(scraping)
            assert (providers.asked - scrapes)[PATHS[0]] <= 2, "they share a scrape, or the next"
            for _ in range(ROUNDS - 1):
                all_are_answered(asked(scraping))
        assert first.get("/metrics") == 200
        assert [providers.most[path] for path in PATHS] == [1, 1], "one in flight at a time to each provider"
        assert all(ROUNDS <= (providers.asked - scrapes)[path] <= SCRAPING for path in PATHS)
        crowd.close()
        wait_until(lambda: process.sockets < sockets, "the connections to be closed")
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
        client.request("/metrics", headers=TIMEOUT_HEADER)
    return clients


def all_are_answered(clients: list[Client]) -> None:
    for client in clients:
        status, _, page = client.answer()
        assert status == 200
        assert [page.count(UP % provider) for provider in (b"browserbase", b"browser_use")] == [1, 1]


@pytest.mark.slow
def test_two_thousand_clients_that_never_shake_hands_take_no_more_than_250_mib(tmp_path: Path) -> None:
    """Each of them would hold 256 KiB of asyncio's; scrapes are answered among them."""
    with (
        replying(Providers().reply) as served,
        command(tmp_path, served.url, tls=True) as process,
        ExitStack() as crowd,
    ):
        for _ in range(2000):
            crowd.enter_context(Client(process.port))
        for _ in range(ROUNDS):
            all_are_answered(asked([crowd.enter_context(Client(process.port, tls=True))]))
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = int(re.findall(r"VmHWM:\s+([0-9]+) kB", status)[0]) / 1024
    assert peak < 250, f"{peak:.0f} MiB"
