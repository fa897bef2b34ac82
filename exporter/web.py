"""The front: which path answers what, within the time that Prometheus gives."""

import gzip
import math
from collections.abc import Callable, Iterator, Mapping
from html import escape

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter import __version__
from exporter.metrics import families
from exporter.pull import Puller, Report
from exporter.session import Account

LONGEST = 86_400.0  # seconds; a socket cannot wait for years
TIMEOUT_HEADER = "x-prometheus-scrape-timeout-seconds"


class Times(msgspec.Struct, frozen=True):
    """Seconds a pull may take when Prometheus names no timeout, and what to keep back when it does."""

    timeout: float
    offset: float

    def budget(self, header: str | None) -> float:
        """The seconds for a pull: of the timeout named, less what is kept back, but half of it at least."""
        try:
            named = float(header or "nan")
        except ValueError:
            named = math.nan
        if not (math.isfinite(named) and named > 0):
            return self.timeout
        named = min(named, LONGEST)
        return max(named - self.offset, named / 2)


class _Collected:
    """What one answer shows: a pull, then the exporter itself."""

    def __init__(self, report: Report, sources: Mapping[Account, str], registry: CollectorRegistry) -> None:
        self._report, self._sources, self._registry = report, sources, registry

    def collect(self) -> Iterator[Metric]:
        yield from families(self._report.outcomes, self._sources)
        yield from self._registry.collect()


class Front(msgspec.Struct, frozen=True):
    """What the paths answer.

    puller: asked at every GET of `path`, and at no other. times: how long it may take.
    sources: of whose sessions the cost is shown, and where it comes from.
    registry: the exporter's own metrics. ready: whether the ledger can be used; may block for a moment.
    """

    puller: Puller
    times: Times
    sources: Mapping[Account, str]
    registry: CollectorRegistry
    ready: Callable[[], bool]
    path: str = "/metrics"

    def app(self) -> Starlette:
        """The application."""
        handlers = {
            "/": self.index,
            self.path: self.metrics,
            "/-/healthy": self.healthy,
            "/-/ready": self.readiness,
        }
        app = Starlette(routes=[Route(path, handler) for path, handler in handlers.items()])
        app.router.redirect_slashes = False  # a path that is not ours is not found, whatever it is like
        return app

    async def metrics(self, request: Request) -> Response:
        """Ask every account."""
        report = await self.puller.pull(self.times.budget(request.headers.get(TIMEOUT_HEADER)))
        return _rendered(report, _Collected(report, self.sources, self.registry), request)

    async def readiness(self, _request: Request) -> Response:
        """Whether counters can be kept."""
        if await run_in_threadpool(self.ready):
            return PlainTextResponse("Ready.\n")
        return PlainTextResponse("Not ready: the ledger cannot be opened; the log says why.\n", 503)

    async def healthy(self, _request: Request) -> Response:
        """Whether the process answers."""
        return PlainTextResponse("Healthy.\n")

    async def index(self, _request: Request) -> Response:
        """A list of links."""
        links = {self.path: "Metrics", "/-/healthy": "Healthy", "/-/ready": "Ready"}
        items = "".join(f'<li><a href="{escape(path)}">{name}</a></li>' for path, name in links.items())
        title = f"Cloud Browser Exporter {__version__}"
        return HTMLResponse(f"<!doctype html><title>{title}</title><h1>{title}</h1><ul>{items}</ul>")


def _rendered(report: Report, page: _Collected, request: Request) -> Response:
    """The page in the form the client asks for; rendered once for all who share the pull."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    zipped = gzip_accepted(request.headers.get("accept-encoding", ""))
    body = report.pages.get(content_type)
    if body is None:
        body = report.pages[content_type] = encode(page)
    if zipped:
        headers["Content-Encoding"] = "gzip"
        key = f"{content_type} gzip"
        if key not in report.pages:
            report.pages[key] = gzip.compress(body, compresslevel=1)
        body = report.pages[key]
    return Response(body, headers=headers)
