"""A listing recorded in a ledger."""

from exporter.labels import SeenLabelValues
from exporter.ledger.accounting import AccountingPolicy
from exporter.ledger.queries import AccountState
from exporter.ledger.store import Ledger, RecordedListing
from exporter.model import (
    Account,
    Listing,
)
from tests.support.listings import RULES

ACCOUNT = Account("browserbase", "production")


def record(
    ledger: Ledger, one: Listing, policy: AccountingPolicy = RULES, account: Account = ACCOUNT
) -> AccountState:
    return ledger.record(
        account, RecordedListing(one, ledger.state(account), SeenLabelValues(), at=1.5), policy
    )
