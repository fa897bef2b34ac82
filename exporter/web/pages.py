"""Pages of metrics: each form is rendered once for a scrape's result."""

import asyncio
import gzip
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Protocol

import msgspec
from prometheus_client.core import GaugeMetricFamily

from exporter.metrics.definitions import DEADLINE
from exporter.metrics.families import page_parts
from exporter.metrics.parts import Part
from exporter.model import Account
from exporter.scrape.inflight import ScrapeResult
from exporter.web.negotiation import accepts_gzip, negotiate
from exporter.web.rendering import Encoder, TextCache

GZIP_LEVEL = 1  # higher levels take several times as long, for a few per cent


class Page(msgspec.Struct, frozen=True):
    """A body, and the headers that describe it."""

    body: bytes
    headers: dict[str, str]


class OwnMetrics(Protocol):
    """The exporter's own metrics."""

    def of_process(self) -> Iterable[Part]:
        """Returns those of the process."""

    def of_accounts(self, accounts: Iterable[Account]) -> Iterable[Part]:
        """Returns those of these accounts."""


class Pages:
    """The newest scrape result's pages; concurrent clients share one rendering. For one event loop.

    own: the exporter's own metrics, which follow those of the scrape.
    """

    def __init__(self, own: OwnMetrics) -> None:
        self._own = own
        self._texts = TextCache()
        self._result: ScrapeResult | None = None
        self._seconds = 0.0  # of its first client
        self._rendered: dict[str, asyncio.Future[bytes]] = {}

    async def page(
        self, result: ScrapeResult, accept: str, accept_encoding: str, seconds: float = 0.0
    ) -> Page:
        """Returns the result in the form and encoding that these headers prefer.

        seconds: the time that this client's scrape had; those who share a result may have had others.
        """
        encode, content_type = negotiate(accept)
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if self._result is not result:
            self._result, self._seconds, self._rendered = result, seconds, {}
        # What clients with another timeout get is not kept: they choose it, and it is soon put together.
        rendered = self._rendered if seconds == self._seconds else {}
        parts = chain([_deadline(seconds)], self._parts(result))
        body = await _once(rendered, content_type, partial(self._texts.page, encode, content_type, parts))
        if accepts_gzip(accept_encoding):
            headers["Content-Encoding"] = "gzip"
            compress = partial(gzip.compress, body, compresslevel=GZIP_LEVEL)
            body = await _once(rendered, f"{content_type} gzip", compress)
        return Page(body, headers)

    def _parts(self, result: ScrapeResult) -> Iterator[Part]:
        """Yields the metrics of a scrape, then the exporter's own."""
        yield from page_parts(result.results, result.plan.descriptions)
        yield from self._own.of_process()
        yield from self._own.of_accounts(one.account for one in result.results)

    async def account_page(self, result: ScrapeResult, accept: str, accept_encoding: str) -> Page:
        """Returns the same of a single account's result, without the metrics of the process."""
        encode, content_type = negotiate(accept)
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        zipped = accepts_gzip(accept_encoding)
        if zipped:
            headers["Content-Encoding"] = "gzip"
        make = partial(self._account_body, result, encode, content_type, zipped=zipped)
        return Page(await _in_thread(make), headers)

    def _account_body(
        self, result: ScrapeResult, encode: Encoder, content_type: str, *, zipped: bool
    ) -> bytes:
        own = self._own.of_accounts(one.account for one in result.results)
        shown = page_parts(result.results, result.plan.descriptions)
        body = self._texts.page(encode, content_type, chain(shown, own))
        return gzip.compress(body, compresslevel=GZIP_LEVEL) if zipped else body


def _deadline(seconds: float) -> Part:
    """Returns the one family that differs between the clients of a result."""
    family = GaugeMetricFamily(DEADLINE.name, DEADLINE.text, value=seconds)
    return Part(None, family.name, seconds, lambda: [family])


async def _once(rendered: dict[str, asyncio.Future[bytes]], form: str, make: Callable[[], bytes]) -> bytes:
    """Returns what `make` returns. The first caller has it run in a thread, later ones share its result."""
    if form not in rendered:
        rendered[form] = asyncio.ensure_future(_in_thread(make))
    try:
        return await asyncio.shield(rendered[form])
    except Exception:  # whatever it is, the next client's rendering may succeed
        rendered.pop(form, None)
        raise


async def _in_thread(make: Callable[[], bytes]) -> bytes:
    try:
        running = asyncio.get_running_loop().run_in_executor(None, make)
    except RuntimeError:  # no thread can be started: to block the event loop is better than no page
        return make()
    return await running
