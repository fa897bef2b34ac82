"""Browserbase."""

from typing import Annotated

import msgspec

from exporter.config.loader import parsed_by
from exporter.config.settings import Pricing
from exporter.model import UNKNOWN, ProviderTraits
from exporter.providers.base import Provider, Query
from exporter.providers.browserbase.account import PROJECTS_PATH, USAGE_PATH, BrowserbaseAccount
from exporter.providers.browserbase.reader import PATH, BrowserbaseReader
from exporter.providers.browserbase.wire import ENDED, OPEN


class Options(msgspec.Struct, frozen=True):
    """The configuration keys that only Browserbase takes.

    query: sent as `q`. pricing: what estimates the cost, which the API does not report.
    """

    query: Query = None
    pricing: Annotated[Pricing | None, parsed_by(Pricing)] = None


PROVIDER = Provider(
    traits=ProviderTraits(
        name="browserbase",
        open_statuses=OPEN,
        ended_statuses=ENDED,
        endings=(*ENDED, UNKNOWN),
        regions=("us-west-2", "us-east-1", "eu-central-1", "ap-southeast-1"),
        cost_source="estimated",
        keep_alive=True,
        session_page="https://www.browserbase.com/sessions/{id}",
    ),
    title="Browserbase",
    base_url="https://api.browserbase.com",
    key_header="X-BB-API-Key",
    endpoints=(PATH,),
    open=lambda api, options: BrowserbaseReader(api, options.query),
    options=Options,
    open_account=BrowserbaseAccount,
    account_endpoints=(PROJECTS_PATH, USAGE_PATH),
)
