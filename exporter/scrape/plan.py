"""The plan of a scrape, as the configuration has it: accounts, timeouts, how long a result is reused."""

import math
from collections.abc import Hashable

import msgspec

from exporter.ledger.accounting import AccountingPolicy
from exporter.metrics.results import AccountDescription
from exporter.model import Account
from exporter.providers.base import AccountReader, SessionReader

# Seconds: upper bound for one scrape, so that a hanging provider cannot block an account.
MAX_SCRAPE_SECONDS = 120.0


class AccountTarget(msgspec.Struct, frozen=True):
    """An account to read, and how.

    Args:
        policy: how its sessions are counted.
        description: what its metrics show in advance.
        reader: reads its sessions, where its description has that collector.
        fetch_key: the part of the configuration that determines the reader's requests; targets with equal
            keys send the same ones.
        account_reader: reads what there is beside its sessions; None if that is not collected.
    """

    account: Account
    policy: AccountingPolicy
    description: AccountDescription
    reader: SessionReader
    fetch_key: Hashable = None
    account_reader: AccountReader | None = None


class TimeoutPolicy(msgspec.Struct, frozen=True):
    """How long a scrape may take, in seconds.

    timeout: where Prometheus names none. offset: kept back from the timeout that Prometheus names.
    """

    timeout: float
    offset: float

    def budget(self, header: str | None) -> float:
        """The seconds for a scrape: the header's timeout less the offset, but at least half of it."""
        try:
            named = float(header or "nan")
        except ValueError:
            named = math.nan
        if not (math.isfinite(named) and named > 0):
            return self.timeout
        named = min(named, MAX_SCRAPE_SECONDS)
        return max(named - self.offset, named / 2)


class ScrapePlan(msgspec.Struct, frozen=True):
    """What a scrape does; a reload replaces it as a whole.

    min_interval: seconds for which a result is reused.
    """

    targets: tuple[AccountTarget, ...]
    timeouts: TimeoutPolicy = TimeoutPolicy(10, 0.5)
    min_interval: float = 0

    def target(self, account: Account) -> AccountTarget:
        """Returns the target of one of its accounts."""
        return next(target for target in self.targets if target.account == account)

    @property
    def descriptions(self) -> dict[Account, AccountDescription]:
        """What is known of each account in advance."""
        return {target.account: target.description for target in self.targets}
