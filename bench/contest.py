"""Contestants that scrape in turns, so that what disturbs the machine disturbs all of them alike."""

from collections.abc import Collection, Sequence
from random import Random
from statistics import median
from typing import Protocol

import msgspec

from bench.processes import Provider, Scrape


class Contestant(Protocol):
    """Scrapes when told to."""

    def scrape(self) -> Scrape:
        """One scrape."""


class Times(msgspec.Struct, frozen=True):
    """A contestant's scrapes: their medians in seconds, and the most requests in one; as in `Scrape`."""

    seconds: float
    own: float
    requests: int
    slowest: float


def in_turns(rounds: int, providers: Collection[Provider], contestants: Sequence[Contestant]) -> list[Times]:
    """Each contestant scrapes once a round; before it, time passes at the providers.

    The order is drawn anew each round: whoever always followed the same one, would pay for what that one
    leaves behind, such as a disk still busy (measured among equals: up to a tenth).
    """
    draw = Random(1)  # noqa: S311 - no secret
    scrapes: list[list[Scrape]] = [[] for _ in contestants]
    for _ in range(rounds):
        for provider in providers:
            provider.step()
        for place in draw.sample(range(len(contestants)), len(contestants)):
            scrapes[place].append(contestants[place].scrape())
    return [_times(each) for each in scrapes]


def _times(scrapes: Sequence[Scrape]) -> Times:
    return Times(
        seconds=median(scrape.seconds for scrape in scrapes),
        own=median(scrape.own for scrape in scrapes),
        requests=max(scrape.requests for scrape in scrapes),
        slowest=median(scrape.slowest for scrape in scrapes),
    )
