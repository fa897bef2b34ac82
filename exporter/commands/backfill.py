"""`backfill`: the sessions that providers still list, as a file of samples for Prometheus's past."""

import argparse
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TextIO

from exporter.accounts import AccountTargets
from exporter.commands.history import ReadHistory, Span, ledger_states, read_histories
from exporter.commands.interrupts import run_interruptibly
from exporter.commands.output import summary, whole_file, write
from exporter.commands.progress import Progress, progress
from exporter.config.loader import duration
from exporter.config.settings import Config, ConfigError, from_environment, load
from exporter.metrics.definitions import TABLE
from exporter.metrics.telemetry import Telemetry
from exporter.model import HOUR, SECOND, micros
from exporter.providers.base import Provider
from exporter.scrape.plan import AccountTarget

HEAD = 3 * HOUR  # Prometheus's newest data, which no block may hold
MAX_STEP = 240 * SECOND  # Prometheus looks back five minutes
LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)=(.+)")
TARGET = ("job", "instance")

Until = Callable[[int], int]  # of the time now, in microseconds


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `backfill`."""
    add = parser.add_argument
    add(
        "--config.file",
        dest="config",
        type=Path,
        metavar="FILE",
        help="configuration in YAML; default: none, the accounts come from environment variables",
    )
    add(
        "--ledger.url",
        dest="ledger",
        metavar="URL",
        help="the exporter's ledger, which is only read: an account's history ends where it begins; takes "
        "precedence over ledger.url in the configuration file; default: ledger.db in the user's state "
        "directory",
    )
    add(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write, in OpenMetrics; it appears when it is complete; default: none, it must be named",
    )
    add(
        "--labels",
        type=_labels,
        required=True,
        metavar="LABELS",
        help="labels that Prometheus adds to the exporter's series, as job=J,instance=I; {provider} and "
        "{account} in a value stand for those of each account; default: none, they must be named",
    )
    add(
        "--step",
        type=_step,
        default=60 * SECOND,
        metavar="DURATION",
        help="time between samples, from 1s to 4m; default: 1m",
    )
    add(
        "--until",
        type=_until,
        metavar="TIME",
        help="end of the history: a duration before now or a time such as 2026-01-31T12:00:00Z, 3h ago at "
        "least; default: 3h ago, or where the ledger begins if that is earlier",
    )


def run(flags: argparse.Namespace, providers: Mapping[str, Provider]) -> None:
    """Write the file, and print what to do with it.

    Raises:
        ConfigError: for an invalid configuration or flag.
        CommandError, LedgerError, OSError: when an account, the ledger or the file fails; no file is left.
    """
    now = time.time_ns() // 1000
    span = _span(flags, now)
    config = _config(flags, providers)
    with progress() as shown, whole_file(flags.output) as stream:
        histories = run_interruptibly(
            "backfill", partial(_backfill, config, providers, span, flags.labels, stream, shown)
        )
    for line in summary(histories, flags.output, now, skips=config.ledger.history == "skip"):
        print(line)


def _backfill(  # noqa: PLR0913, PLR0917 - all that it takes
    config: Config,
    providers: Mapping[str, Provider],
    span: Span,
    labels: Mapping[str, str],
    stream: TextIO,
    shown: Progress,
) -> Sequence[ReadHistory]:
    states = ledger_states(config.ledger.url)
    targets = AccountTargets(providers, os.environ, Telemetry()).plan(config).targets
    _check_labels(labels, targets)
    histories = read_histories(targets, states, span, labels, shown)
    write(histories, stream, shown)
    return histories


def _check_labels(labels: Mapping[str, str], targets: Iterable[AccountTarget]) -> None:
    for target in targets:
        if taken := sorted(labels.keys() & set(target.description.metadata_labels)):
            account = f"{target.account.provider}/{target.account.name}"
            raise ConfigError(f"--labels: {taken[0]!r} is one of metadata_labels of {account}")


def _config(flags: argparse.Namespace, providers: Mapping[str, Provider]) -> Config:
    if flags.config is None:
        return from_environment(providers, os.environ, flags.ledger)
    return load(flags.config, providers, os.environ, flags.ledger)


def _span(flags: argparse.Namespace, now: int) -> Span:
    until = now - HEAD if flags.until is None else flags.until(now)
    if until > now - HEAD:
        raise ConfigError(
            "--until: is less than 3 hours ago, which Prometheus still writes; allowed: 3h or earlier"
        )
    return Span(flags.step, until, exact=flags.until is not None)


def _until(text: str) -> Until:
    """Returns what makes a time of now; the flag is a duration before it, or a time of its own."""
    try:
        ago = duration(text)
    except ValueError:
        at = _moment(text)
        return lambda _: at
    return lambda now: now - ago


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        allowed = "allowed: a duration before now, such as 3h, or a time, such as 2026-01-31T12:00:00Z"
        raise argparse.ArgumentTypeError(f"{text!r} is no time; {allowed}") from None
    return micros(moment.astimezone(UTC) if moment.tzinfo else moment)


def _step(text: str) -> int:
    try:
        step = duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not SECOND <= step <= MAX_STEP or step % SECOND:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; allowed: whole seconds from 1s to 4m")
    return step


def _labels(text: str) -> dict[str, str]:
    labels = {}
    for part in text.split(","):
        match = LABEL.fullmatch(part)
        if match is None or match[1].startswith("__"):
            raise argparse.ArgumentTypeError(
                f"{part!r} is not NAME=VALUE, such as job=cloud-browser-exporter"
            )
        labels[match[1]] = match[2]
    if missing := [name for name in TARGET if name not in labels]:
        allowed = "allowed: job=J,instance=I, as Prometheus shows them, and other labels of the target"
        raise argparse.ArgumentTypeError(f"{text!r} names no {' and no '.join(missing)}; {allowed}")
    if taken := sorted(labels.keys() & _metric_labels()):
        raise argparse.ArgumentTypeError(f"{taken[0]!r} is a label of the metrics themselves")
    return labels


def _metric_labels() -> set[str]:
    return {"le", "quantile"}.union(*(spec.labels for spec in TABLE))
