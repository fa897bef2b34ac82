"""Headless Chromium, driven by the DevTools protocol: what a page shows, and what its console says."""

import asyncio
import base64
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from tests.support.processes import LOCAL, TIMEOUT, Process, program

CONTENT = """JSON.stringify({
    text: document.body.innerText,
    title: document.title,
    width: document.documentElement.scrollWidth,
    links: [...document.querySelectorAll('a')].map(one => one.href),
    rows: [...document.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.innerText)),
    elements: [...new Set([...document.querySelectorAll('*')].map(one => one.tagName.toLowerCase()))],
    background: getComputedStyle(document.body).backgroundColor,
})"""


class Look(msgspec.Struct, frozen=True):
    """A page as it stands in the window.

    text: what can be read. width: of all that there is, in pixels. rows: the texts of the tables' cells.
    elements: the names of those that occur. background: of the body. errors: what the console complains of.
    requests: the URLs that were asked for. picture: a PNG of the whole page.
    """

    text: str
    title: str
    width: int
    links: list[str]
    rows: list[list[str]]
    elements: list[str]
    background: str
    errors: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    picture: bytes = b""


class Chromium:
    """A running browser; `look` opens a page in a new tab."""

    def __init__(self, url: str) -> None:
        self._url = url

    def look(self, url: str, width: int, *, dark: bool = False) -> Look:
        """Returns the page in a window of so many pixels, in the light or the dark colours."""
        return asyncio.run(asyncio.wait_for(self._look(url, width, dark=dark), TIMEOUT))

    async def _look(self, url: str, width: int, *, dark: bool) -> Look:
        async with aiohttp.ClientSession() as client, client.ws_connect(self._url, max_msg_size=0) as socket:
            browser = _Tab(socket)
            target = await browser.call("Target.createTarget", url="about:blank")
            attached = await browser.call("Target.attachToTarget", flatten=True, **target)
            tab = _Tab(socket, attached["sessionId"])
            for domain in ("Page", "Runtime", "Log", "Network"):
                await tab.call(f"{domain}.enable")
            size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
            await tab.call("Emulation.setDeviceMetricsOverride", **size)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            await tab.call("Emulation.setEmulatedMedia", features=[scheme])
            await tab.call("Page.navigate", url=url)
            await tab.until("Page.loadEventFired")
            content = await tab.call("Runtime.evaluate", expression=CONTENT)
            picture = await tab.call("Page.captureScreenshot", captureBeyondViewport=True)
            await browser.call("Target.closeTarget", **target)
        look = msgspec.json.decode(content["result"]["value"], type=Look)
        png = base64.b64decode(picture["data"])
        return msgspec.structs.replace(look, errors=tab.errors(), requests=tab.requests(), picture=png)


class _Tab:
    """Calls of the protocol, one after the other, and the events that came meanwhile."""

    _ids = itertools.count(1)

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str | None = None) -> None:
        self._socket, self._session = socket, {} if session is None else {"sessionId": session}
        self._events: list[dict[str, Any]] = []

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params, **self._session})
        while (message := await self._socket.receive_json()).get("id") != number:
            self._events.append(message)
        result: dict[str, Any] = message["result"]
        return result

    async def until(self, event: str) -> None:
        while not any(one.get("method") == event for one in self._events):
            self._events.append(await self._socket.receive_json())

    def errors(self) -> tuple[str, ...]:
        """Returns the console's errors and warnings, and exceptions of scripts."""
        logged = [one["params"]["entry"] for one in self._of("Log.entryAdded")]
        said = [str(one["params"]) for one in self._of("Runtime.consoleAPICalled")]
        thrown = [str(one["params"]) for one in self._of("Runtime.exceptionThrown")]
        serious = [f"{one['text']} {one.get('url', '')}" for one in logged if one["level"] != "info"]
        return (*serious, *said, *thrown)

    def requests(self) -> tuple[str, ...]:
        return tuple(one["params"]["request"]["url"] for one in self._of("Network.requestWillBeSent"))

    def _of(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self._events if one.get("method") == event]


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """A browser with an empty profile in this folder."""
    flags = (
        "--headless=new",
        "--no-sandbox",  # it refuses to run as root with one
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--no-proxy-server",
        "--remote-debugging-port=0",
        f"--remote-debugging-address={LOCAL}",
        f"--user-data-dir={folder / 'chromium'}",
        "about:blank",
    )
    environ = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    with Process(program("chromium", "chromium"), *flags, environ=environ, own_session=True) as process:
        yield Chromium(process.wait_for_log(r"DevTools listening on (ws://\S+)")[1])
