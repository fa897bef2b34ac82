"""The commands that need the simulator: `simulate` and `demo`. Nothing else imports it."""

import argparse
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from exporter.app import Web, serve
from exporter.config.settings import AccountConfig, Config, ConfigError, LedgerConfig, Pricing
from exporter.providers.base import Provider
from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.fleet import BILLING, DAY, ORDERS, Fleet, parse_wave
from exporter.simulator.server import FAULTS, Server, create_app, parse_fault, scaled_clock

Parsed = TypeVar("Parsed")

STOP_SIGNALS = signal.SIGTERM, signal.SIGINT
KEY = "DEMO_KEY"
LABELS = (("team", "team"),)  # as the simulator's sessions have it

# Developer-plan prices: 0.12 USD an hour, 12 USD for 10^9 bytes.
PRICES = Pricing(browser_per_hour=120_000_000, proxy_per_gb=12_000_000_000)
WELCOME = """\
A fleet of simulated browsers is running, and this exporter reads it at every scrape.

  page             {pages}
  metrics          {metrics}
  expected totals  {simulator}/truth
  APIs             {apis}

Point Prometheus at {target}, or look: curl -s {url} | grep ^cloud_browser_cost
Ctrl-C ends it, and nothing stays behind.
"""


def add_flags(parser: argparse.ArgumentParser, billing: str) -> None:
    """Add the simulator's flags, except its address. billing: the default."""
    _add_fleet(parser)
    add = parser.add_argument
    add(
        "--billing",
        choices=BILLING,
        default=billing,
        help="whether the reported cost of an open browser grows by the minute, or covers its whole period "
        f"from the start; default: {billing}",
    )
    add(
        "--wave",
        dest="waves",
        type=_argument(parse_wave),
        action="append",
        default=[],
        metavar="KIND:SHARE:BEGIN:END",
        help="between two minutes after the start, this share of new sessions ends in error or timeout, such "
        "as error:0.5:10:25; may be repeated; default: none",
    )
    add(
        "--fault",
        dest="faults",
        type=_argument(parse_fault),
        action="append",
        default=[],
        metavar="KIND:SHARE",
        help=f"share of requests that are answered with a fault ({', '.join(FAULTS)}), such as 503:0.1; may "
        "be repeated; default: none",
    )


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    def add(flag: str, default: Any, metavar: str, text: str, parse: Callable[[str], Any]) -> None:
        parser.add_argument(
            flag, type=parse, default=default, metavar=metavar, help=f"{text}; default: {default}"
        )

    add("--seed", 1, "N", "the same seed and time give the same sessions", int)
    add("--history", 1000, "N", "sessions of each provider that have ended before the start", int)
    add("--rate", 60.0, "N", "new sessions of each provider, per hour", float)
    add("--speed", 1.0, "FACTOR", "how many times as fast as real time the simulator's clock runs", float)
    add("--retention", "30", "DAYS", "days from a session's creation until it leaves the list", _days)
    add("--error-ratio", 0.04, "SHARE", "share of Browserbase sessions that fail, from 0 to 1", float)
    add("--timeout-ratio", 0.03, "SHARE", "share of sessions that time out, from 0 to 1", float)
    parser.add_argument(
        "--order",
        choices=ORDERS,
        default=ORDERS[0],
        help=f"order of Browser Use's pages of ended sessions; default: {ORDERS[0]}",
    )


def _days(text: str) -> int:
    try:
        return round(float(text) * DAY)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, such as 7") from error


def _argument(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """Returns the parser for argparse, which does not show the text of a ValueError."""

    def parsed(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def simulate(flags: argparse.Namespace) -> None:
    """Serve the simulated APIs until SIGTERM or SIGINT."""
    server = _simulator(flags)
    # For the server's thread, too: sigwait takes them. SIGHUP ends it as it ends any program.
    signal.pthread_sigmask(signal.SIG_SETMASK, STOP_SIGNALS)
    with server:
        urls = {one.title: server.url + one.base_path for one in SIMULATED.values()}
        for title, url in {**urls, "Expected totals": f"{server.url}/truth"}.items():
            print(f"{title + ':':16} {url}", flush=True)
        signal.sigwait(STOP_SIGNALS)


def demo(flags: argparse.Namespace, web: Web, providers: Mapping[str, Provider]) -> None:
    """Run simulator and exporter in one process, with keys and a ledger that are removed afterwards."""
    with _simulator(flags) as server, tempfile.TemporaryDirectory(prefix="cloud-browser-demo-") as folder:
        accounts = accounts_of(server.url, providers)
        config = Config(accounts, ledger=LedgerConfig(f"sqlite:///{folder}/ledger.db"))
        web = msgspec.structs.replace(web, started=partial(_welcome, server.url, web.path))
        serve(config, None, {KEY: "demo"}, web, providers)


def _welcome(simulator: str, path: str, served: list[str]) -> None:
    urls = [url + path for url in served]
    apis = "  ".join(f"{simulator}{one.base_path}{one.path}" for one in SIMULATED.values())
    target = served[0].partition("://")[2]
    pages, metrics = ("  ".join(found) for found in ((f"{url}/" for url in served), urls))
    text = WELCOME.format(
        pages=pages, metrics=metrics, url=urls[0], target=target, simulator=simulator, apis=apis
    )
    print(text, flush=True)


def accounts_of(url: str, providers: Mapping[str, Provider]) -> tuple[AccountConfig, ...]:
    """Returns an account of each provider that is simulated; with prices where cost is estimated."""
    prices = {"estimated": {"pricing": PRICES}}
    return tuple(
        AccountConfig(
            "demo",
            name,
            KEY,
            base_url=url + SIMULATED[name].base_path,
            metadata_labels=LABELS,
            options=provider.options(**prices.get(provider.traits.cost_source, {})),
        )
        for name, provider in providers.items()
        if name in SIMULATED
    )


def _simulator(flags: argparse.Namespace) -> Server:
    origin = time.time_ns() // 1000
    names = ("seed", "rate", "history", "retention", "error_ratio", "timeout_ratio", "order", "billing")
    try:
        options = {name: getattr(flags, name) for name in names}
        fleet = Fleet(origin=origin, waves=tuple(flags.waves), **options)
        clock = scaled_clock(origin, flags.speed)
        return Server(create_app(fleet, clock, faults=flags.faults), *flags.simulator)
    except ValueError as error:
        raise ConfigError(str(error)) from error
