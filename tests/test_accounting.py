"""The heart: counters that equal the truth over any history, by arithmetic of the test's own."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.accounting import Books, Posting, Row, Rules, bucket, post
from exporter.session import (
    COST,
    DURATION,
    DURATION_SUM,
    ENDED,
    HOUR,
    PROXY_BYTES,
    REVISIONS,
    SECOND,
    STARTED,
    TIME,
    Entry,
    Listing,
    Series,
    Session,
    Usage,
)

T0 = 1_800_000_000 * SECOND
MINUTE = 60 * SECOND
SETTLE = 15 * MINUTE
RULES = Rules(settle_after=SETTLE)
WEST = Series("p1", "us-west-2")
EAST = Series("p1", "us-east-1")


def session(**fields: object) -> Session:
    """A running session of the first minute, but for what the test says."""
    plain = Session("s1", WEST, "running", T0, Usage(time=MINUTE), started=T0)
    return msgspec.structs.replace(plain, **fields)


def listing(*sessions: Session, time: int = T0 + MINUTE, **fields: object) -> Listing:
    return msgspec.structs.replace(Listing(time, sessions, {}, covers=time), **fields)


class Store(Protocol):
    """Something that keeps the books: in memory here, the real ledger in test_ledger."""

    def record(self, listing: Listing, rules: Rules) -> None: ...
    def held(self) -> dict[str, int]: ...
    def since(self) -> int | None: ...
    def totals(self) -> dict[Entry, int]: ...
    def rows(self) -> int: ...
    def reopen(self) -> None: ...


class Memory:
    """The ledger's part, done with dictionaries."""

    def __init__(self) -> None:
        self.books: Books | None = None
        self.kept: dict[str, Row] = {}
        self.sums: Counter[Entry] = Counter()

    def record(self, listing: Listing, rules: Rules) -> None:
        self.commit(post(self.books, self.kept, listing, rules))

    def commit(self, posting: Posting) -> None:
        self.books = posting.books
        assert all(amount > 0 for amount in posting.added.values())
        self.sums.update(posting.added)
        self.kept |= {row.id: row for row in posting.changed}
        since = posting.books.since
        self.kept = {
            name: row
            for name, row in self.kept.items()
            if not (row.settled and since is not None and row.created < since and row.missing is None)
        }

    def held(self) -> dict[str, int]:
        return {name: row.created for name, row in self.kept.items() if not row.settled}

    def since(self) -> int | None:
        return self.books.since if self.books else None

    def totals(self) -> dict[Entry, int]:
        return dict(self.sums)

    def rows(self) -> int:
        return len(self.kept)

    def reopen(self) -> None:
        """Memory has no file to open again."""


class World(RuleBasedStateMachine):
    """A provider's sessions, and pulls of every kind; `truth` holds what was seen, session by session."""

    policy = RULES
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.live: dict[str, Session] = {}
        self.hidden: dict[str, Session] = {}
        self.absent: dict[str, int] = {}
        self.closed: set[str] = set()
        self.truth: dict[str, Usage] = {}
        self.endings: dict[str, tuple[str, int]] = {}
        self.first: dict[str, Series] = {}
        self.last: dict[Entry, int] = {}
        self.store = self.make()

    def make(self) -> Store:
        return Memory()

    def aged(self, one: Session) -> Session:
        """An open session's time is what has passed since it started."""
        time = (one.ended if one.ended is not None else self.now) - one.created
        return msgspec.structs.replace(one, usage=msgspec.structs.replace(one.usage, time=time))

    def changeable(self) -> list[str]:
        return sorted(n for n, s in self.live.items() if s.ended is None or self.now < s.ended + SETTLE)

    @initialize(history=st.integers(0, 5))
    def begin(self, history: int) -> None:
        for age in range(history):
            self.start(WEST)
            name = f"s{age}"
            created = T0 - (age + 1) * HOUR
            self.live[name] = session(id=name, created=created, started=created, ended=created + MINUTE * age,
                                      status="completed", ending="completed",
                                      usage=Usage(0, 100 * age, 5 * age, age))  # fmt: skip

    @rule(series=st.sampled_from([WEST, EAST, Series("p2", "unknown")]))
    def start(self, series: Series) -> None:
        name = f"s{len(self.live) + len(self.hidden)}"
        self.live[name] = session(id=name, series=series, created=self.now, started=self.now)

    @rule(data=st.data(), by=st.integers(-500, 500))
    def grow_or_shrink(self, data: st.DataObject, by: int) -> None:
        if self.changeable():
            one = self.live[name := data.draw(st.sampled_from(self.changeable()))]
            use = one.usage
            usage = Usage(
                0, max(0, use.proxy_bytes + by), max(0, use.browser_cost + 2 * by), use.proxy_cost + abs(by)
            )
            self.live[name] = msgspec.structs.replace(one, usage=usage)

    @rule(data=st.data(), status=st.sampled_from(["completed", "error", "timed_out"]))
    def end_or_relabel_end(self, data: st.DataObject, status: str) -> None:
        if self.changeable():
            one = self.live[name := data.draw(st.sampled_from(self.changeable()))]
            ended = self.now if one.ended is None else one.ended
            self.live[name] = msgspec.structs.replace(one, status=status, ending=status, ended=ended)

    @rule(data=st.data(), late=st.integers(0, 14))
    def meter_late(self, data: st.DataObject, late: int) -> None:
        """The usage of an ended session is still reported minutes later."""
        running = sorted(name for name in self.changeable() if self.live[name].ended is None)
        if running:
            one = self.live[name := data.draw(st.sampled_from(running))]
            self.now += SETTLE
            self.live[name] = msgspec.structs.replace(one, status="error", ending="error", ended=self.now)
            self.pull_all(data)
            self.now += late * MINUTE
            self.pull_all(data)
            grown = msgspec.structs.replace(one.usage, proxy_bytes=one.usage.proxy_bytes + 7)
            self.live[name] = msgspec.structs.replace(self.live[name], usage=grown)
            self.pull_all(data)

    @rule(data=st.data(), series=st.sampled_from([WEST, EAST]))
    def relabel(self, data: st.DataObject, series: Series) -> None:
        if self.live:
            name = data.draw(st.sampled_from(sorted(self.live)))
            self.live[name] = msgspec.structs.replace(self.live[name], series=series)

    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        if self.live:
            name = data.draw(st.sampled_from(sorted(self.live)))
            self.hidden[name] = self.live.pop(name)

    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        back = sorted(self.hidden)
        if back:
            name = data.draw(st.sampled_from(back))
            self.live[name] = self.hidden.pop(name)

    @rule(seconds=st.sampled_from([1, 20, 60, 400, 901, 7200]))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(data=st.data())
    def pull_partly(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(sorted(self.live)))) if self.live else []
        self.pull(Listing(self.now, tuple(self.aged(self.live[name]) for name in some), {}, covers=None))

    @rule(data=st.data())
    def pull_all(self, data: st.DataObject) -> None:
        self.pull(self.complete(data))

    @rule(data=st.data())
    def stop_before_the_commit(self, data: st.DataObject) -> None:
        """All is worked out, and lost with the process."""
        if isinstance(self.store, Memory):
            post(self.store.books, self.store.kept, self.complete(data), self.policy)
        self.store.reopen()

    def complete(self, data: st.DataObject) -> Listing:
        """What a provider's room returns: all that matters, in any order, some of it twice."""
        since, held = self.store.since(), self.store.held()
        matter = [
            n for n, s in self.live.items() if since is None or s.created >= since or n in held or not s.ended
        ]
        twice = data.draw(st.lists(st.sampled_from(matter))) if matter else []
        rows = [self.aged(self.live[name]) for name in matter]
        rows += [self.overlap(self.aged(self.live[name]), data) for name in twice]
        missing = tuple(name for name in held if name not in self.live)
        return Listing(self.now, tuple(data.draw(st.permutations(rows))), {}, self.now, missing)

    def overlap(self, one: Session, data: st.DataObject) -> Session:
        """The same session as another page shows it: figures of another moment, perhaps not yet ended."""
        more = one.usage.proxy_bytes + data.draw(st.integers(0, 9))
        twin = msgspec.structs.replace(one, usage=msgspec.structs.replace(one.usage, proxy_bytes=more))
        if data.draw(st.booleans()) and one.id in self.endings:
            return msgspec.structs.replace(twin, ended=None, ending=None, status="running")
        return twin

    def pull(self, listing: Listing) -> None:
        since = self.store.since()
        self.store.record(listing, self.policy)
        self.see(listing.sessions, T0 - 99 * HOUR if since is None else since)
        for name in listing.missing:
            since = self.absent.setdefault(name, self.now)
            if self.now - since >= SETTLE and name in self.truth:
                self.closed.add(name)
                self.endings.setdefault(name, ("unknown", self.truth[name].time))

    def see(self, sessions: Iterable[Session], since: int) -> None:
        """Written off are those that had ended when they were first listed, after much later ones."""
        for one in sessions:
            self.absent.pop(one.id, None)
            if one.id not in self.truth and one.created < since and one.ended is not None:
                continue
            self.first.setdefault(one.id, one.series)
            old = self.truth.get(one.id, Usage())
            self.truth[one.id] = Usage(*(max(pair) for pair in zip(
                msgspec.structs.astuple(old), msgspec.structs.astuple(one.usage), strict=True)))  # fmt: skip
            if one.ending is not None:
                self.endings.setdefault(one.id, (one.ending, self.truth[one.id].time))

    def expected(self) -> Counter[Entry]:
        sums: Counter[Entry] = Counter()
        for name, use in self.truth.items():
            sums[Entry(self.first[name], STARTED)] += 1
            sums[Entry(self.first[name], TIME)] += use.time
            sums[Entry(self.first[name], PROXY_BYTES)] += use.proxy_bytes
            sums[Entry(self.first[name], COST, "browser")] += use.browser_cost
            sums[Entry(self.first[name], COST, "proxy")] += use.proxy_cost
        for name, (status, duration) in self.endings.items():
            sums[Entry(self.first[name], ENDED, status)] += 1
            sums[Entry(self.first[name], DURATION, bucket(duration))] += 1
            sums[Entry(self.first[name], DURATION_SUM)] += duration
        return +sums

    @invariant()
    def exact_and_never_falling(self) -> None:
        totals = self.store.totals()
        assert all(totals.get(entry, 0) >= amount for entry, amount in self.last.items())
        self.last = totals
        counted = {entry: amount for entry, amount in totals.items() if entry.counter != REVISIONS}
        assert counted == dict(self.expected())

    @precondition(lambda self: self.store.since() is not None)
    @rule(data=st.data())
    def recent_rows_only(self, data: st.DataObject) -> None:
        """Two complete pulls, settle_after apart, leave only what is open or was just created."""
        self.pull(self.complete(data))
        self.now += SETTLE + SECOND
        self.pull(self.complete(data))
        still_open = sum(1 for one in self.live.values() if one.ended is None)
        assert self.store.rows() <= still_open + len(self.closed)


TestWorld = World.TestCase
TestWorld.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def sums(*postings: Posting) -> Counter[Entry]:
    return sum((Counter(posting.added) for posting in postings), Counter())


def after(first: Posting, second: Listing, rules: Rules = RULES) -> Posting:
    return post(first.books, {row.id: row for row in first.changed}, second, rules)


def test_a_lowered_figure_is_counted_once_and_changes_no_total() -> None:
    one = post(None, {}, listing(session(usage=Usage(MINUTE, 500))), RULES)
    lower = listing(session(usage=Usage(MINUTE, 400)))
    two = after(one, lower)
    three = post(two.books, {row.id: row for row in two.changed}, lower, RULES)
    assert two.added == {Entry(Series("", ""), REVISIONS): 1}
    assert three.added == {}


def test_an_open_session_read_at_an_earlier_clock_is_no_revision() -> None:
    one = post(None, {}, listing(session(usage=Usage(2 * MINUTE))), RULES)
    assert after(one, listing(session(usage=Usage(MINUTE)))).added == {}


def test_a_figure_that_rises_after_falling_adds_only_what_is_above_the_highest() -> None:
    one = post(None, {}, listing(session(usage=Usage(MINUTE, 500))), RULES)
    two = after(one, listing(session(usage=Usage(MINUTE, 400))))
    three = after(two, listing(session(usage=Usage(MINUTE, 501))))
    assert three.added == {Entry(WEST, PROXY_BYTES): 1}


PRICED = Rules(SETTLE, browser_per_hour=120_000_000, proxy_per_gb=12_000_000_000, minimum=MINUTE)


@pytest.mark.parametrize("step", [1, 7 * SECOND, 61 * SECOND])
def test_estimated_cost_is_that_of_the_whole_session_however_often_it_was_read(step: int) -> None:
    store = Memory()
    end = 3 * MINUTE + 333_333
    for time in [*range(0, end, max(step, end // 50)), end]:
        use = Usage(time, proxy_bytes=1_000_003 * time // MINUTE)
        store.record(listing(session(usage=use), time=T0 + time), PRICED)
    costs = {entry.detail: n for entry, n in store.totals().items() if entry.counter == COST}
    assert costs == {
        "browser": round(120_000_000 * end / HOUR),
        "proxy": round(12_000_000_000 * (1_000_003 * end // MINUTE) / 10**9),
    }


def test_a_session_costs_at_least_the_minimum_once_it_has_started() -> None:
    pending = post(None, {}, listing(session(status="pending", usage=Usage(), started=None)), PRICED)
    started = after(pending, listing(session(usage=Usage(SECOND))), PRICED)
    later = after(started, listing(session(usage=Usage(59 * SECOND))), PRICED)
    assert pending.added == {Entry(WEST, STARTED): 1}
    assert started.added[Entry(WEST, COST, "browser")] == 2_000_000
    assert Entry(WEST, COST, "browser") not in later.added


def test_a_new_price_does_not_move_the_past() -> None:
    store, browser = Memory(), Entry(WEST, COST, "browser")
    dearer = msgspec.structs.replace(PRICED, browser_per_hour=240_000_000)
    store.record(listing(session(usage=Usage(HOUR))), PRICED)
    store.record(listing(session(usage=Usage(HOUR))), dearer)
    assert store.totals()[browser] == 120_000_000
    store.record(listing(session(usage=Usage(2 * HOUR))), dearer)
    assert store.totals()[browser] == 360_000_000


SKIP = Rules(SETTLE, skip=True)


def test_skip_leaves_out_what_had_ended_and_counts_open_sessions_from_their_figures() -> None:
    past = session(id="past", status="error", ending="error", ended=T0, usage=Usage(MINUTE, 70))
    now = T0 + HOUR
    one = post(None, {}, listing(past, session(usage=Usage(HOUR, 100)), time=now), SKIP)
    two = after(one, listing(past, session(usage=Usage(HOUR + MINUTE, 150)), time=now + MINUTE), SKIP)
    assert one.added == {}
    assert two.added == {Entry(WEST, TIME): MINUTE, Entry(WEST, PROXY_BYTES): 50}


def test_skip_counts_a_later_session_whole_and_an_open_ones_end() -> None:
    one = post(None, {}, listing(session(), time=T0 + MINUTE), SKIP)
    ended = session(status="error", ending="error", ended=T0 + MINUTE + 1, usage=Usage(MINUTE + 1))
    fresh = session(id="s2", created=T0 + MINUTE + 1)
    two = after(one, listing(ended, fresh, time=T0 + 2 * MINUTE), SKIP)
    assert two.added[Entry(WEST, ENDED, "error")] == 1
    assert two.added[Entry(WEST, STARTED)] == 1
    assert two.added[Entry(WEST, TIME)] == MINUTE + 1


def test_skip_does_not_ask_for_history_after_an_empty_first_listing() -> None:
    assert post(None, {}, listing(), SKIP).books.since == T0 + MINUTE - SETTLE


def test_the_watermark_does_not_follow_a_clock_that_runs_ahead_of_the_sessions() -> None:
    one = post(None, {}, listing(session(), time=T0 + 9 * HOUR), RULES)
    two = after(one, listing(session(), session(id="s2", created=T0 + MINUTE), time=T0 + 2 * MINUTE))
    assert two.added[Entry(WEST, STARTED)] == 1


def test_the_watermark_never_moves_back_and_never_on_a_partial_listing() -> None:
    books = Books(began=T0, complete=True, since=T0 + HOUR, newest=T0 + 2 * HOUR)
    assert post(books, {}, listing(), RULES).books.since == T0 + HOUR
    later = listing(session(created=T0 + 9 * HOUR), time=T0 + 9 * HOUR, covers=None)
    assert post(books, {}, later, RULES).books.since == T0 + HOUR


def test_an_ended_session_that_opens_again_ends_once() -> None:
    done = session(status="completed", ending="completed", ended=T0 + MINUTE)
    one = post(None, {}, listing(done), RULES)
    two = after(one, listing(session(usage=Usage(5 * MINUTE)), time=T0 + 5 * MINUTE))
    three = after(two, listing(done, time=T0 + 6 * MINUTE))
    assert sums(one, two, three)[Entry(WEST, ENDED, "completed")] == 1
    assert not two.changed[0].settled


@pytest.mark.parametrize(
    ("duration", "bound"), [(0, "10"), (10, "10"), (11, "30"), (21600, "21600"), (21601, "+Inf")]
)
def test_a_bucket_holds_its_upper_bound(duration: int, bound: str) -> None:
    assert bucket(duration * SECOND) == bound


def test_an_open_session_counts_however_late_it_is_listed() -> None:
    one = post(None, {}, listing(session(created=T0 + HOUR), time=T0 + 2 * HOUR), RULES)
    late = session(id="late", created=T0)
    assert after(one, listing(late, time=T0 + 2 * HOUR)).added[Entry(WEST, STARTED)] == 1


def test_skip_leaves_out_what_ended_in_the_second_in_which_the_ledger_began() -> None:
    done = session(status="error", ending="error", ended=T0 + MINUTE + SECOND // 2)
    one = post(None, {}, listing(done), SKIP)
    assert (one.added, one.changed) == ({}, ())


def test_an_end_before_the_last_reading_is_no_revision() -> None:
    one = post(None, {}, listing(session(usage=Usage(MINUTE))), RULES)
    done = session(status="error", ending="error", ended=T0 + MINUTE - 1, usage=Usage(MINUTE - 1))
    assert Entry(Series("", ""), REVISIONS) not in after(one, listing(done)).added
