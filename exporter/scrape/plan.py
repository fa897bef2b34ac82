"""What a configuration makes of a scrape: whom it asks, how long it may take, what it shows."""

import math
from collections.abc import Hashable

import msgspec

from exporter.ledger.accounting import AccountingPolicy
from exporter.metrics.families import AccountDescription
from exporter.model import Account
from exporter.providers.base import SessionReader

LONGEST = (
    120.0  # seconds: so long, and no longer, may a silent provider keep all scrapes of its account waiting
)


class AccountTarget(msgspec.Struct, frozen=True):
    """An account to read.

    Args:
        policy: how its sessions are counted.
        description: what its metrics show in advance.
        reader: reads its sessions.
        fetch_key: what of the configuration its requests depend on: targets equal in this send the same.
    """

    account: Account
    policy: AccountingPolicy
    description: AccountDescription
    reader: SessionReader
    fetch_key: Hashable = None


class TimeoutPolicy(msgspec.Struct, frozen=True):
    """Seconds a scrape may take when Prometheus names no timeout, and what to keep back when it does."""

    timeout: float
    offset: float

    def budget(self, header: str | None) -> float:
        """The seconds for a scrape: of the timeout named, less what is kept back, but half of it at least."""
        try:
            named = float(header or "nan")
        except ValueError:
            named = math.nan
        if not (math.isfinite(named) and named > 0):
            return self.timeout
        named = min(named, LONGEST)
        return max(named - self.offset, named / 2)


class ScrapePlan(msgspec.Struct, frozen=True):
    """All that a scrape goes by; a reload puts another in its place, whole.

    min_interval: seconds for which a result serves again.
    """

    targets: tuple[AccountTarget, ...]
    times: TimeoutPolicy = TimeoutPolicy(10, 0.5)
    min_interval: float = 0

    @property
    def descriptions(self) -> dict[Account, AccountDescription]:
        """What is known of each account in advance."""
        return {target.account: target.description for target in self.targets}
