"""Pages of metrics: which form a client accepts, and each form rendered once for a scrape's result."""

import asyncio
import gzip
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, TypeAlias

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from exporter.metrics.families import AccountCache, families, of_accounts
from exporter.scrape.inflight import ScrapeResult

Form: TypeAlias = tuple[Callable[[Any], bytes], str]

GZIP_LEVEL = 1  # higher levels take several times as long, for a few per cent
ANY = ("*/*", "text/*")

_DEFAULT = choose_encoder("")
_KINDS = "application/openmetrics-text;version=1.0.0", "text/plain;version=0.0.4", "text/plain;version=1.0.0"
_ESCAPINGS = "underscores", "allow-utf-8", "dots", "values"
# Accept headers outside this list do not create new cache keys.
_FORMS = {
    choose_encoder(accept)[1]
    for accept in (
        "application/openmetrics-text",
        *(f"{kind};escaping={escaping}" for kind, escaping in product(_KINDS, _ESCAPINGS)),
    )
}


class Page(msgspec.Struct, frozen=True):
    """A body, and the headers that describe it."""

    body: bytes
    headers: dict[str, str]


class Pages:
    """The newest scrape result's pages; concurrent clients share one rendering. For one event loop.

    registry: the exporter's own metrics, which follow those of the scrape.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._families = FamilyCache()
        self._accounts = AccountCache()
        self._result: ScrapeResult | None = None
        self._rendered: dict[str, asyncio.Future[bytes]] = {}

    async def page(self, result: ScrapeResult, accept: str, accept_encoding: str) -> Page:
        """The result in the form and encoding that these headers ask for."""
        encode, content_type = negotiate(accept)
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if self._result is not result:
            self._result, self._rendered = result, {}
        rendered = self._rendered
        collected = _Collected(result, self._registry, self._accounts)
        render = partial(self._families.render, encode, content_type, collected)
        body = await _once(rendered, content_type, render)
        if accepts_gzip(accept_encoding):
            headers["Content-Encoding"] = "gzip"
            compress = partial(gzip.compress, body, compresslevel=GZIP_LEVEL)
            body = await _once(rendered, f"{content_type} gzip", compress)
        return Page(body, headers)


class FamilyCache:
    """Keeps each family's text, so that only those whose samples have changed are rendered anew.

    Threads may share it: what a thread finds or leaves is whole, and is used for equal samples alone.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], tuple[list[Any], bytes]] = {}

    def render(self, encode: Callable[[Any], bytes], content_type: str, collected: Collector) -> bytes:
        """Returns what `encode`, which makes this content type, makes of the families."""
        end = encode(_Families([]))
        texts = [self._text(encode, content_type, end, family) for family in collected.collect()]
        return b"".join([*texts, end])

    def _text(self, encode: Callable[[Any], bytes], content_type: str, end: bytes, family: Metric) -> bytes:
        known = self._texts.get((content_type, family.name))
        if known is not None and known[0] == family.samples:
            return known[1]
        text = encode(_Families([family])).removesuffix(end)
        self._texts[content_type, family.name] = family.samples, text
        return text


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


class _Collected(Collector):
    """What prometheus-client encodes: a scrape's metrics, then the exporter's own."""

    def __init__(self, result: ScrapeResult, registry: CollectorRegistry, cache: AccountCache) -> None:
        self._result, self._registry, self._cache = result, registry, cache

    def collect(self) -> Iterator[Metric]:
        results = self._result.results
        yield from families(results, self._result.plan.descriptions, self._cache)
        yield from of_accounts({result.account for result in results}, self._registry.collect())


def negotiate(accept: str) -> Form:
    """The known form that an Accept header weighs highest; the text format if it names none."""
    weighted = sorted(_weighted(accept), key=lambda item: item[1], reverse=True)
    for media_range, weight in weighted:
        form = _form(media_range) if weight > 0 else None
        if form is not None:
            return form
    return _DEFAULT


def accepts_gzip(accept_encoding: str) -> bool:
    """Returns whether gzip is accepted, and not less than no encoding."""
    weights = dict(_weighted(accept_encoding))
    weight = weights.get("gzip", weights.get("*", 0.0))
    return weight > 0 and weight >= weights.get("identity", 0.0)


def _weighted(header: str) -> Iterator[tuple[str, float]]:
    """The items of a header with their weights, 0 to 1 (RFC 9110, section 12.4.2)."""
    for item in header.lower().split(","):
        parts = [part.strip() for part in item.split(";")]
        weights = [part.removeprefix("q=") for part in parts if part.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0  # malformed: not a wish that can be met
        yield ";".join(part for part in parts if not part.startswith("q=")), min(weight, 1.0)


def _form(media_range: str) -> Form | None:
    """The form of a media range of an Accept header, without its weight; None where there is none."""
    media, _, _ = media_range.partition(";")
    if media in ANY:
        return _DEFAULT
    try:
        form = choose_encoder(media_range)
    except (TypeError, ValueError):  # a version that is none
        return None
    # prometheus-client answers what it does not know with its default, of another media type.
    return form if form[1] in _FORMS and form[1].startswith(f"{media};") else None


async def _once(rendered: dict[str, asyncio.Future[bytes]], form: str, make: Callable[[], bytes]) -> bytes:
    """What `make` returns; called in a thread, so that a long page delays nobody, by the first who asks."""
    if form not in rendered:
        rendered[form] = asyncio.ensure_future(_in_thread(make))
    return await asyncio.shield(rendered[form])


async def _in_thread(make: Callable[[], bytes]) -> bytes:
    try:
        running = asyncio.get_running_loop().run_in_executor(None, make)
    except RuntimeError:  # no thread can be started: a page that delays others is better than none
        return make()
    return await running
