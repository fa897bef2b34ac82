"""The last sessions that ended with an error or a timeout, as scrapes showed them. In memory only."""

import heapq
from collections.abc import Iterable, Mapping
from operator import attrgetter

import msgspec

from exporter.metrics.results import AccountResult
from exporter.model import Account, Listing

FAILED_ENDINGS = frozenset(("error", "timed_out"))
KEPT = 10


class FailedSession(msgspec.Struct, frozen=True):
    """A session that ended with an error or a timeout; `ended` is in microseconds since 1970."""

    account: Account
    id: str
    region: str
    ending: str
    ended: int


class RecentFailures:
    """Keeps the newest of each account's failed sessions. For one event loop."""

    def __init__(self) -> None:
        self._kept: dict[Account, Mapping[str, FailedSession]] = {}
        self._seen: dict[Account, Listing] = {}

    def add(self, results: Iterable[AccountResult]) -> None:
        """Takes up what a scrape found; the same result may come again."""
        for result in results:
            listing = result.listing
            if listing is None or self._seen.get(result.account) is listing:
                continue
            self._seen[result.account] = listing
            known = {**self._kept.get(result.account, {}), **_failed(result.account, listing)}
            self._kept[result.account] = {one.id: one for one in _newest(known.values())}

    def newest(self, accounts: Iterable[Account]) -> list[FailedSession]:
        """Returns the last ten of these accounts, the newest first."""
        return _newest(one for account in accounts for one in self._kept.get(account, {}).values())


def _failed(account: Account, listing: Listing) -> dict[str, FailedSession]:
    return {
        one.id: FailedSession(account, one.id, one.series.region, one.ending, one.ended)
        for one in listing.sessions
        if one.ending in FAILED_ENDINGS and one.ending is not None and one.ended is not None
    }


def _newest(failures: Iterable[FailedSession]) -> list[FailedSession]:
    return heapq.nlargest(KEPT, failures, key=attrgetter("ended", "id"))
