"""Browser Use Cloud: `GET /browsers`, pages of at most 100 in an undocumented order."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from exporter.client.api import Api
from exporter.client.errors import MORE_TIME, AnswerTimeoutError, PayloadError
from exporter.model import Listing, ReadWindow, Session
from exporter.providers.browser_use.pagination import SIZE, Page, PageCursor, advance, begin, resume
from exporter.providers.browser_use.wire import (
    OPEN,
    SERIES,
    STOPPED,
    RowError,
    decode_page,
    decode_row,
    find_ids,
    to_session,
)

PATH = "/browsers"
PAGES_PER_SCRAPE = 250  # what the API allows in ten seconds, and 25,000 sessions in memory at once
READ_SHARE = 0.6  # of a scrape's time, for requests: the rest is for the ledger
PASSES = 3  # over the pages of open sessions: a list that never stands still must not take the whole scrape
MAX_INVALID_PAGES = 10  # pages in a row without a usable row: the API has changed
NO_PROGRESS = "pages of {} browsers repeat each other; the next scrape tries again"
INVALID_PAGES = (
    "pages of {} browsers without a row that makes sense; check base_url, and for a newer exporter"
)
EMPTY = "a page of {} browsers is empty, of {} in all; the next scrape tries again"


class BrowserUse:
    """Reads an account's sessions. Keeps the position in a long walk, and the order found of the list."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._committed: PageCursor | None = None
        self._latest: PageCursor | None = None

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        """Reads all open sessions, and the ended ones, newest first, as far back as the window needs.

        If that takes longer than one scrape, the listing covers nothing yet, and the next call continues
        after the last listing that was committed.

        Raises:
            ApiError: if the account could not be read.
        """
        pages = _Pages(self._api, window, deadline)
        open_complete = pages.read_open()
        cursor = pages.follow(STOPPED, self._cursor(pages, window))
        self._latest = cursor if open_complete else self._committed
        ended = {one.id for one in pages.sessions if one.ended is not None}
        sessions = tuple(one for one in pages.sessions if one.ended is not None or one.id not in ended)
        still_open = {one.id: one.status for one in sessions if one.ended is None}
        complete = open_complete and cursor.done
        return Listing(
            time=pages.time,
            sessions=sessions,
            listed=Counter({(SERIES, status): n for status, n in Counter(still_open.values()).items()})
            + Counter({(SERIES, STOPPED): cursor.total}),
            covers=cursor.begun if complete else None,
            missing=tuple(cursor.expected_ids.keys() - still_open.keys()) if complete else (),
            remaining=cursor.remaining,
            rejected=dict(pages.rejected),
        )

    def committed(self) -> None:
        """The last listing is in the ledger."""
        self._committed = self._latest

    def _cursor(self, pages: "_Pages", window: ReadWindow) -> PageCursor:
        """Returns the cursor of a walk that was not finished, or of a new one."""
        past = self._committed
        if past is not None and not past.done:
            return resume(past)
        found = {one.id for one in pages.sessions} | pages.malformed_ids
        expected = {name: window.unsettled[name] for name in window.unsettled.keys() - found}
        return begin(pages.time, window.watermark, expected, past)


class _Pages:
    """The pages of one scrape, and the sessions on them that the window includes.

    Attributes:
        time: server time at the first page.
        malformed_ids: unsettled ids that stand in rows that cannot be used.
    """

    def __init__(self, api: Api, window: ReadWindow, deadline: float) -> None:
        self._api, self._window, self._deadline = api, window, deadline
        self._stop = api.clock() + READ_SHARE * (deadline - api.clock())
        self._pages_read, self._invalid_in_a_row = 0, 0
        self.time = 0
        self.sessions: list[Session] = []
        self.rejected: Counter[str] = Counter()
        self.malformed_ids: set[str] = set()

    def read_open(self) -> bool:
        """Reads the open sessions. Returns whether a pass found as many as the API counts, or no new ones."""
        found = -1
        for _ in range(PASSES):
            before, rejected = found, self.rejected.total()
            cursor = self.follow(OPEN, begin(0, None, {}))
            if not cursor.done:
                raise AnswerTimeoutError(f"more pages of open sessions than there is time for; {MORE_TIME}")
            found = len({one.id for one in self.sessions})
            if found == before or found + self.rejected.total() - rejected >= cursor.total:
                return True
        return False

    def follow(self, status: str, cursor: PageCursor) -> PageCursor:
        """Reads page after page, at least one, until the walk is done or the scrape must end."""
        while True:
            cursor = advance(cursor, self._page(status, cursor))
            if cursor.no_progress:
                raise PayloadError(NO_PROGRESS.format(status))
            if cursor.done or self._pages_read >= PAGES_PER_SCRAPE or self._api.clock() >= self._stop:
                return cursor

    def _page(self, status: str, cursor: PageCursor) -> Page:
        query: dict[str, str | int] = {
            "pageSize": cursor.size,
            "pageNumber": cursor.number,
            "filterBy": status,
        }
        answer = self._api.get(PATH, query, self._deadline)
        self.time = self.time or answer.time
        raw = decode_page(answer.body)
        self._pages_read += max(1, len(raw.items) // SIZE)  # one longer than requested counts as several
        sessions = list(self._sessions(raw.items, answer.time))
        self._invalid_in_a_row = self._invalid_in_a_row + 1 if raw.items and not sessions else 0
        not_a_session_list = raw.items and cursor.number == 1 and b'"id"' not in answer.body
        if self._invalid_in_a_row == MAX_INVALID_PAGES or not_a_session_list:
            raise PayloadError(INVALID_PAGES.format(status))
        size = min(raw.page_size or cursor.size, cursor.size)
        start = (cursor.number - 1) * size
        if not raw.items and raw.total_items > (start and start + SIZE):
            raise PayloadError(EMPTY.format(status, raw.total_items))
        return Page(
            start,
            len(raw.items),
            raw.total_items,
            created={one.id: one.created for one in sessions},
            late=frozenset(one.id for one in sessions if one.ended is not None and one.ended >= cursor.begun),
            size=size,
            malformed_ids=frozenset(self.malformed_ids),
        )

    def _sessions(self, items: list[msgspec.Raw], now: int) -> Iterator[Session]:
        """Yields the usable rows' sessions, and keeps those that the window includes."""
        for raw in items:
            try:
                session = to_session(decode_row(raw), now)
            except RowError as error:
                self.rejected[error.reason] += 1
                self.malformed_ids |= find_ids(raw, self._window.unsettled)
                continue
            yield session
            if self._window.includes(session.id, session.created, is_open=session.ended is None):
                self.sessions.append(session)
