"""Sessions and listings, as a provider might list them."""

import msgspec

from exporter.ledger.accounting import AccountingPolicy
from exporter.model import (
    SECOND,
    Listing,
    Series,
    Session,
    Usage,
)

T0 = 1_800_000_000 * SECOND

MINUTE = 60 * SECOND

SETTLE = 15 * MINUTE

RULES = AccountingPolicy(settle_after=SETTLE)

WEST = Series("p1", "us-west-2")

EAST = Series("p1", "us-east-1")


def session(**fields: object) -> Session:
    """A running session of the first minute, but for what the test says."""
    plain = Session("s1", WEST, "running", T0, Usage(time=MINUTE), started=T0)
    return msgspec.structs.replace(plain, **fields)


def listing(*sessions: Session, time: int = T0 + MINUTE, **fields: object) -> Listing:
    return msgspec.structs.replace(Listing(time, sessions, {}, covers=time), **fields)


SKIP = AccountingPolicy(SETTLE, skip=True)
