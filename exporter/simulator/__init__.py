"""A simulator of the providers' APIs, one module for each provider. It uses nothing else of the exporter."""

from collections.abc import Mapping

from exporter.simulator import browser_use, browserbase
from exporter.simulator.provider import SimulatedProvider

PROVIDERS: Mapping[str, SimulatedProvider] = {
    provider.facts.name: provider for provider in (browserbase.PROVIDER, browser_use.PROVIDER)
}
