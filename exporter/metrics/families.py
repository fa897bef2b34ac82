"""Metric families, made of a scrape's results."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from exporter.metrics.counters import (
    ACCOUNT_WIDE,
    COST,
    COST_KINDS,
    DURATION,
    DURATION_BUCKETS,
    DURATION_SUM,
    ENDED,
    PROXY_BYTES,
    REVISIONS,
    STARTED,
    TIME,
    CounterKey,
)
from exporter.metrics.definitions import (
    BYTES,
    COLLECTOR,
    COSTS,
    DURATIONS,
    ENDS,
    EXPIRY,
    HISTORY,
    KEEP_ALIVE,
    LAST_SUCCESS,
    LOWERED,
    OLDEST,
    OPEN_COSTS,
    REJECTED_HELD,
    REMAINING,
    ROWS,
    SECONDS,
    SESSIONS,
    STARTS,
    SUCCESS,
    TOOK,
    UP,
    Spec,
)
from exporter.model import (
    NANO_USD,
    SECOND,
    Account,
    Listing,
    ProviderTraits,
    Series,
    Session,
)

_FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily, "histogram": HistogramMetricFamily}


class AccountResult(msgspec.Struct, frozen=True):
    """The result of a scrape for one account, and what the ledger holds of it.

    listing: None when the provider could not be read.
    totals: None when they are not known, or the history has not been read to its end.
    complete: whether the history has been read to its end; None when that is not known.
    rows: the number of sessions that the ledger holds.
    last_success: when a listing was last recorded, in seconds since 1970.
    error: the reason of a failure.
    seconds: how long the account took.
    rejected_held: the number of rejected rows that the ledger remembers.
    """

    account: Account
    listing: Listing | None
    totals: Mapping[CounterKey, int] | None
    complete: bool | None
    rows: int | None
    last_success: float | None
    error: str | None
    seconds: float
    rejected_held: int | None = None


class AccountDescription(msgspec.Struct, frozen=True):
    """What is known of an account before it is read.

    cost_source: where the cost of its sessions comes from; None where no cost is shown.
    """

    traits: ProviderTraits
    cost_source: Literal["reported", "estimated"] | None = None


class _Families:
    """Metric families; each is created with its first sample."""

    def __init__(self) -> None:
        self._families: dict[str, Any] = {}

    def add(self, spec: Spec, labels: tuple[str, ...], *values: object) -> None:
        family = self._families.get(spec.name)
        if family is None:
            family = _FAMILIES[spec.kind](spec.name, spec.text, labels=spec.labels)
            self._families[spec.name] = family
        family.add_metric(labels, *values)

    def families(self) -> Sequence[Metric]:
        return [*self._families.values()]


class AccountCache:
    """Keeps what was last made of each account, so that only what has changed is made anew.

    Threads may share it: an entry is replaced as a whole, and is used for equal figures alone.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[Account, str], tuple[object, Sequence[Metric]]] = {}

    def get(
        self, account: Account, part: str, figures: object, make: Callable[[_Families], None]
    ) -> Sequence[Metric]:
        """Returns the families that `make` adds, which follow from these figures."""
        known = self._made.get((account, part))
        if known is None or known[0] != figures:
            made = _Families()
            make(made)
            known = self._made[account, part] = figures, made.families()
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
    merged: dict[str, Metric] = {}
    cache = cache or AccountCache()
    for result in results:
        for part in _parts(result, descriptions[result.account], cache):
            for family in part:
                if family.name not in merged:
                    merged[family.name] = Metric(family.name, family.documentation, family.type)
                merged[family.name].samples.extend(family.samples)
    return merged.values()


def _parts(
    result: AccountResult, description: AccountDescription, cache: AccountCache
) -> Iterator[Sequence[Metric]]:
    health = _Families()
    _add_health(health, result)
    yield health.families()
    account, listing, totals = result.account, result.listing, result.totals
    if listing is not None:
        still_open = {session.id: session for session in listing.sessions if session.ended is None}
        add = partial(_add_listing, result.account, listing.listed, still_open, description.traits)
        yield cache.get(account, "listing", (description, listing.listed, still_open), add)
    if totals is not None:
        listed = frozenset() if listing is None else frozenset(series for series, _ in listing.listed)
        add = partial(_add_totals, account, totals, listed, description)
        yield cache.get(account, "totals", (description, totals, listed), add)


def of_accounts(accounts: Collection[Account], own: Iterable[Metric]) -> Iterator[Metric]:
    """Yields the exporter's own metrics, without those of accounts that a reload removed.

    Their counters are kept, so that they do not fall if the account comes back.
    """
    for family in own:
        family.samples = [
            sample
            for sample in family.samples
            if "account" not in sample.labels
            or Account(sample.labels["provider"], sample.labels["account"]) in accounts
        ]
        yield family


def _add_health(made: _Families, result: AccountResult) -> None:
    account = (result.account.provider, result.account.name)
    made.add(UP, account, result.listing is not None)
    made.add(SUCCESS, (*account, COLLECTOR), result.error is None)
    made.add(TOOK, (*account, COLLECTOR), result.seconds)
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


def _add_listing(
    account: Account,
    listed: Mapping[tuple[Series, str], int],
    still_open: Mapping[str, Session],
    traits: ProviderTraits,
    made: _Families,
) -> None:
    statuses = (*traits.open_statuses, *traits.ended_statuses)
    every = _all_series(traits, (series for series, _ in listed))
    counts = {(series, status): 0 for series in every for status in statuses} | dict(listed)
    for (series, status), count in sorted(counts.items()):
        made.add(SESSIONS, (*_labels(account, series), status), count)
    grouped: dict[Series, list[Session]] = defaultdict(list)
    for session in still_open.values():
        grouped[session.series].append(session)
    for series in every:
        labels = _labels(account, series)
        _add_open(made, labels, grouped[series])
        if traits.keep_alive:
            made.add(KEEP_ALIVE, labels, sum(session.keep_alive for session in grouped[series]))
        if traits.cost_source == "reported":
            usage = [session.usage for session in grouped[series]]
            made.add(OPEN_COSTS, (*labels, "browser"), sum(one.browser_cost for one in usage) / NANO_USD)
            made.add(OPEN_COSTS, (*labels, "proxy"), sum(one.proxy_cost for one in usage) / NANO_USD)


def _add_open(made: _Families, labels: tuple[str, ...], sessions: list[Session]) -> None:
    if sessions:
        made.add(OLDEST, labels, min(session.started or session.created for session in sessions) / SECOND)
    expiries = [session.expires for session in sessions if session.expires is not None]
    if expiries:
        made.add(EXPIRY, labels, min(expiries) / SECOND)


def _add_totals(
    account: Account,
    totals: Mapping[CounterKey, int],
    listed: Collection[Series],
    description: AccountDescription,
    made: _Families,
) -> None:
    made.add(LOWERED, (account.provider, account.name), totals.get(CounterKey(ACCOUNT_WIDE, REVISIONS), 0))
    sums: dict[Series, dict[tuple[str, str], int]] = defaultdict(dict)
    for key, value in totals.items():
        if key.series != ACCOUNT_WIDE:
            sums[key.series][key.counter, key.label] = value
    source = description.cost_source
    for series in _all_series(description.traits, [*listed, *sums]):
        _add_counters(made, _labels(account, series), sums[series], description.traits)
        if source is not None:
            for kind in COST_KINDS:
                cost = sums[series].get((COST, kind), 0) / NANO_USD
                made.add(COSTS, (*_labels(account, series), kind, source), cost)


def _add_counters(
    made: _Families,
    labels: tuple[str, ...],
    sums: Mapping[tuple[str, str], int],
    traits: ProviderTraits,
) -> None:
    made.add(STARTS, labels, sums.get((STARTED, ""), 0))
    made.add(SECONDS, labels, sums.get((TIME, ""), 0) / SECOND)
    made.add(BYTES, labels, sums.get((PROXY_BYTES, ""), 0))
    seen = (label for counter, label in sums if counter == ENDED)
    for status in dict.fromkeys([*traits.endings, *seen]):
        made.add(ENDS, (*labels, status), sums.get((ENDED, status), 0))
    made.add(DURATIONS, labels, list(_buckets(sums)), sums.get((DURATION_SUM, ""), 0) / SECOND)


def _buckets(sums: Mapping[tuple[str, str], int]) -> Iterator[tuple[str, float]]:
    """Yields the histogram's cumulative buckets; the ledger keeps a count for each bucket alone."""
    total = 0
    for bound in (*map(str, DURATION_BUCKETS), "+Inf"):
        total += sums.get((DURATION, bound), 0)
        # As client libraries write it: "10" and "10.0" would be two series.
        yield bound if bound == "+Inf" else f"{bound}.0", total


def _all_series(traits: ProviderTraits, seen: Iterable[Series]) -> list[Series]:
    """Returns the series seen, and those known in advance of each project: a counter must begin at 0."""
    found = set(seen)
    projects = {series.project for series in found} or {""}
    known = {Series(project, region) for project in projects for region in traits.regions}
    return sorted(found | known)


def _labels(account: Account, series: Series) -> tuple[str, str, str, str]:
    return account.provider, account.name, series.project, series.region
