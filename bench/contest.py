"""Contestants that pull in turns, so that what disturbs the machine disturbs all of them alike."""

from collections.abc import Collection, Sequence
from random import Random
from statistics import median
from typing import Protocol

import msgspec

from bench.processes import Provider, Pull


class Contestant(Protocol):
    """Pulls when told to."""

    def pull(self) -> Pull:
        """One pull."""


class Times(msgspec.Struct, frozen=True):
    """A contestant's pulls: their medians in seconds, and the most requests in one."""

    seconds: float
    own: float
    requests: int


def in_turns(rounds: int, providers: Collection[Provider], contestants: Sequence[Contestant]) -> list[Times]:
    """Each contestant pulls once a round; before it, time passes at the providers.

    The order is drawn anew each round: whoever always followed the same one, would pay for what that one
    leaves behind, such as a disk still busy (measured among equals: up to a tenth).
    """
    draw = Random(1)  # noqa: S311 - no secret  # nosec B311
    pulls: list[list[Pull]] = [[] for _ in contestants]
    for _ in range(rounds):
        for provider in providers:
            provider.step()
        for place in draw.sample(range(len(contestants)), len(contestants)):
            pulls[place].append(contestants[place].pull())
    return [_times(each) for each in pulls]


def _times(pulls: Sequence[Pull]) -> Times:
    return Times(
        seconds=median(pull.seconds for pull in pulls),
        own=median(pull.own for pull in pulls),
        requests=max(pull.requests for pull in pulls),
    )
