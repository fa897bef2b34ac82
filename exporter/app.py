"""The exporter, wired together: from a configuration to a front that serves."""

import signal
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import msgspec
import structlog

from exporter.client.api import Api
from exporter.client.errors import NoKeyError
from exporter.config.secrets import KeyUnavailableError, open_to_others
from exporter.config.settings import AccountConfig, Config, ConfigError, Pricing
from exporter.ledger.accounting import Rules
from exporter.ledger.store import Ledger, LedgerError, LedgerRefusedError
from exporter.metrics.telemetry import Meters
from exporter.model import BROWSERBASE, Account
from exporter.providers import browserbase
from exporter.providers.browser_use import reader as browser_use
from exporter.reload import Reload
from exporter.scrape.plan import Plan, Target, Times
from exporter.scrape.scraper import Puller
from exporter.web.app import Front, hardened
from exporter.web.reloading import Guard
from exporter.web.server import at_signals, run

RECORD_SECONDS = 1  # for the ledger, at the end, when the front has gone
OTHER_LEDGER = (
    "ledger.url: cannot change while the exporter runs; allowed: the one it started with, or a restart"
)

log = structlog.get_logger()


class Web(msgspec.Struct, frozen=True):
    """What the flags say of the front.

    listen: host and port. path: of the metrics. config: the file for TLS and passwords.
    lifecycle: whether a reload may be asked for over HTTP.
    """

    listen: tuple[str, int]
    path: str
    config: Path | None = None
    lifecycle: bool = False


def serve(config: Config, again: Callable[[], Config] | None, environ: Mapping[str, str], web: Web) -> None:
    """Serve until a signal says otherwise; then answer what is under way, and close the ledger.

    `again` reads the configuration for a reload, and may take seconds; it raises ConfigError. Where there
    is nothing to read again, SIGHUP ends the exporter as SIGTERM does.

    Raises:
        ConfigError: for an invalid file of the front's.
        LedgerRefusedError: for a ledger that must not be touched.
        OSError: when the address is not to be had.
    """
    guard = None if web.config is None else Guard.open(web.config)
    meters = Meters()
    with closing(Ledger(config.ledger.url)) as ledger:
        _open(ledger)
        wiring = Wiring(environ, meters)
        puller = Puller(wiring.plan(config), ledger, meters)
        reload = again and Reload(lambda: wiring.plan(_same_ledger(again(), config)), puller, meters)
        ready = partial(_ready, ledger)
        front = Front(puller, meters.registry, ready, web.path, reload if web.lifecycle else None)
        app = front.app() if guard is None else guard.protect(front.app())
        tls = None if guard is None else guard.context()
        hang_up = reload.begin if reload else partial(signal.raise_signal, signal.SIGTERM)
        at_once = run(hardened(app), web.listen, hurry=puller.hurry, reload=hang_up, tls=tls)
        _let_record(puller, 0 if at_once else RECORD_SECONDS)


def _let_record(puller: Puller, seconds: float) -> None:
    """Wait for what is being asked, so long, or until told to end once more."""
    with suppress(KeyboardInterrupt):
        at_signals(_interrupt)
        puller.close(seconds)
        at_signals(lambda: None)


def _interrupt() -> None:
    at_signals(lambda: None)
    raise KeyboardInterrupt


def _open(ledger: Ledger) -> None:
    """Open the ledger, now or later. One that must not be touched ends the exporter at its start."""
    try:
        ledger.open()
    except LedgerRefusedError:
        raise
    except LedgerError as error:
        log.warning("the ledger cannot be opened yet", error=str(error))


def _ready(ledger: Ledger) -> bool:
    """Whether the ledger is open now, or can be opened. Why not, the pulls say."""
    try:
        ledger.open()
    except LedgerError as error:
        log.debug("not ready", error=str(error))
        return False
    return True


def _same_ledger(new: Config, old: Config) -> Config:
    if new.ledger.url != old.ledger.url:
        raise ConfigError(OTHER_LEDGER)
    return new


class Wiring:
    """Makes plans of configurations, one after the other.

    Where an account is asked as the plan before asked it, the way to it is kept: its connections, the
    silence that its provider asked for, the place in a long reading.

    Args:
        environ: where keys are that are in no file.
        meters: told by the accounts.
    """

    def __init__(self, environ: Mapping[str, str], meters: Meters) -> None:
        self._environ, self._meters = environ, meters
        self._targets: dict[Account, Target] = {}
        self._open_files: set[str] = set()

    def plan(self, config: Config) -> Plan:
        """What a pull is to go by. Warns of key files that are open to others."""
        self._open_files = set()
        for file in {account.api_key_file for account in config.accounts} - {""}:
            self._look_at(file)
        made = [self._target(account, config) for account in config.accounts]
        self._targets = {target.account: target for target in made}
        times = Times(config.scrape.timeout, config.scrape.timeout_offset)
        return Plan(tuple(made), times, _sources(config), config.scrape.min_interval)

    def _target(self, account: AccountConfig, config: Config) -> Target:
        name, limit = Account(account.provider, account.name), config.scrape.max_response_bytes
        asks = msgspec.structs.replace(account, pricing=None), limit
        rules, before = _rules(account, config), self._targets.get(name)
        if before is not None and before.asks == asks:
            return msgspec.structs.replace(before, rules=rules)
        room = browserbase if account.provider == BROWSERBASE else browser_use
        key, meter = partial(self._key, account), self._meters.of(name, room.PATH)
        api = Api(account.base_url, room.KEY_HEADER, key, max_bytes=limit, meter=meter)
        if account.provider == BROWSERBASE:
            return Target(name, rules, partial(browserbase.read, api, account.query), asks=asks)
        lister = browser_use.BrowserUse(api)
        return Target(name, rules, lister.read, lister.recorded, asks)

    def _key(self, account: AccountConfig) -> str:
        if account.api_key_file:
            self._look_at(account.api_key_file)
        try:
            return account.key(self._environ).reveal()
        except KeyUnavailableError as error:
            raise NoKeyError(str(error)) from error

    def _look_at(self, file: str) -> None:
        """Warn of a key file that others may read: once, and again when it was closed in between."""
        if not open_to_others(file):
            self._open_files.discard(file)
        elif file not in self._open_files:
            self._open_files.add(file)
            log.warning("a key file is open to other users", file=file, advice=f"chmod 600 {file}")


def _rules(account: AccountConfig, config: Config) -> Rules:
    prices = account.pricing or Pricing(minimum=0)
    return Rules(
        settle_after=config.ledger.settle_after,
        skip=config.ledger.history == "skip",
        browser_per_hour=prices.browser_per_hour,
        proxy_per_gb=prices.proxy_per_gb,
        minimum=prices.minimum,
    )


def _sources(config: Config) -> dict[Account, str]:
    """Where each account's cost comes from; Browserbase's is estimated, if there are prices."""
    shown = (one for one in config.accounts if one.provider != BROWSERBASE or one.pricing is not None)
    return {
        Account(one.provider, one.name): "estimated" if one.provider == BROWSERBASE else "reported"
        for one in shown
    }
