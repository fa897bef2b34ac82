"""Turns a listing into what to add to the totals, so that they stay exact whatever the list does.

Pure: the rows known of an account and a `Listing` go in, changed rows and additions come out. A total
is the sum, over all sessions ever seen, of the highest figure seen of each; so an addition is always
the rise of one session's highest figure, and is never negative.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import lt

import msgspec

from exporter.metrics.counters import (
    ACCOUNT_WIDE,
    COST,
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
from exporter.model import HOUR, SECOND, UNKNOWN, Listing, Series, Session, Usage

GIGABYTE = 10**9


class AccountingPolicy(msgspec.Struct, frozen=True):
    """How an account is to be counted.

    `skip` counts from the ledger's beginning only. Prices, in nano-dollars for an hour and for 10^9
    bytes, are for sessions whose provider reports no cost; `minimum` is the least time billed for one.
    """

    settle_after: int
    skip: bool = False
    browser_per_hour: int = 0
    proxy_per_gb: int = 0
    minimum: int = 0


class AccountProgress(msgspec.Struct, frozen=True):
    """How far the counting of an account has come.

    began: the time of the first listing. complete: whether the history has been read to its end.
    watermark: what was created before it has settled, but for the rows held (None: nothing).
    newest: the latest creation seen (None: no session was).
    listings: how many were counted, but for those that another overtook.
    """

    began: int
    complete: bool = False
    watermark: int | None = None
    newest: int | None = None
    listings: int = 0


class Row(msgspec.Struct, frozen=True):
    """What is remembered of a session that may still change.

    series: as first seen, for a session's usage must not move between series.
    high: the highest figures seen. billed: the most time charged for at our prices.
    lowered: which figures stood below their highest when last read, a bit for each.
    ending: the status under which its end was counted. missing: since when it has not been listed.
    """

    id: str
    series: Series
    created: int
    high: Usage = Usage()
    billed: int = 0
    lowered: int = 0
    ended: int | None = None
    ending: str | None = None
    missing: int | None = None
    settled: bool = False


class LedgerUpdate(msgspec.Struct, frozen=True):
    """What one listing changes. Rows that have settled and lie before `progress.watermark` may then go.

    But those of sessions that had left the list must stay a while: come back, they would count again.
    """

    progress: AccountProgress
    changed: tuple[Row, ...]
    added: Mapping[CounterKey, int]


def apply_listing(
    progress: AccountProgress | None,
    rows: Mapping[str, Row],
    listing: Listing,
    policy: AccountingPolicy,
    *,
    is_stale: bool = False,
) -> LedgerUpdate:
    """Count a listing.

    Args:
        progress: where the account stands; None before its first listing.
        rows: at least those not settled, and those whose sessions are in the listing.
        listing: what was read.
        policy: how to count it.
        is_stale: whether another was counted since this one was asked for, and may be newer: what has
            left, was lowered, or has settled and gone is then the other's to say.
    """
    progress = progress or AccountProgress(began=listing.time)
    added: Counter[CounterKey] = Counter()
    changed = {}
    read = _read_late if is_stale else _read
    for session in _merged(listing.sessions).values():
        known = rows.get(session.id)
        if known is None and not (is_stale and _may_be_already_settled(progress, session, policy)):
            known = _new_row(progress, session, policy, added)
        if known is not None:
            changed[session.id] = read(known, session, listing.time, policy, added)
    for lost in () if is_stale else listing.missing:
        if lost in rows and lost not in changed:
            changed[lost] = _mark_missing(rows[lost], listing.time, policy, added)
    fresh = (row for row in changed.values() if row != rows.get(row.id))
    progress = _advance_watermark(progress, listing, policy, progress.listings + (not is_stale))
    return LedgerUpdate(progress, tuple(fresh), {k: n for k, n in added.items() if n})


def _merged(sessions: Iterable[Session]) -> dict[str, Session]:
    """One reading of each session: where pages overlap, its end and its highest figures win."""
    merged: dict[str, Session] = {}
    for session in sessions:
        twin = merged.get(session.id)
        if twin is not None:
            later = twin if twin.ended is not None and session.ended is None else session
            session = msgspec.structs.replace(later, usage=_highest(twin.usage, session.usage))  # noqa: PLW2901 - one name for the reading, merged or not
        merged[session.id] = session
    return merged


def _highest(one: Usage, other: Usage) -> Usage:
    return Usage(*map(max, msgspec.structs.astuple(one), msgspec.structs.astuple(other)))


def _may_be_already_settled(progress: AccountProgress, session: Session, policy: AccountingPolicy) -> bool:
    """Whether a session without a row may be one that was counted, or left out, and let go of."""
    marks = [progress.began if policy.skip else None, progress.watermark]
    return any(mark is not None and session.created < mark for mark in marks)


def _new_row(
    progress: AccountProgress, session: Session, policy: AccountingPolicy, added: Counter[CounterKey]
) -> Row | None:
    """The row of a session not known yet; None if it has been counted, or is not to be."""
    if progress.watermark is not None and session.created < progress.watermark and session.ended is not None:
        return None  # it has settled; one that is open never has, however late it was first listed
    row = Row(session.id, session.series, session.created)
    if policy.skip and session.created < progress.began:
        # The provider's clock is read in whole seconds: it ended in the one that the ledger began in.
        if session.ended is not None and session.ended < progress.began + SECOND:
            return None
        return msgspec.structs.replace(row, high=session.usage, billed=_billable(session, policy))
    added[CounterKey(row.series, STARTED)] += 1
    return row


def _read(row: Row, session: Session, now: int, policy: AccountingPolicy, added: Counter[CounterKey]) -> Row:
    lowered = _lowered(row, session)
    added[CounterKey(ACCOUNT_WIDE, REVISIONS)] += (lowered & ~row.lowered).bit_count()
    high, billed, ending = _apply_increase(row, session, policy, added)
    settled = session.ended is not None and now >= session.ended + policy.settle_after
    return Row(row.id, row.series, row.created, high, billed, lowered, session.ended, ending, settled=settled)


def _read_late(
    row: Row, session: Session, now: int, policy: AccountingPolicy, added: Counter[CounterKey]
) -> Row:
    """As a listing shows it that another overtook: an end is one, but that it is open tells nothing."""
    high, billed, ending = _apply_increase(row, session, policy, added)
    row = msgspec.structs.replace(row, high=high, billed=billed, ending=ending)
    if session.ended is None:
        return row
    settled = row.settled or now >= session.ended + policy.settle_after
    return msgspec.structs.replace(row, ended=session.ended, settled=settled)


def _apply_increase(
    row: Row, session: Session, policy: AccountingPolicy, added: Counter[CounterKey]
) -> tuple[Usage, int, str | None]:
    """The highest figures, the most time charged for and the ending, once what is new of them is added."""
    high = _highest(row.high, session.usage)
    billed = max(row.billed, _billable(session, policy))
    _charge(row, high, billed, policy, added)
    ending = row.ending
    if session.ending is not None and ending is None:
        ending = session.ending
        _end(row.series, ending, high.time, added)
    return high, billed, ending


def _charge(row: Row, high: Usage, billed: int, policy: AccountingPolicy, added: Counter[CounterKey]) -> None:
    past, series = row.high, row.series
    browser = _rise(policy.browser_per_hour, row.billed, billed, HOUR)
    proxy = _rise(policy.proxy_per_gb, past.proxy_bytes, high.proxy_bytes, GIGABYTE)
    added[CounterKey(series, TIME)] += high.time - past.time
    added[CounterKey(series, PROXY_BYTES)] += high.proxy_bytes - past.proxy_bytes
    added[CounterKey(series, COST, "browser")] += high.browser_cost - past.browser_cost + browser
    added[CounterKey(series, COST, "proxy")] += high.proxy_cost - past.proxy_cost + proxy


def _rise(price: int, past: int, amount: int, unit: int) -> int:
    """The price of a rise. Whole amounts are rounded, not rises, so that these sum to the price of all."""
    return (2 * price * amount + unit) // (2 * unit) - (2 * price * past + unit) // (2 * unit)


def _billable(session: Session, policy: AccountingPolicy) -> int:
    return max(session.usage.time, policy.minimum) if session.started is not None else 0


def _lowered(row: Row, session: Session) -> int:
    """Which figures the provider has taken back. While a session is open its time is our own sum."""
    below = list(map(lt, msgspec.structs.astuple(session.usage), msgspec.structs.astuple(row.high)))
    below[0] &= session.ended is not None and row.ended is not None
    return sum(1 << bit for bit, low in enumerate(below) if low)


def _end(series: Series, ending: str, duration: int, added: Counter[CounterKey]) -> None:
    added[CounterKey(series, ENDED, ending)] += 1
    added[CounterKey(series, DURATION, bucket(duration))] += 1
    added[CounterKey(series, DURATION_SUM)] += duration


def bucket(duration: int) -> str:
    """The upper bound, in seconds, of the bucket that a duration falls into."""
    bounds = [bound * SECOND for bound in DURATION_BUCKETS]
    place = bisect_left(bounds, duration)
    return str(DURATION_BUCKETS[place]) if place < len(bounds) else "+Inf"


def _mark_missing(row: Row, now: int, policy: AccountingPolicy, added: Counter[CounterKey]) -> Row:
    """A session that a complete listing lacks: closed as last seen once it has been gone long enough."""
    missing = now if row.missing is None else row.missing
    gone = now - missing >= policy.settle_after
    ending = row.ending
    if gone and ending is None:
        ending = UNKNOWN
        _end(row.series, ending, row.high.time, added)
    return msgspec.structs.replace(row, missing=missing, ending=ending, settled=row.settled or gone)


def _advance_watermark(
    progress: AccountProgress, listing: Listing, policy: AccountingPolicy, listings: int
) -> AccountProgress:
    """Move the watermark: only after a complete listing, and never backwards.

    It stays behind the newest session seen: were it to follow a provider's clock that has run ahead,
    every session begun until that time would pass for settled, and not be counted.
    """
    created = [session.created for session in listing.sessions]
    newest = max(created if progress.newest is None else [*created, progress.newest], default=None)
    marks = [] if progress.watermark is None else [progress.watermark]
    if listing.covers is not None:
        marks += [] if newest is None else [min(listing.covers - policy.settle_after, newest) + 1]
        marks += [progress.began - policy.settle_after] if policy.skip else []
    complete = progress.complete or listing.covers is not None
    return AccountProgress(progress.began, complete, max(marks, default=None), newest, listings)
