"""Totals that are no older than the request that shows them, where several exporters share a ledger.

Another exporter may have counted more, and shown it, since an account was read here: in a scrape that this
request shares, in one that failed, or in one that timed out. Older totals would make counters fall, which
Prometheus takes for a reset. Where the ledger cannot be read again, totals are absent, which does no harm.
"""

from collections.abc import Callable, Collection

import msgspec

from exporter.ledger.store import Ledger, LedgerError
from exporter.metrics.results import AccountResult


def is_old(result: AccountResult, begun: float) -> bool:
    """Whether a request that began then must not show the result's totals."""
    return result.totals is not None and result.totals_at < begun


def refresh(
    results: Collection[AccountResult], ledger: Ledger, begun: float, seconds_left: Callable[[], float]
) -> tuple[AccountResult, ...]:
    """Returns the results with old totals read again, within the time that is left, or without them."""
    refreshed: list[AccountResult] = []
    is_reachable = True
    for result in results:
        if not is_old(result, begun):
            refreshed.append(result)
            continue
        seconds, totals = seconds_left(), None
        try:
            if is_reachable and seconds > 0:
                totals = ledger.state(result.account, seconds).totals
        except LedgerError:
            is_reachable = False
        refreshed.append(msgspec.structs.replace(result, totals=totals))
    return tuple(refreshed)


def without_old_totals(results: Collection[AccountResult], begun: float) -> tuple[AccountResult, ...]:
    """Returns the results without totals that are too old."""
    return tuple(msgspec.structs.replace(one, totals=None) if is_old(one, begun) else one for one in results)
