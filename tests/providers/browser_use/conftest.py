"""Browser Use's API, and an account there."""

from collections.abc import Iterator

import pytest
from aiohttp import web

from exporter.client.api import Api
from exporter.model import SECOND
from exporter.providers.browser_use.reader import BrowserUse
from exporter.simulator.server import Server
from tests.support.browser_use_cloud import Cloud, Meter
from tests.support.browser_use_rows import NOW


@pytest.fixture(scope="module")
def door() -> Iterator[tuple[str, list[Cloud]]]:
    """One server for all clouds, each under its number: requests made ahead may outlast their test."""
    clouds = [Cloud()]

    async def answer(request: web.BaseRequest) -> web.Response:
        return await clouds[int(request.path.split("/")[1])].answer(request)

    with Server(answer) as server:
        yield server.url, clouds


@pytest.fixture
def api(door: tuple[str, list[Cloud]]) -> Api:
    url, clouds = door
    clouds.append(Cloud())
    return Api(
        f"{url}/{len(clouds) - 1}/api/v3",
        "X-Browser-Use-API-Key",
        lambda: "key",
        max_bytes=1 << 24,
        telemetry=Meter(),
        wall=lambda: NOW / SECOND + clouds[-1].wall,
        clock=lambda: clouds[-1].clock,
    )


@pytest.fixture
def cloud(door: tuple[str, list[Cloud]], api: Api) -> Cloud:
    cloud = door[1][-1]
    cloud.api, cloud.account = api, BrowserUse(api)
    return cloud
