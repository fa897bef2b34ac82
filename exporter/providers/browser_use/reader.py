"""Browser Use Cloud: `GET /browsers`, pages of at most 100 in an order that is not documented."""

from collections import Counter
from collections.abc import Iterator

from exporter.client.api import Api
from exporter.client.errors import MORE_TIME, AnswerTimeoutError, PayloadError
from exporter.client.server_time import Reading
from exporter.model import Listing, ReadWindow, Session
from exporter.providers.browser_use.pagination import SIZE, Page, PageCursor, advance, begin, resume
from exporter.providers.browser_use.wire import (
    OPEN,
    SERIES,
    STOPPED,
    Answer,
    Browser,
    RowError,
    decode,
    named,
    page,
    session,
)

PATH = "/browsers"
PAGES_PER_SCRAPE = 250  # what the API allows in ten seconds, and 25,000 sessions in memory at once
WALKING_SHARE = 0.6  # of what a scrape leaves for reading: many pages take the ledger longer
PASSES = 3  # over the open sessions' pages: a list that never stands still must not take the whole scrape
MAX_INVALID_PAGES = 10  # pages in a row with no row that makes sense: the API has changed
STUCK = "pages of {} browsers repeat each other; the next scrape tries again"
INVALID_PAGES = (
    "pages of {} browsers without a row that makes sense; check base_url, and for a newer exporter"
)
EMPTY = "a page of {} browsers is empty, of {} in all; the next scrape tries again"


class BrowserUse:
    """An account's list. Keeps where a long reading stands, and what is believed of the list's order."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._recorded: PageCursor | None = None
        self._latest: PageCursor | None = None

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        """The open sessions, all; the ended ones, newest first, as far back as the window asks.

        Where that is too far for one scrape, the listing covers nothing yet, and the next call goes on
        from there if `committed` said that this one was.

        Raises:
            ApiError: when the account could not be read.
        """
        pages = _Pages(self._api, window, deadline)
        open_whole = pages.read_open()
        walk = pages.follow(STOPPED, self._walk(pages, window))
        self._latest = walk if open_whole else self._recorded
        pages.finalize()
        ended = {one.id for one in pages.sessions if one.ended is not None}
        sessions = tuple(one for one in pages.sessions if one.ended is not None or one.id not in ended)
        still_open = {one.id: one.status for one in sessions if one.ended is None}
        whole = open_whole and walk.done
        return Listing(
            time=pages.time,
            sessions=sessions,
            listed=Counter({(SERIES, status): n for status, n in Counter(still_open.values()).items()})
            + Counter({(SERIES, STOPPED): walk.total}),
            covers=walk.begun if whole else None,
            missing=tuple(walk.seeks.keys() - still_open.keys()) if whole else (),
            remaining=walk.remaining,
            rejected=dict(pages.rejected),
        )

    def committed(self) -> None:
        """The last listing is in the ledger."""
        self._recorded = self._latest

    def _walk(self, pages: "_Pages", window: ReadWindow) -> PageCursor:
        past = self._recorded
        if past is not None and not past.done:
            return resume(past)
        still_open = {one.id for one in pages.sessions}
        seeks = {
            name: window.unsettled[name]
            for name in window.unsettled.keys() - still_open - pages.malformed_ids
        }
        return begin(pages.time, window.watermark, seeks, past)


class _Pages:
    """The pages of one scrape, and the sessions on them.

    malformed_ids: ids that the window holds and that stand in rows that made no sense.
    """

    def __init__(self, api: Api, window: ReadWindow, deadline: float) -> None:
        self._api, self._horizon, self._deadline = api, window, deadline
        self._stop = api.clock() + WALKING_SHARE * (deadline - api.clock())
        self._read, self._senseless = 0, 0
        self._first: Reading | None = None
        self._stamps: dict[str, int] = {}
        self._needs_reclock: list[tuple[Browser, Reading]] = []
        self.sessions: list[Session] = []
        self.rejected: Counter[str] = Counter()
        self.malformed_ids: set[str] = set()

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

    def follow(self, status: str, walk: PageCursor) -> PageCursor:
        """Read page after page, one at least, until the walk is done or the scrape must end."""
        while True:
            walk = advance(walk, self._page(status, walk))
            if walk.stuck:
                raise PayloadError(STUCK.format(status))
            if walk.done or self._read >= PAGES_PER_SCRAPE or self._api.clock() >= self._stop:
                return walk

    def _page(self, status: str, walk: PageCursor) -> Page:
        query: dict[str, str | int] = {"pageSize": walk.size, "pageNumber": walk.number, "filterBy": status}
        answer = self._api.get(PATH, query, self._deadline)
        self._first = self._first or answer.at
        got = page(answer.body)
        self._read += max(1, len(got.items) // SIZE)  # one that is longer than asked for counts as many
        rows = list(self._sessions(got, answer.at))
        self._senseless = self._senseless + 1 if got.items and not rows else 0
        not_a_session_list = walk.number == 1 and b'"id"' not in answer.body
        if self._senseless == MAX_INVALID_PAGES or (got.items and not_a_session_list):
            raise PayloadError(INVALID_PAGES.format(status))
        size = min(got.page_size or walk.size, walk.size)
        start, malformed_ids = (walk.number - 1) * size, frozenset(self.malformed_ids)
        if not got.items and got.total_items > (start and start + SIZE):
            raise PayloadError(EMPTY.format(status, got.total_items))
        created = {one.id: one.created for one in rows}
        late = frozenset(one.id for one in rows if one.ended is not None and one.ended >= walk.begun)
        return Page(start, len(got.items), got.total_items, created, late, size, malformed_ids)

    def _sessions(self, got: Answer, at: Reading) -> Iterator[Session]:
        """The rows that make sense; those that the window asks for are kept."""
        window, now = self._horizon, self._api.clocks.time(at)
        for raw in got.items:
            try:
                browser = decode(raw)
                read = session(browser, now)
            except RowError as error:
                self.rejected[error.reason] += 1
                self.malformed_ids |= named(raw, window.unsettled)
                continue
            yield read
            if at.apart:
                self._stamps[read.id] = max(read.created, read.ended or read.created)
            if window.includes(read.id, read.created, is_open=read.ended is None):
                self.sessions.append(read)
                self._needs_reclock += [(browser, at)] if at.apart else []

    def finalize(self) -> None:
        """Where clocks are hours apart, read the rows anew: all of them together tell which is wrong."""
        if self._first is not None:
            self._api.clocks.learn(self._first, self._stamps.values())
        if self._needs_reclock:
            self.sessions = list(self._anew())

    def _anew(self) -> Iterator[Session]:
        for browser, at in self._needs_reclock:
            try:
                yield session(browser, self._api.clocks.time(at))
            except RowError as error:
                self.rejected[error.reason] += 1
