"""The providers of cloud browsers, by name. A further one is a module or package here, and a line below."""

from collections.abc import Mapping

from exporter.providers import browser_use, browserbase
from exporter.providers.base import Provider

PROVIDERS: Mapping[str, Provider] = {one.name: one for one in (browserbase.PROVIDER, browser_use.PROVIDER)}
