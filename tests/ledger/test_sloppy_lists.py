"""What providers get wrong in their lists, and what counts all the same."""

import msgspec
import pytest

from exporter.ledger.accounting import MAX_REMEMBERED, AccountingPolicy, AccountProgress, apply_listing
from exporter.ledger.rows import Row
from exporter.metrics.counters import (
    ACCOUNT_WIDE,
    COST,
    DURATION_SUM,
    ENDED,
    PROXY_BYTES,
    REVISIONS,
    STARTED,
    TIME,
    CounterKey,
)
from exporter.model import HOUR, SECOND, UNKNOWN, Listing, Session, Usage
from tests.support.accounting_machine import Memory
from tests.support.listings import MINUTE, RULES, SETTLE, SKIP, T0, WEST, listing, session

NEWER = session(id="newer", created=T0 + HOUR, usage=Usage())
DOLLAR_A_SECOND = AccountingPolicy(SETTLE, browser_per_hour=3600 * 10**9)


def done(after: int = MINUTE, **fields: object) -> Session:
    """The session of `listings`, ended so long after its start."""
    whole = {"status": "completed", "ending": "completed", "ended": T0 + after, "usage": Usage(after)}
    return session(**(whole | fields))


def at(minute: float, *sessions: Session, **fields: object) -> Listing:
    return listing(*sessions, time=T0 + int(minute * MINUTE), **fields)


def counted(*listings: Listing, policy: AccountingPolicy = RULES) -> Memory:
    memory = Memory()
    for one in listings:
        memory.record(one, policy)
    return memory


def total(memory: Memory, counter: str, label: str = "") -> int:
    return memory.totals().get(CounterKey(WEST, counter, label), 0)


def revisions(memory: Memory) -> int:
    return memory.totals().get(CounterKey(ACCOUNT_WIDE, REVISIONS), 0)


def test_an_ended_session_shown_open_once_keeps_its_time_and_its_cost() -> None:
    stale = session(usage=Usage(700 * SECOND, 9))
    memory = counted(at(2, done()), at(11.5, stale), at(12, done()), policy=DOLLAR_A_SECOND)
    assert (total(memory, TIME), total(memory, PROXY_BYTES)) == (MINUTE, 0)
    assert total(memory, COST, "browser") == 60 * 10**9
    assert total(memory, ENDED, "completed") == 1


def test_an_ended_session_shown_open_for_hours_never_counts_as_another() -> None:
    stale = [at(minute, session(usage=Usage(minute * MINUTE)), NEWER) for minute in range(2, 300, 10)]
    memory = counted(at(1.5, done(), NEWER), *stale)
    assert (total(memory, TIME), total(memory, STARTED)) == (MINUTE, 2)


def test_an_ended_session_that_left_and_is_then_shown_open_for_hours_never_counts_as_another() -> None:
    lacking = [at(minute, NEWER, missing=("s1",)) for minute in (3, 18)]
    stale = [at(minute, session(usage=Usage(minute * MINUTE)), NEWER) for minute in range(20, 300, 10)]
    memory = counted(at(1.5, done(), NEWER), *lacking, *stale)
    assert (total(memory, TIME), total(memory, STARTED)) == (MINUTE, 2)


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_readings_in_one_listing_the_ended_one_counts_with_its_own_figures(order: int) -> None:
    both = [done(100 * SECOND), session(usage=Usage(600 * SECOND, 5))]
    memory = counted(at(10, *both[::order]))
    assert (total(memory, TIME), total(memory, PROXY_BYTES)) == (100 * SECOND, 0)


def unknown_end(seconds: int, proxy_bytes: int = 0, expires: int = 300) -> Session:
    """COMPLETED without an end, last changed so long after its start."""
    return done(
        seconds * SECOND,
        usage=Usage(seconds * SECOND, proxy_bytes),
        expires=T0 + expires * SECOND,
        end_is_known=False,
    )


def test_an_end_that_is_not_given_stays_where_it_was_first_seen() -> None:
    memory = counted(at(2, unknown_end(100)), at(5, unknown_end(280, 7)), at(12, unknown_end(600, 9)))
    assert (total(memory, TIME), total(memory, DURATION_SUM)) == (100 * SECOND, 100 * SECOND)
    assert (total(memory, PROXY_BYTES), revisions(memory)) == (9, 0)


def test_an_end_that_is_not_given_is_not_later_than_the_expiry() -> None:
    assert total(counted(at(11, unknown_end(600))), TIME) == 300 * SECOND


@pytest.mark.parametrize(("told", "time"), [(90, 100), (130, 130)])
def test_an_end_given_later_counts_where_it_is_higher(told: int, time: int) -> None:
    memory = counted(at(2, unknown_end(100)), at(3, done(told * SECOND)))
    assert total(memory, TIME) == time * SECOND


def test_a_session_without_a_given_end_that_has_settled_never_counts_again() -> None:
    memory = counted(at(2, unknown_end(100), NEWER), *(at(80, unknown_end(4800), NEWER) for _ in range(3)))
    assert "s1" not in memory.kept
    assert total(memory, STARTED) == 2


def test_the_time_and_estimated_cost_of_an_open_session_stop_a_minute_after_its_expiry() -> None:
    late = session(usage=Usage(5 * HOUR), expires=T0 + HOUR)
    memory = counted(at(300, late), policy=DOLLAR_A_SECOND)
    assert total(memory, TIME) == HOUR + MINUTE
    assert total(memory, COST, "browser") == 3660 * 10**9
    memory.record(at(301, done(4 * HOUR, expires=T0 + HOUR)), DOLLAR_A_SECOND)
    assert total(memory, TIME) == 4 * HOUR


def test_an_expiry_before_the_start_lowers_nothing() -> None:
    assert total(counted(at(300, session(expires=T0 - HOUR))), TIME) == 0


def test_the_browser_cost_counts_from_the_first_reading_that_shows_the_end() -> None:
    upfront, rest = session(usage=Usage(MINUTE, 0, 80)), done(usage=Usage(MINUTE, 0, 17))
    memory = counted(at(1, upfront), at(2, session(usage=Usage(2 * MINUTE, 0, 40))))
    assert total(memory, COST, "browser") == 0
    for minute in (3, 4):
        memory.record(at(minute, rest), RULES)
    assert (total(memory, COST, "browser"), revisions(memory)) == (17, 0)
    memory.record(at(5, done(usage=Usage(MINUTE, 0, 16))), RULES)
    assert (total(memory, COST, "browser"), revisions(memory)) == (17, 1)


def test_the_last_browser_cost_counts_of_a_session_that_left_while_it_was_open() -> None:
    upfront = session(usage=Usage(MINUTE, 0, 80))
    memory = counted(
        at(1, upfront, NEWER), at(2, msgspec.structs.replace(upfront, usage=Usage(0, 0, 50)), NEWER)
    )
    for minute in (3, 18):
        memory.record(at(minute, NEWER, missing=("s1",)), RULES)
    assert total(memory, COST, "browser") == 50


def test_a_session_whose_row_becomes_unusable_is_closed_and_not_sought() -> None:
    memory = counted(at(1, session(usage=Usage(MINUTE, 0, 80)), NEWER))
    broken = {"rejected_ids": frozenset({"s1"})}
    memory.record(at(2, NEWER, **broken), RULES)
    assert "s1" in memory.window(RULES).unsettled
    memory.record(at(17, NEWER, **broken), RULES)
    assert (total(memory, ENDED, UNKNOWN), total(memory, COST, "browser")) == (1, 80)
    window = memory.window(RULES)
    assert "s1" not in window.unsettled
    assert window.includes("s1", T0, is_open=False)
    memory.record(at(50 * 24 * 60, NEWER, **broken), RULES)
    memory.record(at(50 * 24 * 60 + 1, NEWER, done(usage=Usage(2 * MINUTE, 9, 90))), RULES)
    assert (total(memory, ENDED, UNKNOWN), total(memory, ENDED, "completed")) == (1, 0)
    assert (total(memory, PROXY_BYTES), total(memory, COST, "browser")) == (9, 90)


def test_a_row_that_was_never_usable_counts_when_it_is_however_late() -> None:
    memory = counted(at(1, rejected_ids=frozenset({"s1"})))
    for minute in range(2, 300, 20):
        memory.record(at(minute, NEWER, rejected_ids=frozenset({"s1"})), RULES)
    window = memory.window(RULES)
    assert window.rejected == {"s1"}
    assert window.includes("s1", T0, is_open=False)
    memory.record(at(301, NEWER, done(usage=Usage(MINUTE, 7))), RULES)
    memory.record(at(302, NEWER, done(usage=Usage(MINUTE, 7))), RULES)
    assert (total(memory, STARTED), total(memory, PROXY_BYTES)) == (2, 7)
    assert memory.window(RULES).rejected == frozenset()


def test_a_session_that_was_counted_and_forgotten_never_counts_again_after_its_row_was_unusable() -> None:
    memory = counted(
        at(2, done(), NEWER), at(80, NEWER, done()), at(81, NEWER, rejected_ids=frozenset({"s1"}))
    )
    assert "s1" not in memory.kept
    memory.record(at(82, NEWER, done()), RULES)
    assert total(memory, STARTED) == 2
    assert memory.window(RULES).rejected == frozenset()


def test_of_more_rejected_rows_than_are_remembered_the_oldest_are_forgotten() -> None:
    old = frozenset(f"old{n}" for n in range(MAX_REMEMBERED))
    memory = counted(at(1, rejected_ids=old), at(2, rejected_ids=frozenset({"new", "old7"})))
    assert len(memory.rejected) == MAX_REMEMBERED
    assert {"new", "old7"} <= memory.rejected.keys()


def releasing() -> Session:
    return done(status="releasing", ending=None)


def test_the_end_of_an_unknown_status_counts_under_the_known_one_that_follows() -> None:
    memory = counted(at(2, releasing()))
    assert (total(memory, ENDED, "releasing"), total(memory, DURATION_SUM)) == (0, 0)
    memory.record(at(3, done()), RULES)
    memory.record(at(30, done()), RULES)
    assert (total(memory, ENDED, "completed"), total(memory, ENDED, "releasing")) == (1, 0)


def test_the_end_of_an_unknown_status_counts_when_it_settles() -> None:
    memory = counted(at(2, releasing()), at(16, releasing()))
    assert (total(memory, ENDED, "releasing"), total(memory, DURATION_SUM)) == (1, MINUTE)


LAGGED = done(60 * MINUTE, id="lagged")


def test_a_session_first_listed_when_it_has_ended_counts_while_it_may_not_have_settled() -> None:
    memory = counted(at(58, NEWER), at(74, NEWER, LAGGED))
    assert total(memory, STARTED) == 2
    assert memory.window(RULES).includes("lagged", T0, is_open=False, ended=T0 + 60 * MINUTE)


def test_a_session_first_listed_when_it_has_settled_does_not_count() -> None:
    memory = counted(at(58, NEWER), at(75, NEWER, LAGGED))
    assert total(memory, STARTED) == 1


def test_a_clock_that_is_set_back_counts_no_session_again() -> None:
    memory = counted(at(62, NEWER, LAGGED), at(80, NEWER, LAGGED))
    assert "lagged" not in memory.kept
    memory.record(at(61, NEWER, LAGGED), RULES)
    assert total(memory, STARTED) == 2


def test_skip_leaves_out_a_session_that_was_over_however_late_it_is_listed() -> None:
    memory = counted(at(1.5, NEWER), at(2, NEWER, done()), policy=SKIP)
    assert total(memory, ENDED, "completed") == 0


def test_a_figure_that_is_absent_when_its_session_has_settled_counts_when_it_comes() -> None:
    memory = counted(*(at(minute, done(is_incomplete=True), NEWER) for minute in (2, 17, 600)))
    assert memory.window(RULES).departed == {"s1"}
    memory.record(at(601, done(usage=Usage(MINUTE, 5)), NEWER), RULES)
    assert (total(memory, PROXY_BYTES), total(memory, STARTED)) == (5, 2)
    assert "s1" not in memory.kept


def test_a_bounded_number_of_rows_without_figures_is_kept() -> None:
    """A provider may write null in each of its rows."""
    settled = [Row(f"r{n}", WEST, T0, ended=T0, missing=T0, settled=True) for n in range(MAX_REMEMBERED)]
    shown = at(17, done(is_incomplete=True), NEWER)
    progress = AccountProgress(T0, complete=True)
    for rows, kept in ((settled, None), (settled[1:], shown.time)):
        update = apply_listing(progress, {row.id: row for row in rows}, shown, RULES)
        assert {row.id: row.missing for row in update.changed}["s1"] == kept


def test_a_history_without_figures_is_not_kept() -> None:
    assert counted(at(3 * 24 * 60, done(is_incomplete=True), NEWER)).window(RULES).departed == frozenset()
