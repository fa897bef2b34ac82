"""The front: which path answers what, within the time that Prometheus gives."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import product
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.metrics.families import families, of_accounts
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.scraper import Scraper
from exporter.web.landing import html

RELOAD = "/-/reload"
TIMEOUT_HEADER = "x-prometheus-scrape-timeout-seconds"

# The page is words and links: a browser shall load, run, frame, keep and tell others nothing of it.
SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


# What a page can be; what else a client writes of versions is nobody's to choose a new form by.
_KINDS = "application/openmetrics-text;version=1.0.0", "text/plain;version=0.0.4", "text/plain;version=1.0.0"
_ESCAPINGS = "underscores", "allow-utf-8", "dots", "values"
_FORMS = {
    choose_encoder(accept)[1]
    for accept in (
        "application/openmetrics-text",
        *(f"{kind};escaping={escaping}" for kind, escaping in product(_KINDS, _ESCAPINGS)),
    )
}


class _Collected:
    """What one answer shows: a scrape, then the exporter itself."""

    def __init__(self, scrape_result: ScrapeResult, registry: CollectorRegistry) -> None:
        self._report, self._registry = scrape_result, registry

    def collect(self) -> Iterator[Metric]:
        results = self._report.results
        yield from families(results, self._report.plan.descriptions)
        yield from of_accounts({result.account for result in results}, self._registry.collect())


class RenderCache:
    """The rendered pages of the newest result, by their form."""

    def __init__(self) -> None:
        self._result: ScrapeResult | None = None
        self._pages: dict[str, asyncio.Future[bytes]] = {}

    async def get(self, result: ScrapeResult, form: str, render: Callable[[], bytes]) -> bytes:
        """Return a page; the first client that asks for a form has it rendered, in a thread."""
        if result is not self._result:
            self._result, self._pages = result, {}
        if form not in self._pages:
            self._pages[form] = asyncio.ensure_future(run_in_threadpool(render))
        return await asyncio.shield(self._pages[form])


class Front(msgspec.Struct, frozen=True):
    """What the paths answer.

    scraper: asked at every GET of `path`, and at no other.
    registry: the exporter's own metrics. ready: whether the ledger can be used; may block for a moment.
    reload: takes the configuration anew, and returns its faults; None where that is not enabled.
    """

    scraper: Scraper
    registry: CollectorRegistry
    ready: Callable[[], bool]
    path: str = "/metrics"
    reload: Callable[[], Awaitable[tuple[str, ...]]] | None = None
    rendered: RenderCache = msgspec.field(default_factory=RenderCache)

    def app(self) -> ASGIApp:
        """The application."""
        handlers = {
            "/": self.index,
            self.path: self.metrics,
            "/-/healthy": self.healthy,
            "/-/ready": self.readiness,
        }
        routes = [Route(path, handler) for path, handler in handlers.items()]
        app = Starlette(routes=[*routes, Route(RELOAD, self.reloading, methods=["POST", "PUT"])])
        app.router.redirect_slashes = False  # a path that is not ours is not found, whatever it is like

        async def exact(scope: Scope, receive: Receive, send: Send) -> None:
            # To a route's pattern a path ends before a line break, too.
            ours = app if scope["path"].isprintable() else PlainTextResponse("Not Found", 404)
            await ours(scope, receive, send)

        return exact

    async def metrics(self, request: Request) -> Response:
        """Ask every account."""
        times = self.scraper.plan.times
        scrape_result = await self.scraper.scrape(times.budget(request.headers.get(TIMEOUT_HEADER)))
        return await self._page(scrape_result, request)

    async def _page(self, scrape_result: ScrapeResult, request: Request) -> Response:
        """The page in the form the client asks for; rendered once for all who share the scrape."""
        encode, content_type = _form(request.headers.get("accept", ""))
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        page = _Collected(scrape_result, self.registry)
        body = await self.rendered.get(scrape_result, content_type, partial(encode, page))
        if gzip_accepted(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            zipped = partial(gzip.compress, body, compresslevel=1)
            body = await self.rendered.get(scrape_result, f"{content_type} gzip", zipped)
        return Response(body, headers=headers)

    async def reloading(self, _request: Request) -> Response:
        """Take the configuration anew."""
        if self.reload is None:
            return PlainTextResponse("Not enabled; see --web.enable-lifecycle.\n", 403)
        faults = await self.reload()
        if faults:
            return PlainTextResponse("".join(f"{fault}\n" for fault in faults), 500)
        return PlainTextResponse("Reloaded.\n")

    async def readiness(self, _request: Request) -> Response:
        """Whether counters can be kept."""
        if await run_in_threadpool(self.ready):
            return PlainTextResponse("Ready.\n")
        return PlainTextResponse("Not ready: the ledger cannot be opened; the log says why.\n", 503)

    async def healthy(self, _request: Request) -> Response:
        """Whether the process answers."""
        return PlainTextResponse("Healthy.\n")

    async def index(self, _request: Request) -> Response:
        """What the last scrape brought, and links."""
        links = {self.path: "Metrics", "/-/healthy": "Healthy", "/-/ready": "Ready"}
        return HTMLResponse(html(self.scraper.plan, self.scraper.last, links))


def with_security_headers(app: ASGIApp) -> ASGIApp:
    """The same, with every answer telling browsers how little they may do with it."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SECURITY_HEADERS]
            await send(message)

        await app(scope, receive, sending)

    return answering


def _form(accept: str) -> tuple[Callable[[Any], bytes], str]:
    """How a page is encoded for who accepts this, and the name of that."""
    with suppress(TypeError, ValueError):  # of a version that is none
        form = choose_encoder(accept)
        if form[1] in _FORMS:
            return form
    return choose_encoder("")
