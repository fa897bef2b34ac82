"""The account collector through the installed command: beside the sessions, and never in their way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter.simulator.fleet import Fleet
from exporter.simulator.server import Server, create_app
from tests.support.pages import ORIGIN, Page
from tests.support.processes import KEYS, Exporter, configuration, exporter

BROWSERBASE, BROWSER_USE = "browserbase", "browser_use"
BESIDE = "/v1/projects", "/api/v3/billing/account"
FLEET = Fleet(origin=ORIGIN, history=60, rate=60)
BOTH = ("sessions", "account")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Providers:
    """The simulator; requests beside the lists get the status that is set, and the lists theirs."""

    def __init__(self) -> None:
        self.status, self.asked = 200, list[str]()
        self.list_status = 200
        self._app = create_app(FLEET, lambda: ORIGIN, keys=KEYS.values())

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        beside = request.path.startswith(BESIDE)
        if beside and self.status != 200:
            wait = {"Retry-After": "600"} if self.status == 429 else {}
            return web.Response(status=self.status, text="secret-in-a-body", headers=wait)
        if not beside and self.list_status != 200:
            return web.Response(status=self.list_status, headers={"Retry-After": "600"})
        return await self._app(request)


@contextmanager
def served(folder: Path, providers: Providers, collectors: tuple[str, ...]) -> Iterator[Exporter]:
    with (
        Server(providers.answer) as server,
        exporter("--config.file", configuration(folder, server.url, collectors)) as process,
    ):
        yield process


def test_quota_credit_projects_and_usage_are_shown_beside_the_sessions(tmp_path: Path) -> None:
    with served(tmp_path, Providers(), BOTH) as command:
        page = Page(command.get())
    for provider in (BROWSERBASE, BROWSER_USE):
        assert page.sum(provider, "up") == 1
        assert page.sum(provider, "collector_success", collector="account") == 1
        assert page.sum(provider, "exporter_errors_total", collector="account") == 0
        assert page.of(provider, "collector_duration_seconds")
    assert page.sum(BROWSERBASE, "quota_sessions_limit") == 200
    assert page.of(BROWSERBASE, "quota_sessions_used") == {}
    assert page.sum(BROWSERBASE, "project_usage_proxy_bytes") > 0
    assert page.sum(BROWSERBASE, "project_info") == 2
    assert page.sum(BROWSER_USE, "quota_sessions_limit") == 250
    assert page.sum(BROWSER_USE, "quota_sessions_used") == page.sum(BROWSER_USE, "sessions", status="active")
    assert page.sum(BROWSER_USE, "credit_balance_usd", kind="monthly") == 100
    assert page.sum(BROWSER_USE, "account_info", plan="Business") == 1


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "auth"), (404, "client"), (402, "payment"), (429, "rate_limited")]
)
def test_its_failure_leaves_the_sessions_alone(tmp_path: Path, status: int, reason: str) -> None:
    providers = Providers()
    providers.status = status
    with served(tmp_path, providers, BOTH) as command:
        pages = [Page(command.get()) for _ in range(2)]
        log = command.log
    for provider in (BROWSERBASE, BROWSER_USE):
        assert [page.sum(provider, "up") for page in pages] == [1, 1]
        assert pages[1].sum(provider, "collector_success", collector="account") == 0
        assert pages[1].sum(provider, "collector_success", collector="sessions") == 1
        assert pages[1].sum(provider, "exporter_errors_total", collector="account", reason=reason) == 2
        assert pages[1].sum(provider, "exporter_errors_total", collector="sessions") == 0
        assert pages[1].of(provider, "quota_sessions_limit") == {}
    asked = sum(path.startswith(BESIDE) for path in providers.asked)
    assert asked == (4 if status == 402 else 2), "a refused endpoint is not asked again at once"
    assert "secret-in-a-body" not in log


def test_the_lists_retry_after_holds_for_it_too(tmp_path: Path) -> None:
    providers = Providers()
    providers.list_status = 429
    with served(tmp_path, providers, BOTH) as command:
        command.get()
        providers.asked.clear()
        page = Page(command.get())
    assert providers.asked == []
    for provider in (BROWSERBASE, BROWSER_USE):
        for collector in BOTH:
            assert page.sum(provider, "collector_success", collector=collector) == 0
        assert page.sum(provider, "exporter_errors_total", collector="sessions", reason="rate_limited") == 2
        assert page.sum(provider, "exporter_errors_total", collector="account", reason="rate_limited") >= 1


HOSTILE = 'Pl4ntedName \u202e"\\\n{}é'
PROJECT = {"id": "Pl4ntedId/..", "name": HOSTILE, "concurrency": 7}
BILLING = {"projectId": "Pl4ntedId", "name": HOSTILE, "planInfo": {"planName": HOSTILE}}


@pytest.mark.parametrize("usage", [b'{"proxyBytes": 5}', b"Pl4ntedWords", 500, 302])
def test_names_and_ids_are_shown_as_labels_and_never_in_a_log(tmp_path: Path, usage: bytes | int) -> None:
    lists = Providers()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == BESIDE[0]:
            return web.json_response([PROJECT])
        if request.path == BESIDE[1]:
            return web.json_response(BILLING)
        if not request.path.startswith(BESIDE[0]):
            return await lists.answer(request)
        if isinstance(usage, int):
            return web.Response(status=usage, text=HOSTILE, headers={"Location": "/Pl4ntedPlace"})
        return web.Response(body=usage)

    with Server(answer) as server:
        file = configuration(tmp_path, server.url, BOTH)
        with exporter("--config.file", file, "--log.level", "debug") as command:
            page = Page(command.get())
            strict = {one.name for one in parse_openmetrics(command.get(Accept=OPENMETRICS).text)}  # type: ignore[no-untyped-call]  # the library's own omission
            command.get("/")
            log = command.log
    assert page.sum(BROWSERBASE, "project_info", project="Pl4ntedId/..", project_name=SHOWN) == 1
    assert page.sum(BROWSER_USE, "account_info", plan=SHOWN) == 1
    assert "cloud_browser_project_info" in strict
    assert page.sum(BROWSERBASE, "up") == page.sum(BROWSER_USE, "up") == 1
    assert ("account collector failed" in log) == (usage != b'{"proxyBytes": 5}')
    assert "Pl4nted" not in log


SHOWN = 'Pl4ntedName "\\{}é'


def test_alone_it_reads_no_list_and_says_nothing_of_sessions(tmp_path: Path) -> None:
    providers = Providers()
    with served(tmp_path, providers, ("account",)) as command:
        page = Page(command.get())
        assert command.get("/-/ready").status_code == 200
    assert all(path.startswith(BESIDE) for path in providers.asked)
    for provider in (BROWSERBASE, BROWSER_USE):
        assert page.of(provider, "up", "sessions", "sessions_started_total", "history_complete") == {}
        assert page.sum(provider, "collector_success", collector="account") == 1
        assert page.of(provider, "exporter_errors_total") != {}


def test_sessions_alone_ask_nothing_else(tmp_path: Path) -> None:
    providers = Providers()
    with served(tmp_path, providers, ("sessions",)) as command:
        page = Page(command.get())
    assert not any(path.startswith(BESIDE) for path in providers.asked)
    assert page.sum(BROWSER_USE, "up") == 1
    assert page.of(BROWSER_USE, "quota_sessions_limit", "credit_balance_usd") == {}
