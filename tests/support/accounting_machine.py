"""A provider's random history, counted by accounting and held against the expected totals."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.ledger.accounting import (
    AccountingPolicy,
    AccountProgress,
    LedgerUpdate,
    Row,
    apply_listing,
    bucket,
)
from exporter.metrics.counters import (
    COST,
    DURATION,
    DURATION_SUM,
    ENDED,
    PROXY_BYTES,
    REVISIONS,
    STARTED,
    TIME,
    CounterKey,
)
from exporter.model import HOUR, SECOND, Listing, Series, Session, Usage
from tests.support.listings import EAST, MINUTE, RULES, SETTLE, T0, WEST, session


class Store(Protocol):
    """Something that keeps the progress: in memory here, the real ledger in test_ledger."""

    def record(self, listing: Listing, policy: AccountingPolicy) -> None: ...
    def unsettled(self) -> dict[str, int]: ...
    def watermark(self) -> int | None: ...
    def totals(self) -> dict[CounterKey, int]: ...
    def rows(self) -> int: ...
    def reopen(self) -> None: ...


class Memory:
    """The ledger's part, done with dictionaries."""

    def __init__(self) -> None:
        self.progress: AccountProgress | None = None
        self.kept: dict[str, Row] = {}
        self.sums: Counter[CounterKey] = Counter()

    def record(self, listing: Listing, policy: AccountingPolicy) -> None:
        self.commit(apply_listing(self.progress, self.kept, listing, policy))

    def commit(self, ledger_update: LedgerUpdate) -> None:
        self.progress = ledger_update.progress
        assert all(amount > 0 for amount in ledger_update.added.values())
        self.sums.update(ledger_update.added)
        self.kept |= {row.id: row for row in ledger_update.changed}
        since = ledger_update.progress.watermark
        self.kept = {
            name: row
            for name, row in self.kept.items()
            if not (row.settled and since is not None and row.created < since and row.missing is None)
        }

    def unsettled(self) -> dict[str, int]:
        return {name: row.created for name, row in self.kept.items() if not row.settled}

    def watermark(self) -> int | None:
        return self.progress.watermark if self.progress else None

    def totals(self) -> dict[CounterKey, int]:
        return dict(self.sums)

    def rows(self) -> int:
        return len(self.kept)

    def reopen(self) -> None:
        """Memory has no file to open again."""


class World(RuleBasedStateMachine):
    """A provider's sessions, and scrapes of every kind; `truth` holds what was seen, session by session."""

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
        self.last: dict[CounterKey, int] = {}
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
            self.scrape_all(data)
            self.now += late * MINUTE
            self.scrape_all(data)
            grown = msgspec.structs.replace(one.usage, proxy_bytes=one.usage.proxy_bytes + 7)
            self.live[name] = msgspec.structs.replace(self.live[name], usage=grown)
            self.scrape_all(data)

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
    def scrape_partly(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(sorted(self.live)))) if self.live else []
        self.scrape(Listing(self.now, tuple(self.aged(self.live[name]) for name in some), {}, covers=None))

    @rule(data=st.data())
    def scrape_all(self, data: st.DataObject) -> None:
        self.scrape(self.complete(data))

    @rule(data=st.data())
    def stop_before_the_commit(self, data: st.DataObject) -> None:
        """All is worked out, and lost with the process."""
        if isinstance(self.store, Memory):
            apply_listing(self.store.progress, self.store.kept, self.complete(data), self.policy)
        self.store.reopen()

    def complete(self, data: st.DataObject) -> Listing:
        """What a provider's room returns: all that matters, in any order, some of it twice."""
        since, held = self.store.watermark(), self.store.unsettled()
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

    def scrape(self, listing: Listing) -> None:
        since = self.store.watermark()
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

    def expected(self) -> Counter[CounterKey]:
        sums: Counter[CounterKey] = Counter()
        for name, use in self.truth.items():
            sums[CounterKey(self.first[name], STARTED)] += 1
            sums[CounterKey(self.first[name], TIME)] += use.time
            sums[CounterKey(self.first[name], PROXY_BYTES)] += use.proxy_bytes
            sums[CounterKey(self.first[name], COST, "browser")] += use.browser_cost
            sums[CounterKey(self.first[name], COST, "proxy")] += use.proxy_cost
        for name, (status, duration) in self.endings.items():
            sums[CounterKey(self.first[name], ENDED, status)] += 1
            sums[CounterKey(self.first[name], DURATION, bucket(duration))] += 1
            sums[CounterKey(self.first[name], DURATION_SUM)] += duration
        return +sums

    @invariant()
    def exact_and_never_falling(self) -> None:
        totals = self.store.totals()
        assert all(totals.get(key_of_counter, 0) >= amount for key_of_counter, amount in self.last.items())
        self.last = totals
        counted = {
            key_of_counter: amount
            for key_of_counter, amount in totals.items()
            if key_of_counter.counter != REVISIONS
        }
        assert counted == dict(self.expected())

    @precondition(lambda self: self.store.watermark() is not None)
    @rule(data=st.data())
    def recent_rows_only(self, data: st.DataObject) -> None:
        """Two complete scrapes, settle_after apart, leave only what is open or was just created."""
        self.scrape(self.complete(data))
        self.now += SETTLE + SECOND
        self.scrape(self.complete(data))
        still_open = sum(1 for one in self.live.values() if one.ended is None)
        assert self.store.rows() <= still_open + len(self.closed)


def sums(*postings: LedgerUpdate) -> Counter[CounterKey]:
    return sum((Counter(ledger_update.added) for ledger_update in postings), Counter())
