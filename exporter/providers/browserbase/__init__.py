"""Browserbase."""

import msgspec

from exporter.model import UNKNOWN, ProviderTraits
from exporter.providers.base import Prices, Provider, Query
from exporter.providers.browserbase.account import PROJECTS_PATH, USAGE_PATH, BrowserbaseAccount
from exporter.providers.browserbase.reader import PATH, BrowserbaseReader
from exporter.providers.browserbase.wire import ENDED, OPEN
from exporter.providers.metadata import MetadataLabels


class Options(msgspec.Struct, frozen=True):
    """The configuration keys that only Browserbase takes.

    query: sent as `q`. pricing: what estimates the cost, which the API does not report.
    """

    query: Query = None
    pricing: Prices = None


PROVIDER = Provider(
    traits=ProviderTraits(
        name="browserbase",
        open_statuses=OPEN,
        ended_statuses=ENDED,
        endings=(*ENDED, UNKNOWN),
        regions=("us-west-2", "us-east-1", "eu-central-1", "ap-southeast-1"),
        cost_source="estimated",
        keep_alive=True,
        start_latency=True,
        session_page="https://www.browserbase.com/sessions/{id}",
    ),
    title="Browserbase",
    base_url="https://api.browserbase.com",
    key_header="X-BB-API-Key",
    endpoints=(PATH,),
    open=lambda api, options, metadata: BrowserbaseReader(api, options.query, MetadataLabels(metadata)),
    options=Options,
    open_account=BrowserbaseAccount,
    account_endpoints=(PROJECTS_PATH, USAGE_PATH),
)
