"""A simulated provider that takes its time for each page, and remembers which were requested."""

import asyncio
import time

import msgspec
from aiohttp import web

from exporter.simulator.server import Handler


class Request(msgspec.Struct, frozen=True):
    """A request for a page, and when it came, in seconds of the monotonic clock."""

    at: float
    status: str
    number: int
    size: int


class SlowApi:
    """Answers as `handler` does, after so many seconds.

    Attributes:
        requests: all requests for pages.
        most_at_once: how many pages of ended sessions were under way at the same time.
    """

    def __init__(self, handler: Handler, seconds: float = 0) -> None:
        self._handler, self._seconds = handler, seconds
        self.requests: list[Request] = []
        self.most_at_once, self._running = 0, 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        query = request.query
        if "pageNumber" in query:
            number, size = int(query["pageNumber"]), int(query["pageSize"])
            self.requests.append(Request(time.monotonic(), query.get("filterBy", ""), number, size))
        counts = int(query.get("filterBy") == "stopped")
        self._running += counts
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            response = await self._handler(request)
            await asyncio.sleep(self._seconds)
        finally:
            self._running -= counts
        return response

    def pages(self, status: str = "stopped") -> list[tuple[int, int]]:
        """Numbers and sizes of the pages that were requested of a list, without requests that only count."""
        return [(one.number, one.size) for one in self.requests if one.status == status and one.size > 1]
