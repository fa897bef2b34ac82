"""The flags that name a configuration and a ledger, and what they stand for."""

import argparse
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from exporter.config.settings import Config, default_ledger, from_environment, load
from exporter.providers.base import Provider


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Add `--config.file` and `--ledger.url`."""
    parser.add_argument(
        "--config.file",
        dest="config",
        type=Path,
        metavar="FILE",
        help="configuration in YAML; default: none, the accounts come from environment variables",
    )
    parser.add_argument(
        "--ledger.url",
        dest="ledger",
        metavar="URL",
        help="ledger's database, such as sqlite:////var/lib/ledger.db or postgresql://USER@HOST/DATABASE; "
        "takes precedence over ledger.url in the configuration file; default: ledger.db in the user's state "
        "directory",
    )


def configuration_of(
    flags: argparse.Namespace, providers: Mapping[str, Provider], environ: Mapping[str, str] = os.environ
) -> Callable[[], Config]:
    """Returns what reads the configuration, and raises ConfigError."""
    if flags.config is None:
        return partial(from_environment, providers, environ, flags.ledger)
    return partial(load, flags.config, providers, environ, flags.ledger)


def make_default_folder(config: Config, environ: Mapping[str, str] = os.environ) -> None:
    """Create the folder of the default ledger: that of another one may be a typing error. Raises OSError."""
    default = default_ledger(environ)
    if default is None or config.ledger.url != default:
        return
    path = Path(default.removeprefix("sqlite:///")).parent
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{path} cannot be made ({error.strerror}); name a ledger with --ledger.url") from error
