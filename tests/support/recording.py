"""A listing recorded in a ledger."""

from exporter.labels import Words
from exporter.ledger.accounting import Rules
from exporter.ledger.queries import State
from exporter.ledger.store import Ledger, Reading
from exporter.model import (
    Account,
    Listing,
)
from tests.support.listings import RULES

ACCOUNT = Account("browserbase", "production")


def record(ledger: Ledger, one: Listing, rules: Rules = RULES, account: Account = ACCOUNT) -> State:
    return ledger.record(account, Reading(one, ledger.state(account), Words(), at=1.5), rules)
