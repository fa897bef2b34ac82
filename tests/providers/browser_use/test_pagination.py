"""Which page to read next, against a list in every order, that changes while it is read."""

from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.providers.browser_use.pagination import SIZE, Order, Page, PageCursor, advance, begin, resume

STEP = 10  # between one session's creation and the next one's
ENOUGH = 500  # pages: more than any walk here may need


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

    def page(self, walk: PageCursor) -> Page:
        size = min(walk.size, self.largest)
        start = (walk.number - 1) * size
        items = sorted(self.sessions, key=KEYS[self.order])[start : start + size]
        if self.order.startswith("newest page"):
            items.reverse()
        late = frozenset(one.id for one in items if one.ended >= walk.begun)
        return Page(start, len(items), len(self.sessions), {one.id: one.created for one in items}, late, size)


FAR_FUTURE = repeat(STILL)


class Reading:
    """A walk to its end, and what it showed; a pause, and two changes more, after so many pages."""

    def __init__(
        self,
        provider: Provider,
        walk: PageCursor,
        changes: Iterator[Change] = FAR_FUTURE,
        pause: int = ENOUGH,
    ) -> None:
        self.shown: dict[str, int] = {}
        self.pages: list[Page] = []
        while not walk.done:
            page = provider.page(walk)
            self.pages.append(page)
            self.shown |= page.created
            walk = advance(walk, page)
            assert not walk.stuck
            assert len(self.pages) < ENOUGH
            if not walk.done:
                provider.happen(next(changes))
                if len(self.pages) % pause == 0:
                    provider.happen(next(changes))
                    walk = resume(walk)
        self.walk = walk


def known(provider: Provider) -> PageCursor:
    """What a walk through the whole list has found out."""
    return Reading(provider, begin(provider.now, None, {})).walk


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
    reading = Reading(provider, begin(provider.now, since, asked | gone, past), cycle(changes), pause)
    listed = {one.id for one in provider.sessions}
    assert (wanted & listed) - reading.shown.keys() == set()
    assert gone.keys() <= reading.walk.seeks.keys() <= gone.keys() | (asked.keys() - listed)
    assert reading.walk.remaining == 0


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
    reading = Reading(provider, begin(provider.now, recent(provider, ended), {}, past))
    assert len(reading.pages) == 1
    assert reading.walk.order is Order.NEWEST


@given(count=st.integers(120, 3000), ended=st.integers(1, 60), new=st.integers(0, 20), left=st.integers(0, 9))
def test_oldest_first_is_read_from_its_end(count: int, ended: int, new: int, left: int) -> None:
    """One page for a few sessions; it has to have room for what comes meanwhile, so more may take two."""
    provider = Provider("oldest first", count)
    past = known(provider)
    assert past.order is Order.OLDEST
    provider.happen(Change(ages=tuple(range(new)), leave=left))
    reading = Reading(provider, begin(provider.now, recent(provider, ended + new), {}, past))
    assert len(reading.pages) <= (1 if ended + left <= 35 else 2)
    assert reading.walk.order is Order.OLDEST


def test_without_an_order_all_pages_are_read_again_and_again() -> None:
    provider = Provider("none", 1000)
    walk = known(provider)
    for _ in range(2):
        assert walk.order is Order.NONE
        reading = Reading(provider, begin(provider.now, recent(provider, 20), {}, walk))
        assert len(reading.shown) == 1000
        walk = reading.walk


@pytest.mark.parametrize("order", [*NEWEST, "oldest first"])
def test_an_unknown_order_is_found_out_before_it_is_relied_on(order: str) -> None:
    provider = Provider(order, 5000)
    reading = Reading(provider, begin(provider.now, recent(provider, 20), {}))
    assert len(reading.pages) == (2 if order in NEWEST else 3)
    assert reading.walk.order is (Order.NEWEST if order in NEWEST else Order.OLDEST)


@pytest.mark.parametrize("before", [*NEWEST, "oldest first", "none"])
@pytest.mark.parametrize("after", [*NEWEST, "oldest first", "none"])
def test_an_order_that_changes_is_noticed(before: str, after: str) -> None:
    """After one walk more, what is believed is what the list shows."""
    provider = Provider(before, 2000)
    past = known(provider)
    provider.order = after
    provider.happen(Change(ages=(1, 2, 3)))
    since = recent(provider, 20)
    reading = Reading(provider, begin(provider.now, since, {}, past))
    assert {one.id for one in provider.sessions if one.created >= since} <= reading.shown.keys()
    assert reading.walk.order is known(provider).order
    assert len(reading.pages) <= 5 or "none" in {before, after}


def test_an_end_that_is_not_the_newest_one_is_found_out() -> None:
    """The first pages get newer, the last ones too, seen from the end: that is no order."""
    provider = Provider("newest in the middle", 1000)
    reading = Reading(provider, begin(provider.now, recent(provider, 20), {}))
    assert len(reading.shown) == 1000
    assert reading.walk.order is Order.NONE


def test_one_page_that_lacks_the_newest_session_seen_before_is_not_enough() -> None:
    provider = Provider("newest first", 300)
    walk = begin(provider.now, 2500, {}, known(provider))
    assert advance(walk, provider.page(walk)).done
    provider.sessions.pop()
    assert not advance(walk, provider.page(walk)).done


def test_a_page_is_not_enough_while_it_lacks_what_should_be_on_it() -> None:
    """A sought session may have left, or the order may be gone: the second page tells."""
    provider = Provider("newest first", 300)
    walk = begin(provider.now, 2500, {"gone": 2700}, known(provider))
    reading = Reading(provider, walk)
    assert len(reading.pages) == 2
    assert reading.walk.seeks == {"gone": 2700}


def test_a_sought_session_is_looked_for_as_far_back_as_it_began() -> None:
    provider = Provider("newest first", 1000)
    reading = Reading(provider, begin(provider.now, 9900, {"s400": 4000}, known(provider)))
    assert reading.walk.seeks == {}
    assert min(reading.shown.values()) < 4000
    assert len(reading.pages) < 9


@pytest.mark.parametrize("order", list(KEYS))
def test_retention_that_endings_make_up_for_hides_nothing(order: str) -> None:
    """The list stays as long as it was, and yet each item may have moved by one."""
    provider = Provider(order, 1000)
    there = {one.id for one in provider.sessions}
    reading = Reading(provider, begin(provider.now, None, {}), repeat(Change((0,), 1)))
    assert there & {one.id for one in provider.sessions} <= reading.shown.keys()


@pytest.mark.parametrize("order", list(KEYS))
def test_a_list_that_gets_shorter_with_every_page_is_read_in_one_go(order: str) -> None:
    provider = Provider(order, 1000)
    reading = Reading(provider, begin(provider.now, None, {}), repeat(Change((), 1)))
    assert len(reading.pages) <= 14


@pytest.mark.parametrize("order", NEWEST)
def test_what_ends_late_among_the_pages_does_not_spoil_the_order(order: str) -> None:
    provider = Provider(order, 1000)
    reading = Reading(provider, begin(provider.now, None, {}), repeat(Change(tuple(range(0, 10_000, 500)))))
    assert reading.walk.order is Order.NEWEST


@pytest.mark.parametrize("order", NEWEST)
def test_a_page_with_nothing_new_on_it_does_no_harm(order: str) -> None:
    provider = Provider(order, 1000)
    reading = Reading(provider, begin(provider.now, None, {}), chain([Change((0,) * 97)], FAR_FUTURE))
    assert {f"s{i}" for i in range(1000)} <= reading.shown.keys()


@pytest.mark.parametrize("order", NEWEST)
def test_more_than_a_page_that_came_in_a_pause_does_not_set_a_walk_back(order: str) -> None:
    provider = Provider(order, 1000)
    walk = begin(provider.now, None, {})
    for _ in range(5):
        walk = advance(walk, provider.page(walk))
    provider.happen(Change(ages=(0,) * 250))
    reading = Reading(provider, resume(walk))
    assert min(one.start for one in reading.pages) > 300
    assert reading.walk.order is Order.NEWEST
    assert {f"s{i}" for i in range(500)} <= reading.shown.keys()


@pytest.mark.parametrize("order", list(KEYS))
@pytest.mark.parametrize("left", [100, 450, 960, 1000])
def test_a_list_that_got_much_shorter_in_a_pause_is_read_to_its_end(order: str, left: int) -> None:
    provider = Provider(order, 1000)
    walk, shown = begin(provider.now, None, {}), set[str]()
    for _ in range(8):
        seen = provider.page(walk)
        walk, shown = advance(walk, seen), shown | seen.created.keys()
    provider.happen(Change(leave=left))
    reading = Reading(provider, resume(walk))
    assert {one.id for one in provider.sessions} <= shown | reading.shown.keys()


@pytest.mark.parametrize("order", list(KEYS))
@pytest.mark.parametrize(("count", "leave"), [(103, 20), (150, 60)])
def test_a_list_that_gets_shorter_than_what_was_read_is_read_to_its_end(
    order: str, count: int, leave: int
) -> None:
    provider = Provider(order, count)
    reading = Reading(
        provider, begin(provider.now, None, {}), chain(repeat(Change((), leave), 4), FAR_FUTURE)
    )
    assert {one.id for one in provider.sessions} <= reading.shown.keys()


def test_an_order_that_changes_in_a_pause_is_noticed() -> None:
    provider = Provider("newest first", 2000)
    walk = begin(provider.now, 5000, {}, known(provider))
    for _ in range(5):
        walk = advance(walk, provider.page(walk))
    provider.order = "oldest first"
    reading = Reading(provider, resume(walk))
    assert {f"s{i}" for i in range(500, 2000)} <= reading.shown.keys()


def test_sessions_created_at_the_same_moment_may_stand_on_several_pages() -> None:
    provider = Provider("newest first", 2000)
    past = known(provider)
    provider.sessions = [Ended(f"s{i}", 20_000 if i > 1750 else 10_000, 20_100) for i in range(2000)]
    assert len(Reading(provider, begin(provider.now, 20_000, {}, past)).shown) > 249


@pytest.mark.parametrize("order", list(KEYS))
@pytest.mark.parametrize("largest", [50, 20])
def test_a_provider_whose_pages_are_smaller_is_read_in_such_pages(order: str, largest: int) -> None:
    provider = Provider(order, 300, largest)
    there = {one.id for one in provider.sessions}
    reading = Reading(provider, begin(provider.now, 0, {}, known(provider)), repeat(Change((0, 99), 1)))
    assert there & {one.id for one in provider.sessions} <= reading.shown.keys()
    assert len(reading.pages) <= 500 // largest


def test_what_is_left_gets_less() -> None:
    for order in ("newest first", "oldest first"):
        provider = Provider(order, 1000)
        walk = begin(provider.now, 0, {}, known(provider))
        left = []
        while not walk.done:
            walk = advance(walk, provider.page(walk))
            left.append(walk.remaining)
        assert left[0] > 880
        assert left == sorted(left, reverse=True)
        assert left[-1] == 0


@pytest.mark.parametrize("count", [0, 1, 99, 100])
@pytest.mark.parametrize("order", list(KEYS))
def test_a_list_of_one_page_takes_one_request(order: str, count: int) -> None:
    provider = Provider(order, count)
    first = Reading(provider, begin(provider.now, None, {}))
    second = Reading(provider, begin(provider.now, provider.now, {}, first.walk))
    assert (len(first.pages), len(second.pages)) == (1, 1)
    assert second.walk.order is Order.UNKNOWN


@pytest.mark.parametrize("until", [None, 5])
def test_the_same_page_again_and_again_is_found_out(until: int | None) -> None:
    walk, pages = begin(0, until, {}), 0
    while not walk.stuck:
        walk = advance(walk, Page((walk.number - 1) * walk.size, 3, 1000, {"a": 7, "b": 8, "c": 9}, size=100))
        pages += 1
    assert pages < 6


@pytest.mark.parametrize("past", [None, "newest first", "oldest first"])
def test_a_total_that_is_not_true_ends_somewhere(past: str | None) -> None:
    """From the beginning at the first page with nothing on it; from an end that is nowhere, as stuck."""
    provider = Provider(past or "newest first", 250)
    walk = begin(provider.now, 0, {}, known(provider) if past else None)
    for _ in range(9):
        if not (walk.done or walk.stuck):
            walk = advance(walk, msgspec.structs.replace(provider.page(walk), total=10**9))
    assert walk.stuck if past == "oldest first" else walk.done


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
def test_a_total_that_is_a_little_too_high_does_no_harm(order: str) -> None:
    provider = Provider(order, 250)
    walk = begin(provider.now, recent(provider, 9), {}, known(provider))
    assert advance(walk, msgspec.structs.replace(provider.page(walk), total=255)).done


def test_pages_without_one_row_that_makes_sense_are_passed() -> None:
    provider = Provider("newest first", 1000)
    walk, shown = begin(provider.now, None, {}), set[str]()
    while not walk.done:
        one = provider.page(walk)
        unread = [name for name, created in one.created.items() if 2000 < created < 8000]
        one = msgspec.structs.replace(one, created={n: c for n, c in one.created.items() if n not in unread})
        walk, shown = advance(walk, one), shown | one.created.keys()
        assert not walk.stuck
    assert len(shown) == 1000 - 599
