"""Commands and flags; the words a person and the exporter have for each other."""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event

from exporter import __version__
from exporter import log as logs
from exporter.app import Web, serve
from exporter.config.settings import (
    AccountConfig,
    Config,
    ConfigError,
    LedgerConfig,
    Pricing,
    default_ledger,
    from_environment,
    load,
)
from exporter.ledger.store import LedgerRefusedError
from exporter.simulator import server as simulator
from exporter.simulator.fleet import DAY, ORDERS, Fleet, Wave, parse_wave

OK, FAILED, INVALID = 0, 1, 2
DEFAULT_PORT = 10925
COMMANDS = ("serve", "simulate", "demo")

# Browserbase's Developer plan: 0.12 USD an hour, 12 USD for 10^9 bytes.
DEMO_PRICES = Pricing(browser_per_hour=120_000_000, proxy_per_gb=12_000_000_000)
DEMO = """\
A fleet of simulated browsers is running, and this exporter asks for it at every scrape.

  metrics    http://localhost:{port}{path}
  the truth  {simulator}/truth   what the counters must show
  the APIs   {simulator}/v1/sessions  {simulator}/api/v3/browsers

Point Prometheus at localhost:{port}, or look: curl -s localhost:{port}{path} | grep ^cloud_browser_cost
Ctrl-C ends it, and nothing stays behind.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the process's exit code: 0, 1 when it failed, 2 when it was told nonsense."""
    flags = _parser().parse_args(_command_first(sys.argv[1:] if arguments is None else arguments))
    logs.configure(flags.log_level, flags.log_format)
    try:
        flags.run(flags)
    except ConfigError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        return INVALID
    except (LedgerRefusedError, OSError) as error:
        print(f"cloud-browser-exporter: {error}", file=sys.stderr)
        return FAILED
    return OK


def _command_first(arguments: Sequence[str]) -> list[str]:
    """Flags may stand before the command, and `serve` need not be said."""
    flag = ""
    for place, word in enumerate(arguments):
        if word in COMMANDS and not flag:
            return [word, *arguments[:place], *arguments[place + 1 :]]
        flag = word if word.startswith("--") and "=" not in word else ""
    plain = {"-h", "--help", "--version"} & set(arguments)
    return [*arguments] if plain else ["serve", *arguments]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "cloud-browser-exporter",
        allow_abbrev=False,
        description="Prometheus exporter for cloud browsers: Browserbase and Browser Use Cloud.",
        epilog="`COMMAND --help` lists a command's flags; without a command, serve is run.",
    )
    _add_version(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run, text, adders in (
        ("serve", _serve_configured, "serve the metrics (the default)", (_add_serving, _add_logging)),
        ("simulate", _simulate, "serve both APIs from a seeded fleet", (_add_simulating, _add_logging)),
        ("demo", _demo, "both in one process; needs no key", (_add_web, _add_simulating, _add_logging)),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(run=run)
        for add in (*adders, _add_version):
            add(command)
    return parser


def _add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=f"cloud-browser-exporter {__version__}")


def _add_logging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log.level", dest="log_level", choices=tuple(logs.LEVELS), default="info")
    parser.add_argument("--log.format", dest="log_format", choices=logs.FORMATS, default="logfmt")


def _add_serving(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config.file",
        dest="config",
        type=Path,
        help="YAML; without it the accounts come from the environment",
    )
    parser.add_argument("--ledger.url", dest="ledger", help="goes before the configuration's ledger.url")
    parser.add_argument(
        "--web.enable-lifecycle", dest="lifecycle", action="store_true", help="reload by POST /-/reload"
    )
    _add_web(parser)


def _add_web(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--web.listen-address",
        dest="listen",
        type=_address,
        action="append",
        metavar="HOST:PORT",
        help="may be repeated; :10925 if absent",
    )
    parser.add_argument("--web.telemetry-path", dest="path", type=_path, default="/metrics", metavar="PATH")
    parser.add_argument(
        "--web.config.file",
        dest="web_config",
        type=Path,
        help="YAML in the exporter-toolkit's format: TLS, and users with passwords",
    )


def _add_simulating(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--listen-address", dest="simulator", type=_address, default="127.0.0.1:10926", metavar="HOST:PORT")
    add("--seed", type=int, default=1, help="the same seed and time give the same sessions")
    add("--history", type=int, default=1000, help="how many sessions have ended already")
    add("--rate", type=float, default=60.0, help="sessions an hour, of each provider")
    add("--speed", type=float, default=1.0, help="how fast its clock runs")
    add("--retention", type=_days, default="30", help="days until a session leaves the list", metavar="DAYS")
    add("--order", choices=ORDERS, default=ORDERS[0], help="of Browser Use's pages")
    add("--error-ratio", dest="error_ratio", type=float, default=0.04, help="of Browserbase's sessions")
    add("--timeout-ratio", dest="timeout_ratio", type=float, default=0.03)
    add(
        "--wave",
        dest="waves",
        type=_wave,
        action="append",
        default=[],
        metavar="KIND:SHARE:BEGIN:END",
        help="a share of new sessions ends in error or timeout, between two minutes of its clock",
    )
    add(
        "--fault",
        dest="faults",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND:SHARE",
        help=f"answer a share of requests with a fault: {', '.join(simulator.FAULTS)}",
    )


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as :10925 or 127.0.0.1:10925")
    return host.strip("[]"), int(port)


def _listen(flags: argparse.Namespace) -> tuple[tuple[str, int], ...]:
    return tuple(flags.listen or [("", DEFAULT_PORT)])


def _path(text: str) -> str:
    if not text.startswith("/") or text == "/" or text.startswith("/-/") or set(text) & set("{}?#% "):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path of its own, such as /metrics")
    return text


def _days(text: str) -> int:
    try:
        return round(float(text) * DAY)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, such as 7") from error


def _wave(text: str) -> Wave:
    try:
        return parse_wave(text)
    except ValueError as error:  # of which argparse would say nothing
        raise argparse.ArgumentTypeError(str(error)) from error


def _fault(text: str) -> simulator.Fault:
    try:
        return simulator.parse_fault(text)
    except ValueError as error:  # of which argparse would say nothing
        raise argparse.ArgumentTypeError(str(error)) from error


def _serve_configured(flags: argparse.Namespace) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    environ = dict(os.environ)
    read = partial(from_environment, environ, flags.ledger)
    if flags.config is not None:
        read = partial(load, flags.config, environ, flags.ledger)
    config = read()
    own = default_ledger(environ)
    if config.ledger.url == own:  # its folder is ours to make; another one is the user's
        _make_folder(Path(own.removeprefix("sqlite:///")).parent)
    serve(config, read, environ, Web(_listen(flags), flags.path, flags.web_config, flags.lifecycle))


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{path} cannot be made ({error.strerror}); name a ledger with --ledger.url") from error


def _simulate(flags: argparse.Namespace) -> None:
    leaving = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    with _simulator(flags) as server:
        print(
            f"Browserbase:  {server.url}",
            f"Browser Use:  {server.url}/api/v3",
            f"The truth:    {server.url}/truth",
            sep="\n",
            flush=True,
        )
        leaving.wait()


def _simulator(flags: argparse.Namespace) -> simulator.Server:
    origin = time.time_ns() // 1000
    names = ("seed", "rate", "history", "retention", "error_ratio", "timeout_ratio", "order")
    try:
        options = {name: getattr(flags, name) for name in names}
        fleet = Fleet(origin=origin, waves=tuple(flags.waves), **options)
        clock = simulator.scaled_clock(origin, flags.speed)
        return simulator.Server(simulator.create_app(fleet, clock, faults=flags.faults), *flags.simulator)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _demo(flags: argparse.Namespace) -> None:
    """Simulator and exporter, with keys and a ledger that are gone afterwards."""
    with _simulator(flags) as server, tempfile.TemporaryDirectory(prefix="cloud-browser-demo-") as folder:
        accounts = (
            AccountConfig("demo", "browserbase", "DEMO_KEY", base_url=server.url, pricing=DEMO_PRICES),
            AccountConfig("demo", "browser_use", "DEMO_KEY", base_url=f"{server.url}/api/v3"),
        )
        config = Config(accounts, ledger=LedgerConfig(f"sqlite:///{folder}/ledger.db"))
        print(DEMO.format(port=_listen(flags)[0][1], path=flags.path, simulator=server.url), flush=True)
        serve(config, None, {"DEMO_KEY": "demo"}, Web(_listen(flags), flags.path, flags.web_config))
