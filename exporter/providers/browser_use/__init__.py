"""Browser Use Cloud."""

from typing import Annotated

import msgspec

from exporter.config.loader import parsed_by, quote
from exporter.model import UNKNOWN, ProviderTraits
from exporter.providers.base import Provider, Query
from exporter.providers.browser_use.account import ACCOUNT_PATH, BrowserUseAccount
from exporter.providers.browser_use.pages import PATH
from exporter.providers.browser_use.reader import BrowserUse
from exporter.providers.browser_use.wire import OPEN, STOPPED, TIMED_OUT
from exporter.providers.metadata import MetadataLabels

TERM = r"^[^=]*[^=\s][^=]*=.*\S"  # in the JSON Schema


def metadata_term(text: str) -> str:
    """Returns a term of the API's filter `metadata`: `key=value`.

    The API takes a `key` alone, too; it is refused, for another provider's query would pass for one.

    Raises:
        ValueError: for anything else.
    """
    key, _, value = text.partition("=")
    if not (key.strip() and value.strip()):
        raise ValueError(
            f"{quote(text)} is not a term of metadata; allowed: key=value, such as env=production"
        )
    return text


class Options(msgspec.Struct, frozen=True):
    """The configuration keys that only Browser Use takes, and others in their own way.

    query: a term `key=value`, sent as `metadata`.
    """

    query: Annotated[Query, parsed_by(metadata_term, pattern=TERM)] = None


PROVIDER = Provider(
    traits=ProviderTraits(
        name="browser_use",
        open_statuses=(OPEN,),
        ended_statuses=(STOPPED,),
        endings=(STOPPED, TIMED_OUT, UNKNOWN),
        regions=(UNKNOWN,),
        cost_source="reported",
    ),
    title="Browser Use Cloud",
    base_url="https://api.browser-use.com/api/v3",
    key_header="X-Browser-Use-API-Key",
    endpoints=(PATH,),
    requests_per_second=25,
    open=lambda api, options, metadata: BrowserUse(api, options.query, MetadataLabels(metadata)),
    options=Options,
    open_account=BrowserUseAccount,
    account_endpoints=(ACCOUNT_PATH,),
)
