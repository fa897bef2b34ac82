"""What a history ends with, compared with what the exporter counts of the same sessions."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import hypothesis.strategies as st
from hypothesis import given
from msgspec.structs import replace

from exporter.history.series import OPEN, HistoryPolicy, SeriesHistory, add_session
from exporter.history.steps import Steps, counted, ramped
from exporter.ledger.accounting import AccountingPolicy, apply_listing
from exporter.metrics.counters import COST, ENDED, PROXY_BYTES, STARTED, TIME, CounterKey
from exporter.model import HOUR, NANO_USD, SECOND, Series, Session, Usage
from tests.support.listings import EAST, MINUTE, SETTLE, T0, WEST, listing, session
from tests.support.providers import BROWSERBASE, TRAITS

PRICED = AccountingPolicy(SETTLE, browser_per_hour=NANO_USD, proxy_per_gb=12 * NANO_USD, minimum=MINUTE)
READ = T0 + 24 * HOUR
UNTIL = T0 + 3 * HOUR


def history(sessions: Iterable[Session], until: int = UNTIL) -> dict[Series, SeriesHistory]:
    made: dict[Series, SeriesHistory] = {}
    for one in sessions:
        add_session(one, HistoryPolicy(PRICED, TRAITS[BROWSERBASE], READ, until), made)
    return made


def values(made: dict[Series, SeriesHistory], at: int) -> dict[CounterKey, int]:
    """All counters at a time, but for zeros."""
    steps, found = Steps(SECOND, at), dict[CounterKey, int]()
    for series, one in made.items():
        for counter, label in names(one):
            name = counter, label
            for changes in (counted(one.events(name), steps), ramped(one.ramps(name), steps)):
                found |= {CounterKey(series, counter, label): value for _, value in changes if value}
    return found


def names(one: SeriesHistory) -> Iterator[tuple[str, str]]:
    for counter in (
        STARTED,
        ENDED,
        TIME,
        PROXY_BYTES,
        COST,
        "duration",
        "duration_sum",
        "start",
        "start_sum",
    ):
        yield from ((counter, label) for label in one.names(counter))


def counted_by_exporter(sessions: Iterable[Session], time: int) -> dict[CounterKey, int]:
    """What the exporter's totals are after a first listing of these sessions."""
    update = apply_listing(None, {}, listing(*sessions, time=time), PRICED)
    return {key: value for key, value in update.added.items() if value}


@st.composite
def any_session(draw: st.DrawFn) -> Session:
    created = T0 + draw(st.integers(0, 4 * HOUR))
    started = created + draw(st.integers(0, MINUTE))
    ended = started + draw(st.one_of(st.just(0), st.integers(0, 2 * HOUR)))
    is_open, ending = draw(st.booleans()), draw(st.sampled_from(["completed", "error", None]))
    use = Usage((READ if is_open else ended) - started, *(draw(st.integers(0, 10**9)) for _ in range(3)))
    return session(
        id=draw(st.uuids()).hex,
        series=draw(st.sampled_from([WEST, EAST])),
        created=created,
        started=started,
        ended=None if is_open else ended,
        status="running" if is_open else ending or "odd",
        ending=None if is_open else ending,
        expires=draw(st.sampled_from([None, started + HOUR])),
        usage=use,
        start_latency=draw(st.sampled_from([None, started - created])),
    )


def as_listed(one: Session, at: int, share: float) -> Session:
    """A session as the provider listed it at a time; of traffic not settled it may tell any part."""
    ended = one.ended is not None and one.ended <= at
    use = one.usage if ended else replace(one.usage, time=at - (one.started or at))
    if one.ended is None or one.ended + SETTLE > at:
        less = (int(share * figure) for figure in (use.proxy_bytes, use.browser_cost, use.proxy_cost))
        use = Usage(max(0, use.time), *less)
    if one.started is not None and one.started > at:
        one = replace(one, started=None, status="pending", start_latency=None)
    return replace(one, usage=use) if ended else replace(one, usage=use, ended=None, ending=None)


@given(st.lists(any_session(), max_size=8))
def test_a_history_of_settled_sessions_ends_with_the_exporters_totals(sessions: list[Session]) -> None:
    settled = [one for one in sessions if one.ended is not None]
    assert values(history(settled, READ), READ) == counted_by_exporter(settled, READ)


@given(st.lists(any_session(), max_size=8), st.sampled_from([0.0, 0.4, 1.0]))
def test_a_history_is_never_above_what_the_exporter_counts_where_it_ends(
    sessions: list[Session], share: float
) -> None:
    """Else Prometheus would take the exporter's first sample for a reset."""
    then = counted_by_exporter(
        [as_listed(one, UNTIL, share) for one in sessions if one.created <= UNTIL], UNTIL
    )
    made = history(sessions)
    for key, value in values(made, UNTIL).items():
        assert value <= then.get(key, 0), key
    for key in {key for key in then if key.counter == TIME}:
        assert values(made, UNTIL)[key] == then[key], "time is exact, of open sessions, too"


@given(st.lists(any_session(), max_size=8))
def test_no_counter_falls(sessions: list[Session]) -> None:
    made = history(sessions)
    for one in made.values():
        for name in names(one):
            assert all(amount >= 0 for _, amount in one.events(name))
            assert all(begin <= end and amount >= 0 for begin, end, amount in one.ramps(name))


def test_traffic_and_cost_are_spread_evenly_over_a_sessions_time() -> None:
    done = session(status="completed", ending="completed", ended=T0 + HOUR, usage=Usage(HOUR, 10**9))
    made = history([done])
    half = values(made, T0 + HOUR // 2)
    assert half == {
        CounterKey(WEST, STARTED): 1,
        CounterKey(WEST, TIME): HOUR // 2,
        CounterKey(WEST, PROXY_BYTES): 10**9 // 2,
        CounterKey(WEST, COST, "browser"): NANO_USD // 2,
        CounterKey(WEST, COST, "proxy"): 6 * NANO_USD,
    }


def test_a_session_is_open_from_its_creation_to_its_end_under_its_status_of_the_time() -> None:
    ran = session(
        started=T0 + 5 * SECOND, status="completed", ending="completed", ended=T0 + 9 * SECOND, id="ran"
    )
    still = session(created=T0 + 7 * SECOND, started=T0 + 7 * SECOND, id="still")
    waits = session(created=T0 + 8 * SECOND, started=None, status="pending", id="waits")
    one = history([ran, still, waits])[WEST]
    steps = Steps(SECOND, T0 + 20 * SECOND)
    shown = {
        status: [
            ((at - T0) // SECOND, value)
            for at, group in groupby(counted(one.events((OPEN, status)), steps), lambda change: change[0])
            for _, value in group
        ]
        for status in one.names(OPEN)
    }
    assert shown == {"pending": [(0, 1), (5, 0), (8, 1)], "running": [(5, 1), (7, 2), (9, 1)]}
