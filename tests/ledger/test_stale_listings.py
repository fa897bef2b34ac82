"""Listings that overtake each other: several exporters ask, and record in another order."""

from collections import Counter
from collections.abc import Iterator

import msgspec
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exporter.ledger.accounting import AccountingPolicy
from exporter.metrics.counters import ACCOUNT_WIDE, ENDED, PROXY_BYTES, REVISIONS, STARTED, TIME, CounterKey
from exporter.model import HOUR, SECOND, Listing, ReadWindow, Session, Usage
from tests.support.accounting_machine import Memory
from tests.support.examples import examples
from tests.support.listings import MINUTE, RULES, SKIP, T0, WEST, listing, session

REPLICAS = range(3)


class AccountScrape(msgspec.Struct, frozen=True):
    """A listing that a replica has read, and how many were counted before it asked."""

    listing: Listing
    known: int


class Overtaking(RuleBasedStateMachine):
    """Replicas that ask and record whenever they like, while sessions begin, grow, end and leave."""

    policy = RULES

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.live: dict[str, Session] = {}
        self.hidden: str | None = None
        self.final: dict[str, Usage] = {}
        self.read: dict[int, AccountScrape] = {}
        self.progress = Memory()
        self.last: dict[CounterKey, int] = {}

    def listed(self) -> Iterator[Session]:
        for name, one in self.live.items():
            if name != self.hidden:
                time = (self.now if one.ended is None else one.ended) - one.created
                yield msgspec.structs.replace(one, usage=msgspec.structs.replace(one.usage, time=time))

    def complete(self, window: ReadWindow) -> Listing:
        """What a reader returns of a window."""
        rows = list(self.listed())
        asked = [
            one
            for one in rows
            if window.includes(one.id, one.created, is_open=one.ended is None, ended=one.ended)
        ]
        missing = tuple(window.unsettled.keys() - {one.id for one in rows})
        return Listing(self.now, tuple(asked), {}, self.now, missing)

    def count(self, asked: AccountScrape) -> None:
        counted = self.progress.progress.listings if self.progress.progress else 0
        self.progress.record(asked.listing, self.policy, is_stale=counted != asked.known)

    def asking(self) -> AccountScrape:
        window, progress = self.progress.window(self.policy), self.progress.progress
        return AccountScrape(self.complete(window), progress.listings if progress else 0)

    @rule(replica=st.sampled_from(REPLICAS))
    def ask(self, replica: int) -> None:
        self.read[replica] = self.asking()

    @rule(replica=st.sampled_from(REPLICAS))
    def record(self, replica: int) -> None:
        if replica in self.read:
            self.count(self.read.pop(replica))

    @rule()
    def ask_and_record(self) -> None:
        self.count(self.asking())

    @rule()
    def start(self) -> None:
        name = f"s{len(self.live) + len(self.final)}"
        self.live[name] = session(id=name, created=self.now, started=self.now, usage=Usage(0, 1))

    @rule(data=st.data(), by=st.integers(1, 500))
    def grow(self, data: st.DataObject, by: int) -> None:
        growing = sorted(n for n, one in self.live.items() if one.ended is None)
        if growing:
            one = self.live[name := data.draw(st.sampled_from(growing))]
            usage = Usage(0, one.usage.proxy_bytes + by)
            self.live[name] = msgspec.structs.replace(one, usage=usage)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        running = sorted(n for n, one in self.live.items() if one.ended is None)
        if running:
            name = data.draw(st.sampled_from(running))
            self.live[name] = msgspec.structs.replace(
                self.live[name], status="completed", ending="completed", ended=self.now
            )

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Once its last figures were recorded, as they are when somebody scrapes in so many days."""
        done = sorted(n for n, one in self.live.items() if one.ended is not None and self.settled(n))
        if done:
            name = data.draw(st.sampled_from(done))
            self.final[name] = self.usage(self.live.pop(name))

    def settled(self, name: str) -> bool:
        row, since = self.progress.kept.get(name), self.progress.window(self.policy).watermark
        gone = row is None and since is not None and self.live[name].created < since
        return gone or (row is not None and row.settled)

    @rule(data=st.data(), replica=st.sampled_from([*REPLICAS, None]))
    def blink(self, data: st.DataObject, replica: int | None) -> None:
        """A session is off the list while somebody asks, and back before it is missed for long."""
        if self.live:
            self.hidden = data.draw(st.sampled_from(sorted(self.live)))
            if replica is None:
                self.ask_and_record()
            else:
                self.ask(replica)
            self.hidden = None
            self.ask_and_record()

    @rule(replica=st.sampled_from(REPLICAS), since=st.integers(0, 14), length=st.integers(0, 60))
    def list_late(self, replica: int, since: int, length: int) -> None:
        """Lists lag: one replica sees a session that has ended, a newer reading of another does not yet."""
        name, ended = f"s{len(self.live) + len(self.final)}", self.now - since * MINUTE
        created = ended - length * MINUTE
        self.live[name] = session(
            id=name, created=created, started=created, usage=Usage(0, 1), ended=ended, status="completed",
            ending="completed",
        )  # fmt: skip
        self.ask(replica)
        self.hidden = name
        self.ask_and_record()
        self.hidden = None
        self.record(replica)

    @rule(seconds=st.sampled_from([1, 60, 240, 901, 4000]))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds * SECOND

    def usage(self, one: Session) -> Usage:
        ended = self.now if one.ended is None else one.ended
        return Usage(ended - one.created, one.usage.proxy_bytes)

    def truth(self) -> Counter[CounterKey]:
        used = [*self.final.values(), *map(self.usage, self.live.values())]
        ends = len(self.final) + sum(one.ended is not None for one in self.live.values())
        return Counter(
            {
                CounterKey(WEST, STARTED): len(used),
                CounterKey(WEST, TIME): sum(one.time for one in used),
                CounterKey(WEST, PROXY_BYTES): sum(one.proxy_bytes for one in used),
                CounterKey(WEST, ENDED, "completed"): ends,
            }
        )

    def shown(self) -> dict[CounterKey, int]:
        return {name: n for name, n in self.progress.totals().items() if name.counter in ALL}

    @invariant()
    def never_falling_nor_above_the_truth(self) -> None:
        shown = self.shown()
        assert all(shown[name] >= value for name, value in self.last.items())
        assert all(value <= self.truth()[name] for name, value in shown.items())
        self.last = shown

    @rule()
    def exact_after_a_reading_that_nobody_overtook(self) -> None:
        self.ask_and_record()
        assert self.shown() == +self.truth()


ALL = {STARTED, TIME, PROXY_BYTES, ENDED, REVISIONS}
TestOvertaking = Overtaking.TestCase
TestOvertaking.settings = examples(200, stateful_step_count=40, suppress_health_check=list(HealthCheck))

DONE = session(status="completed", ending="completed", ended=T0 + MINUTE)
NEWER = session(id="s2", created=T0 + HOUR)


def counted(*steps: tuple[Listing, bool], policy: AccountingPolicy = RULES) -> Memory:
    """The progress after these listings, each stale or not."""
    progress = Memory()
    for one, is_stale in steps:
        progress.record(one, policy, is_stale=is_stale)
    return progress


def test_a_session_that_was_open_when_an_overtaken_listing_was_read_counts_once() -> None:
    late = listing(session(), time=T0 + SECOND)
    progress = counted((listing(DONE, NEWER, time=T0 + HOUR), False), (late, True))
    assert progress.totals()[CounterKey(WEST, STARTED)] == 2
    assert progress.totals()[CounterKey(WEST, ENDED, "completed")] == 1


def test_what_an_overtaken_listing_lacks_was_seen_since() -> None:
    seen, lacking = listing(session(), NEWER, time=T0 + HOUR), listing(NEWER, time=T0, missing=("s1",))
    later = listing(NEWER, time=T0 + HOUR + MINUTE, missing=("s1",))
    progress = counted((seen, False), (lacking, True), (later, False))
    assert CounterKey(WEST, ENDED, "unknown") not in progress.totals()


def test_an_overtaken_listing_lowers_no_figure() -> None:
    progress = counted(
        (listing(session(usage=Usage(MINUTE, 500))), False),
        (listing(session(usage=Usage(SECOND, 400))), True),
    )
    assert CounterKey(ACCOUNT_WIDE, REVISIONS) not in progress.totals()


def test_an_overtaken_listing_leaves_out_what_had_ended_before_the_ledger_began() -> None:
    first = listing(DONE, time=T0 + 2 * MINUTE)
    assert counted((first, False), (listing(session()), True), policy=SKIP).totals() == {}


def test_of_two_that_overtake_each_other_for_ever_one_counts_as_if_alone() -> None:
    progress = counted((listing(), False), (listing(), True), (listing(), True))
    assert progress.progress is not None
    assert progress.progress.listings == 1
