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
from exporter.config.secrets import KeyUnavailableError, is_group_or_world_accessible
from exporter.config.settings import AccountConfig, Config, ConfigError, Pricing
from exporter.ledger.accounting import AccountingPolicy
from exporter.ledger.store import Ledger, LedgerError, LedgerRefusedError
from exporter.metrics.telemetry import Telemetry
from exporter.model import BROWSERBASE, Account
from exporter.providers import browserbase
from exporter.providers.browser_use import reader as browser_use
from exporter.reload import Reload
from exporter.scrape.plan import AccountTarget, ScrapePlan, TimeoutPolicy
from exporter.scrape.scraper import Scraper
from exporter.web.app import Front, with_security_headers
from exporter.web.reloading import ReloadingWebConfig
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
    web_config_files = None if web.config is None else ReloadingWebConfig.open(web.config)
    telemetry = Telemetry()
    with closing(Ledger(config.ledger.url)) as ledger:
        _open(ledger)
        wiring = Wiring(environ, telemetry)
        scraper = Scraper(wiring.plan(config), ledger, telemetry)
        reload = again and Reload(lambda: wiring.plan(_same_ledger(again(), config)), scraper, telemetry)
        ready = partial(_ready, ledger)
        front = Front(scraper, telemetry.registry, ready, web.path, reload if web.lifecycle else None)
        app = front.app() if web_config_files is None else web_config_files.protect(front.app())
        tls = None if web_config_files is None else web_config_files.context()
        hang_up = reload.begin if reload else partial(signal.raise_signal, signal.SIGTERM)
        at_once = run(
            with_security_headers(app),
            web.listen,
            cancel_waiters=scraper.cancel_waiters,
            reload=hang_up,
            tls=tls,
        )
        _let_record(scraper, 0 if at_once else RECORD_SECONDS)


def _let_record(scraper: Scraper, seconds: float) -> None:
    """Wait for what is being asked, so long, or until told to end once more."""
    with suppress(KeyboardInterrupt):
        at_signals(_interrupt)
        scraper.close(seconds)
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
    """Whether the ledger is open now, or can be opened. Why not, the scrapes say."""
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
        telemetry: told by the accounts.
    """

    def __init__(self, environ: Mapping[str, str], telemetry: Telemetry) -> None:
        self._environ, self._meters = environ, telemetry
        self._targets: dict[Account, AccountTarget] = {}
        self._open_files: set[str] = set()

    def plan(self, config: Config) -> ScrapePlan:
        """What a scrape is to go by. Warns of key files that are open to others."""
        self._open_files = set()
        for file in {account.api_key_file for account in config.accounts} - {""}:
            self._warn_if_permissive(file)
        made = [self._target(account, config) for account in config.accounts]
        self._targets = {target.account: target for target in made}
        times = TimeoutPolicy(config.scrape.timeout, config.scrape.timeout_offset)
        return ScrapePlan(tuple(made), times, _sources(config), config.scrape.min_interval)

    def _target(self, account: AccountConfig, config: Config) -> AccountTarget:
        name, limit = Account(account.provider, account.name), config.scrape.max_response_bytes
        fetch_key = msgspec.structs.replace(account, pricing=None), limit
        policy, before = _policy(account, config), self._targets.get(name)
        if before is not None and before.fetch_key == fetch_key:
            return msgspec.structs.replace(before, policy=policy)
        room = browserbase if account.provider == BROWSERBASE else browser_use
        key, meter = partial(self._key, account), self._meters.of(name, room.PATH)
        api = Api(account.base_url, room.KEY_HEADER, key, max_bytes=limit, meter=meter)
        if account.provider == BROWSERBASE:
            return AccountTarget(
                name, policy, partial(browserbase.read, api, account.query), fetch_key=fetch_key
            )
        lister = browser_use.BrowserUse(api)
        return AccountTarget(name, policy, lister.read, lister.recorded, fetch_key)

    def _key(self, account: AccountConfig) -> str:
        if account.api_key_file:
            self._warn_if_permissive(account.api_key_file)
        try:
            return account.key(self._environ).reveal()
        except KeyUnavailableError as error:
            raise NoKeyError(str(error)) from error

    def _warn_if_permissive(self, file: str) -> None:
        """Warn of a key file that others may read: once, and again when it was closed in between."""
        if not is_group_or_world_accessible(file):
            self._open_files.discard(file)
        elif file not in self._open_files:
            self._open_files.add(file)
            log.warning("a key file is open to other users", file=file, advice=f"chmod 600 {file}")


def _policy(account: AccountConfig, config: Config) -> AccountingPolicy:
    prices = account.pricing or Pricing(minimum=0)
    return AccountingPolicy(
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
