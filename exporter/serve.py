"""The exporter, wired together: from a configuration to a front that serves."""

from collections.abc import Mapping
from contextlib import closing, suppress
from functools import partial

import structlog

from exporter import browser_use, browserbase
from exporter.accounting import Rules
from exporter.api import Api
from exporter.config import AccountConfig, Config, Pricing
from exporter.errors import NoKeyError
from exporter.ledger import Ledger, LedgerError, LedgerRefusedError
from exporter.meters import Meters
from exporter.pull import Puller, Target
from exporter.secret import KeyUnavailableError
from exporter.server import run
from exporter.session import BROWSERBASE, Account
from exporter.web import Front, Times

RECORD_SECONDS = 1  # for the ledger, at the end, when the front has gone

log = structlog.get_logger()


def serve(config: Config, environ: Mapping[str, str], listen: tuple[str, int], path: str) -> None:
    """Serve until a signal says otherwise; then answer what is under way, and close the ledger.

    Raises:
        LedgerRefusedError: for a ledger that must not be touched.
        OSError: when the address is not to be had.
    """
    meters = Meters()
    with closing(Ledger(config.ledger.url)) as ledger:
        _open(ledger)
        targets = [_target(account, config, environ, meters) for account in config.accounts]
        puller = Puller(targets, ledger, meters, min_interval=config.scrape.min_interval)
        times = Times(config.scrape.timeout, config.scrape.timeout_offset)
        front = Front(puller, times, _sources(config), meters.registry, partial(_ready, ledger), path)
        try:
            run(front.app(), listen, puller.hurry)
        finally:
            puller.close(RECORD_SECONDS)


def _open(ledger: Ledger) -> bool:
    """Whether the ledger is open now. One that must not be touched ends the exporter at its start."""
    try:
        ledger.open()
    except LedgerRefusedError:
        raise
    except LedgerError as error:
        log.warning("the ledger cannot be opened yet", error=str(error))
        return False
    return True


def _ready(ledger: Ledger) -> bool:
    """Whether the ledger is open now, or can be opened."""
    with suppress(LedgerRefusedError):
        return _open(ledger)
    return False


def _target(account: AccountConfig, config: Config, environ: Mapping[str, str], meters: Meters) -> Target:
    def key() -> str:
        try:
            return account.key(environ).reveal()
        except KeyUnavailableError as error:
            raise NoKeyError(str(error)) from error

    name = Account(account.provider, account.name)
    room = browserbase if account.provider == BROWSERBASE else browser_use
    meter = meters.of(name, room.PATH)
    limit = config.scrape.max_response_bytes
    api = Api(account.base_url, room.KEY_HEADER, key, max_bytes=limit, meter=meter)
    prices = account.pricing or Pricing(minimum=0)
    rules = Rules(
        settle_after=config.ledger.settle_after,
        skip=config.ledger.history == "skip",
        browser_per_hour=prices.browser_per_hour,
        proxy_per_gb=prices.proxy_per_gb,
        minimum=prices.minimum,
    )
    if account.provider == BROWSERBASE:
        return Target(name, rules, partial(browserbase.read, api, account.query))
    lister = browser_use.BrowserUse(api)
    return Target(name, rules, lister.read, lister.recorded)


def _sources(config: Config) -> dict[Account, str]:
    """Where each account's cost comes from; Browserbase's is estimated, if there are prices."""
    shown = (one for one in config.accounts if one.provider != BROWSERBASE or one.pricing is not None)
    return {
        Account(one.provider, one.name): "estimated" if one.provider == BROWSERBASE else "reported"
        for one in shown
    }
