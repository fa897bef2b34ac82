"""Routes: which path answers what, within the time that Prometheus gives."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from exporter.metrics.telemetry import Telemetry
from exporter.scrape.scraper import Scraper
from exporter.web.discovery import Refusal, find_account, target_groups
from exporter.web.failures import RecentFailures
from exporter.web.pages import Pages

PROBE, DISCOVERY = "/probe", "/sd"
HEALTHY, READY, RELOAD = "/-/healthy", "/-/ready", "/-/reload"
TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"


class Front(msgspec.Struct, frozen=True):
    """The handlers of all paths.

    scraper: scrapes at every GET of `path`, and at no other.
    telemetry: the exporter's own metrics. ready: whether the ledger can be used; may block for a moment.
    reload: reads the configuration again, and returns its errors; None where that is not enabled.
    documentation: the URL of the documents, where there is one. wall: seconds since 1970.
    """

    scraper: Scraper
    telemetry: Telemetry
    ready: Callable[[], bool]
    path: str = "/metrics"
    reload: Callable[[], Awaitable[tuple[str, ...]]] | None = None
    documentation: str | None = None
    wall: Callable[[], float] = time.time

    def app(self, middlewares: Iterable[Middleware] = ()) -> web.Application:
        """Returns the application, behind these middlewares."""
        app = web.Application(middlewares=middlewares)
        app[PAGES] = Pages(self.telemetry)
        app[FAILURES] = RecentFailures()
        app.router.add_get("/", self.index)
        app.router.add_get(self.path, self.metrics)
        app.router.add_get(PROBE, self.probe)
        app.router.add_get(DISCOVERY, self.discovery)
        app.router.add_get(HEALTHY, self.healthy)
        app.router.add_get(READY, self.readiness)
        for method in (hdrs.METH_POST, hdrs.METH_PUT):
            app.router.add_route(method, RELOAD, self.reloading)
        return app

    async def metrics(self, request: web.Request) -> web.Response:
        """Scrapes every account; returns the metrics in the form that the client accepts."""
        seconds = self.scraper.plan.timeouts.budget(request.headers.get(TIMEOUT_HEADER))
        result = await self.scraper.scrape(seconds)
        request.app[FAILURES].add(result.results)
        accept, encoding = (_joined(request, name) for name in (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING))
        page = await request.app[PAGES].page(result, accept, encoding, seconds)
        return web.Response(body=page.body, headers=page.headers)

    async def probe(self, request: web.Request) -> web.Response:
        """Scrapes one account; returns its metrics alone. 400 or 404 where no account is named."""
        plan = self.scraper.plan
        found = find_account(request.query, [target.account for target in plan.targets])
        if isinstance(found, Refusal):
            return web.Response(text=f"{found.text}\n", status=found.status)
        seconds = plan.timeouts.budget(request.headers.get(TIMEOUT_HEADER))
        result = await self.scraper.scrape_account(found, seconds)
        request.app[FAILURES].add(result.results)
        accept, encoding = (_joined(request, name) for name in (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING))
        page = await request.app[PAGES].account_page(result, accept, encoding)
        return web.Response(body=page.body, headers=page.headers)

    async def discovery(self, request: web.Request) -> web.Response:
        """Returns the accounts as targets of Prometheus's HTTP service discovery."""
        accounts = [target.account for target in self.scraper.plan.targets]
        groups = target_groups(accounts, request.host, PROBE)
        return web.Response(body=msgspec.json.encode(groups), content_type="application/json")

    async def reloading(self, _request: web.Request) -> web.Response:
        """Reads the configuration again. Returns 500 with its errors, 403 if not enabled."""
        if self.reload is None:
            return web.Response(text="Not enabled; see --web.enable-lifecycle.\n", status=403)
        faults = await self.reload()
        if faults:
            return web.Response(text="".join(f"{fault}\n" for fault in faults), status=500)
        return web.Response(text="Reloaded.\n")

    async def readiness(self, _request: web.Request) -> web.Response:
        """Returns 503 while counters cannot be kept."""
        if await asyncio.to_thread(self.ready):
            return web.Response(text="Ready.\n")
        return web.Response(text="Not ready: the ledger cannot be opened; the log says why.\n", status=503)

    async def healthy(self, _request: web.Request) -> web.Response:
        """Returns 200 while the process answers."""
        return web.Response(text="Healthy.\n")

    async def index(self, request: web.Request) -> web.Response:
        """Returns the landing page: the last scrape's results, and links."""
        links = {self.path: "Metrics", DISCOVERY: "Service discovery", HEALTHY: "Healthy", READY: "Ready"}
        if self.documentation is not None:
            links[self.documentation] = "Documentation"
        plan, last = self.scraper.plan, self.scraper.last
        failures = request.app[FAILURES].newest(target.account for target in plan.targets)
        page = await asyncio.to_thread(_landing_page, plan, last, failures, links, self.wall())
        return web.Response(text=page, content_type="text/html")


PAGES = web.AppKey("pages", Pages)
FAILURES = web.AppKey("failures", RecentFailures)


def _landing_page(*shown: Any) -> str:
    """Returns the page; jinja2 takes 2 MiB, which a process whose page nobody opens need not have."""
    from exporter.web.landing import html  # noqa: PLC0415

    return html(*shown)


def _joined(request: web.Request, name: str) -> str:
    """Returns the values of a header that may come several times, as one list."""
    return ",".join(request.headers.getall(name, ()))
