"""What a scrape found of an account, and what is known of an account in advance."""

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from exporter.metrics.counters import CounterKey, LastSession
from exporter.metrics.definitions import SESSIONS_COLLECTOR
from exporter.model import Account, AccountReport, Listing, ProviderTraits


class ReportResult(msgspec.Struct, frozen=True):
    """What was read of an account beside its sessions: the report, the reason of a failure, the seconds.

    detail: a sentence on the failure, with what to do, as it is logged.
    """

    report: AccountReport
    error: str | None
    seconds: float
    detail: str = ""


class AccountResult(msgspec.Struct, frozen=True):
    """The result of a scrape for one account, and what the ledger holds of it.

    listing: None when the provider could not be read.
    totals: None when they are not known, or the history has not been read to its end.
    complete: whether the history has been read to its end; None when that is not known.
    rows: the number of sessions that the ledger holds.
    last_success: when a listing was last recorded, in seconds since 1970.
    error: the reason of a failure. detail: a sentence on it, with what to do, as it is logged.
    seconds: how long the account took.
    rejected_held: the number of rejected rows that the ledger remembers.
    totals_at: when the ledger was asked for the totals, or later, on the scraper's clock.
    reported: what was found beside the sessions; None where that is not collected.
    last_sessions: the last session that totals of ends counted.
    """

    account: Account
    listing: Listing | None
    totals: Mapping[CounterKey, int] | None
    complete: bool | None
    rows: int | None
    last_success: float | None
    error: str | None
    seconds: float
    rejected_held: int | None = None
    totals_at: float = math.inf
    reported: ReportResult | None = None
    last_sessions: Mapping[CounterKey, LastSession] = {}
    detail: str = ""


class AccountDescription(msgspec.Struct, frozen=True):
    """What is known of an account before it is read.

    cost_source: where the cost of its sessions comes from; None where no cost is shown.
    prices: in USD, by unit: `hour` of browser, `gb` of proxy traffic.
    limits: what it should not exceed, in base units, by name.
    collectors: what is read of it: `sessions`, `account`.
    metadata_labels: the names of the labels of its sessions' metadata.
    """

    traits: ProviderTraits
    cost_source: Literal["reported", "estimated"] | None = None
    prices: Mapping[str, float] = {}
    limits: Mapping[str, float] = {}
    collectors: tuple[str, ...] = (SESSIONS_COLLECTOR,)
    metadata_labels: tuple[str, ...] = ()
