"""A layer over a simulator's answers that makes their rows sloppy, now and then and for a while.

What it shows wrongly it has shown rightly before, or will soon enough to count, so that the totals in the end
are the fleet's. A session that ended ten minutes ago is always shown as it is, for then it may settle.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiohttp import web

from exporter.simulator.fleet import MINUTE, SECOND

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Row = dict[str, Any]

SHARE = 0.1  # of the rows, in any spell
SPELL = 2 * MINUTE  # for so long a row is sloppy in the same way
FINAL = 10 * MINUTE  # after its end, a row is sound for good
LAGS = 0, 0, 0, 5 * SECOND, 60 * SECOND  # of the replica that answers a request
# Always allowed; of what is unknown yet, or is known already; of an end that has been counted; of open ones.
USABLE = "needless", "form", "figure", "twice"
UNUSABLE = "malformed", "times"
CONTRARY = "reopened", "backwards", "endless", "unknown"
OPEN = ("zero",)
# Of one row of Browser Use's pages there is one, with the status that was asked for; its lists are two.
PLURAL = "twice", "reopened", "unknown"
KINDS = {
    "browserbase": (*USABLE, *UNUSABLE, *CONTRARY, *OPEN, "lag"),
    "browser_use": tuple(
        kind for kind in (*USABLE, *UNUSABLE, *CONTRARY, *OPEN, "both", "lag") if kind not in PLURAL
    ),
}


class SloppyLayer:
    """Takes requests for `app`, whose clock is `clock` of this object.

    Args:
        app: makes the app that answers, of its clock.
        clock: the fleet's true time.
        seed: of all that is random.

    Attributes:
        serial: of the last answer.
        done: how often each of `KINDS` was, by provider and kind.
    """

    def __init__(
        self, app: Callable[[Callable[[], int]], Handler], clock: Callable[[], int], seed: int
    ) -> None:
        self._lag: ContextVar[int] = ContextVar("lag", default=0)
        self._true, self._seed = clock, seed
        self._app = app(self.clock)
        self._shown: dict[str, tuple[int, Row]] = {}  # by id: when first shown ended for good, and the row
        self._confirmed = 0
        self.serial = 0
        self.done: Counter[tuple[str, str]] = Counter()

    def clock(self) -> int:
        """The time at the replica that answers the request."""
        return self._true() - self._lag.get()

    def confirm(self, serial: int) -> None:
        """All that was shown in answers up to this one has been counted."""
        self._confirmed = max(self._confirmed, serial)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.serial += 1
        lag = random.Random(f"{self._seed}/{self.serial}").choice(LAGS)
        self._lag.set(lag)
        response = await self._app(request)
        if not isinstance(response, web.Response) or response.status != 200:
            return response
        assert isinstance(response.body, bytes)
        answer = msgspec.json.decode(response.body)
        if isinstance(answer, list) or "items" in answer:
            self.done["browserbase" if isinstance(answer, list) else "browser_use", "lag"] += bool(lag)
        if isinstance(answer, list):
            answer = [shown for row in answer for shown in self._shown_as(row)]
        elif "items" in answer:
            answer = self._page(answer, request.query.get("filterBy"))
        response.body = msgspec.json.encode(answer)
        return response

    def _page(self, page: dict[str, Any], status: str | None) -> dict[str, Any]:
        """A page of Browser Use's: no row more than it holds, but that ended ones are shown open as well."""
        rows = [self._shown_as(row, single=True)[0] for row in page["items"]]
        if status == "active":
            known = {row["id"] for row in rows}
            rows += [opened(row) for row in self._reopened() if row["id"] not in known]
        extra = len(rows) - len(page["items"])
        return page | {"items": rows[: page["pageSize"]], "totalItems": page["totalItems"] + extra}

    def _reopened(self) -> list[Row]:
        """Rows whose end has been counted, and that the list of open ones shows as well for a while."""
        found = []
        for name, (serial, row) in list(self._shown.items()):
            if self.clock() - ended_at(row) > FINAL:
                del self._shown[name]
            elif "finishedAt" in row and serial <= self._confirmed and self._dice(row).random() < SHARE / 2:
                self.done["browser_use", "both"] += 1
                found.append(row)
        return found

    def _dice(self, row: Row) -> random.Random:
        spell = self.clock() // SPELL
        return random.Random(f"{self._seed}/{row['id']}/{spell}")

    def _shown_as(self, row: Row, *, single: bool = False) -> list[Row]:
        """What is shown of a row; a `single` one stays one, and keeps its status."""
        over = is_over(row)
        age = self.clock() - ended_at(row) if over else 0
        if age > FINAL:
            return [row]
        dice = self._dice(row)
        kind = dice.choice(self._allowed(row, single=single)) if dice.random() < SHARE else ""
        if over and age > max(LAGS) and kind not in UNUSABLE:  # whichever replica is asked next
            self._shown.setdefault(row["id"], (self.serial, row))
        self.done["browserbase" if "proxyBytes" in row else "browser_use", kind] += 1
        return MADE[kind](row, dice) if kind else [row]

    def _allowed(self, row: Row, *, single: bool) -> list[str]:
        return [kind for kind in self._fitting(row) if not (single and kind in PLURAL)]

    def _fitting(self, row: Row) -> tuple[str, ...]:
        if not is_over(row):
            return *USABLE, *OPEN, "malformed"
        if row["id"] not in self._shown:
            return *USABLE, *UNUSABLE
        is_counted = self._shown[row["id"]][0] <= self._confirmed
        return (*USABLE, *UNUSABLE, *CONTRARY) if is_counted else USABLE


def is_over(row: Row) -> bool:
    return bool(row.get("endedAt") or row.get("finishedAt"))


def ended_at(row: Row) -> int:
    """In microseconds since 1970."""
    return _micros(row.get("endedAt") or row["finishedAt"])


def opened(row: Row) -> Row:
    """The row of an ended session, as if it were open."""
    if "finishedAt" in row:
        return row | {"status": "active", "finishedAt": None}
    return {name: value for name, value in row.items() if name != "endedAt"} | {"status": "RUNNING"}


def needless(row: Row, dice: random.Random) -> list[Row]:
    """A field that nothing needs is odd; not Browser Use's `timeoutAt`, which tells how a session ended."""
    ours: list[Row] = [{"agentSessionId": 0}, {"liveUrl": []}, {"metadata": "n/a"}]
    theirs: list[Row] = [{"expiresAt": ""}, {"keepAlive": 0}, {"updatedAt": "n/a"}, {"contextId": 7}]
    return [row | dice.choice(theirs if "proxyBytes" in row else ours)]


def form(row: Row, _dice: random.Random) -> list[Row]:
    """Times name no zone, and a whole number is a float."""
    names = "createdAt", "startedAt", "endedAt", "finishedAt"
    times = {name: row[name].removesuffix("Z") for name in names if row.get(name)}
    return [row | times | ({"proxyBytes": float(row["proxyBytes"])} if "proxyBytes" in row else {})]


def figure(row: Row, dice: random.Random) -> list[Row]:
    """Figures are not there yet."""
    names = [name for name in ("proxyBytes", "proxyUsedMb", "proxyCost", "browserCost") if name in row]
    odd = dice.choice((None, "", -1 if "proxyBytes" in row else "-0.02"))
    return [row | dict.fromkeys(names, odd)]


def malformed(row: Row, _dice: random.Random) -> list[Row]:
    return [row | {"startedAt": 0, "status": 5}]


def times(row: Row, _dice: random.Random) -> list[Row]:
    return [_ended(row, timedelta(hours=2))]


def backwards(row: Row, _dice: random.Random) -> list[Row]:
    return [_ended(row, timedelta(milliseconds=40))]


def endless(row: Row, _dice: random.Random) -> list[Row]:
    """An end without its time, last updated later than that."""
    name = "finishedAt" if "finishedAt" in row else "endedAt"
    later = datetime.fromisoformat(row[name]) + timedelta(minutes=3)
    return [row | {name: None} | ({"updatedAt": later.isoformat()} if name == "endedAt" else {})]


def unknown(row: Row, _dice: random.Random) -> list[Row]:
    """A status that the API does not name, with an end."""
    return [row | {"status": "RELEASING"}]


def zero(row: Row, _dice: random.Random) -> list[Row]:
    """An end of year 1 of a session that is open."""
    return [row | {"endedAt" if "proxyBytes" in row else "finishedAt": "0001-01-01T00:00:00Z"}]


def twice(row: Row, dice: random.Random) -> list[Row]:
    """The same row twice, or, of an ended session, open as well, in either order."""
    rows = [row, opened(row) if is_over(row) and dice.random() < 0.5 else row]
    dice.shuffle(rows)
    return rows


MADE: dict[str, Callable[[Row, random.Random], list[Row]]] = {
    "needless": needless,
    "form": form,
    "figure": figure,
    "twice": twice,
    "malformed": malformed,
    "times": times,
    "reopened": lambda row, _dice: [opened(row)],
    "backwards": backwards,
    "endless": endless,
    "unknown": unknown,
    "zero": zero,
}


def _ended(row: Row, before: timedelta) -> Row:
    """The row, with an end so long before its start."""
    name = "finishedAt" if "finishedAt" in row else "endedAt"
    end = datetime.fromisoformat(row["startedAt"]) - before
    return row | {name: end.isoformat().replace("+00:00", "Z")}


def _micros(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
