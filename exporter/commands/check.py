"""`check`: validates the configuration, and asks each account once."""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import msgspec

from exporter.commands.asking import Answer, ask_all
from exporter.commands.flags import add_configuration, configuration_of
from exporter.commands.interrupts import run_interruptibly
from exporter.commands.progress import is_terminal
from exporter.model import Account
from exporter.providers.base import Provider

OK, FAILED = 0, 1
MAX_CLOCK_SECONDS = 600  # beyond it an open session's time may be counted late
COLUMNS = ("account", "answer", "open", "listed", "latency", "clock", "limit left", "quota", "credit")
ENDLESS = 10_000  # columns
NUMBERS = {"open", "listed", "latency", "clock", "limit left", "credit"}
CLOCKS = "the clocks are more than 10 minutes apart; set this machine's, or time may be counted late"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `check`."""
    add_configuration(parser)
    parser.add_argument(
        "--offline",
        action="store_true",
        help="validate the configuration alone; its keys must be there; default: ask each account too",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; default: a table, or lines")


def check(flags: argparse.Namespace, providers: Mapping[str, Provider]) -> int:
    """Print what each account answers. Returns 0 if the sessions of all could be read, else 1.

    Raises ConfigError.
    """
    config = run_interruptibly("configuration", configuration_of(flags, providers))
    if flags.offline:
        answers = [Answer(Account(account.provider, account.name)) for account in config.accounts]
    else:
        answers = run_interruptibly("check", lambda: ask_all(config, providers, os.environ))
    if flags.json:
        print(_json(answers))
        _print_lines(_complaints(answers), sys.stderr)
    elif flags.offline:
        print(f"the configuration is valid: {_count(len(answers), 'account')}")
    else:
        _print(answers)
    return FAILED if any(answer.up is False for answer in answers) else OK


def _json(answers: Iterable[Answer]) -> str:
    document = {"accounts": [_entry(answer) for answer in answers]}
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _entry(answer: Answer) -> dict[str, Any]:
    return {
        "provider": answer.account.provider,
        "account": answer.account.name,
        "up": answer.up,
        "reason": None if answer.failure is None else answer.failure.reason,
        "open": answer.open,
        "listed": answer.listed,
        "latency_seconds": answer.latency,
        "clock_offset_seconds": answer.clock_offset,
        "rate_limit_remaining": answer.rate_limit_remaining,
        "quota": {"used": answer.quota_used, "limit": answer.quota_limit},
        "credit_usd": answer.credit,
    }


def _complaints(answers: Iterable[Answer]) -> list[str]:
    """Returns a line for all that is wrong: whose it is, the reason, and what to do."""
    lines = []
    for answer in answers:
        name = _name(answer)
        if answer.failure is not None:
            lines.append(f"{name}: {answer.failure.reason}: {answer.failure.detail}")
        if answer.account_failure is not None:
            failure = answer.account_failure
            lines.append(f"{name}: quota and credit: {failure.reason}: {failure.detail}")
        if abs(answer.clock_offset or 0) > MAX_CLOCK_SECONDS:
            lines.append(f"{name}: {CLOCKS}")
    return lines


def _print(answers: Sequence[Answer]) -> None:
    if is_terminal(sys.stdout) and _print_table(answers):
        _print_lines(_complaints(answers), sys.stdout)
    else:
        for answer in answers:
            known = [] if answer.failure else [f"{_name(answer)}: {', '.join(_words(answer))}"]
            _print_lines([*known, *_complaints([answer])], sys.stdout)
    failed = sum(answer.up is False for answer in answers)
    summary = "all answered" if not failed else f"{failed} of them failed"
    print(f"{_count(len(answers), 'account')}: {summary}")


def _print_lines(lines: Iterable[str], stream: TextIO) -> None:
    for line in lines:
        print(line, file=stream)


def _words(answer: Answer) -> list[str]:
    """Returns what is known of an account, for a line of text."""
    shown = {
        "open": answer.open,
        "listed": answer.listed,
        "latency": _seconds(answer.latency),
        "clock": _offset(answer.clock_offset),
        "rate limit left": answer.rate_limit_remaining,
        "quota": _quota(answer),
        "credit": _credit(answer.credit),
    }
    return [_state(answer), *(f"{name} {value}" for name, value in shown.items() if value is not None)]


def _print_table(answers: Iterable[Answer]) -> bool:
    """Print a table. Returns whether the terminal is wide enough; nothing is printed where it is not."""
    from rich import console  # noqa: PLC0415 - `serve` starts sooner without it

    terminal = console.Console()
    rows = [_cells(answer) for answer in answers]
    for table in (_table(rows, narrow=narrow) for narrow in (False, True)):
        if terminal.measure(table, options=terminal.options.update(width=ENDLESS)).maximum <= terminal.width:
            terminal.print(table)
            return True
    return False


def _table(rows: Iterable[Sequence[Any]], *, narrow: bool) -> Any:
    from rich import box, table  # noqa: PLC0415 - as above

    made = table.Table(
        box=box.SIMPLE_HEAD, padding=(0, 0 if narrow else 1, 0, 0), pad_edge=False, show_edge=False
    )
    for column in COLUMNS:
        header = column.replace(" ", "\n") if narrow else column
        made.add_column(header, justify="right" if column in NUMBERS else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made


def _cells(answer: Answer) -> Sequence[Any]:
    from rich import text  # noqa: PLC0415 - as above

    style = {True: "green", False: "bold red", None: ""}[answer.up]
    cells = (answer.open, answer.listed, _seconds(answer.latency), _offset(answer.clock_offset))
    more = (answer.rate_limit_remaining, _quota(answer), _credit(answer.credit))
    texts = ("-" if cell is None else str(cell) for cell in (*cells, *more))
    return text.Text(_name(answer)), text.Text(_state(answer), style), *texts


def _name(answer: Answer) -> str:
    return f"{answer.account.provider}/{answer.account.name}"


def _state(answer: Answer) -> str:
    if answer.failure is not None:
        return answer.failure.reason
    return "not asked for sessions" if answer.up is None else "ok"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f} s"


def _offset(value: float | None) -> str | None:
    return None if value is None else f"{value:+.0f} s"


def _credit(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f} USD"


def _quota(answer: Answer) -> str | None:
    if answer.quota_limit is None:
        return None if answer.quota_used is None else f"{answer.quota_used} used"
    return f"{'at most' if answer.quota_used is None else f'{answer.quota_used} of'} {answer.quota_limit}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
