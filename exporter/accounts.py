"""What a scrape goes by, made of a configuration: each account's reader, policy and labels."""

from collections.abc import Mapping
from functools import partial

import msgspec
import structlog

from exporter.client.api import Api
from exporter.client.errors import NoKeyError
from exporter.config.secrets import KeyUnavailableError, is_group_or_world_accessible
from exporter.config.settings import AccountConfig, Config, Pricing
from exporter.ledger.accounting import AccountingPolicy
from exporter.metrics.telemetry import Telemetry
from exporter.model import BROWSERBASE, Account
from exporter.providers import browserbase
from exporter.providers.browser_use import reader as browser_use
from exporter.scrape.plan import AccountTarget, ScrapePlan, TimeoutPolicy

log = structlog.get_logger()


class AccountTargets:
    """Makes scrape plans of configurations, one after the other.

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
            reader = browserbase.BrowserbaseReader(api, account.query)
            return AccountTarget(name, policy, reader.read, reader.committed, fetch_key)
        lister = browser_use.BrowserUse(api)
        return AccountTarget(name, policy, lister.read, lister.committed, fetch_key)

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
