"""Metric families, made of a scrape's results."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from prometheus_client.core import Metric

from exporter.metrics.configured import add_configured
from exporter.metrics.counted import add_totals
from exporter.metrics.definitions import (
    HISTORY,
    LAST_SUCCESS,
    REJECTED_HELD,
    REMAINING,
    ROWS,
    SESSIONS_COLLECTOR,
    SUCCESS,
    TOOK,
    UP,
)
from exporter.metrics.listed import add_limited, add_listing, add_open_ages
from exporter.metrics.reported import add_reported
from exporter.metrics.results import AccountDescription, AccountResult
from exporter.metrics.samples import Families, SeriesLabels, merged
from exporter.model import Account


class AccountCache:
    """Keeps what was last made of each account, so that only what has changed is made anew.

    Threads may share it: an entry is replaced as a whole, and is used for equal figures alone.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[Account, str], tuple[object, Sequence[Metric]]] = {}

    def get(
        self,
        account: Account,
        part: str,
        names: tuple[str, ...],
        figures: object,
        make: Callable[[Families], None],
    ) -> Sequence[Metric]:
        """Returns the families that `make` adds, which follow from these figures.

        `names` are the labels of sessions' metadata that the families have.
        """
        known = self._made.get((account, part))
        if known is None or known[0] != (names, figures):
            made = Families(names)
            make(made)
            known = self._made[account, part] = (names, figures), made.families()
        return known[1]


def families(
    results: Iterable[AccountResult],
    descriptions: Mapping[Account, AccountDescription],
    cache: AccountCache | None = None,
) -> Iterable[Metric]:
    """Returns the metrics of a scrape.

    Args:
        results: account by account.
        descriptions: what is known in advance of each of these accounts.
        cache: of the scrapes before.
    """
    cache = cache or AccountCache()
    # A family has one set of labels: accounts without one of them have it empty.
    names = tuple(sorted({name for one in descriptions.values() for name in one.metadata_labels}))
    return merged(
        part for result in results for part in _parts(result, descriptions[result.account], names, cache)
    )


def _parts(
    result: AccountResult, description: AccountDescription, names: tuple[str, ...], cache: AccountCache
) -> Iterator[Sequence[Metric]]:
    health = Families()
    if SESSIONS_COLLECTOR in description.collectors:
        _add_health(health, result)
    if result.reported is not None:
        add_reported(result.account, result.reported, health)
    yield health.families()
    account, listing, totals = result.account, result.listing, result.totals
    configured = Families()
    add_configured(account, description, configured)
    yield configured.families()
    listed = frozenset() if listing is None else frozenset(series for series, _ in listing.listed)
    at = SeriesLabels(account, names, description.metadata_labels)
    if listing is not None:
        traits = description.traits
        still_open = {session.id: session for session in listing.sessions if session.ended is None}
        add = partial(add_listing, at, listing.listed, still_open, traits)
        yield cache.get(account, "listing", names, (description, listing.listed, still_open), add)
        ages = Families(names)
        add_open_ages(at, listing, traits, ages)
        add_limited(account, listing, description.metadata_labels, ages)
        yield ages.families()
    if totals is not None:
        last = result.last_sessions
        add = partial(add_totals, account, totals, last, listed, description, at)
        yield cache.get(account, "totals", names, (description, totals, last, listed), add)


def _add_health(made: Families, result: AccountResult) -> None:
    account = (result.account.provider, result.account.name)
    made.add(UP, account, result.listing is not None)
    made.add(SUCCESS, (*account, SESSIONS_COLLECTOR), result.error is None)
    made.add(TOOK, (*account, SESSIONS_COLLECTOR), result.seconds)
    if result.complete is not None:
        made.add(HISTORY, account, result.complete)
    if result.last_success is not None:
        made.add(LAST_SUCCESS, account, result.last_success)
    if result.complete:
        made.add(REMAINING, account, 0)
    elif result.complete is False and result.listing is not None:
        made.add(REMAINING, account, result.listing.remaining)
    if result.rows is not None:
        made.add(ROWS, account, result.rows)
    if result.rejected_held is not None:
        made.add(REJECTED_HELD, account, result.rejected_held)
