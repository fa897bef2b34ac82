"""The registered providers, as tests name them."""

from exporter.metrics.results import AccountDescription
from exporter.model import Account
from exporter.providers import PROVIDERS

BROWSERBASE, BROWSER_USE = "browserbase", "browser_use"
TRAITS = {name: provider.traits for name, provider in PROVIDERS.items()}


def description(account: Account, *, cost: bool = False) -> AccountDescription:
    """What is known of an account in advance; with `cost`, its cost is shown."""
    traits = TRAITS[account.provider]
    return AccountDescription(traits, traits.cost_source if cost else None)
