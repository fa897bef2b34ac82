"""What a scrape is compared with: the floor under it, and the naive exporter that anybody would write first.

    python -m bench.rivals (floor | naive) (browserbase | browser_use) URL

Each line on its standard input is a scrape; it prints how many seconds that took. Neither rival serves
what it has read: that is left out in their favour.
"""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import requests
from prometheus_client import CollectorRegistry, Gauge, generate_latest

LABELS = ("provider", "account", "project", "region", "status")
PAGE = 100
KEY_HEADERS = {"X-BB-API-Key": "bench", "X-Browser-Use-API-Key": "bench"}


def kept_session() -> requests.Session:
    """Connections that are kept, without compression: for everybody the same."""
    session = requests.Session()
    session.headers.update({**KEY_HEADERS, "Accept-Encoding": "identity"})
    return session


class Floor:
    """Fetches the bytes that a steady scrape needs and decodes them; nothing else."""

    def __init__(self, provider: str, url: str) -> None:
        self._session, self._urls = kept_session(), [f"{url}/v1/sessions"]
        if provider == "browser_use":
            self._urls = [_page(url, 1, "active"), _page(url, 1, "stopped")]

    def scrape(self) -> None:
        """One scrape."""
        for url in self._urls:
            msgspec.json.decode(self._session.get(url).content)


class Naive:
    """Reads everything there is with `requests` and `json`, and sets gauges in a loop."""

    def __init__(self, provider: str, url: str) -> None:
        self._session, self._url, self._provider = kept_session(), url, provider
        self._registry = CollectorRegistry()
        self._sessions = self._gauge("sessions", *LABELS)
        self._bytes = self._gauge("proxy_bytes", *LABELS[:-1])
        self._seconds = self._gauge("session_seconds", *LABELS[:-1])

    def _gauge(self, name: str, *labels: str) -> Gauge:
        return Gauge(f"browser_{name}", name, labels, registry=self._registry)

    def scrape(self) -> None:
        """One scrape."""
        for gauge in (self._sessions, self._bytes, self._seconds):
            gauge.clear()
        read, count = {
            "browserbase": (self._listed, self._count_session),
            "browser_use": (self._paged, self._count_browser),
        }[self._provider]
        for row in read():
            count(row)
        generate_latest(self._registry)

    def _listed(self) -> Iterator[dict[str, Any]]:
        yield from self._session.get(f"{self._url}/v1/sessions").json()

    def _paged(self) -> Iterator[dict[str, Any]]:
        number = 1
        while items := self._session.get(_page(self._url, number)).json()["items"]:
            yield from items
            number += 1

    def _count_session(self, row: dict[str, Any]) -> None:
        labels = (self._provider, "bench", row["projectId"], row["region"])
        self._sessions.labels(*labels, row["status"].lower()).inc()
        self._bytes.labels(*labels).inc(row["proxyBytes"])
        self._seconds.labels(*labels).inc(_ran(row["startedAt"], row.get("endedAt")))

    def _count_browser(self, row: dict[str, Any]) -> None:
        labels = (self._provider, "bench", "", "unknown")
        self._sessions.labels(*labels, row["status"]).inc()
        self._bytes.labels(*labels).inc(float(row["proxyUsedMb"]) * 2**20)
        self._seconds.labels(*labels).inc(_ran(row["startedAt"], row["finishedAt"]))


def _page(url: str, number: int, status: str | None = None) -> str:
    chosen = f"&filterBy={status}" if status else ""
    return f"{url}/browsers?pageSize={PAGE}&pageNumber={number}{chosen}"


def _ran(started: str, ended: str | None) -> float:
    if ended is None:
        return time.time() - datetime.fromisoformat(started).timestamp()
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()


RIVALS: dict[str, Callable[[str, str], Floor | Naive]] = {"floor": Floor, "naive": Naive}


def main(rival: str, provider: str, url: str) -> None:
    """Scrape whenever told to."""
    chosen = RIVALS[rival](provider, url)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        chosen.scrape()
        print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
