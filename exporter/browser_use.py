"""Browser Use Cloud: `GET /browsers`, pages of at most 100 in an order that is not documented.

Facts are from the OpenAPI page of List Browser Sessions and, where that is silent, from clients in the
wild: an MB is 2^20 bytes; decimals have up to 28 digits and may be null; `liveUrl`, `cdpUrl` and
`recordingUrl` open a user's browser to whoever has them, and are never read.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from exporter.api import Api, mended
from exporter.clocks import Reading
from exporter.errors import MORE_TIME, AnswerTimeoutError, PayloadError
from exporter.session import (
    MOST_BYTES,
    MOST_NANO_USD,
    MOST_TIME,
    NANO_USD,
    SECOND,
    UNKNOWN,
    Horizon,
    Listing,
    Series,
    Session,
    Usage,
    micros,
)
from exporter.walk import Page, Walk, advance, begin, resume
from exporter.words import word

PATH = "/browsers"
KEY_HEADER = "X-Browser-Use-API-Key"
OPEN, STOPPED, TIMED_OUT = "active", "stopped", "timed_out"
PAGES_PER_PULL = 250  # what the API allows in ten seconds, and 25,000 sessions in memory at once
WALKING_SHARE = 0.6  # of what a pull leaves for reading: many pages take the ledger longer
PASSES = 3  # over the open sessions' pages: a list that never stands still must not take the whole pull
MOST_SESSIONS = 10**12  # in a list: a float, and so a gauge, tells each number up to there
MOST_FIELDS = 200_000  # on a page: ten times as many as a hundred sessions have with all their metadata
MEGABYTE = 1 << 20
SERIES = Series("", UNKNOWN)
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)


class Row(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A session as the API writes it, as far as it is needed."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]
    status: Annotated[str, Meta(min_length=1)]
    started_at: datetime
    timeout_at: datetime | None = None
    finished_at: datetime | None = None
    proxy_used_mb: Decimal | None = None
    proxy_cost: Decimal | None = None
    browser_cost: Decimal | None = None


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """A page as the API writes it."""

    items: list[msgspec.Raw]
    total_items: Annotated[int, Meta(ge=0, le=MOST_SESSIONS)]
    page_size: Annotated[int, Meta(ge=1)] | None = None


_ANSWER = msgspec.json.Decoder(Answer)
_ROW = msgspec.json.Decoder(Row)


class BrowserUse:
    """An account's list. Keeps where a long reading stands, and what is believed of the list's order."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._recorded: Walk | None = None
        self._latest: Walk | None = None

    def read(self, horizon: Horizon, deadline: float) -> Listing:
        """The open sessions, all; the ended ones, newest first, as far back as the horizon asks.

        Where that is too far for one pull, the listing covers nothing yet, and the next call goes on
        from there if `recorded` said that this one was.

        Raises:
            ApiError: when the account could not be read.
        """
        pages = _Pages(self._api, horizon, deadline)
        open_whole = pages.read_open()
        walk = pages.follow(STOPPED, self._walk(pages, horizon))
        self._latest = walk if open_whole else self._recorded
        pages.conclude()
        ended = {session.id for session in pages.sessions if session.ended is not None}
        sessions = tuple(one for one in pages.sessions if one.ended is not None or one.id not in ended)
        still_open = {one.id: one.status for one in sessions if one.ended is None}
        whole = open_whole and walk.done
        return Listing(
            time=pages.time,
            sessions=sessions,
            listed=Counter({(SERIES, status): n for status, n in Counter(still_open.values()).items()})
            + Counter({(SERIES, STOPPED): walk.total}),
            covers=walk.begun if whole else None,
            missing=tuple(filter(pages.lacks, walk.seeks.keys() - still_open.keys())) if whole else (),
            remaining=walk.remaining,
            rejected=dict(pages.rejected),
        )

    def recorded(self) -> None:
        """The last listing is in the ledger."""
        self._recorded = self._latest

    def _walk(self, pages: "_Pages", horizon: Horizon) -> Walk:
        past = self._recorded
        if past is not None and not past.done:
            return resume(past)
        still_open = {session.id for session in pages.sessions}
        seeks = {name: created for name, created in horizon.held.items() if name not in still_open}
        return begin(pages.time, horizon.since, seeks, past)


class _Pages:
    """The pages of one pull, and the sessions on them."""

    def __init__(self, api: Api, horizon: Horizon, deadline: float) -> None:
        self._api, self._horizon, self._deadline = api, horizon, deadline
        self._stop = api.clock() + WALKING_SHARE * (deadline - api.clock())
        self._read = 0
        self._first: Reading | None = None
        self._stamps: dict[str, int] = {}
        self._doubtful: list[tuple[msgspec.Raw, Reading]] = []
        self.sessions: list[Session] = []
        self.rejected: Counter[str] = Counter()
        self._nonsense: list[bytes] = []

    @property
    def time(self) -> int:
        """The provider's, when the first page was sent."""
        return 0 if self._first is None else self._api.clocks.time(self._first)

    def read_open(self) -> bool:
        """Read the open sessions; whether that were as many as are said to be, or the same ones again."""
        found = -1
        for _ in range(PASSES):
            before, rejected = found, self.rejected.total()
            walk = self.follow(OPEN, begin(0, None, {}))
            if not walk.done:
                raise AnswerTimeoutError(f"more pages of open sessions than there is time for; {MORE_TIME}")
            found = len({one.id for one in self.sessions})
            if found == before or found + self.rejected.total() - rejected >= walk.total:
                return True
        return False

    def lacks(self, name: str) -> bool:
        """Whether no row has this id, not even one that made no sense."""
        return not any(name.encode() in raw for raw in self._nonsense)

    def follow(self, status: str, walk: Walk) -> Walk:
        """Read page after page, one at least, until the walk is done or the pull must end."""
        while True:
            walk = advance(walk, self._page(status, walk))
            if walk.stuck:
                raise PayloadError(f"pages of {status} browsers repeat each other; the next pull tries again")
            if walk.done or self._read >= PAGES_PER_PULL or self._api.clock() >= self._stop:
                return walk

    def _page(self, status: str, walk: Walk) -> Page:
        query: dict[str, str | int] = {"pageSize": walk.size, "pageNumber": walk.number, "filterBy": status}
        answer = self._api.get(PATH, query, self._deadline)
        self._read += 1
        self._first = self._first or answer.at
        try:
            if answer.body.count(b",") > MOST_FIELDS:
                raise PayloadError("a page of browsers is far longer than any; check base_url")
            page = mended(_ANSWER.decode, answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PayloadError("a page of browsers is not what the API describes; check base_url") from error
        size = min(page.page_size or walk.size, walk.size)
        rows = list(self._sessions(page, answer.at))
        created = {one.id: one.created for one in rows}
        late = frozenset(one.id for one in rows if one.ended is not None and one.ended >= walk.begun)
        return Page((walk.number - 1) * size, len(page.items), page.total_items, created, late, size)

    def _sessions(self, page: Answer, at: Reading) -> Iterator[Session]:
        """The rows that make sense; those that the horizon asks for are kept."""
        since, held, now = self._horizon.since, self._horizon.held, self._api.clocks.time(at)
        for raw in page.items:
            session = self._session(raw, now)
            if session is None:
                continue
            yield session
            if at.apart:
                self._stamps[session.id] = max(session.created, session.ended or session.created)
            if since is None or session.created >= since or session.ended is None or session.id in held:
                self.sessions.append(session)
                self._doubtful += [(raw, at)] if at.apart else []

    def _session(self, raw: msgspec.Raw, now: int) -> Session | None:
        try:
            return decode(raw, now)
        except RowError as error:
            self.rejected[error.reason] += 1
            self._nonsense.append(bytes(raw))
            return None

    def conclude(self) -> None:
        """Where clocks are hours apart, read the rows anew: all of them together tell which is wrong."""
        if self._first is not None:
            self._api.clocks.learn(self._first, self._stamps.values())
        if self._doubtful:
            anew = (self._session(raw, self._api.clocks.time(at)) for raw, at in self._doubtful)
            self.sessions = [session for session in anew if session is not None]


class RowError(Exception):
    """A row that makes no sense, and why: one of `REJECTIONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(raw: bytes | msgspec.Raw, now: int) -> Session:
    """A session from its row, read at a time of the provider's.

    Raises:
        RowError: for a row that makes no sense.
    """
    try:
        row = _ROW.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RowError("malformed") from error
    started, status = micros(row.started_at), word(row.status)
    finished = None if row.finished_at is None else micros(row.finished_at)
    is_open = status == OPEN or (status != STOPPED and finished is None)
    lasted = max(0, now - started) if is_open else (finished or started) - started
    if not 0 <= lasted <= MOST_TIME:
        raise RowError("times")
    timeout = None if row.timeout_at is None else micros(row.timeout_at)
    return Session(
        id=row.id,
        series=SERIES,
        status=status,
        created=started,
        usage=_usage(row, lasted),
        started=started,
        ended=None if is_open else _end(started, finished, timeout, now),
        ending=None if is_open else _ending(status, finished, timeout),
        expires=timeout,
    )


def _usage(row: Row, time: int) -> Usage:
    return Usage(
        time=time,
        proxy_bytes=_whole(row.proxy_used_mb, MEGABYTE, MOST_BYTES),
        browser_cost=_whole(row.browser_cost, NANO_USD, MOST_NANO_USD),
        proxy_cost=_whole(row.proxy_cost, NANO_USD, MOST_NANO_USD),
    )


def _whole(figure: Decimal | None, units: int, most: int) -> int:
    """A decimal in whole units, rounded half to even; no float on the way.

    Raises:
        RowError: for a figure that is negative, absurd or no number.
    """
    if figure is None:
        return 0
    if not figure.is_finite() or not 0 <= figure <= most // units:
        raise RowError("out_of_range")
    return int(_EXACT.to_integral_value(_EXACT.multiply(figure, Decimal(units))))


def _end(started: int, finished: int | None, timeout: int | None, now: int) -> int:
    """When it ended. A stopped session without `finishedAt` had by now, and by its timeout if it has one."""
    return finished if finished is not None else max(started, min(now, timeout or started))


def _ending(status: str, finished: int | None, timeout: int | None) -> str:
    """The API says `stopped` of every end; one at the timeout, but for a second, was the timeout's."""
    timed_out = finished is not None and timeout is not None and finished >= timeout - SECOND
    return TIMED_OUT if status == STOPPED and timed_out else status
