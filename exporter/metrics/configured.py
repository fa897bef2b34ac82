"""Gauges of what the configuration says of an account, so that PromQL can explain estimates and compare."""

from exporter.metrics.definitions import LIMITS, PRICES
from exporter.metrics.results import AccountDescription
from exporter.metrics.samples import Families
from exporter.model import Account


def add_configured(account: Account, description: AccountDescription, made: Families) -> None:
    """Adds an account's prices and limits, as far as they are set."""
    for unit, price in description.prices.items():
        made.add(PRICES, (account.provider, account.name, unit), price)
    for name, limit in description.limits.items():
        made.add(LIMITS, (account.provider, account.name, name), limit)
