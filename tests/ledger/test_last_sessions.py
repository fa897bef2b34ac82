"""The last session of each total of ends."""

from exporter.ledger.last_sessions import last_sessions
from exporter.ledger.rows import Row
from exporter.metrics.counters import DURATION, ENDED, CounterKey, LastSession
from exporter.model import SECOND, Usage
from tests.support.listings import MINUTE, T0, WEST


def row(name: str, seconds: int, ending: str | None = "error", **fields: object) -> Row:
    values = {"ended": T0 + seconds * SECOND, **fields}
    return Row(name, WEST, T0, Usage(seconds * SECOND), ending=ending, **values)  # type: ignore[arg-type]  # by name


def test_the_one_that_ended_last_stands_for_each_status_and_duration() -> None:
    rows = [row("a", 3), row("b", 4), row("c", 100, "timed_out"), row("d", 2)]
    b, c = LastSession("b", 4 * SECOND, T0 + 4 * SECOND), LastSession("c", 100 * SECOND, T0 + 100 * SECOND)
    assert last_sessions(rows) == {
        CounterKey(WEST, ENDED, "error"): b,
        CounterKey(WEST, DURATION, "5"): b,
        CounterKey(WEST, ENDED, "timed_out"): c,
        CounterKey(WEST, DURATION, "120"): c,
    }


def test_sessions_that_did_not_fail_stand_for_durations_alone() -> None:
    assert {key.counter for key in last_sessions([row("a", 3, "completed"), row("b", 4, "unknown")])} == {
        DURATION
    }


def test_an_end_that_was_not_counted_stands_for_nothing() -> None:
    assert last_sessions([row("open", 5, None, ended=None), row("odd", 5, None)]) == {}


def test_what_was_before_stays_until_a_later_end() -> None:
    before = last_sessions([row("late", 5)])
    assert last_sessions([row("early", 3)], before) == before
    after = last_sessions([row("later", 6)], before)
    assert after[CounterKey(WEST, ENDED, "error")].id == "later"
    assert after[CounterKey(WEST, DURATION, "5")].id == "late"


def test_one_that_left_the_list_ended_when_it_was_last_seen() -> None:
    closed = row("left", 60, "unknown", ended=None, missing=T0 + 9 * MINUTE)
    assert last_sessions([closed])[CounterKey(WEST, DURATION, "60")].ended == T0 + MINUTE
