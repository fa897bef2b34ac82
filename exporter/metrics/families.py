"""Metric families, made of a scrape's results."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import msgspec
from prometheus_client.core import Metric

from exporter.metrics.configured import add_configured
from exporter.metrics.counted import parts_of_totals
from exporter.metrics.definitions import (
    ACCOUNT_COLLECTOR,
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
from exporter.metrics.listed import add_limited, add_listed, add_open, add_open_ages, open_sessions
from exporter.metrics.parts import Part
from exporter.metrics.reported import add_reported
from exporter.metrics.results import AccountDescription, AccountResult
from exporter.metrics.samples import Families, SeriesLabels, all_series, merged
from exporter.model import Account, Series


def families(
    results: Iterable[AccountResult], descriptions: Mapping[Account, AccountDescription]
) -> Iterable[Metric]:
    """Returns the metrics of a scrape.

    Args:
        results: account by account.
        descriptions: what is known in advance of each of these accounts.
    """
    return merged(part.make() for part in page_parts(results, descriptions))


def page_parts(
    results: Iterable[AccountResult], descriptions: Mapping[Account, AccountDescription]
) -> Iterator[Part]:
    """Yields the same in parts: what changes at each scrape is apart from the rest."""
    # A family has one set of labels: accounts without one of them have it empty.
    names = tuple(sorted({name for one in descriptions.values() for name in one.metadata_labels}))
    for result in results:
        yield from _account_parts(result, descriptions[result.account], names)


def _account_parts(
    result: AccountResult, description: AccountDescription, names: tuple[str, ...]
) -> Iterator[Part]:
    account, listing = result.account, result.listing
    if SESSIONS_COLLECTOR in description.collectors:
        health = _health(result)
        yield _part(account, "health", health, partial(_add_health, account, health))
        times = result.seconds, result.last_success
        yield _part(account, "times", times, partial(_add_times, account, *times))
    if (reported := result.reported) is not None:
        found = reported.report, reported.error is None
        yield _part(account, "reported", found, partial(add_reported, account, *found))
        took = partial(_add_took, account, ACCOUNT_COLLECTOR, reported.seconds)
        yield _part(account, "report's time", reported.seconds, took)
    yield _part(account, "configured", description, partial(add_configured, account, description))
    at = SeriesLabels(account, names, description.metadata_labels)
    for name, figures, add in _series_parts(result, description, at):
        yield _part(account, name, (figures, names), add, names)
    if listing is not None:
        limited = listing.limited, description.metadata_labels
        yield _part(account, "limited", limited, partial(add_limited, account, *limited))


def _series_parts(
    result: AccountResult, description: AccountDescription, at: SeriesLabels
) -> Iterator[tuple[str, object, Callable[[Families], None]]]:
    """Yields the parts that have the labels of series: the name, the figures, what adds them."""
    listing, traits = result.listing, description.traits
    listed: Mapping[tuple[Series, str], int] = {} if listing is None else listing.listed
    seen = {series for series, _ in listed}
    if listing is not None:
        yield "listed", (traits, listed), partial(add_listed, at, listed, traits)
        every, still_open = all_series(traits, seen), open_sessions(listing)
        yield "open", (traits, every, still_open), partial(add_open, at, every, still_open, traits)
        # Of no open session the ages stay the same.
        ages = traits, every, still_open, listing.time if still_open else None
        yield "ages", ages, partial(add_open_ages, at, listing, traits)
    if result.totals is not None:
        yield from parts_of_totals(result.totals, result.last_sessions, seen, description, at)


def _part(
    account: Account,
    name: str,
    figures: object,
    add: Callable[[Families], None],
    metadata: tuple[str, ...] = (),
) -> Part:
    return Part(account, name, figures, partial(_made, add, metadata))


def _made(add: Callable[[Families], None], metadata: tuple[str, ...]) -> Sequence[Metric]:
    made = Families(metadata)
    add(made)
    return made.families()


class _Health(msgspec.Struct, frozen=True):
    """What is shown of an account's health, but for its times; None is not shown."""

    up: bool
    success: bool
    complete: bool | None
    remaining: int | None
    rows: int | None
    rejected_held: int | None


def _health(result: AccountResult) -> _Health:
    remaining = None
    if result.complete:
        remaining = 0
    elif result.complete is False and result.listing is not None:
        remaining = result.listing.remaining
    return _Health(
        up=result.listing is not None,
        success=result.error is None,
        complete=result.complete,
        remaining=remaining,
        rows=result.rows,
        rejected_held=result.rejected_held,
    )


def _add_health(account: Account, health: _Health, made: Families) -> None:
    labels = account.provider, account.name
    made.add(SUCCESS, (*labels, SESSIONS_COLLECTOR), health.success)
    for spec, value in (
        (UP, health.up),
        (HISTORY, health.complete),
        (REMAINING, health.remaining),
        (ROWS, health.rows),
        (REJECTED_HELD, health.rejected_held),
    ):
        if value is not None:
            made.add(spec, labels, value)


def _add_times(account: Account, seconds: float, last_success: float | None, made: Families) -> None:
    _add_took(account, SESSIONS_COLLECTOR, seconds, made)
    if last_success is not None:
        made.add(LAST_SUCCESS, (account.provider, account.name), last_success)


def _add_took(account: Account, collector: str, seconds: float, made: Families) -> None:
    made.add(TOOK, (account.provider, account.name, collector), seconds)
