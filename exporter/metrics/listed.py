"""Gauges of what a provider lists now."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import accumulate

import msgspec

from exporter.metrics.definitions import EXPIRY, KEEP_ALIVE, LIMITED, OLDEST, OPEN_AGES, OPEN_COSTS, SESSIONS
from exporter.metrics.samples import Families, SeriesLabels, all_series
from exporter.model import NANO_USD, SECOND, Account, Listing, ProviderTraits, Series

# Upper bounds in seconds: 5 and 15 minutes, 1, 2, 4, 6 and 12 hours, a day.
AGE_BUCKETS = (300, 900, 3600, 7200, 14400, 21600, 43200, 86400)
_AGE_BOUNDS = tuple(bound * SECOND for bound in AGE_BUCKETS)
_AGE_NAMES = (*(f"{bound}.0" for bound in AGE_BUCKETS), "+Inf")


class OpenSession(msgspec.Struct, frozen=True):
    """What the gauges show of an open session: nothing that changes only because time passes."""

    series: Series
    begun: int
    expires: int | None
    keep_alive: bool
    browser_cost: int
    proxy_cost: int


def open_sessions(listing: Listing) -> dict[str, OpenSession]:
    """Returns the open sessions of a listing, by id."""
    return {
        one.id: OpenSession(
            one.series,
            one.started or one.created,
            one.expires,
            one.keep_alive,
            one.usage.browser_cost,
            one.usage.proxy_cost,
        )
        for one in listing.sessions
        if one.ended is None
    }


def add_listed(
    at: SeriesLabels, listed: Mapping[tuple[Series, str], int], traits: ProviderTraits, made: Families
) -> None:
    """Adds how many sessions are listed."""
    statuses = (*traits.open_statuses, *traits.ended_statuses)
    every = all_series(traits, (series for series, _ in listed))
    counts = {(series, status): 0 for series in every for status in statuses} | dict(listed)
    for (series, status), count in sorted(counts.items()):
        made.add(SESSIONS, (*at.of(series), status), count)


def add_open(
    at: SeriesLabels,
    every: Iterable[Series],
    still_open: Mapping[str, OpenSession],
    traits: ProviderTraits,
    made: Families,
) -> None:
    """Adds the gauges of the open sessions, which are given by id, for every series."""
    grouped: dict[Series, list[OpenSession]] = defaultdict(list)
    for session in still_open.values():
        grouped[session.series].append(session)
    for series in every:
        labels, sessions = at.of(series), grouped[series]
        _add_times(made, labels, sessions)
        if traits.keep_alive:
            made.add(KEEP_ALIVE, labels, sum(one.keep_alive for one in sessions))
        if traits.cost_source == "reported":
            made.add(OPEN_COSTS, (*labels, "browser"), sum(one.browser_cost for one in sessions) / NANO_USD)
            made.add(OPEN_COSTS, (*labels, "proxy"), sum(one.proxy_cost for one in sessions) / NANO_USD)


def add_open_ages(at: SeriesLabels, listing: Listing, traits: ProviderTraits, made: Families) -> None:
    """Adds the ages of the open sessions, by the provider's time; they change from scrape to scrape.

    Those known in advance stand at 0 without `keep_alive`; with it, a series appears with its first session.
    """
    seen = (series for series, _ in listing.listed)
    counts = {(one, False): [0] * len(_AGE_NAMES) for one in all_series(traits, seen)}
    sums = dict.fromkeys(counts, 0)
    for session in {one.id: one for one in listing.sessions if one.ended is None}.values():
        key = session.series, session.keep_alive
        if key not in counts:
            counts[key], sums[key] = [0] * len(_AGE_NAMES), 0
        age = max(0, listing.time - (session.started or session.created))
        counts[key][bisect_left(_AGE_BOUNDS, age)] += 1
        sums[key] += age
    for key in sorted(counts):
        labels = (*at.of(key[0]), "true" if key[1] else "false")
        buckets = list(zip(_AGE_NAMES, accumulate(counts[key]), strict=True))
        made.add(OPEN_AGES, labels, buckets, sums[key] / SECOND)


def add_limited(account: Account, limited: Mapping[str, int], labels: Iterable[str], made: Families) -> None:
    """Adds how many values of each label are shown as `other`."""
    for label in ("project", "region", "status", *labels):
        made.add(LIMITED, (account.provider, account.name, label), limited.get(label, 0))


def _add_times(made: Families, labels: tuple[str, ...], sessions: Collection[OpenSession]) -> None:
    if sessions:
        made.add(OLDEST, labels, min(one.begun for one in sessions) / SECOND)
    expiries = [one.expires for one in sessions if one.expires is not None]
    if expiries:
        made.add(EXPIRY, labels, min(expiries) / SECOND)
