"""The commands that need the simulator: `simulate` and `demo`. Nothing else imports it."""

import argparse
import signal
import tempfile
import time
from collections.abc import Mapping
from functools import partial

import msgspec

from exporter.app import Web, serve
from exporter.config.settings import AccountConfig, Config, ConfigError, LedgerConfig, Pricing
from exporter.providers.base import Provider
from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.fleet import BILLING, DAY, ORDERS, Fleet, Wave, parse_wave
from exporter.simulator.server import FAULTS, Fault, Server, create_app, parse_fault, scaled_clock

STOP_SIGNALS = signal.SIGTERM, signal.SIGINT
KEY = "DEMO_KEY"

# Developer-plan prices: 0.12 USD an hour, 12 USD for 10^9 bytes.
PRICES = Pricing(browser_per_hour=120_000_000, proxy_per_gb=12_000_000_000)
WELCOME = """\
A fleet of simulated browsers is running, and this exporter reads it at every scrape.

  metrics          {metrics}
  expected totals  {simulator}/truth
  APIs             {apis}

Point Prometheus at {target}, or look: curl -s {url} | grep ^cloud_browser_cost
Ctrl-C ends it, and nothing stays behind.
"""


def add_flags(parser: argparse.ArgumentParser, billing: str) -> None:
    """Add the simulator's flags, but for its address. billing: the default."""
    add = parser.add_argument
    add("--seed", type=int, default=1, help="the same seed and time give the same sessions")
    add("--history", type=int, default=1000, help="how many sessions have ended already")
    add("--rate", type=float, default=60.0, help="sessions an hour, of each provider")
    add("--speed", type=float, default=1.0, help="how fast its clock runs")
    add("--retention", type=_days, default="30", help="days until a session leaves the list", metavar="DAYS")
    add("--order", choices=ORDERS, default=ORDERS[0], help="of lists in pages")
    add("--error-ratio", type=float, default=0.04, help="of the providers that know errors")
    add("--timeout-ratio", type=float, default=0.03)
    add(
        "--billing",
        choices=BILLING,
        default=billing,
        help=f"a reported cost of open browsers grows, or is charged upfront; default: {billing}",
    )
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
        help=f"answer a share of requests with a fault: {', '.join(FAULTS)}",
    )


def _days(text: str) -> int:
    try:
        return round(float(text) * DAY)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, such as 7") from error


def _wave(text: str) -> Wave:
    try:
        return parse_wave(text)
    except ValueError as error:  # whose text argparse would not show
        raise argparse.ArgumentTypeError(str(error)) from error


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except ValueError as error:  # whose text argparse would not show
        raise argparse.ArgumentTypeError(str(error)) from error


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
    """Simulator and exporter in one process, with keys and a ledger that are removed afterwards."""
    with _simulator(flags) as server, tempfile.TemporaryDirectory(prefix="cloud-browser-demo-") as folder:
        accounts = accounts_of(server.url, providers)
        config = Config(accounts, ledger=LedgerConfig(f"sqlite:///{folder}/ledger.db"))
        web = msgspec.structs.replace(web, started=partial(_welcome, server.url, web.path))
        serve(config, None, {KEY: "demo"}, web, providers)


def _welcome(simulator: str, path: str, served: list[str]) -> None:
    urls = [url + path for url in served]
    apis = "  ".join(f"{simulator}{one.base_path}{one.path}" for one in SIMULATED.values())
    target = served[0].partition("://")[2]
    metrics = "  ".join(urls)
    print(
        WELCOME.format(metrics=metrics, url=urls[0], target=target, simulator=simulator, apis=apis),
        flush=True,
    )


def accounts_of(url: str, providers: Mapping[str, Provider]) -> tuple[AccountConfig, ...]:
    """One of each registered provider that is simulated; with prices where cost is estimated."""
    prices = {"estimated": {"pricing": PRICES}}
    return tuple(
        AccountConfig(
            "demo",
            name,
            KEY,
            base_url=url + SIMULATED[name].base_path,
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
