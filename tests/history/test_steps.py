"""Values over time, compared with what is said of each step alone."""

from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import example, given

from exporter.history.openmetrics import PAUSE
from exporter.history.steps import LONGEST_PAUSE, Event, Ramp, Steps, counted, ramped, thinned, vectors
from exporter.model import SECOND

LAST = 1200 * SECOND
TIMES = st.integers(0, 2 * LAST)
EVENTS = st.lists(st.tuples(TIMES, st.integers(-3, 3)), max_size=12)
LENGTHS = st.one_of(st.just(0), st.integers(0, LAST))
RAMPS = st.lists(st.builds(lambda at, n, amount: (at, at + n, amount), TIMES, LENGTHS, st.integers(0, 999)))
STEP = st.sampled_from([1, 7, 60, 240]).map(lambda seconds: seconds * SECOND)


def risen(ramp: Ramp, at: int) -> int:
    begin, end, amount = ramp
    if at >= end:
        return amount
    return amount * (at - begin) // (end - begin) if at > begin else 0


@given(EVENTS, STEP)
def test_what_has_happened_is_summed_at_each_step(events: list[Event], step: int) -> None:
    steps = Steps(step, LAST // step * step)
    changes = dict(counted(events, steps))
    for at in range(0, steps.last + 1, step):
        value = sum(amount for when, amount in events if when <= at)
        before = sum(amount for when, amount in events if when <= at - step)
        assert changes.pop(at, before) == value
    assert not changes


@given(EVENTS, STEP)
def test_several_values_are_summed_as_each_alone(events: list[Event], step: int) -> None:
    steps = Steps(step, LAST // step * step)
    placed = [(at, at % 3, amount) for at, amount in events]
    changes = dict(vectors(placed, 3, steps))
    for place in range(3):
        alone = counted([(at, n) for at, where, n in placed if where == place], steps)
        assert all(changes[at][place] == value for at, value in alone)


@given(RAMPS, STEP)
@example([(5, 5, 9), (5, 50 * SECOND, 1)], SECOND)
def test_what_rises_evenly_is_summed_at_each_step(ramps: list[Ramp], step: int) -> None:
    steps = Steps(step, LAST // step * step)
    changes, value = dict(ramped(ramps, steps)), 0
    for at in range(0, steps.last + 1, step):
        value = changes.get(at, value)
        assert value == sum(risen(ramp, at) for ramp in ramps)


@given(
    st.one_of(EVENTS, EVENTS.map(lambda events: [(at, abs(n)) for at, n in events])),
    STEP,
    st.sampled_from([LONGEST_PAUSE, PAUSE]),
)
def test_samples_that_are_left_out_did_not_change(events: list[Event], step: int, pause: int) -> None:
    steps = Steps(step, LAST // step * step)
    changes = [*counted(events, steps)]
    samples = [*thinned(changes, 0, steps, pause)]
    if not any(value for _, value in changes):
        assert not samples
        return
    first = next(at for at, value in changes if value)
    assert samples[0] == (first - step, 0)
    assert samples[-1][0] == steps.last
    for (before, _), (after, _) in pairwise(samples):
        assert before < after <= before + max(step, pause)
        assert after % step == 0
    shown, value, known = dict(samples), 0, dict(changes)
    for at in range(first, steps.last + 1, step):
        value = known.get(at, value)
        assert shown.get(at, value) == value


def test_no_pause_is_longer_than_prometheus_looks_back() -> None:
    samples = [*thinned([(SECOND, 1)], 0, Steps(SECOND, LAST))]
    assert max(after - before for (before, _), (after, _) in pairwise(samples)) <= 240 * SECOND
    assert len(samples) < 10
