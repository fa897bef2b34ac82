"""The fleet is a pure function of seed and time; everything it says agrees with a look at every session."""

from collections import Counter
from decimal import Context, Decimal
from itertools import pairwise
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator import browser_use, browserbase
from exporter.simulator.browser_use import BrowsersQuery
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import (
    BILLING,
    DAY,
    HOUR,
    METERING,
    MILLISECOND,
    MINUTE,
    ORDERS,
    SECOND,
    Fleet,
    ProviderFacts,
    SimulatedSession,
    Wave,
    parse_wave,
    session_at,
)

ORIGIN = 1_767_225_600 * SECOND + 123_456
PROVIDERS = BROWSERBASE, BROWSER_USE = browserbase.FACTS, browser_use.FACTS
FLEET = Fleet(origin=ORIGIN, history=400, retention=2 * HOUR)
LONG = Fleet(origin=ORIGIN, history=10_000_000, retention=10_000_000 * HOUR)

providers = st.sampled_from(PROVIDERS)
moments = st.integers(-3 * HOUR, 10 * HOUR).map(lambda offset: ORIGIN + offset)
fleets = st.builds(
    Fleet,
    origin=st.integers(10**15, 2 * 10**15),
    seed=st.integers(),
    rate=st.floats(0.5, 200),
    history=st.integers(0, 60),
    retention=st.integers(HOUR + METERING, 5 * HOUR),
    longest=st.integers(MINUTE, HOUR),
    error_ratio=st.floats(0, 0.5),
    timeout_ratio=st.floats(0, 0.5),
    order=st.sampled_from(ORDERS),
    billing=st.sampled_from(BILLING),
    waves=st.lists(
        st.builds(
            Wave,
            ending=st.sampled_from(["error", "timed_out"]),
            share=st.floats(0, 1),
            begin=st.integers(-HOUR, 5 * HOUR),
            end=st.integers(-HOUR, 5 * HOUR),
        ),
        max_size=2,
    ).map(tuple),
)


def sessions_until(fleet: Fleet, provider: ProviderFacts, t: int) -> list[SimulatedSession]:
    """Every session created until `t`, found by looking at one after the other."""
    found = []
    index = -fleet.history
    while (session := session_at(fleet, provider, index)).created <= t:
        found.append(session)
        index += 1
    return found


def listed(fleet: Fleet, provider: ProviderFacts, t: int) -> list[SimulatedSession]:
    return [
        session for session in sessions_until(fleet, provider, t) if session.created > t - fleet.retention
    ]


@given(fleets, providers, st.integers(-100, 100))
def test_a_session_depends_on_the_fleet_and_its_index_alone(
    fleet: Fleet, provider: ProviderFacts, index: int
) -> None:
    again = msgspec.structs.replace(fleet)
    kept = session_at(fleet, provider, index)
    session_at.cache_clear()
    assert session_at(again, provider, index) == kept


def test_another_seed_is_another_fleet() -> None:
    other = msgspec.structs.replace(FLEET, seed=FLEET.seed + 1)
    assert session_at(FLEET, BROWSERBASE, 0).id != session_at(other, BROWSERBASE, 0).id
    assert session_at(FLEET, BROWSERBASE, 0).id != session_at(FLEET, BROWSER_USE, 0).id


def test_this_seed_is_this_fleet_on_every_machine() -> None:
    """A changed value means that nobody's seeds show what they did: only a release that says so may do it."""
    session = session_at(FLEET, BROWSER_USE, 4)
    shown = session.id, session.created - ORIGIN, session.ended - session.created, session.traffic
    assert shown == ("3c71dc4a-b3f8-41df-a3da-15f3816a33ac", 242_571_946, 851_596_144, 39_098_320)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda facts: facts.name)
def test_charged_upfront_an_open_session_costs_its_whole_period_and_an_ended_one_its_minutes(
    provider: ProviderFacts,
) -> None:
    upfront = msgspec.structs.replace(FLEET, billing="upfront")
    for index in range(-100, 0):
        metered, charged = (session_at(fleet, provider, index) for fleet in (FLEET, upfront))
        period = -((charged.started - charged.expires) // MINUTE)
        for t in (charged.started, charged.ended - 1):
            assert charged.browser_cost(t) == _dollars(period) >= metered.browser_cost(t)
        for t in (charged.ended, charged.ended + DAY):
            assert charged.browser_cost(t) == metered.browser_cost(t)
        assert msgspec.structs.replace(charged, upfront=False) == metered


def _dollars(minutes: int) -> Decimal:
    """Two cents an hour, to 28 digits."""
    return Context(prec=28).divide(Decimal(minutes) / 50, Decimal(60))


@given(fleets, providers, st.integers(-60, 200))
def test_a_life_is_in_order(fleet: Fleet, provider: ProviderFacts, index: int) -> None:
    session = session_at(fleet, provider, index)
    assert (
        session.created
        <= session.started
        < session.ended
        <= session.expires
        <= session.created + fleet.longest
    )
    assert session.ended <= session.settled < session.ended + METERING
    assert session.created in fleet.slot(index)
    assert session.created <= session_at(fleet, provider, index + 1).created


@given(fleets, st.integers(-60, 200))
def test_browserbase_times_are_whole_milliseconds(fleet: Fleet, index: int) -> None:
    session = session_at(fleet, BROWSERBASE, index)
    times = session.created, session.started, session.ended, session.expires, session.settled
    assert [t % MILLISECOND for t in times] == [0] * 5


@given(providers, st.integers(-400, 400), st.lists(st.integers(-MINUTE, 2 * HOUR), min_size=2))
def test_figures_never_fall_and_rest_once_settled(
    provider: ProviderFacts, index: int, offsets: list[int]
) -> None:
    session = session_at(FLEET, provider, index)
    for early, late in pairwise(session.created + offset for offset in sorted(offsets)):
        assert session.proxy_bytes(early) <= session.proxy_bytes(late)
        assert session.proxy_cost(early) <= session.proxy_cost(late)
        assert session.browser_cost(early) <= session.browser_cost(late)
        assert session.ran(early, early) <= session.ran(late, late)
    assert (
        session.proxy_bytes(session.settled) == session.proxy_bytes(session.settled + DAY) == session.traffic
    )


def test_usage_is_metered_late() -> None:
    sessions = sessions_until(FLEET, BROWSER_USE, ORIGIN)
    late = [
        session
        for session in sessions
        if session.proxy_bytes(session.ended) < session.proxy_bytes(session.settled)
    ]
    assert len(sessions) / 4 < len(late) < len(sessions)


def test_a_session_passes_through_its_statuses() -> None:
    own = next(session for session in sessions_until(FLEET, BROWSERBASE, ORIGIN) if session.ending == "error")
    times = own.created, own.started - 1, own.started, own.ended - 1, own.ended, own.ended + DAY
    assert [own.status(t) for t in times] == ["pending", "pending", "running", "running", "error", "error"]
    other = next(
        session for session in sessions_until(FLEET, BROWSER_USE, ORIGIN) if session.ending == "timed_out"
    )
    assert [other.status(t) for t in (other.created, other.ended - 1, other.ended)] == ["active"] * 2 + [
        "stopped"
    ]


def test_a_session_runs_from_its_start_to_its_end_as_the_date_header_tells_time() -> None:
    session = session_at(FLEET, BROWSERBASE, 0)
    assert session.ran(session.started - 1, session.started - 1) == 0
    assert session.ran(session.started + 5, session.started - 900) == 0
    assert session.ran(session.started + 9, session.started + 4) == 4
    assert session.ran(session.ended, session.ended - 999) == session.ended - session.started


def test_endings_have_their_shares() -> None:
    fleet = Fleet(origin=ORIGIN, history=20_000, error_ratio=0.1, timeout_ratio=0.2)
    own = Counter(session.ending for session in sessions_until(fleet, BROWSERBASE, ORIGIN))
    other = Counter(session.ending for session in sessions_until(fleet, BROWSER_USE, ORIGIN))
    shares = {"error": 0.1, "timed_out": 0.2, "completed": 0.7}
    assert {ending: n / 20_000 for ending, n in own.items()} == pytest.approx(shares, abs=0.01)
    assert other["timed_out"] / 20_000 == pytest.approx(0.2, abs=0.01)
    assert set(other) == {"timed_out", "stopped"}


def test_timed_out_means_the_end_of_its_time_and_nothing_else_does() -> None:
    own, other = (sessions_until(LONG, provider, LONG.origin - 9_980_000 * MINUTE) for provider in PROVIDERS)
    assert len(own) > 10_000
    assert all((session.ended == session.expires) == (session.ending == "timed_out") for session in own)
    assert all(
        (session.ended >= session.expires - SECOND) == (session.ending == "timed_out") for session in other
    )
    early = {session.expires - session.ended for session in other if session.ending == "timed_out"}
    assert 0 in early
    assert len(early) > 10


def test_projects_and_regions_are_uneven() -> None:
    sessions = sessions_until(FLEET, BROWSERBASE, ORIGIN)
    projects = Counter(session.project for session in sessions)
    regions = [region for region, _ in Counter(session.region for session in sessions).most_common()]
    assert len(projects) == 2
    assert regions == ["us-west-2", "us-east-1", "eu-central-1", "ap-southeast-1"]
    assert {(session.project, session.region) for session in sessions_until(FLEET, BROWSER_USE, ORIGIN)} == {
        ("", "unknown")
    }


@given(fleets, providers, st.integers(-3 * HOUR, 5 * HOUR))
def test_the_list_holds_what_was_created_within_the_retention(
    fleet: Fleet, provider: ProviderFacts, offset: int
) -> None:
    t = fleet.origin + offset
    assert [session_at(fleet, provider, i) for i in fleet.listed(provider, t)] == listed(fleet, provider, t)


@given(providers, st.integers(-300, 300))
def test_a_session_is_listed_from_its_creation_until_its_retention_is_over(
    provider: ProviderFacts, index: int
) -> None:
    session = session_at(FLEET, provider, index)
    assert index not in FLEET.listed(provider, session.created - 1)
    assert index in FLEET.listed(provider, session.created)
    assert index in FLEET.listed(provider, session.created + FLEET.retention - 1)
    assert index not in FLEET.listed(provider, session.created + FLEET.retention)


def test_history_is_there_at_the_origin_and_no_more_than_that() -> None:
    fleet = Fleet(origin=ORIGIN, history=400)
    assert fleet.listed(BROWSERBASE, ORIGIN) in (range(-400, 0), range(-400, 1))
    assert len(Fleet(origin=ORIGIN, history=0).listed(BROWSER_USE, ORIGIN - DAY)) == 0


def in_order(fleet: Fleet, sessions: list[SimulatedSession], size: int) -> list[list[str]]:
    """All pages, by sorting everything."""
    ids = [session.id for session in sessions]
    if fleet.order == "none":
        ids = sorted(ids, reverse=True)
    elif fleet.order != "oldest":
        ids.reverse()
    pages = [ids[at : at + size] for at in range(0, len(ids), size)]
    return [page[::-1] for page in pages] if fleet.order == "newest-page" else pages


@given(fleets, st.integers(-HOUR, 5 * HOUR), st.integers(1, 40), st.sampled_from([None, "active", "stopped"]))
def test_pages_are_those_of_the_whole_list_sorted(
    fleet: Fleet, offset: int, size: int, status: Literal["active", "stopped"] | None
) -> None:
    t = fleet.origin + offset
    wanted = [session for session in listed(fleet, BROWSER_USE, t) if status in (None, session.status(t))]
    pages = in_order(fleet, wanted, size)
    for number, page in enumerate([*pages, []], start=1):
        total, indices = browser_use.page(fleet, t, BrowsersQuery(size, number, status))
        assert total == len(wanted)
        assert [session_at(fleet, BROWSER_USE, i).id for i in indices] == page


@pytest.mark.parametrize("order", ["newest", "oldest", "newest-page"])
def test_ten_million_sessions_cost_a_look_at_the_recent_ones(order: str) -> None:
    fleet = msgspec.structs.replace(LONG, order=order)
    session_at.cache_clear()
    for number in (1, 50_000, 99_999):
        total, indices = browser_use.page(fleet, ORIGIN + HOUR, BrowsersQuery(100, number, "stopped"))
        assert total > 9_999_900
        assert len(indices) == 100
        assert all(session_at(fleet, BROWSER_USE, i).status(ORIGIN + HOUR) == "stopped" for i in indices)
    assert len(fleet.listed(BROWSERBASE, ORIGIN)) >= 10_000_000
    assert session_at.cache_info().misses < 3 * 100 + 3 * fleet.rate


def seen_by_reading(fleet: Fleet, provider: ProviderFacts, t: int, begun: int) -> list[SimulatedSession]:
    """The sessions that anybody saw who looked at the list at `begun` and then each time it changed."""
    first = listed(fleet, provider, begun)
    ids = {session.id for session in first}
    since = [
        session
        for session in sessions_until(fleet, provider, t)
        if session.created > begun and session.id not in ids
    ]
    return first + since


@given(fleets, providers, st.integers(0, 2 * HOUR), st.integers(0, 4 * HOUR))
def test_the_truth_is_the_sum_over_every_session(
    fleet: Fleet, provider: ProviderFacts, wait: int, span: int
) -> None:
    begun, t = fleet.origin + wait, fleet.origin + wait + span
    date = t - t % SECOND
    seen = seen_by_reading(fleet, provider, t, begun)
    now = {session.id for session in listed(fleet, provider, t)}
    totals = expected_totals(fleet, provider, t, begun)
    assert [(each.project, each.region) for each in totals] == sorted({(s.project, s.region) for s in seen})
    for each in totals:
        mine = [s for s in seen if (s.project, s.region) == (each.project, each.region)]
        over = [s for s in mine if s.ended <= t]
        ended = [s.ended - s.started for s in over]
        running = [max(0, date - s.started) for s in mine if s.started <= t < s.ended]
        assert each.started == len(mine)
        assert each.ended == Counter(s.ending for s in over)
        assert each.duration == sum(ended)
        assert each.time == sum(ended) + sum(running)
        assert each.proxy_bytes == sum(s.proxy_bytes(t) for s in mine)
        assert each.listed == Counter(s.status(t) for s in mine if s.id in now)


@given(fleets, st.integers(0, 4 * HOUR))
def test_the_truth_sums_costs_in_whole_nano_dollars(fleet: Fleet, span: int) -> None:
    """Computed here from bytes and minutes in integers; browsers cost nothing until they have ended."""
    t = fleet.origin + span
    seen = seen_by_reading(fleet, BROWSER_USE, t, fleet.origin)
    minutes = [max(1, (s.ended - s.started + MINUTE - 1) // MINUTE) for s in seen if s.ended <= t]
    browser = sum(half_even(each * 2 * 10**7, 60) for each in minutes)
    proxy = sum(half_even(s.proxy_bytes(t) * 5 * 10**9, 2**30) for s in seen)
    totals = expected_totals(fleet, BROWSER_USE, t)
    assert [each.browser_cost for each in totals] == [browser] * len(totals)
    assert [each.proxy_cost for each in totals] == [proxy] * len(totals)
    assert all(each.browser_cost == each.proxy_cost == 0 for each in expected_totals(fleet, BROWSERBASE, t))


def half_even(numerator: int, denominator: int) -> int:
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def test_the_truth_takes_the_date_it_is_told() -> None:
    t = ORIGIN + HOUR
    now, before = (
        sum(each.time for each in expected_totals(FLEET, BROWSERBASE, t, date=date))
        for date in (t, t - SECOND)
    )
    running = [session for session in sessions_until(FLEET, BROWSERBASE, t) if session.status(t) == "running"]
    assert now - before == sum(min(SECOND, t - session.started) for session in running) > 0


@given(st.integers(-400, 400), st.integers(0, 2 * HOUR))
def test_megabytes_are_whole_bytes_and_decimals_exact(index: int, offset: int) -> None:
    session = session_at(FLEET, BROWSER_USE, index)
    t = session.created + offset
    assert session.proxy_mb(t) * 2**20 == session.proxy_bytes(t)
    for figure in (session.proxy_mb(t), session.proxy_cost(t), session.browser_cost(t)):
        assert len(figure.as_tuple().digits) <= 28
    assert abs(session.proxy_cost(t) - session.proxy_mb(t) * 5 / 1024) <= Decimal("1e-27")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rate", 0, "--rate must be above 0 and at most 3600000"),
        ("rate", 3_600_001, "--rate must be above 0 and at most 3600000"),
        ("rate", float("nan"), "--rate must be above 0 and at most 3600000"),
        ("history", -1, "--history must not be negative"),
        ("longest", MINUTE - 1, "longest must be at least a minute"),
        ("retention", HOUR + METERING - 1, "--retention must be at least 0.049 days"),
        ("error_ratio", -0.1, "--error-ratio and --timeout-ratio must not be negative"),
        ("timeout_ratio", 0.97, "--error-ratio plus --timeout-ratio must be at most 1"),
        ("order", "sideways", "--order must be one of newest, oldest, newest-page, none"),
        ("billing", "free", "--billing must be one of metered, upfront"),
    ],
)
def test_what_makes_no_fleet_is_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the whole message is compared below
        msgspec.structs.replace(FLEET, **{field: value})
    assert str(refusal.value) == message


@pytest.mark.parametrize(("kind", "ending"), [("error", "error"), ("timeout", "timed_out")])
def test_a_wave_changes_how_sessions_end_that_began_in_it_and_no_others(kind: str, ending: str) -> None:
    calm = msgspec.structs.replace(LONG, error_ratio=0.0, timeout_ratio=0.0)
    stormy = msgspec.structs.replace(calm, waves=(parse_wave(f"{kind}:0.5:60:120"),))
    created = [(session_at(calm, BROWSERBASE, i), session_at(stormy, BROWSERBASE, i)) for i in range(180)]
    within = [after for before, after in created if HOUR <= before.created - ORIGIN < 2 * HOUR]
    assert all(before == after for before, after in created if after not in within)
    assert len(within) / 4 < sum(session.ending == ending for session in within) < len(within) * 3 / 4


@pytest.mark.parametrize("text", ["", "errors:0.5:1:2", "error:2:1:2", "error:0.5:1", "error:0.5:1:2:3"])
def test_what_is_no_wave_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="KIND:SHARE:BEGIN:END"):
        parse_wave(text)
