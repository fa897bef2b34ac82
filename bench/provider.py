"""A provider that costs next to nothing: a fleet's list, whose clock moves only when it is told to.

    python -m bench.provider (browserbase | browser_use) SESSIONS [--latency SECONDS]

Prints its base URL. Each request is answered after the latency; requests wait side by side. Each line on
its standard input takes the clock on by the seconds that stand there; the end of its input ends it. Until
the clock moves, everyone who asks gets the same bytes.
"""

import argparse
import socketserver
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from typing import Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from exporter.simulator import browser_use, browserbase
from exporter.simulator.fleet import DAY, HOUR, SECOND, Fleet
from exporter.simulator.provider import encoded_rows

BROWSERBASE = browserbase.FACTS.name
BROWSER_USE = browser_use.FACTS.name
ORIGIN = 1_767_225_600 * SECOND
WEEK = 7 * DAY
BROWSERS_AN_HOUR = 60.0
LONG = 20 * 365 * DAY


def fleet_of(provider: str, size: int) -> Fleet:
    """A fleet of which `size` sessions are listed.

    Browserbase lists a week, so that a longer list means more sessions an hour. Browser Use lists all
    that ever were: there as many come every hour whatever the length of the history.
    """
    if provider == BROWSERBASE:
        return Fleet(origin=ORIGIN, history=size, rate=size * HOUR / WEEK, retention=WEEK)
    return Fleet(origin=ORIGIN, history=size, rate=BROWSERS_AN_HOUR, retention=LONG)


class Source:
    """What is listed at the time it has come to."""

    def __init__(self, provider: str, size: int) -> None:
        self._provider, self._fleet = provider, fleet_of(provider, size)
        self._now, self._whole = ORIGIN, b""
        self._beside = {path: self._answer(content) for path, content in self._accounts_own()}
        self.move(0)

    def move(self, seconds: int) -> None:
        """Let time pass; what everybody asks for is made ready."""
        self._now += seconds * SECOND
        if self._provider == BROWSERBASE:
            facts = browserbase.FACTS
            listed = reversed(self._fleet.listed(facts, self._now))
            self._whole = self._answer(encoded_rows(self._fleet, facts, browserbase.row, listed, self._now))

    def answer(self, path: str) -> bytes:
        """The HTTP answer to `GET path`; what there is beside the sessions stays as it was at first."""
        if not urlsplit(path).path.endswith(("/sessions", "/browsers")):
            return self._beside.get(path) or self._answer({"error": "Not Found"}, "404 Not Found")
        if self._provider == BROWSERBASE:
            return self._whole
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        number, size = int(query["pageNumber"]), int(query["pageSize"])
        asked = msgspec.convert(query, browser_use.BrowsersQuery, strict=False)
        total, indices = browser_use.page(self._fleet, self._now, asked)
        items = encoded_rows(self._fleet, browser_use.FACTS, browser_use.row, indices, self._now)
        return self._answer({"items": items, "totalItems": total, "pageNumber": number, "pageSize": size})

    def _accounts_own(self) -> Iterator[tuple[str, object]]:
        """Yields the paths and contents of what there is beside the sessions."""
        if self._provider == BROWSERBASE:
            projects = [
                browserbase.project(self._fleet, name) for name in dict.fromkeys(browserbase.FACTS.projects)
            ]
            yield browserbase.PROJECTS_PATH, projects
            for name in browserbase.FACTS.projects:
                usage = {"browserMinutes": 12_345, "proxyBytes": 1_234_567_890}
                yield f"{browserbase.PROJECTS_PATH}/{name}/usage", usage
        else:
            reply = browser_use.PROVIDER.account(self._fleet, "/api/v3/billing/account", ORIGIN)
            yield "/billing/account", reply and reply.body

    def _answer(self, content: object, status: str = "200 OK") -> bytes:
        body = msgspec.json.encode(content)
        head = (
            f"HTTP/1.1 {status}",
            f"Date: {formatdate(self._now // SECOND, usegmt=True)}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        return "\r\n".join((*head, "", "")).encode() + body


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True  # or every answer on a kept connection waits 40 ms for an ACK

    def handle(self) -> None:
        """Answer request after request; a GET has no body, so its first line says it all."""
        assert isinstance(self.server, _Server)
        while line := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            if self.server.latency:
                time.sleep(self.server.latency)  # in the connection's own thread
            self.wfile.write(self.server.source.answer(line.split()[1].decode()))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128  # many accounts connect at once

    def __init__(self, source: Source, latency: float) -> None:
        self.source, self.latency = source, latency
        super().__init__(("127.0.0.1", 0), _Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.provider")
    parser.add_argument("provider", choices=(BROWSERBASE, BROWSER_USE))
    parser.add_argument("sessions", type=int)
    parser.add_argument("--latency", metavar="SECONDS", type=float, default=0.0)
    chosen = parser.parse_args(arguments)
    source = Source(chosen.provider, chosen.sessions)
    with _Server(source, chosen.latency) as server:
        print("http://127.0.0.1:{1}".format(*server.server_address), flush=True)
        for line in sys.stdin:
            source.move(int(line))
            print("moved", flush=True)


if __name__ == "__main__":
    main()
