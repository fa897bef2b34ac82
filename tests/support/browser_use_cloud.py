"""Browser Use's API over real HTTP, with lists that a test gives, and the reader of an account there."""

import json
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from exporter.client.api import Api
from exporter.model import Listing, ReadWindow
from exporter.providers.browser_use.reader import BrowserUse
from tests.support.browser_use_rows import T0, at, row

DEADLINE = 100.0  # seconds on the clock that only the provider moves
ALL = ReadWindow()


class Meter:
    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        assert (endpoint, code, seconds >= 0) == ("/browsers", "200", True)

    def rate_limit(self, remaining: int | None) -> None:
        pass


def nothing() -> None:
    pass


class Cloud:
    """The provider: rows in the order of its lists, what is to happen after each request, and its reader."""

    account: BrowserUse
    api: Api

    def __init__(self) -> None:
        self.active: list[Any] = []
        self.stopped: list[Any] = []
        self.others: list[Any] = []  # that neither filter shows
        self.is_filtered, self.counts_filtered = True, True
        self.requests: list[tuple[str, int]] = []
        self.largest, self.total, self.lies, self.body = 100, 0, "active", b""
        self.clock, self.seconds = 0.0, 0.0
        self.ahead, self.wall = 0, 0.0  # seconds that its clock and the local one are wrong by
        self.happen = nothing  # after each request

    async def answer(self, request: web.BaseRequest) -> web.Response:
        status, number = request.query.get("filterBy", "all"), int(request.query["pageNumber"])
        size = min(int(request.query["pageSize"]), self.largest)
        self.requests.append((status if size > 1 else f"{status} count", number))
        rows = self.rows(status if self.is_filtered else "all")
        items, total = rows[(number - 1) * size : number * size], len(rows)
        total = total if self.counts_filtered else len(self.rows("all"))
        total = self.total if self.total and self.lies in {status, "everything"} else total
        page = {"items": items, "totalItems": total, "pageNumber": number, "pageSize": size, "new": 1}
        self.clock += self.seconds
        self.happen()
        date = format_datetime(T0 + timedelta(hours=2, seconds=self.ahead), usegmt=True)
        return web.Response(body=self.body or json.dumps(page).encode(), headers={"Date": date})

    def rows(self, status: str) -> list[Any]:
        """Those of a filter; all of them are the newest first."""
        if status != "all":
            return self.active if status == "active" else self.stopped
        every = [*self.active, *self.stopped, *self.others]
        return sorted(every, key=began, reverse=True)

    def read(self, window: ReadWindow = ALL, seconds: float = DEADLINE) -> Listing:
        return self.account.read(window, self.clock + seconds)

    def asked(self) -> list[tuple[str, int]]:
        """What was asked for since the last time."""
        asked, self.requests = self.requests, []
        return asked


def began(row: Any) -> str:
    return str(row.get("startedAt") or row.get("finishedAt")) if isinstance(row, dict) else ""


def history(count: int) -> list[dict[str, Any]]:
    """Sessions of a second each, newest first; the newest is the last whole second's."""
    return [row(id=f"s{i}", startedAt=at(i), finishedAt=at(i + 1)) for i in reversed(range(count))]


def ids(listing: Listing) -> set[str]:
    return {session.id for session in listing.sessions}
