"""The heart: counters that equal the truth over any history, by arithmetic of the test's own."""

import msgspec
import pytest
from hypothesis import HealthCheck

from exporter.ledger.accounting import AccountingPolicy, AccountProgress, LedgerUpdate, apply_listing, bucket
from exporter.metrics.counters import (
    COST,
    ENDED,
    PROXY_BYTES,
    REVISIONS,
    START,
    START_SUM,
    STARTED,
    TIME,
    CounterKey,
)
from exporter.model import HOUR, SECOND, Listing, Series, Usage
from tests.support.accounting_machine import Memory, World
from tests.support.examples import examples
from tests.support.listings import MINUTE, RULES, SETTLE, SKIP, T0, WEST, listing, session

TestWorld = World.TestCase
TestWorld.settings = examples(200, stateful_step_count=40, suppress_health_check=list(HealthCheck))


def after(first: LedgerUpdate, second: Listing, policy: AccountingPolicy = RULES) -> LedgerUpdate:
    return apply_listing(first.progress, {row.id: row for row in first.changed}, second, policy)


def test_a_lowered_figure_is_counted_once_and_changes_no_total() -> None:
    one = apply_listing(None, {}, listing(session(usage=Usage(MINUTE, 500))), RULES)
    lower = listing(session(usage=Usage(MINUTE, 400)))
    two = after(one, lower)
    three = apply_listing(two.progress, {row.id: row for row in two.changed}, lower, RULES)
    assert two.added == {CounterKey(Series("", ""), REVISIONS): 1}
    assert three.added == {}


def test_an_open_session_read_at_an_earlier_clock_is_no_revision() -> None:
    one = apply_listing(None, {}, listing(session(usage=Usage(2 * MINUTE))), RULES)
    assert after(one, listing(session(usage=Usage(MINUTE)))).added == {}


def test_a_figure_that_rises_after_falling_adds_only_what_is_above_the_highest() -> None:
    one = apply_listing(None, {}, listing(session(usage=Usage(MINUTE, 500))), RULES)
    two = after(one, listing(session(usage=Usage(MINUTE, 400))))
    three = after(two, listing(session(usage=Usage(MINUTE, 501))))
    assert three.added == {CounterKey(WEST, PROXY_BYTES): 1}


PRICED = AccountingPolicy(SETTLE, browser_per_hour=120_000_000, proxy_per_gb=12_000_000_000, minimum=MINUTE)


@pytest.mark.parametrize("step", [1, 7 * SECOND, 61 * SECOND])
def test_estimated_cost_is_that_of_the_whole_session_however_often_it_was_read(step: int) -> None:
    store = Memory()
    end = 3 * MINUTE + 333_333
    for time in [*range(0, end, max(step, end // 50)), end]:
        use = Usage(time, proxy_bytes=1_000_003 * time // MINUTE)
        store.record(listing(session(usage=use), time=T0 + time), PRICED)
    costs = {key.label: n for key, n in store.totals().items() if key.counter == COST}
    assert costs == {
        "browser": round(120_000_000 * end / HOUR),
        "proxy": round(12_000_000_000 * (1_000_003 * end // MINUTE) / 10**9),
    }


def test_a_session_costs_at_least_the_minimum_once_it_has_started() -> None:
    pending = apply_listing(None, {}, listing(session(status="pending", usage=Usage(), started=None)), PRICED)
    started = after(pending, listing(session(usage=Usage(SECOND))), PRICED)
    later = after(started, listing(session(usage=Usage(59 * SECOND))), PRICED)
    assert pending.added == {CounterKey(WEST, STARTED): 1}
    assert started.added[CounterKey(WEST, COST, "browser")] == 2_000_000
    assert CounterKey(WEST, COST, "browser") not in later.added


def test_a_new_price_does_not_move_the_past() -> None:
    store, browser = Memory(), CounterKey(WEST, COST, "browser")
    dearer = msgspec.structs.replace(PRICED, browser_per_hour=240_000_000)
    store.record(listing(session(usage=Usage(HOUR))), PRICED)
    store.record(listing(session(usage=Usage(HOUR))), dearer)
    assert store.totals()[browser] == 120_000_000
    store.record(listing(session(usage=Usage(2 * HOUR))), dearer)
    assert store.totals()[browser] == 360_000_000


def test_skip_leaves_out_what_had_ended_and_counts_open_sessions_from_their_figures() -> None:
    past = session(id="past", status="error", ending="error", ended=T0, usage=Usage(MINUTE, 70))
    now = T0 + HOUR
    one = apply_listing(None, {}, listing(past, session(usage=Usage(HOUR, 100)), time=now), SKIP)
    two = after(one, listing(past, session(usage=Usage(HOUR + MINUTE, 150)), time=now + MINUTE), SKIP)
    assert one.added == {}
    assert two.added == {CounterKey(WEST, TIME): MINUTE, CounterKey(WEST, PROXY_BYTES): 50}


def test_skip_counts_a_later_session_whole_and_an_open_ones_end() -> None:
    one = apply_listing(None, {}, listing(session(), time=T0 + MINUTE), SKIP)
    ended = session(status="error", ending="error", ended=T0 + MINUTE + 1, usage=Usage(MINUTE + 1))
    fresh = session(id="s2", created=T0 + MINUTE + 1)
    two = after(one, listing(ended, fresh, time=T0 + 2 * MINUTE), SKIP)
    assert two.added[CounterKey(WEST, ENDED, "error")] == 1
    assert two.added[CounterKey(WEST, STARTED)] == 1
    assert two.added[CounterKey(WEST, TIME)] == MINUTE + 1


def test_skip_does_not_ask_for_history_after_an_empty_first_listing() -> None:
    assert apply_listing(None, {}, listing(), SKIP).progress.watermark == T0 + MINUTE - SETTLE


def test_the_watermark_does_not_follow_a_clock_that_runs_ahead_of_the_sessions() -> None:
    one = apply_listing(None, {}, listing(session(), time=T0 + 9 * HOUR), RULES)
    two = after(one, listing(session(), session(id="s2", created=T0 + MINUTE), time=T0 + 2 * MINUTE))
    assert two.added[CounterKey(WEST, STARTED)] == 1


def test_the_watermark_never_moves_back_and_never_on_a_partial_listing() -> None:
    progress = AccountProgress(began=T0, complete=True, watermark=T0 + HOUR, newest=T0 + 2 * HOUR)
    assert apply_listing(progress, {}, listing(), RULES).progress.watermark == T0 + HOUR
    later = listing(session(created=T0 + 9 * HOUR), time=T0 + 9 * HOUR, covers=None)
    assert apply_listing(progress, {}, later, RULES).progress.watermark == T0 + HOUR


@pytest.mark.parametrize(
    ("duration", "bound"),
    [(0, "1"), (1, "1"), (2, "5"), (10, "10"), (11, "30"), (21600, "21600"), (21601, "+Inf")],
)
def test_a_bucket_holds_its_upper_bound(duration: int, bound: str) -> None:
    assert bucket(duration * SECOND) == bound


def test_an_open_session_counts_however_late_it_is_listed() -> None:
    one = apply_listing(None, {}, listing(session(created=T0 + HOUR), time=T0 + 2 * HOUR), RULES)
    late = session(id="late", created=T0)
    assert after(one, listing(late, time=T0 + 2 * HOUR)).added[CounterKey(WEST, STARTED)] == 1


def test_skip_leaves_out_what_ended_in_the_second_in_which_the_ledger_began() -> None:
    done = session(status="error", ending="error", ended=T0 + MINUTE + SECOND // 2)
    one = apply_listing(None, {}, listing(done), SKIP)
    assert (one.added, one.changed) == ({}, ())


def test_an_end_before_the_last_reading_is_no_revision() -> None:
    one = apply_listing(None, {}, listing(session(usage=Usage(MINUTE))), RULES)
    done = session(status="error", ending="error", ended=T0 + MINUTE - 1, usage=Usage(MINUTE - 1))
    assert CounterKey(Series("", ""), REVISIONS) not in after(one, listing(done)).added


def started(update: LedgerUpdate) -> dict[str, int]:
    """What a listing adds to the starts, by bucket and in sum."""
    return {
        key.label or key.counter: n for key, n in update.added.items() if key.counter in {START, START_SUM}
    }


def test_how_long_a_session_took_to_start_counts_once() -> None:
    pending = session(status="pending", started=None)
    one = apply_listing(None, {}, listing(pending), RULES)
    assert started(one) == {}
    running = session(start_latency=1_500_000)
    two = after(one, listing(running))
    assert started(two) == {"2": 1, "start_sum": 1_500_000}
    later = msgspec.structs.replace(running, start_latency=9 * SECOND, ended=T0 + MINUTE, ending="completed")
    assert started(after(two, listing(later, time=T0 + HOUR))) == {}


def test_a_start_that_is_first_seen_with_the_end_counts() -> None:
    ended = session(start_latency=120 * SECOND + 1, ended=T0 + MINUTE, ending="error")
    assert started(apply_listing(None, {}, listing(ended, time=T0 + HOUR), RULES)) == {
        "+Inf": 1,
        "start_sum": 120 * SECOND + 1,
    }


def test_a_start_before_the_ledger_began_does_not_count_where_history_is_skipped() -> None:
    running, pending = session(start_latency=SECOND), session(id="s2", status="pending", started=None)
    one = apply_listing(None, {}, listing(running, pending, time=T0 + MINUTE), SKIP)
    assert started(one) == {}
    now_running = msgspec.structs.replace(pending, started=T0, start_latency=SECOND, status="running")
    two = after(one, listing(running, now_running, time=T0 + 2 * MINUTE), SKIP)
    assert started(two) == {"1": 1, "start_sum": SECOND}


def test_a_session_keeps_the_labels_under_which_it_was_first_counted() -> None:
    labelled = Series("p1", "us-west-2", (("team", "checkout"),))
    one = apply_listing(None, {}, listing(session(series=labelled)), RULES)
    moved = session(series=Series("p1", "us-west-2", (("team", "other team"),)), usage=Usage(2 * MINUTE))
    two = after(one, listing(moved, time=T0 + 2 * MINUTE))
    assert {key.series for key in two.added} == {labelled}
