"""`sync`: imports the accounts' history into the ledger."""

import argparse
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import closing

from exporter.accounts import AccountTargets
from exporter.commands.flags import add_configuration, configuration_of, make_default_folder
from exporter.commands.importing import Import, Outcome
from exporter.commands.interrupts import run_interruptibly
from exporter.commands.progress import is_terminal, progress
from exporter.config.settings import Config
from exporter.ledger.store import Ledger
from exporter.log import dropped_lines
from exporter.metrics.telemetry import Telemetry
from exporter.providers.base import Provider

OK, FAILED = 0, 1
STOP_SECONDS = 1.0  # for what is being recorded when a signal ends the command
AGAIN = "run it again to go on from there"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sync`."""
    add_configuration(parser)


def sync(flags: argparse.Namespace, providers: Mapping[str, Provider]) -> int:
    """Import what the providers list. Returns 0 when that is complete, 1 when an account failed.

    Raises ConfigError, LedgerError and OSError.
    """
    config = run_interruptibly("configuration", configuration_of(flags, providers))
    make_default_folder(config)
    if is_terminal(sys.stderr):  # the bars say what these lines would, and would be torn by them
        logging.getLogger().setLevel(max(logging.getLogger().level, logging.WARNING))
    outcomes = _run(config, providers)
    for outcome in outcomes:
        print(f"{outcome.account.provider}/{outcome.account.name}: {_said(outcome)}")
    return FAILED if any(outcome.error for outcome in outcomes) else OK


def _run(config: Config, providers: Mapping[str, Provider]) -> list[Outcome]:
    telemetry = Telemetry(dropped_lines)
    plan = AccountTargets(providers, os.environ, telemetry).plan(config)
    with closing(Ledger(config.ledger.url)) as ledger, progress() as shown:
        run_interruptibly("ledger", ledger.open)
        importing = Import(plan, ledger, telemetry, shown)
        try:
            return [*run_interruptibly("sync", importing.run)]
        finally:
            importing.stop(STOP_SECONDS)


def _said(outcome: Outcome) -> str:
    if outcome.counted is None:
        return "no sessions to import, they are not among its collectors"
    sessions = f"{outcome.counted} session{'' if outcome.counted == 1 else 's'}"
    if outcome.error is None:
        return f"complete, {sessions}"
    return f"failed ({outcome.error}) after {sessions}; {AGAIN}"
