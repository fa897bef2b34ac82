"""What a configuration makes of a scrape: whom it asks, how long it may take, what it shows."""

import math
from collections.abc import Callable, Hashable, Mapping

import msgspec

from exporter.ledger.accounting import AccountingPolicy
from exporter.model import Account, Listing, ReadWindow

LONGEST = (
    120.0  # seconds: so long, and no longer, may a silent provider keep all scrapes of its account waiting
)


class AccountTarget(msgspec.Struct, frozen=True):
    """An account to ask.

    read: its provider's reading of a window, by a time on the monotonic clock; raises `ApiError`.
    recorded: told when what was read last is in the ledger.
    fetch_key: what of the configuration `read` depends on: two targets equal in this ask the same.
    """

    account: Account
    policy: AccountingPolicy
    read: Callable[[ReadWindow, float], Listing]
    recorded: Callable[[], None] = lambda: None
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

    sources: where the cost of an account's sessions comes from, `reported` or `estimated`; of an account
    that is not here none is shown. min_interval: seconds for which an answer serves again.
    """

    targets: tuple[AccountTarget, ...]
    times: TimeoutPolicy = TimeoutPolicy(10, 0.5)
    sources: Mapping[Account, str] = {}
    min_interval: float = 0
