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

from exporter.model import (
    COST,
    DURATION,
    DURATION_BUCKETS,
    DURATION_SUM,
    ENDED,
    EVERYWHERE,
    HOUR,
    PROXY_BYTES,
    REVISIONS,
    SECOND,
    STARTED,
    TIME,
    UNKNOWN,
    Entry,
    Listing,
    Series,
    Session,
    Usage,
)

GIGABYTE = 10**9


class Rules(msgspec.Struct, frozen=True):
    """How an account is to be counted.

    `skip` counts from the ledger's beginning only. Prices, in nano-dollars for an hour and for 10^9
    bytes, are for sessions whose provider reports no cost; `minimum` is the least time billed for one.
    """

    settle_after: int
    skip: bool = False
    browser_per_hour: int = 0
    proxy_per_gb: int = 0
    minimum: int = 0


class Books(msgspec.Struct, frozen=True):
    """Where an account's books stand.

    began: the time of the first listing. complete: whether the history has been read to its end.
    since: the watermark; what was created before it has settled, but for the rows held (None: nothing).
    newest: the latest creation seen (None: no session was).
    listings: how many were counted, but for those that another overtook.
    """

    began: int
    complete: bool = False
    since: int | None = None
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


class Posting(msgspec.Struct, frozen=True):
    """What one listing changes. Rows that have settled and lie before `books.since` may then go.

    But those of sessions that had left the list must stay a while: come back, they would count again.
    """

    books: Books
    changed: tuple[Row, ...]
    added: Mapping[Entry, int]


def post(
    books: Books | None, rows: Mapping[str, Row], listing: Listing, rules: Rules, *, overtaken: bool = False
) -> Posting:
    """Count a listing.

    Args:
        books: where the account stands; None before its first listing.
        rows: at least those not settled, and those whose sessions are in the listing.
        listing: what was read.
        rules: how to count it.
        overtaken: whether another was counted since this one was asked for, and may be newer: what has
            left, was lowered, or has settled and gone is then the other's to say.
    """
    books = books or Books(began=listing.time)
    added: Counter[Entry] = Counter()
    changed = {}
    read = _read_late if overtaken else _read
    for session in _merged(listing.sessions).values():
        known = rows.get(session.id)
        if known is None and not (overtaken and _may_have_gone(books, session, rules)):
            known = _new_row(books, session, rules, added)
        if known is not None:
            changed[session.id] = read(known, session, listing.time, rules, added)
    for lost in () if overtaken else listing.missing:
        if lost in rows and lost not in changed:
            changed[lost] = _missed(rows[lost], listing.time, rules, added)
    fresh = (row for row in changed.values() if row != rows.get(row.id))
    books = _advanced(books, listing, rules, books.listings + (not overtaken))
    return Posting(books, tuple(fresh), {k: n for k, n in added.items() if n})


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


def _may_have_gone(books: Books, session: Session, rules: Rules) -> bool:
    """Whether a session without a row may be one that was counted, or left out, and let go of."""
    marks = [books.began if rules.skip else None, books.since]
    return any(mark is not None and session.created < mark for mark in marks)


def _new_row(books: Books, session: Session, rules: Rules, added: Counter[Entry]) -> Row | None:
    """The row of a session not known yet; None if it has been counted, or is not to be."""
    if books.since is not None and session.created < books.since and session.ended is not None:
        return None  # it has settled; one that is open never has, however late it was first listed
    row = Row(session.id, session.series, session.created)
    if rules.skip and session.created < books.began:
        # The provider's clock is read in whole seconds: it ended in the one that the ledger began in.
        if session.ended is not None and session.ended < books.began + SECOND:
            return None
        return msgspec.structs.replace(row, high=session.usage, billed=_billable(session, rules))
    added[Entry(row.series, STARTED)] += 1
    return row


def _read(row: Row, session: Session, now: int, rules: Rules, added: Counter[Entry]) -> Row:
    lowered = _lowered(row, session)
    added[Entry(EVERYWHERE, REVISIONS)] += (lowered & ~row.lowered).bit_count()
    high, billed, ending = _risen(row, session, rules, added)
    settled = session.ended is not None and now >= session.ended + rules.settle_after
    return Row(row.id, row.series, row.created, high, billed, lowered, session.ended, ending, settled=settled)


def _read_late(row: Row, session: Session, now: int, rules: Rules, added: Counter[Entry]) -> Row:
    """As a listing shows it that another overtook: an end is one, but that it is open tells nothing."""
    high, billed, ending = _risen(row, session, rules, added)
    row = msgspec.structs.replace(row, high=high, billed=billed, ending=ending)
    if session.ended is None:
        return row
    settled = row.settled or now >= session.ended + rules.settle_after
    return msgspec.structs.replace(row, ended=session.ended, settled=settled)


def _risen(row: Row, session: Session, rules: Rules, added: Counter[Entry]) -> tuple[Usage, int, str | None]:
    """The highest figures, the most time charged for and the ending, once what is new of them is added."""
    high = _highest(row.high, session.usage)
    billed = max(row.billed, _billable(session, rules))
    _charge(row, high, billed, rules, added)
    ending = row.ending
    if session.ending is not None and ending is None:
        ending = session.ending
        _end(row.series, ending, high.time, added)
    return high, billed, ending


def _charge(row: Row, high: Usage, billed: int, rules: Rules, added: Counter[Entry]) -> None:
    past, series = row.high, row.series
    browser = _rise(rules.browser_per_hour, row.billed, billed, HOUR)
    proxy = _rise(rules.proxy_per_gb, past.proxy_bytes, high.proxy_bytes, GIGABYTE)
    added[Entry(series, TIME)] += high.time - past.time
    added[Entry(series, PROXY_BYTES)] += high.proxy_bytes - past.proxy_bytes
    added[Entry(series, COST, "browser")] += high.browser_cost - past.browser_cost + browser
    added[Entry(series, COST, "proxy")] += high.proxy_cost - past.proxy_cost + proxy


def _rise(price: int, past: int, amount: int, unit: int) -> int:
    """The price of a rise. Whole amounts are rounded, not rises, so that these sum to the price of all."""
    return (2 * price * amount + unit) // (2 * unit) - (2 * price * past + unit) // (2 * unit)


def _billable(session: Session, rules: Rules) -> int:
    return max(session.usage.time, rules.minimum) if session.started is not None else 0


def _lowered(row: Row, session: Session) -> int:
    """Which figures the provider has taken back. While a session is open its time is our own sum."""
    below = list(map(lt, msgspec.structs.astuple(session.usage), msgspec.structs.astuple(row.high)))
    below[0] &= session.ended is not None and row.ended is not None
    return sum(1 << bit for bit, low in enumerate(below) if low)


def _end(series: Series, ending: str, duration: int, added: Counter[Entry]) -> None:
    added[Entry(series, ENDED, ending)] += 1
    added[Entry(series, DURATION, bucket(duration))] += 1
    added[Entry(series, DURATION_SUM)] += duration


def bucket(duration: int) -> str:
    """The upper bound, in seconds, of the bucket that a duration falls into."""
    bounds = [bound * SECOND for bound in DURATION_BUCKETS]
    place = bisect_left(bounds, duration)
    return str(DURATION_BUCKETS[place]) if place < len(bounds) else "+Inf"


def _missed(row: Row, now: int, rules: Rules, added: Counter[Entry]) -> Row:
    """A session that a complete listing lacks: closed as last seen once it has been gone long enough."""
    missing = now if row.missing is None else row.missing
    gone = now - missing >= rules.settle_after
    ending = row.ending
    if gone and ending is None:
        ending = UNKNOWN
        _end(row.series, ending, row.high.time, added)
    return msgspec.structs.replace(row, missing=missing, ending=ending, settled=row.settled or gone)


def _advanced(books: Books, listing: Listing, rules: Rules, listings: int) -> Books:
    """Move the watermark: only after a complete listing, and never backwards.

    It stays behind the newest session seen: were it to follow a provider's clock that has run ahead,
    every session begun until that time would pass for settled, and not be counted.
    """
    created = [session.created for session in listing.sessions]
    newest = max(created if books.newest is None else [*created, books.newest], default=None)
    marks = [] if books.since is None else [books.since]
    if listing.covers is not None:
        marks += [] if newest is None else [min(listing.covers - rules.settle_after, newest) + 1]
        marks += [books.began - rules.settle_after] if rules.skip else []
    complete = books.complete or listing.covers is not None
    return Books(books.began, complete, max(marks, default=None), newest, listings)
