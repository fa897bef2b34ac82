"""Browser Use Cloud: `GET /browsers`, pages of at most 100 in an undocumented order.

The open sessions and the ended ones are read through the API's filters: two requests in the steady state.
The filters are verified on what comes back. Where they do not hold, one list without a filter is read.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future

import msgspec

from exporter.client.api import Api
from exporter.client.errors import ApiError, ClientError, PayloadError
from exporter.model import Listing, ReadWindow, Session
from exporter.providers.browser_use.pages import INVALID_PAGES, PAGE_SECONDS, FilterError, Pages
from exporter.providers.browser_use.pagination import PageCursor, begin, resume
from exporter.providers.browser_use.prefetch import Prefetch
from exporter.providers.browser_use.wire import OPEN, SERIES, STOPPED, Rows
from exporter.providers.metadata import MetadataLabels

KNOWN = frozenset({OPEN, STOPPED})
MAX_MISMATCHES = 3  # readings in a row: sessions that begin between two requests explain no more


class _Walk(msgspec.Struct, frozen=True):
    """A walk over the list of a filter (None: all sessions), finished or not."""

    status: str | None
    cursor: PageCursor


class BrowserUse:
    """Reads an account's sessions.

    Keeps the position in a long walk, the order found of the list, and whether the filters hold. With a
    query, only the sessions whose metadata match it are listed. `labels` are those of their metadata.
    """

    def __init__(self, api: Api, query: str | None = None, labels: MetadataLabels | None = None) -> None:
        self._api, self._query, self._rows = api, query, Rows(labels)
        self._committed: _Walk | None = None
        self._latest: _Walk | None = None
        self._ahead = Prefetch()  # pages of the walk
        self._is_read_on = False  # whether somebody reads on between two scrapes
        self._filters_hold = True
        self._totals_agree = False
        self._mismatches = 0
        self._absent: frozenset[str] = frozenset()  # missing ids that were sought without a filter

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        """Reads all open sessions, and the ended ones, newest first, as far back as the window needs.

        If that takes longer than one scrape, the listing covers nothing yet, and the next call continues
        after the last listing that was committed.

        Raises:
            ApiError: if the account could not be read.
        """
        self._committed = self._committed or _restored(window.position)
        listing = None
        if self._filters_hold and not self._is_reading_all():
            listing = self._read_filtered(window, deadline)
        return listing or self._read_all(window, deadline)

    def read_on(self, window: ReadWindow, stop: Future[None]) -> Iterator[Listing]:
        """Goes on with a walk that was not finished: yields what was read of each chunk of pages.

        The next pages are requested while a listing is being recorded.

        Raises:
            ApiError: if the account could not be read.
        """
        self._is_read_on = True
        try:
            while (walk := self._committed) is not None and not (walk.cursor.done or stop.done()):
                listing = self._read_chunk(walk, window, stop)
                if listing is not None:
                    yield listing
            if walk is not None and walk.cursor.done:
                self._ahead = Prefetch()  # its threads end
        except FilterError:
            self._filters_hold = False
            self._ahead = Prefetch()
        except ApiError:
            self._ahead = Prefetch()
            raise

    def committed(self) -> None:
        """The last listing is in the ledger."""
        self._committed = self._latest

    def _read_chunk(self, walk: _Walk, window: ReadWindow, stop: Future[None]) -> Listing | None:
        """Returns what was read until `stop`; None if nothing was."""
        pages = self._pages(window, self._api.clock() + PAGE_SECONDS)
        cursor = pages.follow_until(walk.status, self._resumed(walk), self._ahead, stop)
        if not pages.time:
            return None
        self._latest = _Walk(walk.status, cursor)
        hidden: list[Session] = []
        if cursor.done and walk.status is not None:
            hidden = self._read_hidden(_missing(pages, cursor), window, self._api.clock() + PAGE_SECONDS)
        return self._listing(pages, cursor, window, hidden, complete=cursor.done)

    def _pages(self, window: ReadWindow, deadline: float) -> Pages:
        return Pages(self._api, window, deadline, self._rows, self._query)

    def _resumed(self, walk: _Walk) -> PageCursor:
        """Returns the cursor to go on with: from further back, unless the next page has been requested."""
        return walk.cursor if self._ahead.holds(walk.status, walk.cursor) else resume(walk.cursor)

    def _is_reading_all(self) -> bool:
        walk = self._committed
        return walk is not None and walk.status is None and not walk.cursor.done

    def _read_filtered(self, window: ReadWindow, deadline: float) -> Listing | None:
        """Returns the listing; None if the filters do not hold, or may not."""
        pages = self._pages(window, deadline)
        try:
            going_on = self._walk_between_scrapes(pages)
            total, complete = pages.read_open()  # where it is refused, nothing else is requested
            counts = None if self._totals_agree else (pages.count(None), pages.count(STOPPED))
            if counts is not None and not self._agree(counts, total, pages):
                return None
            if going_on is not None:
                cursor = pages.follow_answered(STOPPED, going_on, self._ahead)
            else:
                cursor = pages.follow(STOPPED, self._cursor(STOPPED, pages, window))
        except FilterError:
            self._filters_hold = False
            return None
        self._latest = _Walk(STOPPED, cursor) if complete else self._committed
        complete = complete and cursor.done
        hidden = self._read_hidden(_missing(pages, cursor), window, deadline) if complete else []
        _check_usable(pages)
        return self._listing(pages, cursor, window, hidden, complete=complete)

    def _walk_between_scrapes(self, pages: Pages) -> PageCursor | None:
        """Returns the cursor of a walk that is read on between scrapes; its requests go on meanwhile."""
        walk = self._committed
        if not self._is_read_on or walk is None or walk.status != STOPPED or walk.cursor.done:
            return None
        cursor = self._resumed(walk)
        pages.request_ahead(STOPPED, cursor, self._ahead)
        return cursor

    def _agree(self, counts: tuple[Future[int], Future[int]], total: int, pages: Pages) -> bool:
        """Returns whether the two filtered lists hold as many sessions as the list without a filter.

        Where they do not, that list is counted again: sessions may have begun meanwhile. Where the API does
        not answer without a filter, there is nothing to compare.
        """
        before = _result(counts[0])
        if before is None:
            return True
        filtered = total + counts[1].result()
        after = before if filtered == before else _result(pages.count(None))
        self._totals_agree = after is None or min(before, after) <= filtered <= max(before, after)
        self._mismatches = 0 if self._totals_agree else self._mismatches + 1
        self._filters_hold = self._mismatches < MAX_MISMATCHES
        return self._totals_agree

    def _read_hidden(self, missing: Mapping[str, int], window: ReadWindow, deadline: float) -> list[Session]:
        """Reads without a filter what neither filter shows: once for each id that goes missing."""
        sought = {name: created for name, created in missing.items() if name not in self._absent}
        self._absent &= missing.keys()
        if not sought:
            return []
        pages = self._pages(window, deadline)
        cursor = pages.follow(None, begin(0, min(sought.values()), sought))
        if cursor.done:
            self._absent |= cursor.expected_ids.keys()
        self._filters_hold = not _has_other_statuses(pages)
        return [one for one in pages.sessions if one.id in sought or one.status not in KNOWN]

    def _read_all(self, window: ReadWindow, deadline: float) -> Listing:
        """Reads without a filter. Where that fails, the next reading tries the filters again."""
        pages = self._pages(window, deadline)
        try:
            cursor = pages.follow(None, self._cursor(None, pages, window))
        except ApiError:
            self._filters_hold, self._mismatches = True, 0
            raise
        self._filters_hold = self._filters_hold and not _has_other_statuses(pages)
        self._latest = _Walk(None, cursor)
        _check_usable(pages)
        return self._listing(pages, cursor, window, [], complete=cursor.done)

    def _listing(
        self,
        pages: Pages,
        cursor: PageCursor,
        window: ReadWindow,
        hidden: list[Session],
        *,
        complete: bool,
    ) -> Listing:
        """Makes the listing of what was read."""
        ended = pages.ended_ids | {one.id for one in hidden if one.ended is not None}
        # A page may show a session as open that another shows as ended.
        sessions = [one for one in [*pages.sessions, *hidden] if one.ended is not None or one.id not in ended]
        found = {one.id for one in sessions}
        statuses = {one.id: one.status for one in sessions if one.ended is None or one in hidden}
        statuses |= {
            name: status for name, status in pages.statuses.items() if name in ended and status != OPEN
        }
        series = {one.id: one.series for one in sessions}
        listed = Counter((series.get(name, SERIES), status) for name, status in statuses.items())
        # Most of the stopped ones are not read: all are counted without the labels of their metadata.
        listed[SERIES, STOPPED] += max(0, cursor.total - len(pages.statuses))
        return Listing(
            time=pages.time,
            sessions=tuple(sessions),
            listed={key: count for key, count in listed.items() if count},
            covers=cursor.begun if complete else None,
            missing=tuple(_missing(pages, cursor).keys() - found) if complete else (),
            remaining=cursor.remaining,
            position=None if complete else _position(self._latest),
            rejected=dict(pages.rejections.counts),
            rejected_ids=pages.rejections.bounded_ids(window.unsettled.keys() | window.rejected) - found,
        )

    def _cursor(self, status: str | None, pages: Pages, window: ReadWindow) -> PageCursor:
        """Returns the cursor of a walk that was not finished, or of a new one."""
        walk = self._committed
        past = walk.cursor if walk is not None and walk.status == status else None
        if past is not None and not past.done:
            return resume(past)
        found = {one.id for one in pages.sessions} | pages.rejections.ids | window.rejected
        expected = {name: window.unsettled[name] for name in window.unsettled.keys() - found}
        return begin(pages.time, window.watermark, expected, past)


def _position(walk: _Walk | None) -> str | None:
    return None if walk is None else msgspec.json.encode(walk).decode()


def _restored(position: str | None) -> _Walk | None:
    """Returns the walk that a process before did not finish."""
    try:
        return None if position is None else msgspec.json.decode(position, type=_Walk)
    except msgspec.DecodeError:  # it is another version's
        return None


def _result(count: Future[int]) -> int | None:
    """Returns the count; None where the API does not answer without a filter."""
    try:
        return count.result()
    except (ClientError, PayloadError):
        return None


def _has_other_statuses(pages: Pages) -> bool:
    return not KNOWN.issuperset(pages.statuses.values())


def _missing(pages: Pages, cursor: PageCursor) -> dict[str, int]:
    """Returns the expected sessions that stand on no page, not even in a row that cannot be used."""
    seen = {one.id for one in pages.sessions} | pages.rejections.ids
    return {name: cursor.expected_ids[name] for name in cursor.expected_ids.keys() - seen}


def _check_usable(pages: Pages) -> None:
    """Raises PayloadError if there were rows, and none of them can be used."""
    if pages.rejections.rows and not pages.usable:
        raise PayloadError(INVALID_PAGES.format("all"))
