"""Values over time: at steps of equal length, of which those that tell nothing are left out.

A change is a step's time and the value from then on. Values are integers, or tuples of them.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TypeVar

import msgspec

Value = TypeVar("Value")
Change = tuple[int, Value]
Event = tuple[int, int]  # when, and by how much a value rises or falls
Ramp = tuple[int, int, int]  # from when to when a value rises evenly, and by how much in all

# Microseconds: Prometheus looks back five minutes for a series' last sample.
LONGEST_PAUSE = 240_000_000


class Steps(msgspec.Struct, frozen=True):
    """Times at which there may be samples: multiples of `step`, at most `last`. All are microseconds."""

    step: int
    last: int

    def at_or_after(self, time: int) -> int:
        """Returns the first step that is not before a time."""
        return -(-time // self.step) * self.step


def steps_until(step: int, until: int) -> Steps:
    """Returns the steps up to a time."""
    return Steps(step, until // step * step)


def counted(events: Iterable[Event], steps: Steps) -> Iterator[Change[int]]:
    """Yields the sum of what has happened, at each step at which it may differ from the step before."""
    value = 0
    for at, group in groupby(sorted(events), lambda event: steps.at_or_after(event[0])):
        if at > steps.last:
            return
        value += sum(amount for _, amount in group)
        yield at, value


def vectors(events: Iterable[tuple[int, int, int]], size: int, steps: Steps) -> Iterator[Change[list[int]]]:
    """Yields, as `counted` does, the sums of several values. An event names the place of its value."""
    values = [0] * size
    for at, group in groupby(sorted(events), lambda event: steps.at_or_after(event[0])):
        if at > steps.last:
            return
        for _, place, amount in group:
            values[place] += amount
        yield at, [*values]


def ramped(ramps: Iterable[Ramp], steps: Steps) -> Iterator[Change[int]]:
    """Yields the sum of what has risen, at each step at which something does. A ramp ends exactly."""
    waiting = sorted(ramps, reverse=True)
    rising: list[Ramp] = []
    done, at = 0, 0
    while waiting or rising:
        at = at + steps.step if rising else steps.at_or_after(waiting[-1][0])
        if at > steps.last:
            return
        while waiting and waiting[-1][0] <= at:
            rising.append(waiting.pop())
        done += sum(amount for _, end, amount in rising if end <= at)
        rising = [ramp for ramp in rising if ramp[1] > at]
        yield at, done + sum(amount * (at - begin) // (end - begin) for begin, end, amount in rising)


def thinned(
    changes: Iterable[Change[Value]], zero: Value, steps: Steps, pause: int = LONGEST_PAUSE
) -> Iterator[Change[Value]]:
    """Yields the samples of a series: none if it stays at zero.

    It begins at zero, one step before its first change, and ends at the last step. A sample that did not
    change is left out where the next one follows within a pause from the one before.
    """
    longest = max(pause // steps.step, 1) * steps.step
    shown, value = None, zero
    for at, new in changes:
        if new == value:
            continue
        if shown is None:
            shown = at - steps.step
            yield shown, zero
        yield from ((between, value) for between in range(shown + longest, at, longest))
        yield at, new
        shown, value = at, new
    if shown is not None:
        yield from ((between, value) for between in range(shown + longest, steps.last, longest))
        if shown < steps.last:
            yield steps.last, value
