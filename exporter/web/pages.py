"""Pages of metrics: each form is rendered once for a scrape's result."""

import asyncio
import gzip
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.metrics.definitions import DEADLINE
from exporter.metrics.families import AccountCache, families
from exporter.model import Account
from exporter.scrape.inflight import ScrapeResult
from exporter.web.negotiation import accepts_gzip, negotiate

GZIP_LEVEL = 1  # higher levels take several times as long, for a few per cent
MAX_BODIES = 32  # kept of a result: clients choose the form, the encoding and the timeout


class Page(msgspec.Struct, frozen=True):
    """A body, and the headers that describe it."""

    body: bytes
    headers: dict[str, str]


class OwnMetrics(Protocol):
    """The exporter's own metrics."""

    def collect(self, accounts: Collection[Account]) -> Iterable[Metric]:
        """Returns those of the process and of these accounts."""

    def of_accounts(self, accounts: Collection[Account]) -> Iterable[Metric]:
        """Returns those of these accounts alone."""


class Pages:
    """The newest scrape result's pages; concurrent clients share one rendering. For one event loop.

    own: the exporter's own metrics, which follow those of the scrape.
    """

    def __init__(self, own: OwnMetrics) -> None:
        self._own = own
        self._families = FamilyCache()
        self._accounts = AccountCache()
        self._result: ScrapeResult | None = None
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
            self._result, self._rendered = result, {}
        rendered = self._rendered
        render = partial(self._families.render, encode, content_type, self._collected(result))
        body = _deadline(encode, seconds) + await _once(rendered, content_type, render)
        if accepts_gzip(accept_encoding):
            headers["Content-Encoding"] = "gzip"
            compress = partial(gzip.compress, body, compresslevel=GZIP_LEVEL)
            body = await _once(rendered, f"{content_type} gzip {seconds}", compress)
        return Page(body, headers)

    def _collected(self, result: ScrapeResult) -> Iterator[Metric]:
        """Yields the metrics of a scrape, then the exporter's own."""
        yield from families(result.results, result.plan.descriptions, self._accounts)
        yield from self._own.collect({one.account for one in result.results})

    async def account_page(self, result: ScrapeResult, accept: str, accept_encoding: str) -> Page:
        """Returns the same of a single account's result, without the metrics of the process."""
        encode, content_type = negotiate(accept)
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        zipped = accepts_gzip(accept_encoding)
        if zipped:
            headers["Content-Encoding"] = "gzip"
        return Page(await _in_thread(partial(self._account_body, result, encode, zipped=zipped)), headers)

    def _account_body(self, result: ScrapeResult, encode: Callable[[Any], bytes], *, zipped: bool) -> bytes:
        shown = families(result.results, result.plan.descriptions, self._accounts)
        own = self._own.of_accounts({one.account for one in result.results})
        body = encode(_Given([*shown, *own]))
        return gzip.compress(body, compresslevel=GZIP_LEVEL) if zipped else body


class FamilyCache:
    """Keeps each family's text, so that only those whose samples have changed are rendered anew.

    Threads may share it: what a thread finds or leaves is whole, and is used for equal samples alone.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], tuple[list[Any], bytes]] = {}

    def render(self, encode: Callable[[Any], bytes], content_type: str, collected: Iterable[Metric]) -> bytes:
        """Returns what `encode`, which makes this content type, makes of the families."""
        end = encode(_Given([]))
        texts = [self._text(encode, content_type, end, family) for family in collected]
        return b"".join([*texts, end])

    def _text(self, encode: Callable[[Any], bytes], content_type: str, end: bytes, family: Metric) -> bytes:
        known = self._texts.get((content_type, family.name))
        if known is not None and known[0] == family.samples:
            return known[1]
        text = encode(_Given([family])).removesuffix(end)
        self._texts[content_type, family.name] = family.samples, text
        return text


class _Given(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _deadline(encode: Callable[[Any], bytes], seconds: float) -> bytes:
    """Returns the text of the one family that differs between the clients of a result."""
    family = GaugeMetricFamily(DEADLINE.name, DEADLINE.text, value=seconds)
    return encode(_Given([family])).removesuffix(encode(_Given([])))


async def _once(rendered: dict[str, asyncio.Future[bytes]], form: str, make: Callable[[], bytes]) -> bytes:
    """Returns what `make` returns. The first caller has it run in a thread, later ones share its result."""
    if form not in rendered:
        if len(rendered) >= MAX_BODIES:
            return await _in_thread(make)
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
