"""The server takes anything: random and mutated inputs, cut at random, on real sockets.

Each input is sent on a connection of its own, whose end is what tells that all answers have come.
"""

import re
import socket
from collections import Counter
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from exporter.ledger.store import Ledger
from exporter.metrics.telemetry import Telemetry
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import ScrapePlan
from exporter.scrape.scraper import Scraper
from exporter.web.app import Front as Routes
from tests.support.listings import listing, session
from tests.support.processes import LOCAL, TIMEOUT
from tests.support.scripted_provider import ONE, Provider
from tests.support.web_servers import Front

AT_ONCE = 10  # so many inputs an example: hypothesis itself takes longer than the server
REFUSALS = {400, 413, 431}
# An answer has its request's version, whichever that says it is.
HEAD = re.compile(
    rb"HTTP/[0-9]\.[0-9] (?P<status>[0-9]{3}) [ -~]*\r\n(?P<headers>([!-9;-~]+: [\t -~]*\r\n)*)\r\n"
)
SCRAPING = {("GET", "/metrics"), ("HEAD", "/metrics")}

PIECES = (
    b"GET", b"HEAD", b"POST", b"PUT", b"CONNECT", b"OPTIONS", b"get", b" ", b"\t", b"\r\n", b"\n", b"\r",
    b"\0", b"/metrics", b"/metrics/", b"//metrics", b"/METRICS", b"/%6detrics", b"/metrics?target=a",
    b"http://a/metrics", b"/metrics#a", b"/", b"/-/reload", b"/-/ready", b"*", b"a:80", b"/%00%ff%2e",
    b"/../metrics", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/0.9\r\n", b" HTTP/2.0\r\n", b" HTTP/1.1",
    b"Host: a\r\n", b"Host:\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Upgrade: h2c\r\n", b" folded: 1\r\n",
    b"X: \xff\xfe\r\n", b"X-Prometheus-Scrape-Timeout-Seconds: 1e309\r\n",
    b"X-Prometheus-Scrape-Timeout-Seconds: nan\r\n",
    b"Accept: application/openmetrics-text; version=9.9; escaping=\x80\r\n", b"Accept: ;;q=,\r\n",
    b"Accept-Encoding: gzip;q=x\r\n", b"Accept-Encoding: gzip\r\n", b"Authorization: Basic !\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"A" * 20_000,
)  # fmt: skip

targets = st.sampled_from([b"/metrics", b"/", b"/-/healthy", b"/-/ready", b"/-/reload", b"/x", b"/metrics/"])
headers = st.lists(st.sampled_from([piece for piece in PIECES if piece.endswith(b"\r\n")]), max_size=3)
requests = st.builds(
    lambda method, target, more: (
        method + b" " + target + b" HTTP/1.1\r\nHost: a\r\n" + b"".join(more) + b"\r\n"
    ),
    st.sampled_from([b"GET", b"HEAD", b"POST", b"GET"]),
    targets,
    headers,
)
plain = st.lists(requests, min_size=1, max_size=4).map(b"".join)
pieces = st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=12).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A request or more, of which some bytes are missing, doubled or other ones."""
    data = draw(plain)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 8)))
        data = data[:at] + draw(st.sampled_from([b"", data[at:end] * 2]) | st.binary(max_size=4)) + data[end:]
    return data


inputs = st.tuples(
    plain | mutated() | pieces | st.binary(max_size=60), st.lists(st.integers(1, 200), max_size=4)
)


class Counting(Scraper):
    """Counts how often it is asked; its provider is asked once."""

    scrapes = 0

    async def scrape(self, seconds: float) -> ScrapeResult:
        self.scrapes += 1
        return await super().scrape(seconds)


class Site:
    """The exporter's routes, as the server sees them: what reaches them is kept."""

    def __init__(self, folder: Path) -> None:
        telemetry, provider = Telemetry(), Provider(listing(session()))
        plan = ScrapePlan((provider.target(ONE),), min_interval=1e9)
        self.scraper = Counting(plan, Ledger(f"sqlite:///{folder}/ledger.db"), telemetry)
        self._routes = Routes(self.scraper, telemetry, lambda: True)
        self.asked: list[tuple[str, str]] = []
        self.answered: Counter[int] = Counter()

    def app(self) -> web.Application:
        @web.middleware
        async def kept(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.asked.append((request.method, request.path))
            return await handler(request)

        return self._routes.app([kept])


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front[Site]]:
    """The loop must have nothing to complain of, nor the log anything above debug."""
    with capture_logs([format_exc_info]) as logs, Front(Site(tmp_path_factory.mktemp("fuzz"))) as made:
        yield made
    loud = [shown(line) for line in logs if line["log_level"] != "debug"]
    assert not loud, "\n".join(loud)
    assert logs


def shown(line: MutableMapping[str, Any]) -> str:
    """A log line, and the traceback of its exception, if it has one, as it would be printed."""
    trace = line.pop("exception", "")
    return f"{line}\n{trace}"


@pytest.mark.parametrize(
    ("number", "statuses"),
    [(1000, {200, 400, 404}), pytest.param(10_000, {200, 403, 404, 405, *REFUSALS}, marks=pytest.mark.slow)],
)
def test_anything_gets_well_made_answers_or_the_end(
    front: Front[Site], number: int, statuses: set[int]
) -> None:
    @settings(max_examples=number // AT_ONCE, deadline=None, derandomize=True)
    @given(st.lists(inputs, min_size=AT_ONCE, max_size=AT_ONCE))
    def send(examples: list[tuple[bytes, list[int]]]) -> None:
        for data, cuts in examples:
            send_one(front, data, cuts)

    send()
    with front.client() as client:
        assert client.get("/metrics") == 200, "it answers as before"
    # The inputs were such that everything has happened.
    assert front.site.answered.keys() >= statuses
    assert front.site.scraper.scrapes > number / 20


def send_one(front: Front[Site], data: bytes, cuts: list[int]) -> None:
    """What comes back is answers, one after the other, each whole; and only a scrape has anybody asked."""
    site = front.site
    site.asked.clear()
    scrapes = site.scraper.scrapes
    left, reset = exchanged(front.port, data, cuts)
    while left and not reset:
        status, size, left = head(left)
        site.answered[status] += 1
        assert status < 500
        if left and not left.startswith(b"HTTP/"):
            assert len(left) >= size
            left = left[size:]
        else:
            assert size == 0 or "HEAD" in {method for method, _ in site.asked}
    assert site.scraper.scrapes - scrapes == sum(request in SCRAPING for request in site.asked)


def head(received: bytes) -> tuple[int, int, bytes]:
    """Status and length of a well-made answer, and what follows its head."""
    found = HEAD.match(received)
    assert found is not None, received
    fields = dict(line.split(b": ", 1) for line in found["headers"].lower().splitlines())
    return int(found["status"]), int(fields.get(b"content-length", 0)), received[found.end() :]


def exchanged(port: int, data: bytes, cuts: list[int]) -> tuple[bytes, bool]:
    """Send so, piece by piece, and nothing more; all that comes back, and whether it was reset."""
    with socket.create_connection((LOCAL, port), timeout=TIMEOUT) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = bytearray()
        try:
            for cut in cuts:
                client.sendall(data[:cut])
                data = data[cut:]
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while more := client.recv(1 << 16):
                received += more
        except TimeoutError:
            raise
        except OSError:  # it was closed with bytes unread
            return bytes(received), True
        return bytes(received), False
