"""Commands and flags."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from exporter import __version__
from exporter import log as logs
from exporter.app import Web, serve
from exporter.commands import backfill, check, sync
from exporter.commands import config as configurations
from exporter.commands import ledger as ledgers
from exporter.commands.errors import CommandError
from exporter.commands.flags import add_configuration, configuration_of, make_default_folder
from exporter.config.settings import ConfigError
from exporter.ledger.errors import LedgerError
from exporter.providers import PROVIDERS
from exporter.providers.base import Provider

NAME = "cloud-browser-exporter"
OK, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 130
TAKEN_PATHS = ("/", "/probe", "/sd")

Providers = Mapping[str, Provider]


class Command(msgspec.Struct, frozen=True):
    """A command: its help text, its flags, and what runs it, and may return an exit code."""

    text: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Providers], int | None]


def main(arguments: Sequence[str] | None = None, providers: Providers = PROVIDERS) -> int:
    """Run a command. Returns the exit code: 0, 1 when it failed, 2 for invalid flags or configuration.

    130 where Ctrl-C ends a command that does not serve.
    """
    command, flags = parse(sys.argv[1:] if arguments is None else arguments, providers)
    logs.configure(flags.log_level, flags.log_format)
    try:
        code = command.run(flags, providers)
    except ConfigError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        return INVALID
    except CommandError as error:
        print(*(f"{NAME}: {line}" for line in error.lines), sep="\n", file=sys.stderr)
        return FAILED
    except (LedgerError, OSError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return OK if code is None else code


def parse(arguments: Sequence[str], providers: Providers) -> tuple[Command, argparse.Namespace]:
    """Returns the command, which may follow flags of `serve`, and all flags, parsed as that command's."""
    parser = _main_parser(providers)
    given, unknown = parser.parse_known_args(arguments)
    rest = given.command
    before = arguments[: len(arguments) - len(rest)]
    name, after = _command_name(rest or ["serve"])
    if unknown:
        parser.error(_unknown(unknown, "serve"))
    if name not in COMMANDS:
        parser.error(f"argument COMMAND: invalid choice: {name!r} (choose from {', '.join(COMMANDS)})")
    command = COMMANDS[name]
    parser = _parser(f"{NAME} {name}", command, command.text)
    flags, unknown = parser.parse_known_args([*before, *after])
    if unknown:
        parser.error(_unknown(unknown, name))
    return command, flags


def _command_name(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Returns the command's name, which may be of two words, and what follows."""
    pair = " ".join(words[:2])
    if pair in COMMANDS or any(name.startswith(f"{words[0]} ") for name in COMMANDS):
        return pair, words[2:]
    return words[0], words[1:]


def _unknown(unknown: Sequence[str], name: str) -> str:
    """What is wrong with arguments that a command does not take, and what may have been meant."""
    flag, text = unknown[0].partition("=")[0], f"unrecognized arguments: {' '.join(unknown)}"
    flags = {other: _flags(command) for other, command in COMMANDS.items()}
    if takers := [other for other in flags if flag in flags[other]]:
        return f"{text}; {flag} is only for {', '.join(takers)}"
    near = difflib.get_close_matches(flag, flags[name], 1)
    return f"{text}; did you mean {near[0]}?" if near else text


def _flags(command: Command) -> list[str]:
    return re.findall(r"^ +(--[a-z.-]+)", _parser(NAME, command, "").format_help(), re.MULTILINE)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Ends the process with one line, where argparse adds all flags before it."""
        self.exit(INVALID, f"{self.prog}: {message}; see --help\n")


def _main_parser(providers: Providers) -> _Parser:
    titles = ", ".join(provider.title for provider in providers.values())
    text = f"Prometheus exporter for cloud browsers: {titles}."
    parser = _parser(NAME, COMMANDS["serve"], text)
    parser.usage = "%(prog)s [FLAGS] [COMMAND] [FLAGS]"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = (f"  {name:14} {command.text}" for name, command in COMMANDS.items())
    parser.epilog = "\n".join(("commands:", *lines, "", "`COMMAND --help` shows a command's flags."))
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="see below")
    return parser


def _parser(prog: str, command: Command, text: str) -> _Parser:
    parser = _Parser(prog, description=text, allow_abbrev=False)
    command.add_flags(parser)
    add = parser.add_argument
    levels = ", ".join(logs.LEVELS)
    add(
        "--log.level",
        dest="log_level",
        choices=tuple(logs.LEVELS),
        default="info",
        metavar="LEVEL",
        help=f"least severe level that is logged: {levels}; default: info",
    )
    add(
        "--log.format",
        dest="log_format",
        choices=logs.FORMATS,
        default="logfmt",
        metavar="FORMAT",
        help=f"format of log lines: {', '.join(logs.FORMATS)}; default: logfmt",
    )
    version = f"{NAME} {__version__}"
    add("--version", action="version", version=version, help="print the version and exit")
    return parser


def _add_serving(parser: argparse.ArgumentParser) -> None:
    add_configuration(parser)
    add = parser.add_argument
    add(
        "--web.enable-lifecycle",
        dest="lifecycle",
        action="store_true",
        help="reload the configuration by POST /-/reload; default: by SIGHUP only",
    )
    _add_web(parser)


def _add_web(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--web.listen-address",
        dest="listen",
        type=_address,
        action="append",
        metavar="HOST:PORT",
        help="address to serve on; may be repeated; default: :10925, which is every address of this machine",
    )
    add(
        "--web.telemetry-path",
        dest="path",
        type=_path,
        default="/metrics",
        metavar="PATH",
        help="path of the metrics; default: /metrics",
    )
    add(
        "--web.config.file",
        dest="web_config",
        type=Path,
        metavar="FILE",
        help="TLS, and users with passwords: YAML in the exporter-toolkit's format; default: none",
    )


def _add_simulate(parser: argparse.ArgumentParser, billing: str = "metered") -> None:
    from exporter import demo  # noqa: PLC0415 - only its commands import the simulator

    parser.add_argument(
        "--listen-address",
        dest="simulator",
        type=_address,
        default="127.0.0.1:10926",
        metavar="HOST:PORT",
        help="address of the simulator; default: 127.0.0.1:10926",
    )
    demo.add_flags(parser, billing)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    _add_web(parser)
    _add_simulate(parser, billing="upfront")


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as :10925 or 127.0.0.1:10925")
    return host.strip("[]"), int(port)


def _path(text: str) -> str:
    taken = text in TAKEN_PATHS or text.startswith("/-/")
    if not text.startswith("/") or taken or set(text) & set("{}?#% "):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path of its own, such as /metrics")
    return text


def _web(flags: argparse.Namespace, *, lifecycle: bool = False) -> Web:
    return Web(tuple(flags.listen or [("", 10925)]), flags.path, flags.web_config, lifecycle)


def _serve(flags: argparse.Namespace, providers: Providers) -> None:
    environ = dict(os.environ)
    read = configuration_of(flags, providers, environ)
    config = read()
    make_default_folder(config, environ)
    serve(config, read, environ, _web(flags, lifecycle=flags.lifecycle), providers)


def _simulate(flags: argparse.Namespace, _: Providers) -> None:
    from exporter import demo  # noqa: PLC0415 - only its commands import the simulator

    demo.simulate(flags)


def _demo(flags: argparse.Namespace, providers: Providers) -> None:
    from exporter import demo  # noqa: PLC0415 - only its commands import the simulator

    demo.demo(flags, _web(flags), providers)


COMMANDS: Mapping[str, Command] = {
    "serve": Command("serve the metrics (the default)", _add_serving, _serve),
    "check": Command("validate the configuration, and ask each account once", check.add_flags, check.check),
    "sync": Command("import the accounts' history into the ledger", sync.add_flags, sync.sync),
    "backfill": Command(
        "write what the providers list as history for Prometheus", backfill.add_flags, backfill.run
    ),
    "simulate": Command("serve the providers' APIs from a seeded fleet", _add_simulate, _simulate),
    "demo": Command("simulator and exporter in one process; needs no key", _add_demo, _demo),
    "config schema": Command(
        "print the JSON Schema of a configuration file",
        configurations.add_schema_flags,
        configurations.print_schema,
    ),
    "ledger show": Command(
        "print accounts, totals and rows of a ledger", ledgers.add_show_flags, ledgers.show
    ),
    "ledger copy": Command(
        "copy a ledger into an empty database", ledgers.add_copy_flags, ledgers.copy_ledger
    ),
}
