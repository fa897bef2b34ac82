"""Which page to read next, against a list in every order, that changes while it is read."""

from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.providers.browser_use.pagination import (
    SIZE,
    Order,
    Page,
    PageCursor,
    advance,
    begin,
    resume,
    upcoming,
)

STEP = 10  # between one session's creation and the next one's
ENOUGH = 500  # pages: more than any cursor here may need


class Ended(msgspec.Struct, frozen=True):
    """A session on the list of ended ones."""

    id: str
    created: int
    ended: int

    @property
    def scattered(self) -> int:
        """A place that has nothing to do with time."""
        return hash((self.created * 2_654_435_761) % 1_000_003)


KEYS: dict[str, Callable[[Ended], int]] = {
    "newest first": lambda one: -one.created,
    "newest page first, oldest first within": lambda one: -one.created,
    "oldest first": lambda one: one.created,
    "none": lambda one: one.scattered,
    "newest in the middle": lambda one: one.created if one.created // STEP % 2 else 10**9 - one.created,
    "last finished first": lambda one: -one.ended,
    "first finished first": lambda one: one.ended,
}
NEWEST = ("newest first", "newest page first, oldest first within")


class Change(msgspec.Struct, frozen=True):
    """What happens between two pages: sessions of these ages end, and so many of the oldest leave."""

    ages: tuple[int, ...] = ()
    leave: int = 0


STILL = Change()
CHANGES = st.builds(Change, st.lists(st.integers(0, 4000), max_size=8).map(tuple), st.integers(0, 8))
# Four pages that are in flight at once take the time of one, so that a quarter happens between two of them.
SMALL_CHANGES = st.builds(Change, st.lists(st.integers(0, 4000), max_size=2).map(tuple), st.integers(0, 2))


class Provider:
    """The list of ended sessions, as a provider shows it page by page; `largest` is its largest page."""

    def __init__(self, order: str, count: int, largest: int = SIZE) -> None:
        self.order, self.largest = order, largest
        self.sessions = [Ended(f"s{i}", i * STEP, i * STEP + 5 + i * 37 % 101) for i in range(count)]
        self.now = count * STEP + 200
        self.ever = count

    def happen(self, change: Change) -> None:
        self.now += 1
        for age in change.ages:
            self.sessions.append(Ended(f"s{self.ever}", max(0, self.now - age), self.now))
            self.ever += 1
        for _ in range(min(change.leave, len(self.sessions))):
            self.sessions.remove(min(self.sessions, key=lambda one: one.created))

    def page(self, cursor: PageCursor, number: int = 0, size: int = 0) -> Page:
        """The next page that the cursor asks for, or another."""
        size = min(size or cursor.size, self.largest)
        start = ((number or cursor.number) - 1) * size
        items = sorted(self.sessions, key=KEYS[self.order])[start : start + size]
        if self.order.startswith("newest page"):
            items.reverse()
        late = frozenset(one.id for one in items if one.ended >= cursor.begun)
        return Page(start, len(items), len(self.sessions), {one.id: one.created for one in items}, late, size)


UNCHANGED = repeat(STILL)
UNPICKED = repeat(0)
IN_FLIGHT = 4


class Walk:
    """Reads a list to the end, and keeps what it showed; after every `pause` pages the list changes twice."""

    def __init__(
        self,
        provider: Provider,
        cursor: PageCursor,
        changes: Iterator[Change] = UNCHANGED,
        pause: int = ENOUGH,
    ) -> None:
        self.shown: dict[str, int] = {}
        self.pages: list[Page] = []
        while not cursor.done:
            page = provider.page(cursor)
            self.pages.append(page)
            self.shown |= page.created
            cursor = advance(cursor, page)
            assert not cursor.no_progress
            assert len(self.pages) < ENOUGH
            if not cursor.done:
                provider.happen(next(changes))
                if len(self.pages) % pause == 0:
                    provider.happen(next(changes))
                    cursor = resume(cursor)
        self.cursor = cursor


class ParallelWalk(Walk):
    """A walk with pages in flight: they are answered in any order, and the list changes between any two."""

    def __init__(
        self,
        provider: Provider,
        cursor: PageCursor,
        changes: Iterator[Change] = UNCHANGED,
        picks: Iterator[int] = UNPICKED,
    ) -> None:
        self.shown, self.pages, self.asked = {}, [], 0
        answered: dict[tuple[int, int], Page] = {}
        while not cursor.done:
            places = upcoming(cursor, IN_FLIGHT)
            answered = {place: page for place, page in answered.items() if place in places}
            unanswered = [place for place in places if place not in answered]
            while places[0] not in answered:
                place = unanswered.pop(next(picks) % len(unanswered))
                answered[place] = provider.page(cursor, *place)
                self.asked += 1
                provider.happen(next(changes))
            page = answered.pop(places[0])
            self.pages.append(page)
            self.shown |= page.created
            cursor = advance(cursor, page)
            assert not cursor.no_progress
            assert len(self.pages) < ENOUGH
        self.cursor = cursor


def known(provider: Provider) -> PageCursor:
    """Returns the cursor of a walk through the whole list."""
    return Walk(provider, begin(provider.now, None, {})).cursor


def recent(provider: Provider, count: int) -> int:
    """Since when so many sessions were created."""
    return sorted(one.created for one in provider.sessions)[-count]


@given(
    order=st.sampled_from(list(KEYS)),
    count=st.integers(0, 700),
    learned=st.booleans(),
    back=st.none() | st.integers(0, 4000),
    held=st.sets(st.integers(0, 700), max_size=3),
    gone=st.dictionaries(st.just("gone"), st.integers(0, 7000)),
    changes=st.lists(CHANGES, min_size=1, max_size=8),
    pause=st.sampled_from([2, 3, ENOUGH]),
)
def test_a_walk_shows_all_that_is_asked_for_whatever_the_list_does(  # noqa: PLR0913, PLR0917 - all may vary
    order: str, count: int, learned: bool, back: int | None, held: set[int],  # noqa: FBT001
    gone: dict[str, int], changes: list[Change], pause: int,
) -> None:  # fmt: skip
    """All created since, and all held: those that end late, and some more; what it misses has left."""
    provider = Provider(order, count)
    past = known(provider) if learned else None
    provider.happen(changes[0])
    since = None if back is None else provider.now - back
    asked = {
        one.id: one.created
        for one in provider.sessions
        if since is not None and (one.ended >= since > one.created or int(one.id[1:]) in held)
    }
    wanted = {one.id for one in provider.sessions if since is None or one.created >= since} | asked.keys()
    walk = Walk(provider, begin(provider.now, since, asked | gone, past), cycle(changes), pause)
    listed = {one.id for one in provider.sessions}
    assert (wanted & listed) - walk.shown.keys() == set()
    assert gone.keys() <= walk.cursor.expected_ids.keys() <= gone.keys() | (asked.keys() - listed)
    assert walk.cursor.remaining == 0


@given(
    order=st.sampled_from(list(KEYS)),
    count=st.integers(0, 900),
    largest=st.sampled_from([SIZE, 50]),
    changes=st.lists(SMALL_CHANGES, min_size=1, max_size=8),
    picks=st.lists(st.integers(0, 3), min_size=1, max_size=8),
)
def test_pages_that_are_answered_in_any_order_show_all_that_stays_listed(
    order: str, count: int, largest: int, changes: list[Change], picks: list[int]
) -> None:
    provider = Provider(order, count, largest)
    there = {one.id for one in provider.sessions}
    walk = ParallelWalk(provider, begin(provider.now, None, {}), cycle(changes), cycle(picks))
    assert there & {one.id for one in provider.sessions} <= walk.shown.keys()


@pytest.mark.parametrize("order", list(KEYS))
@pytest.mark.parametrize("count", [0, 1, 100, 101, 350, 2000])
def test_of_a_list_that_stands_still_no_page_is_requested_in_vain(order: str, count: int) -> None:
    provider = Provider(order, count)
    walk = ParallelWalk(provider, begin(provider.now, None, {}), picks=cycle([3, 0, 2]))
    assert walk.asked == len(walk.pages) == len(Walk(provider, begin(provider.now, None, {})).pages)


@pytest.mark.parametrize("order", [*NEWEST, "oldest first"])
def test_a_walk_that_may_stop_early_requests_one_page_at_a_time(order: str) -> None:
    provider = Provider(order, 1000)
    cursor = begin(provider.now, recent(provider, 20), {}, known(provider))
    assert upcoming(cursor, IN_FLIGHT) == [(cursor.number, cursor.size)]


@given(
    order=st.sampled_from(NEWEST),
    count=st.integers(150, 3000),
    ended=st.integers(1, 99),
    changes=st.lists(CHANGES, max_size=5),
)
def test_newest_first_takes_one_page_when_fewer_than_that_were_created(
    order: str, count: int, ended: int, changes: list[Change]
) -> None:
    provider = Provider(order, count)
    past = known(provider)
    assert past.order is Order.NEWEST
    for change in [*changes, STILL]:
        provider.happen(change)
    walk = Walk(provider, begin(provider.now, recent(provider, ended), {}, past))
    assert len(walk.pages) == 1
    assert walk.cursor.order is Order.NEWEST


@given(count=st.integers(120, 3000), ended=st.integers(1, 60), new=st.integers(0, 20), left=st.integers(0, 9))
def test_oldest_first_is_read_from_its_end(count: int, ended: int, new: int, left: int) -> None:
    """One page for a few sessions; it has to have room for what comes meanwhile, so more may take two."""
    provider = Provider("oldest first", count)
    past = known(provider)
    assert past.order is Order.OLDEST
    provider.happen(Change(ages=tuple(range(new)), leave=left))
    walk = Walk(provider, begin(provider.now, recent(provider, ended + new), {}, past))
    assert len(walk.pages) <= (1 if ended + left <= 35 else 2)
    assert walk.cursor.order is Order.OLDEST


def test_without_an_order_all_pages_are_read_again_and_again() -> None:
    provider = Provider("none", 1000)
    cursor = known(provider)
    for _ in range(2):
        assert cursor.order is Order.NONE
        walk = Walk(provider, begin(provider.now, recent(provider, 20), {}, cursor))
        assert len(walk.shown) == 1000
        cursor = walk.cursor


@pytest.mark.parametrize("order", [*NEWEST, "oldest first"])
def test_an_unknown_order_is_found_out_before_it_is_relied_on(order: str) -> None:
    provider = Provider(order, 5000)
    walk = Walk(provider, begin(provider.now, recent(provider, 20), {}))
    assert len(walk.pages) == (2 if order in NEWEST else 3)
    assert walk.cursor.order is (Order.NEWEST if order in NEWEST else Order.OLDEST)


@pytest.mark.parametrize("before", [*NEWEST, "oldest first", "none"])
@pytest.mark.parametrize("after", [*NEWEST, "oldest first", "none"])
def test_an_order_that_changes_is_noticed(before: str, after: str) -> None:
    """After one more walk, the order assumed is what the list shows."""
    provider = Provider(before, 2000)
    past = known(provider)
    provider.order = after
    provider.happen(Change(ages=(1, 2, 3)))
    since = recent(provider, 20)
    walk = Walk(provider, begin(provider.now, since, {}, past))
    assert {one.id for one in provider.sessions if one.created >= since} <= walk.shown.keys()
    assert walk.cursor.order is known(provider).order
    assert len(walk.pages) <= 5 or "none" in {before, after}


def test_an_end_that_is_not_the_newest_one_is_found_out() -> None:
    """The first pages get newer, the last ones too, seen from the end: that is no order."""
    provider = Provider("newest in the middle", 1000)
    walk = Walk(provider, begin(provider.now, recent(provider, 20), {}))
    assert len(walk.shown) == 1000
    assert walk.cursor.order is Order.NONE


def test_one_page_that_lacks_the_newest_session_seen_before_is_not_enough() -> None:
    provider = Provider("newest first", 300)
    cursor = begin(provider.now, 2500, {}, known(provider))
    assert advance(cursor, provider.page(cursor)).done
    provider.sessions.pop()
    assert not advance(cursor, provider.page(cursor)).done


def test_a_page_is_not_enough_while_it_lacks_what_should_be_on_it() -> None:
    """A sought session may have left, or the order may be gone: the second page tells."""
    provider = Provider("newest first", 300)
    cursor = begin(provider.now, 2500, {"gone": 2700}, known(provider))
    walk = Walk(provider, cursor)
    assert len(walk.pages) == 2
    assert walk.cursor.expected_ids == {"gone": 2700}


def test_a_sought_session_is_looked_for_as_far_back_as_it_began() -> None:
    provider = Provider("newest first", 1000)
    walk = Walk(provider, begin(provider.now, 9900, {"s400": 4000}, known(provider)))
    assert walk.cursor.expected_ids == {}
    assert min(walk.shown.values()) < 4000
    assert len(walk.pages) < 9


@pytest.mark.parametrize("order", list(KEYS))
def test_retention_that_endings_make_up_for_hides_nothing(order: str) -> None:
    """The list stays as long as it was, and yet each item may have moved by one."""
    provider = Provider(order, 1000)
    there = {one.id for one in provider.sessions}
    walk = Walk(provider, begin(provider.now, None, {}), repeat(Change((0,), 1)))
    assert there & {one.id for one in provider.sessions} <= walk.shown.keys()


@pytest.mark.parametrize("order", list(KEYS))
def test_a_list_that_gets_shorter_with_every_page_is_read_in_one_go(order: str) -> None:
    provider = Provider(order, 1000)
    walk = Walk(provider, begin(provider.now, None, {}), repeat(Change((), 1)))
    assert len(walk.pages) <= 14


@pytest.mark.parametrize("order", NEWEST)
def test_what_ends_late_among_the_pages_does_not_spoil_the_order(order: str) -> None:
    provider = Provider(order, 1000)
    walk = Walk(provider, begin(provider.now, None, {}), repeat(Change(tuple(range(0, 10_000, 500)))))
    assert walk.cursor.order is Order.NEWEST


@pytest.mark.parametrize("order", NEWEST)
def test_a_page_with_nothing_new_on_it_does_no_harm(order: str) -> None:
    provider = Provider(order, 1000)
    walk = Walk(provider, begin(provider.now, None, {}), chain([Change((0,) * 97)], UNCHANGED))
    assert {f"s{i}" for i in range(1000)} <= walk.shown.keys()


@pytest.mark.parametrize("order", NEWEST)
def test_more_than_a_page_that_came_in_a_pause_does_not_set_a_walk_back(order: str) -> None:
    provider = Provider(order, 1000)
    cursor = begin(provider.now, None, {})
    for _ in range(5):
        cursor = advance(cursor, provider.page(cursor))
    provider.happen(Change(ages=(0,) * 250))
    walk = Walk(provider, resume(cursor))
    assert min(one.start for one in walk.pages) > 300
    assert walk.cursor.order is Order.NEWEST
    assert {f"s{i}" for i in range(500)} <= walk.shown.keys()


@pytest.mark.parametrize("order", list(KEYS))
@pytest.mark.parametrize("left", [100, 450, 960, 1000])
def test_a_list_that_got_much_shorter_in_a_pause_is_read_to_its_end(order: str, left: int) -> None:
    provider = Provider(order, 1000)
    cursor, shown = begin(provider.now, None, {}), set[str]()
    for _ in range(8):
        seen = provider.page(cursor)
        cursor, shown = advance(cursor, seen), shown | seen.created.keys()
    provider.happen(Change(leave=left))
    walk = Walk(provider, resume(cursor))
    assert {one.id for one in provider.sessions} <= shown | walk.shown.keys()


@pytest.mark.parametrize("order", list(KEYS))
@pytest.mark.parametrize(("count", "leave"), [(103, 20), (150, 60)])
def test_a_list_that_gets_shorter_than_what_was_read_is_read_to_its_end(
    order: str, count: int, leave: int
) -> None:
    provider = Provider(order, count)
    walk = Walk(provider, begin(provider.now, None, {}), chain(repeat(Change((), leave), 4), UNCHANGED))
    assert {one.id for one in provider.sessions} <= walk.shown.keys()


def test_an_order_that_changes_in_a_pause_is_noticed() -> None:
    provider = Provider("newest first", 2000)
    cursor = begin(provider.now, 5000, {}, known(provider))
    for _ in range(5):
        cursor = advance(cursor, provider.page(cursor))
    provider.order = "oldest first"
    walk = Walk(provider, resume(cursor))
    assert {f"s{i}" for i in range(500, 2000)} <= walk.shown.keys()


def test_sessions_created_at_the_same_moment_may_stand_on_several_pages() -> None:
    provider = Provider("newest first", 2000)
    past = known(provider)
    provider.sessions = [Ended(f"s{i}", 20_000 if i > 1750 else 10_000, 20_100) for i in range(2000)]
    assert len(Walk(provider, begin(provider.now, 20_000, {}, past)).shown) > 249


@pytest.mark.parametrize("order", list(KEYS))
@pytest.mark.parametrize("largest", [50, 20])
def test_a_provider_whose_pages_are_smaller_is_read_in_such_pages(order: str, largest: int) -> None:
    provider = Provider(order, 300, largest)
    there = {one.id for one in provider.sessions}
    walk = Walk(provider, begin(provider.now, 0, {}, known(provider)), repeat(Change((0, 99), 1)))
    assert there & {one.id for one in provider.sessions} <= walk.shown.keys()
    assert len(walk.pages) <= 500 // largest


def test_what_is_left_gets_less() -> None:
    for order in ("newest first", "oldest first"):
        provider = Provider(order, 1000)
        cursor = begin(provider.now, 0, {}, known(provider))
        left = []
        while not cursor.done:
            cursor = advance(cursor, provider.page(cursor))
            left.append(cursor.remaining)
        assert left[0] > 880
        assert left == sorted(left, reverse=True)
        assert left[-1] == 0


@pytest.mark.parametrize("count", [0, 1, 99, 100])
@pytest.mark.parametrize("order", list(KEYS))
def test_a_list_of_one_page_takes_one_request(order: str, count: int) -> None:
    provider = Provider(order, count)
    first = Walk(provider, begin(provider.now, None, {}))
    second = Walk(provider, begin(provider.now, provider.now, {}, first.cursor))
    assert (len(first.pages), len(second.pages)) == (1, 1)
    assert second.cursor.order is Order.UNKNOWN


@pytest.mark.parametrize("until", [None, 5])
def test_the_same_page_again_and_again_is_found_out(until: int | None) -> None:
    cursor, pages = begin(0, until, {}), 0
    while not cursor.no_progress:
        cursor = advance(
            cursor, Page((cursor.number - 1) * cursor.size, 3, 1000, {"a": 7, "b": 8, "c": 9}, size=100)
        )
        pages += 1
    assert pages < 6


@pytest.mark.parametrize("past", [None, "newest first", "oldest first"])
def test_a_total_that_is_not_true_ends_somewhere(past: str | None) -> None:
    """From the beginning at the first page with nothing on it; from an end that is nowhere, as stuck."""
    provider = Provider(past or "newest first", 250)
    cursor = begin(provider.now, 0, {}, known(provider) if past else None)
    for _ in range(9):
        if not (cursor.done or cursor.no_progress):
            cursor = advance(cursor, msgspec.structs.replace(provider.page(cursor), total=10**9))
    assert cursor.no_progress if past == "oldest first" else cursor.done


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
def test_a_total_that_is_a_little_too_high_does_no_harm(order: str) -> None:
    provider = Provider(order, 250)
    cursor = begin(provider.now, recent(provider, 9), {}, known(provider))
    assert advance(cursor, msgspec.structs.replace(provider.page(cursor), total=255)).done


def test_pages_without_one_row_that_makes_sense_are_passed() -> None:
    provider = Provider("newest first", 1000)
    cursor, shown = begin(provider.now, None, {}), set[str]()
    while not cursor.done:
        one = provider.page(cursor)
        unread = [name for name, created in one.created.items() if 2000 < created < 8000]
        one = msgspec.structs.replace(one, created={n: c for n, c in one.created.items() if n not in unread})
        cursor, shown = advance(cursor, one), shown | one.created.keys()
        assert not cursor.no_progress
    assert len(shown) == 1000 - 599
