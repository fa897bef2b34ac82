"""Which page of a list to read next, and when enough was read. Pure; the pages come from the caller.

The list may be ordered by time of creation in either direction, or not at all; within a page anything
goes. Nobody documents it, so a walk believes what its pages show: it stops early only when pages came
one older than the other, and when nothing it looks for contradicts what was seen before.

The list shifts while it is read, and an item can slip from a page not yet read onto one that was. So
each page must show an item of the one before, which proves that nothing lies between them: pages are
asked for in sizes that make them overlap, and from further back where they do not. Indices count from
the list's own first item, and only help to find the next page.
"""

from collections.abc import Mapping
from enum import Enum

import msgspec
from msgspec.structs import replace

SIZE = 100  # the largest page there is
OVERLAP = 3  # items that two pages are to share
REPEATS = 3  # pages in a row that bring nothing new: the list has no end, or no pages


class Order(Enum):
    """How the pages of a list follow each other, as far as is known."""

    UNKNOWN = "unknown"
    NEWEST = "newest first"
    OLDEST = "oldest first"
    NONE = "none"


class Page(msgspec.Struct, frozen=True):
    """A page: the index of its first item, how many items it has, and how many the list has.

    created: its sessions' times of creation by id; rows that made no sense are not among them.
    late: ids that came onto the list after the walk began: where they stand tells nothing of the order.
    size: how many items a page of its kind holds. malformed_ids: ids sought that stand in rows without sense.
    """

    start: int
    length: int
    total: int
    created: Mapping[str, int]
    late: frozenset[str] = frozenset()
    size: int = SIZE
    malformed_ids: frozenset[str] = frozenset()

    @property
    def old(self) -> Mapping[str, int]:
        """Those that tell of the order."""
        return {name: created for name, created in self.created.items() if name not in self.late}


class PageCursor(msgspec.Struct, frozen=True):
    """Where the reading of a list stands.

    begun: the provider's time at its start. until: sessions created before it need not be read (None:
    read all). seeks: ids that are expected, with their times. order: as believed. newest: the latest
    creation that the walk before met. top: the latest that this one has. total: how many items there are.
    limit: the largest page that is to be had. backwards: from the end to the beginning. edge: between
    the indices read and those to read. slack: how many of those read to ask for again. last: the ids of
    the last page. low, high: the span of its times. falling, rising: whether each page was older, newer
    than the one before. compared: how often that was seen. turned: whether the end was tried.
    """

    begun: int
    until: int | None = None
    seeks: Mapping[str, int] = {}
    order: Order = Order.UNKNOWN
    newest: int = 0
    top: int = 0
    total: int = 0
    limit: int = SIZE
    backwards: bool = False
    edge: int = 0
    slack: int = OVERLAP
    last: frozenset[str] = frozenset()
    low: int | None = None
    high: int | None = None
    falling: bool = True
    rising: bool = True
    compared: int = 0
    repeats: int = 0
    turned: bool = False
    done: bool = False

    @property
    def size(self) -> int:
        """How many items to ask for: the page that takes the edge furthest."""
        sizes = range(self.limit, self.limit // 2, -1)
        return max(sizes, key=lambda size: -self._start(size) if self.backwards else self._start(size) + size)

    @property
    def number(self) -> int:
        """The page to read next, counted from 1, of `size` items."""
        return self._start(self.size) // self.size + 1

    @property
    def remaining(self) -> int:
        """How many items are still to be read, at most."""
        if self.done:
            return 0
        return self.edge if self.backwards else max(0, self.total - self.edge)

    @property
    def stuck(self) -> bool:
        """Whether the pages bring nothing new any more."""
        return self.repeats >= REPEATS and not self.done

    def _start(self, size: int) -> int:
        """Where the page of this size begins that has the edge on it, and the slack."""
        if self.backwards:  # leaves room on the list's last page: more may stand there when it is read
            return (min(self.edge + self.slack, self.total + self.limit // 4) - 1) // size * size
        return max(self.edge - self.slack, 0) // size * size


def begin(
    begun: int, until: int | None, seeks: Mapping[str, int], past: PageCursor | None = None
) -> PageCursor:
    """A new walk, which believes what the last one found.

    It goes back until all sessions created at `until` or later were passed, and the sought ones too.
    """
    bound = None if until is None else min([until, *seeks.values()])
    walk = PageCursor(begun, bound, seeks)
    if past is None:
        return walk
    walk = replace(walk, order=past.order, newest=past.newest, total=past.total)
    return _backwards(walk) if walk.order is Order.OLDEST else walk


def resume(walk: PageCursor) -> PageCursor:
    """Go on after a pause in which the list has shifted: from further back."""
    return replace(walk, slack=max(walk.slack, walk.limit // 4), repeats=0)


def advance(walk: PageCursor, page: Page) -> PageCursor:
    """The walk after a page."""
    fresh = page.created.keys() - walk.last
    shared = len(fresh) < len(page.created)
    at_end = page.start + page.size >= page.total if walk.backwards else page.start == 0
    if at_end and not shared:
        walk = _anew(walk)
    useful = fresh or (page.length and not page.created) or page.total < walk.total
    noted = replace(
        walk,
        seeks={
            name: walk.seeks[name] for name in walk.seeks.keys() - page.created.keys() - page.malformed_ids
        },
        top=max([walk.top, *page.created.values()]),
        total=page.total,
        limit=page.size if page.size < walk.size else walk.limit,
        repeats=0 if useful else walk.repeats + 1,
    )
    if not (at_end or shared or _adjoins(walk, page)):
        return _stepped_back(noted)
    return _judged(_moved(_compared(noted, page), page))


def _adjoins(walk: PageCursor, page: Page) -> bool:
    """Whether nothing can lie between the pages read and this one, though it shows none of the last.

    In a list in order, a page with something newer than what was reached begins among what was read:
    more came onto the list than a page holds. Where no row makes sense, the indices must do.
    """
    if walk.last and page.created:
        ordered = walk.falling and walk.compared > 0 and walk.low is not None
        return ordered and max(page.old.values(), default=0) > (walk.low or 0)
    if walk.backwards:
        return page.start + page.length >= walk.edge + max(0, page.total - walk.total)
    return page.start <= walk.edge and page.start < page.total


def _stepped_back(walk: PageCursor) -> PageCursor:
    """Look for the edge where it may be now: further back."""
    return replace(walk, edge=min(walk.edge, walk.total), slack=2 * walk.slack)


def _compared(walk: PageCursor, page: Page) -> PageCursor:
    times = [created for name, created in page.old.items() if name not in walk.last]
    joined = not walk.last.isdisjoint(page.created)
    if times and joined and walk.low is not None and walk.high is not None:
        walk = replace(
            walk,
            falling=walk.falling and max(times) <= walk.low,
            rising=walk.rising and min(times) >= walk.high,
            compared=walk.compared + 1,
        )
    if times:
        walk = replace(walk, low=min(times), high=max(times))
    return replace(walk, last=frozenset(page.created))


def _moved(walk: PageCursor, page: Page) -> PageCursor:
    """Move the edge over the page; one with fewer items than its kind may still have some after it."""
    if walk.backwards:
        edge, over = page.start, page.start == 0
    else:
        edge = max(page.start + page.length, min(page.start + page.size, page.total))
        over = edge >= page.total or not page.length
    return replace(walk, edge=edge, slack=OVERLAP, done=over)


def _judged(walk: PageCursor) -> PageCursor:
    if walk.done:
        return _believing(walk)
    if walk.backwards and not walk.falling:
        return _restarted(walk)
    if walk.until is None or walk.order is Order.NONE:
        return walk
    if walk.falling:
        return _stopped(walk)
    if walk.rising and not walk.turned:
        return _backwards(replace(walk, newest=max(walk.newest, walk.top), turned=True))
    return replace(walk, order=Order.NONE)


def _stopped(walk: PageCursor) -> PageCursor:
    """Stop at a page with something older than all that is asked for, where the order allows that."""
    passed = walk.low is not None and walk.until is not None and walk.low < walk.until
    trusted = walk.order is not Order.UNKNOWN and not _surprising(walk)
    return _believing(replace(walk, done=True)) if passed and (walk.compared or trusted) else walk


def _surprising(walk: PageCursor) -> bool:
    """Whether the first page is not what an ordered list would show: then a second one must tell."""
    return walk.top < walk.newest or any(created > (walk.low or 0) for created in walk.seeks.values())


def _believing(walk: PageCursor) -> PageCursor:
    """What a finished walk tells the next one."""
    order = walk.order
    if walk.compared:
        ordered = Order.OLDEST if walk.falling is walk.backwards else Order.NEWEST
        order = ordered if walk.falling or walk.rising else Order.NONE
    return replace(walk, order=order, newest=walk.top, last=frozenset())


def _backwards(walk: PageCursor) -> PageCursor:
    """The newest are at the end: read from there."""
    return _anew(replace(walk, order=Order.OLDEST, backwards=True, edge=walk.total, slack=SIZE))


def _restarted(walk: PageCursor) -> PageCursor:
    """The end is not where the newest are: look from the beginning."""
    return _anew(replace(walk, order=Order.UNKNOWN, backwards=False, edge=0))


def _anew(walk: PageCursor) -> PageCursor:
    """From an end of the list, with nothing compared yet."""
    return replace(walk, top=0, last=frozenset(), low=None, high=None, falling=True, rising=True, compared=0)
