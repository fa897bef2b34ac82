"""Prints what a scrape costs and what the exporter weighs, as tables for the README. Takes five minutes.

    python -m bench.run

Floor, obvious exporter, ours and provider are processes of their own on this machine. They scrape in turns,
the same bytes each, then the provider's clock moves on. Ratios are of medians; nothing here passes or fails.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.contest import Times, in_turns
from bench.processes import Exporter, Provider, Rival
from bench.report import Ended, Listed, Report

LISTED = {100: 100, 1_000: 100, 10_000: 60, 100_000: 9}  # sessions: rounds
ENDED = (1_000, 100_000, 1_000_000)
ENDED_ROUNDS = 200
OBVIOUS_ROUNDS = {1_000: 20, 100_000: 2}  # it reads every page: a million sessions would take it minutes
STARTS = 5
WARMING = 3
SETTLING = 40  # scrapes, in the first of which the ledger gives back what an import took
DISK = "/var/tmp"  # noqa: S108 - not in memory, as /tmp may be: a ledger's commits wait for the disk


def main() -> None:
    """Measure everything, then print."""
    start, idle = measure_start()
    listed = {size: measure_listed(size, rounds) for size, rounds in LISTED.items()}
    print(Report(start, idle, listed, measure_ended()))


def measure_start() -> tuple[float, float]:
    """The median of the seconds to a first healthy answer, and the most memory after it."""
    _say("starts")
    found = []
    for _ in range(STARTS):
        with Provider("browserbase", 100) as provider, _exporter(provider) as exporter:
            found.append((exporter.start_seconds, exporter.memory()))
    seconds, memory = zip(*found, strict=True)
    return median(seconds), max(memory)


def measure_listed(size: int, rounds: int) -> Listed:
    """A list of Browserbase's."""
    _say(f"Browserbase: {size:,} sessions")
    with (
        Provider("browserbase", size) as provider,
        Rival("floor", provider) as floor,
        Rival("obvious", provider) as obvious,
        _exporter(provider) as exporter,
    ):
        contestants = (floor, obvious, exporter)
        in_turns(WARMING, [provider], contestants)
        times = in_turns(rounds, [provider], contestants)
        least, obvious_seconds, ours = (one.seconds for one in times)
        return Listed(least, obvious_seconds, ours, exporter.memory(), exporter.memory("VmHWM"))


def measure_ended() -> dict[int, Ended]:
    """Browser Use's histories, imported one after the other, then scraped in turns."""
    with ExitStack() as stack:
        providers = [stack.enter_context(Provider("browser_use", size)) for size in ENDED]
        floor = stack.enter_context(Rival("floor", providers[0]))
        exporters = [stack.enter_context(_exporter(provider)) for provider in providers]
        for provider, exporter in zip(providers, exporters, strict=True):
            _say(f"Browser Use: import of {provider.size:,} sessions")
            _import(exporter)
        _say("Browser Use: steady scrapes")
        in_turns(SETTLING, providers, exporters)
        least, *times = in_turns(ENDED_ROUNDS, providers, (floor, *exporters))
        each = zip(providers, exporters, times, strict=True)
        return {one.size: _ended(one, exporter, ours, least) for one, exporter, ours in each}


def _import(exporter: Exporter) -> None:
    exporter.scrape()
    while not exporter.samples["cloud_browser_history_complete"]:
        exporter.scrape()


def _ended(provider: Provider, exporter: Exporter, ours: Times, floor: Times) -> Ended:
    """What it holds, all at the same time of their providers; the obvious exporter comes after it."""
    return Ended(
        ours,
        floor.seconds,
        memory=exporter.memory(),
        highest=exporter.memory("VmHWM"),
        rows=round(exporter.samples["cloud_browser_exporter_ledger_sessions"]),
        ledger=exporter.ledger(),
        log=exporter.ledger("-wal"),
        obvious=_against_obvious(provider, exporter),
    )


def _against_obvious(provider: Provider, exporter: Exporter) -> float | None:
    """How often the obvious exporter's time ours is, where it ends in time."""
    if provider.size not in OBVIOUS_ROUNDS:
        return None
    _say(f"Browser Use: the obvious exporter reads {provider.size:,} sessions")
    with Rival("obvious", provider) as obvious:
        theirs, ours = in_turns(OBVIOUS_ROUNDS[provider.size], [provider], (obvious, exporter))
    return ours.seconds / theirs.seconds


@contextmanager
def _exporter(provider: Provider) -> Iterator[Exporter]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=DISK) as folder,
        Exporter(Path(folder), provider) as exporter,
    ):
        yield exporter


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
