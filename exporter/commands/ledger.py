"""`ledger show` and `ledger copy`."""

import argparse
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from exporter.config.ledger_url import ledger_url_flag
from exporter.config.settings import ConfigError, default_ledger, load_ledger_url
from exporter.ledger.copying import Proof, copy
from exporter.ledger.queries import AccountState
from exporter.ledger.summary import Totals, account_states, reading, sums
from exporter.metrics.counters import COST, ENDED, PROXY_BYTES, REVISIONS, STARTED, TIME
from exporter.model import NANO_USD, SECOND, Account
from exporter.providers.base import Provider

COLUMNS = (
    "provider",
    "account",
    "history",
    "started",
    "ended",
    "seconds",
    "proxy bytes",
    "cost USD",
    "rows held",
    "last success (UTC)",
)
PROOF_COLUMNS = ("provider", "account", "total", "source", "target")
TEXT_COLUMNS = {"provider", "account", "history", "total", "last success (UTC)"}
NO_LEDGER = "ledger.url: none is named; allowed: --ledger.url, or ledger.url in --config.file"
NOT_TWO = (
    "--from, --to: needs two ledgers; allowed: both flags, or one of them and ledger.url in --config.file"
)
WIDTH = 10_000  # of a table at most, in characters
INTERRUPTS = {signal.SIGINT, signal.SIGTERM}


def add_show_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ledger show`."""
    _add_config(parser)
    parser.add_argument(
        "--ledger.url",
        dest="ledger",
        metavar="URL",
        help="ledger to show; takes precedence over the configuration file's; default: ledger.db in the "
        "user's state directory",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; default: a table")


def add_copy_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ledger copy`."""
    _add_config(parser)
    for flag, dest, text in (
        ("--from", "source", "ledger to copy; it is not changed"),
        ("--to", "target", "empty database to copy it to"),
    ):
        default = "default: ledger.url in the configuration file"
        parser.add_argument(flag, dest=dest, metavar="URL", help=f"{text}; {default}")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config.file",
        dest="config",
        type=Path,
        metavar="FILE",
        help="configuration in YAML, of which only ledger.url is used; default: none",
    )


def show(flags: argparse.Namespace, providers: Mapping[str, Provider]) -> None:
    """Print what a ledger holds. Raises ConfigError and LedgerError."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    url = _url(flags.ledger, "--ledger.url", flags, providers) or default_ledger(os.environ)
    if url is None:
        raise ConfigError(NO_LEDGER)
    with reading(url) as (name, db):
        states = account_states(db)
    if flags.json:
        accounts = [_entry(account, state) for account, state in states.items()]
        print(_json({"ledger": name, "accounts": accounts}))
        return
    print(f"{name}: {len(states)} accounts")
    _print_table(COLUMNS, [_row(account, state) for account, state in states.items()])


def copy_ledger(flags: argparse.Namespace, providers: Mapping[str, Provider]) -> None:
    """Copy a ledger, and print what was compared. Raises ConfigError and LedgerError."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    source = _url(flags.source, "--from", flags, providers)
    target = _url(flags.target, "--to", flags, providers)
    if source is None or target is None or (flags.source is None and flags.target is None):
        raise ConfigError(NOT_TWO)
    _print_proof(copy(source, target))


def _url(
    text: str | None, flag: str, flags: argparse.Namespace, providers: Mapping[str, Provider]
) -> str | None:
    """Returns the URL of a flag, or else of the configuration file; None if neither has one."""
    if text is None:
        return None if flags.config is None else load_ledger_url(flags.config, providers)
    try:
        return ledger_url_flag(text)
    except ValueError as error:
        raise ConfigError(f"{flag}: {error}") from None


def _entry(account: Account, state: AccountState) -> dict[str, Any]:
    """Returns an account as JSON shows it: in seconds, bytes and USD."""
    totals = sums(state)
    return {
        "provider": account.provider,
        "account": account.name,
        "history_complete": state.progress is not None and state.progress.complete,
        "last_success": state.last_success,
        "sessions_held": state.rows,
        "rejected_sessions_held": len(state.rejected),
        "totals": {
            "sessions_started": totals.get((STARTED, ""), 0),
            "sessions_ended": _by_label(totals, ENDED),
            "session_seconds": totals.get((TIME, ""), 0) / SECOND,
            "proxy_bytes": totals.get((PROXY_BYTES, ""), 0),
            "cost_usd": {kind: cost / NANO_USD for kind, cost in _by_label(totals, COST).items()},
            "downward_revisions": totals.get((REVISIONS, ""), 0),
        },
    }


def _by_label(totals: Totals, counter: str) -> dict[str, int]:
    return {label: value for (name, label), value in totals.items() if name == counter}


def _row(account: Account, state: AccountState) -> tuple[str, ...]:
    entry = _entry(account, state)
    totals, last = entry["totals"], entry["last_success"]
    return (
        account.provider,
        account.name,
        "complete" if entry["history_complete"] else "importing",
        str(totals["sessions_started"]),
        str(sum(totals["sessions_ended"].values())),
        f"{totals['session_seconds']:.0f}",
        str(totals["proxy_bytes"]),
        f"{sum(_by_label(sums(state), COST).values()) / NANO_USD:.4f}",
        str(state.rows),
        "" if last is None else datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%d %H:%M:%S"),
    )


def _print_proof(proof: Proof) -> None:
    print(f"copied {proof.source} to {proof.target}, and compared:")
    rows = [
        (account.provider, account.name, f"{counter} {label}".strip(), str(value), str(value))
        for account, totals in proof.totals.items()
        for (counter, label), value in totals.items()
    ]
    _print_table(PROOF_COLUMNS, rows)
    counted = ", ".join(f"{count} {name}" for name, count in proof.rows.items())
    print(f"all equal; rows in each: {counted}")


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, as wide as it needs to be: a figure that is cut off would be a wrong one."""
    from rich import box, console, markup, table  # noqa: PLC0415 - `serve` starts sooner without it

    shown = table.Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
    numbers = {column for column in columns if column not in TEXT_COLUMNS}
    for column in columns:
        shown.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*map(markup.escape, row))
    console.Console(width=WIDTH).print(shown)


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()
