"""Decides which page of a list to request next, and when enough was read. Pure: the caller sends requests.

The list may be ordered by creation time in either direction, or not at all, and the order within a page is
arbitrary. None of this is documented, so the order is verified on every walk over the list: a walk stops
early only when each page was older than the one before, and nothing contradicts what the last walk saw.

The list shifts while it is read, and an item can move from an unread page to one that was already read. So
consecutive pages must share an item, which proves that none lies between them: page sizes are chosen such
that pages overlap, and where two do not, the next request goes further back. Indices count from the start
of the list; they only serve to find the next page.
"""

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache

import msgspec
from msgspec.structs import replace

SIZE = 100  # the API's largest page
OVERLAP = 2  # items that two consecutive pages share
REPEATS = 3  # pages in a row without a new item: the list has no end, or ignores pageNumber


class Order(Enum):
    """How the pages of a list follow each other, as far as is known."""

    UNKNOWN = "unknown"
    NEWEST = "newest first"
    OLDEST = "oldest first"
    NONE = "none"


class Page(msgspec.Struct, frozen=True):
    """One page as it was read.

    Attributes:
        start: index of its first item.
        length: number of items.
        total: number of items in the whole list.
        created: creation times of its usable sessions, by id.
        late: ids that entered the list after the walk began; their place says nothing of the order.
        size: items on a full page.
        malformed_ids: expected ids that stand in rows that cannot be used.
    """

    start: int
    length: int
    total: int
    created: Mapping[str, int]
    late: frozenset[str] = frozenset()
    size: int = SIZE
    malformed_ids: frozenset[str] = frozenset()

    @property
    def comparable(self) -> Mapping[str, int]:
        """Creation times of the sessions that were in the list when the walk began."""
        return {name: created for name, created in self.created.items() if name not in self.late}


class PageCursor(msgspec.Struct, frozen=True):
    """The position and the findings of one walk over a list.

    Attributes:
        begun: server time at the start of the walk.
        until: sessions created before this time need not be read; None: read all.
        expected_ids: ids that were not found yet, with their creation times.
        order: the order assumed.
        newest: latest creation time that the last walk met.
        top: latest creation time that this walk met.
        total: number of items in the list.
        limit: largest page size that the server serves.
        backwards: whether the walk runs from the end of the list to its start.
        boundary: index between the items read and those still to read.
        overlap: how many of the items read to request again.
        last: ids on the last page.
        low, high: earliest and latest creation time on the last page.
        descending, ascending: whether each page was older, or newer, than the one before.
        compared: how many pairs of pages were compared.
        repeats: pages in a row without a new item.
        direction_flipped: whether the walk has turned to the end of the list.
        done: whether the walk is complete.
    """

    begun: int
    until: int | None = None
    expected_ids: Mapping[str, int] = {}
    order: Order = Order.UNKNOWN
    newest: int = 0
    top: int = 0
    total: int = 0
    limit: int = SIZE
    backwards: bool = False
    boundary: int = 0
    overlap: int = OVERLAP
    last: frozenset[str] = frozenset()
    low: int | None = None
    high: int | None = None
    descending: bool = True
    ascending: bool = True
    compared: int = 0
    repeats: int = 0
    direction_flipped: bool = False
    done: bool = False

    @property
    def size(self) -> int:
        """The page size to request: the one that moves the boundary furthest."""
        return _best_size(self.boundary, self.overlap, self.total, self.limit, backwards=self.backwards)

    @property
    def number(self) -> int:
        """The page to request next, counted from 1, of `size` items."""
        return self._start // self.size + 1

    @property
    def remaining(self) -> int:
        """An upper bound for the number of items still to read."""
        if self.done:
            return 0
        return self.boundary if self.backwards else max(0, self.total - self.boundary)

    @property
    def no_progress(self) -> bool:
        """Whether pages bring nothing new any more although the walk is not complete."""
        return self.repeats >= REPEATS and not self.done

    @property
    def _start(self) -> int:
        return _start(
            self.size, self.boundary, self.overlap, self.total, self.limit, backwards=self.backwards
        )


@lru_cache(maxsize=64)  # each page is asked for several times
def _best_size(boundary: int, overlap: int, total: int, limit: int, *, backwards: bool) -> int:
    """Returns the size of the page that moves the boundary furthest."""

    def reach(size: int) -> int:
        start = _start(size, boundary, overlap, total, limit, backwards=backwards)
        return -start if backwards else start + size

    return max(range(limit, limit // 2, -1), key=reach)


def _start(size: int, boundary: int, overlap: int, total: int, limit: int, *, backwards: bool) -> int:  # noqa: PLR0913 - a cursor's numbers, by which results are cached
    """Returns the start of the page of this size that holds the boundary and the overlap."""
    if backwards:  # leaves room on the last page: the list may grow before it is read
        return (min(boundary + overlap, total + limit // 4) - 1) // size * size
    return max(boundary - overlap, 0) // size * size


def begin(
    begun: int, until: int | None, expected_ids: Mapping[str, int], past: PageCursor | None = None
) -> PageCursor:
    """Starts a walk that assumes the order which the last one found.

    It reads until it has passed all sessions created at `until` or later, and all expected ones.
    """
    bound = None if until is None else min([until, *expected_ids.values()])
    cursor = PageCursor(begun, bound, expected_ids)
    if past is None:
        return cursor
    cursor = replace(cursor, order=past.order, newest=past.newest, total=past.total)
    return _turn_backwards(cursor) if cursor.order is Order.OLDEST else cursor


def resume(cursor: PageCursor) -> PageCursor:
    """Continues after a pause in which the list has shifted, from further back."""
    return replace(cursor, overlap=max(cursor.overlap, cursor.limit // 4), repeats=0)


def upcoming(cursor: PageCursor, count: int) -> list[tuple[int, int]]:
    """Returns number and size of the next pages to request, should the list stay as it is: at most `count`.

    They may be requested at once, in any order. Of a walk that may stop early only the next page is known. So
    it is where the last page did not adjoin those before: the list shifts, and one page at a time catches up.
    """
    pages: list[tuple[int, int]] = []
    while len(pages) < count and not cursor.done:
        number, size = cursor.number, cursor.size
        pages.append((number, size))
        if cursor.overlap > OVERLAP or (cursor.until is not None and cursor.order is not Order.NONE):
            break
        start = (number - 1) * size
        boundary = start if cursor.backwards else min(start + size, cursor.total)
        over = boundary <= 0 if cursor.backwards else boundary >= cursor.total
        cursor = replace(cursor, boundary=boundary, overlap=OVERLAP, done=over)
    return pages


def advance(cursor: PageCursor, page: Page) -> PageCursor:
    """Returns the cursor after a page was read."""
    fresh = page.created.keys() - cursor.last
    shared = len(fresh) < len(page.created)
    at_end = page.start + page.size >= page.total if cursor.backwards else page.start == 0
    if at_end and not shared:
        cursor = _reset(cursor)
    useful = fresh or (page.length and not page.created) or page.total < cursor.total
    found = page.created.keys() | page.malformed_ids
    noted = replace(
        cursor,
        expected_ids={name: cursor.expected_ids[name] for name in cursor.expected_ids.keys() - found},
        top=max([cursor.top, *page.created.values()]),
        total=page.total,
        limit=page.size if page.size < cursor.size else cursor.limit,
        repeats=0 if useful else cursor.repeats + 1,
    )
    if not (at_end or shared or _is_contiguous(cursor, page)):
        return _step_back(noted)
    return _next_step(_move(_compare(noted, page), page))


def _is_contiguous(cursor: PageCursor, page: Page) -> bool:
    """Returns whether no item can lie between the pages read and this one, which shares none with the last.

    In an ordered list, a page with an item newer than what was reached begins among what was read: more items
    entered the list than a page holds. Where no row can be used, the indices decide.
    """
    if cursor.last and page.created:
        ordered = cursor.descending and cursor.compared > 0 and cursor.low is not None
        return ordered and max(page.comparable.values(), default=0) > (cursor.low or 0)
    if cursor.backwards:
        return page.start + page.length >= cursor.boundary + max(0, page.total - cursor.total)
    return page.start <= cursor.boundary and page.start < page.total


def _step_back(cursor: PageCursor) -> PageCursor:
    """Looks for the boundary further back."""
    return replace(cursor, boundary=min(cursor.boundary, cursor.total), overlap=2 * cursor.overlap)


def _compare(cursor: PageCursor, page: Page) -> PageCursor:
    """Notes whether the page is older or newer than the one before."""
    times = [created for name, created in page.comparable.items() if name not in cursor.last]
    joined = not cursor.last.isdisjoint(page.created)
    if times and joined and cursor.low is not None and cursor.high is not None:
        cursor = replace(
            cursor,
            descending=cursor.descending and max(times) <= cursor.low,
            ascending=cursor.ascending and min(times) >= cursor.high,
            compared=cursor.compared + 1,
        )
    if times:
        cursor = replace(cursor, low=min(times), high=max(times))
    return replace(cursor, last=frozenset(page.created))


def _move(cursor: PageCursor, page: Page) -> PageCursor:
    """Moves the boundary past the page. A page with fewer items than `size` need not be the last one."""
    if cursor.backwards:
        boundary, over = page.start, page.start == 0
    else:
        boundary = max(page.start + page.length, min(page.start + page.size, page.total))
        over = boundary >= page.total or not page.length
    return replace(cursor, boundary=boundary, overlap=OVERLAP, done=over)


def _next_step(cursor: PageCursor) -> PageCursor:
    """Decides whether to stop, to go on, or to read from the other end."""
    if cursor.done:
        return _finish(cursor)
    if cursor.backwards and not cursor.descending:
        return _restart(cursor)
    if cursor.until is None or cursor.order is Order.NONE:
        return cursor
    if cursor.descending:
        return _stop_if_passed(cursor)
    if cursor.ascending and not cursor.direction_flipped:
        flipped = replace(cursor, newest=max(cursor.newest, cursor.top), direction_flipped=True)
        return _turn_backwards(flipped)
    return replace(cursor, order=Order.NONE)


def _stop_if_passed(cursor: PageCursor) -> PageCursor:
    """Stops at a page with an item older than all that is wanted, where the order is certain enough."""
    passed = cursor.low is not None and cursor.until is not None and cursor.low < cursor.until
    trusted = cursor.order is not Order.UNKNOWN and not _contradicts_last_walk(cursor)
    return _finish(replace(cursor, done=True)) if passed and (cursor.compared or trusted) else cursor


def _contradicts_last_walk(cursor: PageCursor) -> bool:
    """Returns whether an ordered list would not show this first page; then a second one must decide."""
    return cursor.top < cursor.newest or any(
        created > (cursor.low or 0) for created in cursor.expected_ids.values()
    )


def _finish(cursor: PageCursor) -> PageCursor:
    """Returns the finished cursor, with what the next walk will assume."""
    order = cursor.order
    if cursor.compared:
        ordered = Order.OLDEST if cursor.descending is cursor.backwards else Order.NEWEST
        order = ordered if cursor.descending or cursor.ascending else Order.NONE
    return replace(cursor, order=order, newest=cursor.top, last=frozenset())


def _turn_backwards(cursor: PageCursor) -> PageCursor:
    """Reads from the end of the list, where the newest items are."""
    return _reset(replace(cursor, order=Order.OLDEST, backwards=True, boundary=cursor.total, overlap=SIZE))


def _restart(cursor: PageCursor) -> PageCursor:
    """Reads from the start: the newest items are not at the end."""
    return _reset(replace(cursor, order=Order.UNKNOWN, backwards=False, boundary=0))


def _reset(cursor: PageCursor) -> PageCursor:
    """Forgets all comparisons, to start from an end of the list."""
    return replace(
        cursor, top=0, last=frozenset(), low=None, high=None, descending=True, ascending=True, compared=0
    )
