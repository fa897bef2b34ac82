"""Builds the scrape plan of a configuration: each account's reader, policy and description."""

from collections.abc import Mapping
from functools import partial

import msgspec

from exporter.client.api import Api, Holds, RequestTelemetry
from exporter.client.errors import NoKeyError
from exporter.config.key_files import KeyFiles
from exporter.config.secrets import KeyUnavailableError
from exporter.config.settings import AccountConfig, Config, Limits, Pricing
from exporter.ledger.accounting import AccountingPolicy
from exporter.metrics.results import AccountDescription
from exporter.metrics.telemetry import RequestCounts, Telemetry
from exporter.model import Account
from exporter.providers.base import Provider, pricing_of, request_options
from exporter.scrape.plan import AccountTarget, ScrapePlan, TimeoutPolicy


class AccountTargets:
    """Builds scrape plans from configurations, one after another.

    An account whose requests stay the same keeps its reader: its connections, a Retry-After in force, and how
    far a first import has come.

    Args:
        providers: the registry.
        environ: the environment, for keys that are in no file.
        telemetry: counts each account's requests.
    """

    def __init__(
        self, providers: Mapping[str, Provider], environ: Mapping[str, str], telemetry: Telemetry
    ) -> None:
        self._providers, self._environ, self._telemetry = providers, environ, telemetry
        self._targets: dict[Account, AccountTarget] = {}
        self._key_files = KeyFiles()

    def plan(self, config: Config) -> ScrapePlan:
        """Returns the plan of a configuration. Warns of key files that other users may read."""
        self._key_files = KeyFiles()
        for file in {account.api_key_file for account in config.accounts} - {""}:
            self._key_files.warn_if_permissive(file)
        made = [self._target(account, config) for account in config.accounts]
        self._targets = {target.account: target for target in made}
        timeouts = TimeoutPolicy(config.scrape.timeout, config.scrape.timeout_offset)
        return ScrapePlan(tuple(made), timeouts, config.scrape.min_interval)

    def _target(self, config: AccountConfig, whole: Config) -> AccountTarget:
        provider, max_bytes = self._providers[config.provider], whole.scrape.max_response_bytes
        account, options = Account(config.provider, config.name), config.options
        requests = msgspec.structs.replace(config, options=request_options(options), limits=Limits())
        fetch_key = requests, max_bytes
        policy, description = _policy(config, whole), _description(config, provider)
        before = self._targets.get(account)
        if before is not None and before.fetch_key == fetch_key:
            return msgspec.structs.replace(before, policy=policy, description=description)
        collectors = _collectors(config, provider)
        telemetry = self._telemetry.for_account(account, _endpoints(collectors, provider), collectors)
        api = self._api(config, provider, max_bytes, telemetry)
        # Connections of its own, and what its endpoints ask for, such as a Retry-After, is not for the list.
        beside = self._api(config, provider, max_bytes, RequestCounts(telemetry), api.holds)
        opened = provider.open_account if "account" in collectors else None
        return AccountTarget(
            account,
            policy,
            description,
            provider.open(api, options, config.metadata_labels),
            fetch_key,
            account_reader=None if opened is None else opened(beside),
        )

    def _api(
        self,
        config: AccountConfig,
        provider: Provider,
        max_bytes: int,
        telemetry: RequestTelemetry,
        beside: Holds | None = None,
    ) -> Api:
        return Api(
            config.base_url,
            provider.key_header,
            partial(self._key, config),
            max_bytes=max_bytes,
            telemetry=telemetry,
            requests_per_second=provider.requests_per_second if beside is None else None,
            beside=beside,
        )

    def _key(self, account: AccountConfig) -> str:
        if account.api_key_file:
            self._key_files.warn_if_permissive(account.api_key_file)
        try:
            return account.key(self._environ).reveal()
        except KeyUnavailableError as error:
            raise NoKeyError(str(error)) from error


def _policy(account: AccountConfig, config: Config) -> AccountingPolicy:
    prices = pricing_of(account.options) or Pricing(minimum=0)
    return AccountingPolicy(
        settle_after=config.ledger.settle_after,
        skip=config.ledger.history == "skip",
        browser_per_hour=prices.browser_per_hour,
        proxy_per_gb=prices.proxy_per_gb,
        minimum=prices.minimum,
    )


def _description(account: AccountConfig, provider: Provider) -> AccountDescription:
    """Where cost is estimated, it is shown only if there are prices."""
    source, pricing = provider.traits.cost_source, pricing_of(account.options)
    shown = source == "reported" or pricing is not None
    return AccountDescription(
        provider.traits,
        source if shown else None,
        prices={} if pricing is None else pricing.in_usd(),
        limits=account.limits.in_base_units(),
        collectors=_collectors(account, provider),
        metadata_labels=tuple(name for name, _ in account.metadata_labels),
    )


def _collectors(account: AccountConfig, provider: Provider) -> tuple[str, ...]:
    """Returns what is read of an account: of its collectors those that its provider has."""
    return tuple(one for one in account.collectors if one != "account" or provider.open_account is not None)


def _endpoints(collectors: tuple[str, ...], provider: Provider) -> tuple[str, ...]:
    """Returns the endpoints that these collectors request."""
    sessions = provider.endpoints if "sessions" in collectors else ()
    return sessions + (provider.account_endpoints if "account" in collectors else ())
