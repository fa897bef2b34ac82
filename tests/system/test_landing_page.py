"""The landing page as a browser shows it: its content, its layout, and that it loads nothing else."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from aiohttp import web

from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import Fleet
from exporter.simulator.server import Server, create_app
from tests.support.chromium import Chromium, Look, chromium
from tests.support.pages import ORIGIN
from tests.support.processes import KEYS, Exporter, configuration, exporter

pytestmark = pytest.mark.slow

PHONE, DESK = 400, 1400
OPEN = {"running", "pending", "active"}
HOSTILE = "<img src=x onerror=alert(1)>'\"&"
FLEET = Fleet(origin=ORIGIN, history=200, rate=600)


class Api:
    """A simulator whose clock stands still; `fault` is the status of every answer to one of the providers."""

    def __init__(self, fleet: Fleet = FLEET) -> None:
        self.faults: dict[str, int] = {}
        self.asked = 0
        self._app = create_app(fleet, lambda: ORIGIN, keys=KEYS.values())

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        for path, status in self.faults.items():
            if request.path.startswith(path):
                return web.Response(status=status)
        return await self._app(request)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("browser")) as running:
        yield running


@contextmanager
def served(folder: Path, api: Api) -> Iterator[tuple[Exporter, str]]:
    """The exporter, scraped once, and the simulator's URL."""
    both = ("sessions", "account")
    with (
        Server(api.answer) as server,
        exporter("--config.file", configuration(folder, server.url, both)) as process,
    ):
        process.get()
        yield process, server.url


def open_sessions() -> Counter[tuple[str, str, str]]:
    """Those of the simulator's truth, by provider, region and status."""
    found: Counter[tuple[str, str, str]] = Counter()
    for provider, simulated in SIMULATED.items():
        for one in expected_totals(FLEET, simulated.facts, ORIGIN):
            for status in OPEN & one.listed.keys():
                found[provider, one.region, status] += one.listed[status]
    return found


def bars(look: Look) -> Counter[tuple[str, str, str]]:
    start = next(
        n for n, row in enumerate(look.rows) if row[:4] == ["Provider", "Region", "Status", "Sessions"]
    )
    rows = [row for row in look.rows[start + 1 :] if len(row) == 5 and row[3].isdigit()]
    return Counter({(provider, region, status): int(count) for provider, region, status, count, _ in rows})


def test_it_shows_what_the_providers_list_and_loads_nothing_else(tmp_path: Path, browser: Chromium) -> None:
    api = Api()
    with served(tmp_path, api) as (process, url):
        asked = api.asked
        look = browser.look(process.url, DESK)
        assert api.asked == asked, "the page asks the providers nothing"
        ids = {one["id"] for one in sessions(url)}
        truth = open_sessions()
    assert look.errors == ()
    assert {one for one in look.requests if not one.startswith("data:")} == {f"{process.url}/"}
    assert "All is well: every account is read" in look.text
    assert look.title.startswith("✓")
    assert sum(truth.values()) > 50
    assert bars(look) == truth
    assert f"Open sessions: {sum(n for (name, *_), n in truth.items() if name == 'browser_use')}" in look.text
    assert "USD total" in look.text
    links = [one for one in look.links if one.startswith("https://www.browserbase.com/sessions/")]
    assert len(links) >= 5
    assert {link.rsplit("/", 1)[1] for link in links} <= ids


def sessions(url: str) -> list[dict[str, str]]:
    headers = {"X-BB-API-Key": KEYS["BROWSERBASE_API_KEY"]}
    listed: list[dict[str, str]] = requests.get(f"{url}/v1/sessions", headers=headers, timeout=60).json()
    return listed


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_nothing_is_wider_than_the_window(tmp_path: Path, browser: Chromium, width: int) -> None:
    with served(tmp_path, Api()) as (process, _):
        light, dark = (browser.look(process.url, width, dark=dark) for dark in (False, True))
    assert light.width == dark.width == width
    assert light.background != dark.background
    assert light.picture.startswith(b"\x89PNG")


def test_a_failure_is_told_by_words_and_first(tmp_path: Path, browser: Chromium) -> None:
    api = Api()
    api.faults = {"/api/v3": 401, "/v1/projects": 500}
    with served(tmp_path, api) as (process, _):
        look = browser.look(process.url, PHONE)
    assert "✗ 1 of 2 accounts cannot be read" in look.text
    assert "auth: HTTP status 401: check the key" in look.text
    assert look.text.index("browser_use/ours") < look.text.index("browserbase/ours")
    assert "quota and credit: server" in look.text
    assert look.width == PHONE
    assert look.errors == ()


def test_hostile_names_and_ids_are_text(tmp_path: Path, browser: Chromium) -> None:
    row = {
        "id": HOSTILE,
        "projectId": HOSTILE,
        "status": "RUNNING",
        "region": HOSTILE,
        "createdAt": "2026-01-01T00:00:00Z",
        "startedAt": "2026-01-01T00:00:00Z",
        "expiresAt": "2036-01-01T00:00:00Z",
        "proxyBytes": 0,
    }

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/v1/sessions":
            return web.json_response(
                [row, {**row, "id": "ended", "status": "ERROR", "endedAt": row["createdAt"]}]
            )
        return web.json_response([{"id": HOSTILE, "name": HOSTILE, "concurrency": 3}])

    with Server(answer) as server:
        file = tmp_path / "exporter.yml"
        file.write_text(
            f"accounts: [{{name: <script>alert(1)</script>, provider: browserbase, base_url: '{server.url}', "
            f"api_key_env: BROWSERBASE_API_KEY}}]\nledger: {{url: 'sqlite:///{tmp_path}/ledger.db'}}\n"
        )
        with exporter("--config.file", file) as process:
            process.get()
            look = browser.look(process.url, PHONE)
    assert HOSTILE in look.text
    assert "browserbase/<script>alert(1)</script>" in look.text
    assert look.errors == ()
    assert not {"img", "script"} & set(look.elements)
    assert look.width == PHONE
