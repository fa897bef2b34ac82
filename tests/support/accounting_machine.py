"""A provider's random history, counted by accounting and compared with the expected totals.

The expected totals come from the test's own memory of every reading: nothing is asked of the code but what
the next scrape has to read.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.ledger.accounting import (
    AccountingPolicy,
    AccountProgress,
    LedgerUpdate,
    Rejection,
    Row,
    apply_listing,
    bucket,
)
from exporter.ledger.queries import AccountState
from exporter.metrics.counters import (
    COST,
    DURATION,
    DURATION_SUM,
    ENDED,
    PROXY_BYTES,
    REVISIONS,
    START,
    START_BUCKETS,
    START_SUM,
    STARTED,
    TIME,
    CounterKey,
)
from exporter.model import HOUR, SECOND, UNKNOWN, Listing, ReadWindow, Series, Session, Usage
from tests.support.listings import EAST, MINUTE, RULES, SETTLE, T0, WEST, session

NEVER = T0 - 1000 * HOUR
TEAM = Series("p1", "us-west-2", (("team", "checkout"),))
LATENCIES = st.sampled_from([None, 0, 700_000, 3 * SECOND, 500 * SECOND])
STATUSES = st.sampled_from(["completed", "error", "timed_out", "releasing"])


class Store(Protocol):
    """Something that keeps rows and totals: in memory here, the real ledger in test_store."""

    def record(self, listing: Listing, policy: AccountingPolicy) -> None: ...
    def window(self, policy: AccountingPolicy) -> ReadWindow: ...
    def totals(self) -> dict[CounterKey, int]: ...
    def rows(self) -> int: ...
    def reopen(self) -> None: ...


class Memory:
    """The ledger's part, done with dictionaries."""

    def __init__(self) -> None:
        self.progress: AccountProgress | None = None
        self.kept: dict[str, Row] = {}
        self.rejected: dict[str, Rejection] = {}
        self.sums: Counter[CounterKey] = Counter()

    def record(self, listing: Listing, policy: AccountingPolicy, *, is_stale: bool = False) -> None:
        self.commit(self.count(listing, policy, is_stale=is_stale))

    def count(self, listing: Listing, policy: AccountingPolicy, *, is_stale: bool = False) -> LedgerUpdate:
        return apply_listing(
            self.progress, self.kept, listing, policy, rejected=self.rejected, is_stale=is_stale
        )

    def commit(self, ledger_update: LedgerUpdate) -> None:
        self.progress = ledger_update.progress
        assert all(amount > 0 for amount in ledger_update.added.values())
        self.sums.update(ledger_update.added)
        self.kept |= {row.id: row for row in ledger_update.changed}
        self.rejected |= ledger_update.rejected
        for name in ledger_update.forgotten:
            del self.rejected[name]
        since = ledger_update.progress.watermark
        self.kept = {
            name: row
            for name, row in self.kept.items()
            if not (row.settled and since is not None and row.created < since and row.missing is None)
        }

    def window(self, policy: AccountingPolicy) -> ReadWindow:
        return AccountState(
            progress=self.progress,
            unsettled={name: row.created for name, row in self.kept.items() if not row.settled},
            departed=frozenset(name for name, row in self.kept.items() if row.settled and row.missing),
            rejected=frozenset(self.rejected),
        ).window(policy)

    def totals(self) -> dict[CounterKey, int]:
        return dict(self.sums)

    def rows(self) -> int:
        return len(self.kept)

    def reopen(self) -> None:
        """Memory has no file to open again."""


@dataclass
class Known:
    """What the test remembers of a session that counts."""

    series: Series
    usage: Usage
    open_cost: int = 0
    start: int | None = None
    ended: int | None = None
    ending: tuple[str, int] | None = None
    absent: int | None = None
    settled: bool = False

    def see(self, one: Session, now: int) -> None:
        """A reading with a sound row of it."""
        self.absent = None
        if one.ended is None and self.ended is not None:
            self.settled = False
            return
        self.usage = highest(self.usage, self.figures(one))
        self.start = one.start_latency if self.start is None else self.start
        if one.ended is None:
            self.open_cost = one.usage.browser_cost
            self.settled = False
            return
        if one.end_is_known or self.ended is None:
            self.ended = self.end(one)
        assert self.ended is not None
        self.settled = now >= self.ended + SETTLE
        if one.ending is not None or self.settled:
            self.ending = self.ending or (one.ending or one.status, self.usage.time)

    def end(self, one: Session) -> int:
        assert one.ended is not None
        if one.end_is_known or one.expires is None:
            return one.ended
        return min(one.ended, one.expires)

    def figures(self, one: Session) -> Usage:
        use = one.usage
        if one.ended is None:
            most = use.time if one.expires is None else one.expires + MINUTE - one.created
            return Usage(max(0, min(use.time, most)), use.proxy_bytes, 0, use.proxy_cost)
        if one.end_is_known:
            return use
        time = self.usage.time if self.ended is not None else max(0, self.end(one) - one.created)
        return msgspec.structs.replace(use, time=time)

    def lack(self, now: int) -> None:
        """A reading without it: it left the list, or its row is unusable."""
        if self.settled:
            return
        self.absent = now if self.absent is None else self.absent
        if now - self.absent >= SETTLE:
            if self.ended is None:
                self.usage = highest(self.usage, Usage(browser_cost=self.open_cost))
            self.ending = self.ending or (UNKNOWN, self.usage.time)
            self.settled = True


def highest(one: Usage, other: Usage) -> Usage:
    return Usage(*map(max, msgspec.structs.astuple(one), msgspec.structs.astuple(other)))


class World(RuleBasedStateMachine):
    """A provider's sessions, and scrapes of every kind; `known` holds what was seen, session by session.

    passed: sessions created until then are over, unless they were seen: later ones had been listed by a
    complete reading at least SETTLE after. latest: the time of the latest reading.
    """

    policy = RULES
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.live: dict[str, Session] = {}
        self.hidden: dict[str, Session] = {}
        self.unusable: set[str] = set()
        self.known: dict[str, Known] = {}
        self.rejected: dict[str, tuple[int, int]] = {}
        self.passed = self.newest = self.latest = NEVER
        self.closed: set[str] = set()
        self.last: dict[CounterKey, int] = {}
        self.store = self.make()

    def make(self) -> Store:
        return Memory()

    # What the provider does.

    def aged(self, one: Session) -> Session:
        """An open session's time is what has passed since it started; an end not known moves along."""
        if one.ended is not None and not one.end_is_known:
            one = msgspec.structs.replace(one, ended=self.now)
        time = (one.ended if one.ended is not None else self.now) - one.created
        return msgspec.structs.replace(one, usage=msgspec.structs.replace(one.usage, time=time))

    def is_changeable(self, name: str) -> bool:
        one, known = self.live[name], self.known.get(name)
        end = one.ended if one.end_is_known else known.ended if known else None
        return end is None or self.now < end + SETTLE

    def changeable(self) -> list[str]:
        return sorted(name for name in self.live if self.is_changeable(name))

    def add(self, series: Series, created: int, **fields: object) -> None:
        name = f"s{len(self.live) + len(self.hidden)}"
        self.live[name] = session(id=name, series=series, created=created, started=created, **fields)

    @initialize(history=st.integers(0, 5))
    def begin(self, history: int) -> None:
        for age in range(history):
            created = T0 - (age + 1) * HOUR
            self.add(WEST, created, ended=created + MINUTE * age, status="completed", ending="completed",
                     usage=Usage(0, 100 * age, 5 * age, age))  # fmt: skip

    @rule(
        series=st.sampled_from([WEST, EAST, TEAM, Series("p2", "unknown")]),
        lives=st.sampled_from([None, 5, 120]),
        latency=LATENCIES,
    )
    def start(self, series: Series, lives: int | None, latency: int | None) -> None:
        expires = lives and self.now + lives * MINUTE
        self.add(series, self.now, expires=expires, start_latency=latency)

    @rule(data=st.data(), latency=LATENCIES)
    def tell_or_change_the_start(self, data: st.DataObject, latency: int | None) -> None:
        """How long a session took to start is told late, told otherwise, or not told any more."""
        if self.changeable():
            name = data.draw(st.sampled_from(self.changeable()))
            self.live[name] = msgspec.structs.replace(self.live[name], start_latency=latency)

    @rule(age=st.integers(0, 40), length=st.integers(0, 40))
    def list_late(self, age: int, length: int) -> None:
        """The list lags: a session is first shown when it has ended."""
        created = self.now - age * MINUTE - 1
        ended = min(self.now, created + length * MINUTE)
        self.add(WEST, created, ended=ended, status="error", ending="error", usage=Usage(0, 3, 2, 1))

    @rule(data=st.data(), by=st.integers(-500, 500))
    def grow_or_shrink(self, data: st.DataObject, by: int) -> None:
        if self.changeable():
            one = self.live[name := data.draw(st.sampled_from(self.changeable()))]
            use = one.usage
            usage = Usage(
                0, max(0, use.proxy_bytes + by), max(0, use.browser_cost + 2 * by), use.proxy_cost + abs(by)
            )
            self.live[name] = msgspec.structs.replace(one, usage=usage)

    @rule(
        data=st.data(),
        status=STATUSES,
        ago=st.sampled_from([0, 50, 10**10]),
        known=st.sampled_from([1, 1, 0]),
    )
    def end_or_relabel_end(self, data: st.DataObject, status: str, ago: int, known: int) -> None:
        """An end that an open session's reading may have overtaken, that moves, or of an unknown status."""
        if self.changeable():
            one = self.live[name := data.draw(st.sampled_from(self.changeable()))]
            if one.ended is None:
                ended = max(one.created, self.now - ago * SECOND)
                one = msgspec.structs.replace(one, ended=ended, end_is_known=bool(known))
            ending = None if status == "releasing" else status
            self.live[name] = msgspec.structs.replace(one, status=status, ending=ending)

    @rule(data=st.data())
    def tell_the_end(self, data: st.DataObject) -> None:
        """A provider that gave no end gives one."""
        moving = [name for name in self.changeable() if not self.live[name].end_is_known]
        if moving:
            name = data.draw(st.sampled_from(moving))
            self.live[name] = msgspec.structs.replace(self.live[name], end_is_known=True)

    @rule(data=st.data(), late=st.integers(0, 14))
    def meter_late(self, data: st.DataObject, late: int) -> None:
        """The usage of an ended session is still reported minutes later."""
        running = sorted(name for name in self.changeable() if self.live[name].ended is None)
        if running:
            one = self.live[name := data.draw(st.sampled_from(running))]
            self.now += SETTLE
            self.live[name] = msgspec.structs.replace(one, status="error", ending="error", ended=self.now)
            self.scrape_all(data)
            self.now += late * MINUTE
            self.scrape_all(data)
            grown = msgspec.structs.replace(one.usage, proxy_bytes=one.usage.proxy_bytes + 7)
            self.live[name] = msgspec.structs.replace(self.live[name], usage=grown)
            self.scrape_all(data)

    @rule(data=st.data(), series=st.sampled_from([WEST, EAST, TEAM]))
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

    @rule(data=st.data())
    def break_or_mend_a_row(self, data: st.DataObject) -> None:
        if self.live:
            self.unusable ^= {data.draw(st.sampled_from(sorted(self.live)))}

    @rule(seconds=st.sampled_from([1, 20, 60, 400, 901, 7200]))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds * SECOND

    # What scrapes read.

    @rule(data=st.data())
    def scrape_partly(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(sorted(self.live)))) if self.live else []
        sound = tuple(self.aged(self.live[name]) for name in some if name not in self.unusable)
        self.scrape(
            Listing(self.now, sound, {}, covers=None, rejected_ids=frozenset(some) & self.unusable), sound
        )

    @rule(data=st.data())
    def scrape_all(self, data: st.DataObject) -> None:
        self.scrape(*self.complete(data))

    @rule(data=st.data())
    def scrape_an_ended_one_as_open(self, data: st.DataObject) -> None:
        """A replica of the provider's that lags, asked when the end was seen elsewhere."""
        ended = [name for name in self.changeable() if name in self.known and self.known[name].ended]
        if ended:
            self.scrape(*self.complete(data, reopened=data.draw(st.sampled_from(ended))))

    @rule(data=st.data())
    def stop_before_the_commit(self, data: st.DataObject) -> None:
        """All is worked out, and lost with the process."""
        if isinstance(self.store, Memory):
            self.store.count(self.complete(data)[0], self.policy)
        self.store.reopen()

    def complete(self, data: st.DataObject, reopened: str = "") -> tuple[Listing, list[Session]]:
        """What a reader returns of the window, in any order, some of it twice; and all that is listed."""
        window = self.store.window(self.policy)
        listed = [self.aged(one) for name, one in self.live.items() if name not in self.unusable]
        listed = [self.as_open(one) if one.id == reopened else one for one in listed]
        asked = [
            one
            for one in listed
            if window.includes(one.id, one.created, is_open=one.ended is None, ended=one.ended)
        ]
        twins = data.draw(st.lists(st.sampled_from(asked))) if asked else []
        more = [self.overlap(one, data) for one in twins]
        rejected = frozenset(self.unusable & self.live.keys())
        missing = tuple(name for name in window.unsettled if name not in self.live)
        rows = tuple(data.draw(st.permutations([*asked, *more])))
        return Listing(self.now, rows, {}, self.now, missing, rejected_ids=rejected), [*listed, *more]

    def overlap(self, one: Session, data: st.DataObject) -> Session:
        """The same session as another page shows it: figures of another moment, perhaps not yet ended."""
        more = one.usage.proxy_bytes + data.draw(st.integers(0, 9 * self.is_changeable(one.id)))
        twin = msgspec.structs.replace(one, usage=msgspec.structs.replace(one.usage, proxy_bytes=more))
        return self.as_open(twin) if data.draw(st.booleans()) else twin

    def as_open(self, one: Session) -> Session:
        usage = Usage(self.now - one.created, one.usage.proxy_bytes + 5, 10_000, one.usage.proxy_cost + 5)
        return msgspec.structs.replace(one, ended=None, ending=None, status="running", usage=usage)

    def scrape(self, listing: Listing, listed: Iterable[Session]) -> None:
        self.store.record(listing, self.policy)
        once: dict[str, list[Session]] = {}
        for one in listed:
            once.setdefault(one.id, []).append(one)
        self.latest = max(self.latest, listing.time)
        for twins in once.values():
            self.see([one for one in twins if one.ended is not None] or twins)
        for name in listing.rejected_ids - self.known.keys():
            self.rejected.setdefault(name, (self.passed, self.latest))
        for name in {*listing.missing, *listing.rejected_ids} & self.known.keys():
            self.known[name].lack(self.now)
            self.closed |= {name} if self.known[name].settled else set()
        self.newest = max([self.newest, *(twins[0].created for twins in once.values())])
        if listing.covers is not None and self.newest > NEVER:
            self.passed = max(self.passed, min(self.now - SETTLE, self.newest))

    def see(self, twins: list[Session]) -> None:
        """A session counts unless it was over, for all that is known, before it was first listed."""
        one = twins[0]
        passed, at = self.rejected.pop(one.id, (self.passed, self.latest))
        over = one.ended is not None and not (one.end_is_known and at < one.ended + SETTLE)
        if one.id not in self.known and one.created <= passed and over:
            return
        known = self.known.setdefault(one.id, Known(one.series, Usage()))
        for other in twins:
            one = msgspec.structs.replace(one, usage=highest(one.usage, other.usage))
        known.see(one, self.now)

    def expected(self) -> Counter[CounterKey]:
        sums: Counter[CounterKey] = Counter()
        for one in self.known.values():
            sums[CounterKey(one.series, STARTED)] += 1
            sums[CounterKey(one.series, TIME)] += one.usage.time
            sums[CounterKey(one.series, PROXY_BYTES)] += one.usage.proxy_bytes
            sums[CounterKey(one.series, COST, "browser")] += one.usage.browser_cost
            sums[CounterKey(one.series, COST, "proxy")] += one.usage.proxy_cost
            if one.start is not None:
                sums[CounterKey(one.series, START, bucket(one.start, START_BUCKETS))] += 1
                sums[CounterKey(one.series, START_SUM)] += one.start
            if one.ending is not None:
                status, duration = one.ending
                sums[CounterKey(one.series, ENDED, status)] += 1
                sums[CounterKey(one.series, DURATION, bucket(duration))] += 1
                sums[CounterKey(one.series, DURATION_SUM)] += duration
        return +sums

    @invariant()
    def exact_and_never_falling(self) -> None:
        totals = self.store.totals()
        assert all(totals.get(key, 0) >= amount for key, amount in self.last.items())
        self.last = totals
        counted = {key: amount for key, amount in totals.items() if key.counter != REVISIONS}
        assert counted == dict(self.expected())

    @precondition(lambda self: self.passed > NEVER)
    @rule(data=st.data())
    def recent_rows_only(self, data: st.DataObject) -> None:
        """Two complete scrapes, settle_after apart, leave only what is open or was just created."""
        self.scrape(*self.complete(data))
        self.now += SETTLE + SECOND
        self.scrape(*self.complete(data))
        still_open = sum(1 for one in self.live.values() if one.ended is None)
        assert self.store.rows() <= still_open + len(self.closed)


def sums(*updates: LedgerUpdate) -> Counter[CounterKey]:
    return sum((Counter(ledger_update.added) for ledger_update in updates), Counter())
