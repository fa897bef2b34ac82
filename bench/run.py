"""Prints what a scrape costs and what the exporter weighs, as tables of Markdown. Takes some ten minutes.

    python -m bench.run [--only (start | listed | accounts | many | ended)] [--against CHECKOUT]

Floor, naive exporter, this exporter and provider are processes of their own on this machine. They scrape in
turns, the same bytes each, then the provider's clock moves on. Ratios are of medians; nothing here passes or
fails. With `--against`, the command that is installed in the `.venv` of another checkout scrapes in turns
with them, and the ratio to it is shown.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

from bench.contest import Contestant, Times, in_turns
from bench.measured import Accounts, Ended, Listed, Many, Start
from bench.processes import SESSIONS_ALONE, Exporter, Provider, Rival, Setup
from bench.report import Report
from devtools.processes import COMMAND
from tests.support.postgres import running as postgres

LISTED = {100: 100, 1_000: 100, 10_000: 60, 100_000: 9}  # sessions: rounds
ENDED = (1_000, 100_000, 1_000_000)
ENDED_ROUNDS = 200
NAIVE_ROUNDS = {1_000: 20, 100_000: 2}  # it reads every page: a million sessions would take it minutes
ACCOUNTS = (1, 10, 50)
ACCOUNT_SESSIONS = 100  # that each of them lists
ACCOUNT_ROUNDS = 30
LATENCY = 0.2  # seconds, of every request of theirs
MANY = (1, 50, 500)
MANY_ROUNDS = 10
STARTS = 5
WARMING = 3
SETTLING = 40  # scrapes, in the first of which the ledger gives back what an import took
DISK = "/var/tmp"  # noqa: S108 - not in memory, as /tmp may be: a ledger's commits wait for the disk


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything, or one part; then print."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="CHECKOUT", type=_command_of, help="compare with its command")
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    chosen = parser.parse_args(arguments)
    parts = [chosen.only] if chosen.only else PARTS
    print(Report(**{part: PARTS[part](chosen.against) for part in parts}))


def _command_of(checkout: str) -> Path:
    """The command that is installed in a checkout's own virtual environment."""
    command = Path(checkout).resolve() / ".venv" / "bin" / COMMAND.name
    if not command.exists():
        raise argparse.ArgumentTypeError(f"{command} does not exist; run `make .venv/run` there")
    return command


def measure_start(_other: Path | None = None) -> Start:
    """The median of the seconds to a first healthy answer, and the most memory after it."""
    _say("starts")
    found = []
    for _ in range(STARTS):
        with Provider("browserbase", 100) as provider, _exporter(provider) as exporter:
            found.append((exporter.start_seconds, exporter.mebibytes()))
    seconds, memory = zip(*found, strict=True)
    return Start(median(seconds), max(memory))


def measure_listed(other: Path | None = None) -> dict[int, Listed]:
    """Browserbase's lists, one size after the other."""
    return {size: _measure_list(size, rounds, other) for size, rounds in LISTED.items()}


def _measure_list(size: int, rounds: int, other: Path | None) -> Listed:
    _say(f"Browserbase: {size:,} sessions")
    setups = Setup(options=SESSIONS_ALONE), Setup()
    theirs = [Setup(other, options=SESSIONS_ALONE)] if other else []
    with ExitStack() as stack:
        provider = stack.enter_context(Provider("browserbase", size))
        rivals = [stack.enter_context(Rival(kind, provider)) for kind in ("floor", "naive")]
        exporters = [stack.enter_context(_exporter(provider, one)) for one in (*setups, *theirs)]
        contestants: list[Contestant] = [*rivals, *exporters]
        in_turns(WARMING, [provider], contestants)
        floor, naive, ours, whole, *old = (one.seconds for one in in_turns(rounds, [provider], contestants))
        memory = exporters[1].mebibytes(), exporters[1].mebibytes("VmHWM")
        return Listed(floor, naive, ours, whole, *memory, old[0] if old else None)


def measure_accounts(other: Path | None = None) -> dict[int, Accounts]:
    """Exporters with so many accounts, whose provider takes its time, in turns."""
    _say("accounts")
    with ExitStack() as stack:
        provider = stack.enter_context(Provider("browserbase", ACCOUNT_SESSIONS, LATENCY))
        exporters, others = (
            [
                stack.enter_context(_exporter(provider, Setup(command, count, SESSIONS_ALONE)))
                for count in ACCOUNTS
                if command
            ]
            for command in (COMMAND, other)
        )
        contestants = (*exporters, *others)
        in_turns(WARMING, [provider], contestants)
        times = in_turns(ACCOUNT_ROUNDS, [provider], contestants)
        each = zip_longest(ACCOUNTS, exporters, times[: len(exporters)], times[len(exporters) :])
        return {
            count: Accounts(
                own, exporter.mebibytes(), exporter.mebibytes("VmHWM"), old.seconds if old else None
            )
            for count, exporter, own, old in each
        }


def measure_many(_other: Path | None = None) -> dict[str, dict[int, Many]]:
    """Exporters with few and many accounts on each kind of ledger, with all their collectors."""
    with ExitStack() as stack:
        provider = stack.enter_context(Provider("browserbase", ACCOUNT_SESSIONS, LATENCY))
        ledgers = {"SQLite": lambda: "", "PostgreSQL": stack.enter_context(postgres()).empty}
        return {
            kind: {
                count: _measure_many(provider, kind, Setup(accounts=count, ledger=new())) for count in MANY
            }
            for kind, new in ledgers.items()
        }


def _measure_many(provider: Provider, kind: str, setup: Setup) -> Many:
    _say(f"{setup.accounts} accounts on {kind}")
    with _exporter(provider, setup) as exporter:
        in_turns(WARMING, [provider], [exporter])
        before = exporter.cpu_seconds()
        (ours,) = in_turns(MANY_ROUNDS, [provider], [exporter])
        cpu = (exporter.cpu_seconds() - before) / MANY_ROUNDS
        return Many(ours, cpu, exporter.mebibytes(), exporter.mebibytes("VmHWM"))


def measure_ended(other: Path | None = None) -> dict[int, Ended]:
    """Browser Use's histories, imported one after the other, then scraped in turns."""
    with ExitStack() as stack:
        providers = [stack.enter_context(Provider("browser_use", size)) for size in ENDED]
        floor = stack.enter_context(Rival("floor", providers[0]))
        exporters = [stack.enter_context(_exporter(provider)) for provider in providers]
        others = [stack.enter_context(_exporter(provider, Setup(other))) for provider in providers if other]
        for exporter in (*exporters, *others):
            _import(exporter)
        _say("Browser Use: steady scrapes")
        in_turns(SETTLING, providers, (*exporters, *others))
        least, *times = in_turns(ENDED_ROUNDS, providers, (floor, *exporters, *others))
        ours, theirs = times[: len(providers)], times[len(providers) :]
        each = zip_longest(providers, exporters, ours, theirs)
        return {one.size: _ended(one, exporter, own, least, old) for one, exporter, own, old in each}


def _import(exporter: Exporter) -> None:
    _say(f"{exporter.name}: import of Browser Use's history")
    exporter.scrape()
    while not exporter.samples["cloud_browser_history_complete"]:
        exporter.scrape()


def _ended(provider: Provider, exporter: Exporter, ours: Times, floor: Times, theirs: Times | None) -> Ended:
    """What it holds, all at the same time of their providers; the naive exporter comes after it."""
    return Ended(
        ours,
        floor.seconds,
        memory=exporter.mebibytes(),
        highest=exporter.mebibytes("VmHWM"),
        rows=round(exporter.samples["cloud_browser_exporter_ledger_sessions"]),
        ledger=exporter.ledger(),
        log=exporter.ledger("-wal"),
        naive=_against_naive(provider, exporter),
        other=theirs.seconds if theirs else None,
    )


def _against_naive(provider: Provider, exporter: Exporter) -> float | None:
    """How often the naive exporter's time ours is, where it ends in time."""
    if provider.size not in NAIVE_ROUNDS:
        return None
    _say(f"Browser Use: the naive exporter reads {provider.size:,} sessions")
    with Rival("naive", provider) as naive:
        theirs, ours = in_turns(NAIVE_ROUNDS[provider.size], [provider], (naive, exporter))
    return ours.seconds / theirs.seconds


@contextmanager
def _exporter(provider: Provider, setup: Setup = Setup()) -> Iterator[Exporter]:  # noqa: B008 - it is frozen
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=DISK) as folder,
        Exporter(Path(folder), provider, setup) as exporter,
    ):
        yield exporter


PARTS: dict[str, Callable[[Path | None], Any]] = {
    "start": measure_start,
    "listed": measure_listed,
    "accounts": measure_accounts,
    "many": measure_many,
    "ended": measure_ended,
}


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
