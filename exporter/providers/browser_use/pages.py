"""The pages of one scrape of Browser Use, and the sessions on them."""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

import msgspec

from exporter.client.api import Answer, Api
from exporter.client.errors import MORE_TIME, AnswerTimeoutError, PayloadError
from exporter.model import ReadWindow, Session
from exporter.providers.browser_use.pagination import SIZE, Page, PageCursor, advance, begin, upcoming
from exporter.providers.browser_use.prefetch import Place, Prefetch, in_background
from exporter.providers.browser_use.wire import (
    OPEN,
    STOPPED,
    RawPage,
    Rows,
    decode_page,
)
from exporter.providers.rows import Rejections, RowError

PATH = "/browsers"
PAGES_AHEAD = 16  # requested, and perhaps answered, before their turn
PAGE_SECONDS = 10.0  # for the answer to a page that no scrape waits for
CHUNK_PAGES = 12  # of an import, recorded at once: what the API allows in half a second
CHUNK_SECONDS = 0.5  # or as many as were read in this time
PAGES_PER_SCRAPE = 250  # what the API allows in ten seconds, and 25,000 sessions in memory at once
READ_SHARE = 0.6  # of a scrape's time, for requests: the rest is for the ledger
PASSES = 3  # over the pages of open sessions: a list that never stands still must not take the whole scrape
MAX_INVALID_PAGES = 10  # pages in a row without a usable row: the API has changed
NO_PROGRESS = "pages of {} browsers repeat each other; the next scrape tries again"
INVALID_PAGES = (
    "pages of {} browsers without a row that makes sense; check base_url, and for a newer exporter"
)
EMPTY = "a page of {} browsers is empty, of {} in all; the next scrape tries again"


class FilterError(Exception):
    """What came back is not what `filterBy` asked for, or `totalItems` counts something else."""


class Pages:
    """Reads pages, and collects what is on them.

    Attributes:
        time: server time at the first page.
        sessions: those that the window includes; a session on two pages stands here twice.
        ended_ids: ids of all ended sessions.
        statuses: statuses of the sessions of the list followed last that are not `stopped`, by id.
        usable: number of usable rows.
        rejections: what was rejected.
    """

    def __init__(
        self, api: Api, window: ReadWindow, deadline: float, rows: Rows, metadata: str | None = None
    ) -> None:
        self._filter = {"metadata": metadata} if metadata else {}
        self._rows = rows
        self._api, self._window, self._deadline = api, window, deadline
        self._stop = api.clock() + READ_SHARE * (deadline - api.clock())
        self._pages_read, self._invalid_in_a_row = 0, 0
        self.time = 0
        self.sessions: list[Session] = []
        self.ended_ids: set[str] = set()
        self.statuses: dict[str, str] = {}
        self.usable = 0
        self.rejections = Rejections()

    def count(self, status: str | None) -> Future[int]:
        """Returns how many sessions the list of a filter holds (None: all sessions), once that is known."""
        self._pages_read += 1
        return in_background(lambda: decode_page(self._get(status, (1, 1), self._deadline).body).total_items)

    def read_open(self) -> tuple[int, bool]:
        """Reads the open sessions.

        Returns their number as the API counts them, and whether a pass found as many, or no new ones.
        """
        found = -1
        for _ in range(PASSES):
            before, rejected = found, self.rejections.rows
            cursor = self.follow(OPEN, begin(0, None, {}))
            if not cursor.done:
                raise AnswerTimeoutError(f"more pages of open sessions than there is time for; {MORE_TIME}")
            found = len({one.id for one in self.sessions})
            if found == before or found + self.rejections.rows - rejected >= cursor.total:
                return cursor.total, True
        return cursor.total, False

    def follow(self, status: str | None, cursor: PageCursor) -> PageCursor:
        """Reads page after page of a list, at least one, until the walk is done or the scrape must end.

        Args:
            status: the filter; None for all sessions.
            cursor: where the walk stands. One over all sessions begins with its first page.

        Raises:
            FilterError: if the filter does not hold.
        """
        self.statuses = {}
        while True:
            answer = self._get(status, (cursor.number, cursor.size), self._deadline)
            cursor = self._advance(status, cursor, answer)
            if cursor.done or self._pages_read >= PAGES_PER_SCRAPE or self._api.clock() >= self._stop:
                return cursor

    def follow_answered(self, status: str | None, cursor: PageCursor, ahead: Prefetch) -> PageCursor:
        """Reads those pages that were requested ahead and have been answered, perhaps none; requests more."""
        self.statuses = {}
        while not cursor.done:
            answer = ahead.answered(status, cursor)
            if answer is None:
                break
            cursor = self._advance(status, cursor, answer)
        self.request_ahead(status, cursor, ahead)
        return cursor

    def follow_until(
        self, status: str | None, cursor: PageCursor, ahead: Prefetch, stop: Future[None]
    ) -> PageCursor:
        """Reads a chunk of pages, several at once; none any more once `stop` has a result."""
        self.statuses = {}
        ends = self._api.clock() + CHUNK_SECONDS
        while not cursor.done and self._pages_read < CHUNK_PAGES and self._api.clock() < ends:
            self.request_ahead(status, cursor, ahead)
            answer = ahead.answers[cursor.number, cursor.size]
            futures: list[Future[Any]] = [answer, stop]
            wait(futures, return_when=FIRST_COMPLETED)
            if stop.done():
                return cursor
            cursor = self._advance(status, cursor, answer.result())
        self.request_ahead(status, cursor, ahead)  # answered while this chunk is recorded
        return cursor

    def request_ahead(self, status: str | None, cursor: PageCursor, ahead: Prefetch) -> None:
        """Requests the next pages, as far as it is certain that they will be needed."""

        def get(place: Place) -> Answer:
            return self._get(status, place, self._api.clock() + PAGE_SECONDS, background=True)

        ahead.request(status, upcoming(cursor, PAGES_AHEAD), get)

    def _advance(self, status: str | None, cursor: PageCursor, answer: Answer) -> PageCursor:
        self.time = self.time or answer.time
        page = self._page(status, cursor, answer)
        if status is None and not cursor.begun:
            cursor = msgspec.structs.replace(cursor, begun=self.time)
        cursor = advance(cursor, page)
        if cursor.no_progress:
            raise PayloadError(NO_PROGRESS.format(status or "all"))
        return cursor

    def _get(self, status: str | None, place: Place, deadline: float, *, background: bool = False) -> Answer:
        number, size = place
        query: dict[str, str | int] = {"pageSize": size, "pageNumber": number}
        query |= self._filter | ({"filterBy": status} if status else {})
        return self._api.get(PATH, query, deadline, background=background)

    def _page(self, status: str | None, cursor: PageCursor, answer: Answer) -> Page:
        raw = decode_page(answer.body)
        self._pages_read += max(1, len(raw.items) // SIZE)  # one longer than requested counts as several
        sessions = list(self._sessions(raw.items, answer.time))
        self._invalid_in_a_row = self._invalid_in_a_row + 1 if raw.items and not sessions else 0
        not_a_session_list = raw.items and cursor.number == 1 and b'"id"' not in answer.body
        if self._invalid_in_a_row == MAX_INVALID_PAGES or not_a_session_list:
            raise PayloadError(INVALID_PAGES.format(status or "all"))
        size = min(raw.page_size or cursor.size, cursor.size)
        start = (cursor.number - 1) * size
        _check_filter(status, start, raw, sessions)
        self.statuses |= {one.id: one.status for one in sessions if one.status != STOPPED}
        return Page(
            start,
            len(raw.items),
            raw.total_items,
            created={one.id: one.created for one in sessions},
            late=frozenset(
                one.id for one in sessions if _entered(one, status) >= (cursor.begun or self.time)
            ),
            size=size,
            malformed_ids=frozenset(self.rejections.ids & cursor.expected_ids.keys()),
        )

    def _sessions(self, items: list[msgspec.Raw], now: int) -> Iterator[Session]:
        """Yields the usable rows' sessions, and keeps those that the window includes."""
        for raw in items:
            try:
                session, is_partial = self._rows.session(raw, now)
            except RowError as error:
                self.rejections.add(error)
                continue
            self.rejections.add_partial(is_partial=is_partial)
            self.usable += 1
            if session.ended is not None:
                self.ended_ids.add(session.id)
            yield session
            # An estimated end is a new one at each reading, so it does not show that it has settled.
            ended = session.ended if session.end_is_known else None
            if self._window.includes(session.id, session.created, is_open=session.ended is None, ended=ended):
                self.sessions.append(session)


def _entered(session: Session, status: str | None) -> int:
    """Returns when a session entered the list of this filter: an ended one with its end."""
    return session.created if status is None or session.ended is None else session.ended


def _check_filter(status: str | None, start: int, raw: RawPage, sessions: list[Session]) -> None:
    """Holds a page against its filter.

    Raises:
        FilterError: if it shows sessions of another known status, or ends long before `totalItems`.
        PayloadError: for such an end without a filter.
    """
    other = {OPEN: STOPPED, STOPPED: OPEN}.get(status or "")
    if any(one.status == other for one in sessions):
        raise FilterError
    if not raw.items and raw.total_items > (start and start + SIZE):
        if status is not None:
            raise FilterError
        raise PayloadError(EMPTY.format("all", raw.total_items))
