"""One session's row: what a reading of it, or its absence, adds to the totals.

An addition is always the rise of one session's highest figure, and is never negative.

- A session that has ended stays ended: a later reading that shows it open changes no counter.
- An end that the provider does not give is fixed at the first reading that shows it, at most at its expiry.
- The time of an open session is the exporter's own sum: it stops a minute after the session's expiry.
- The browser cost of an open session counts for nothing, for it may be charged upfront and refunded: it
  counts from the first reading that shows the end, or as last seen when a session without one is closed.
- How long a session took to start counts once, as first read.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

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
    START,
    START_BUCKETS,
    START_SUM,
    TIME,
    CounterKey,
)
from exporter.model import HOUR, SECOND, UNKNOWN, Series, Session, Usage

GIGABYTE = 10**9
EXPIRY_GRACE = 60 * SECOND
DAY = 24 * HOUR
TIME_BIT, PROXY_BYTES_BIT, BROWSER_COST_BIT, PROXY_COST_BIT = 1, 2, 4, 8  # of Row.lowered
FINAL_AT_END = TIME_BIT | BROWSER_COST_BIT  # figures that an open session does not have for good


class AccountingPolicy(msgspec.Struct, frozen=True):
    """How an account is counted.

    settle_after: how long after its end, or its disappearance, a session is still read again.
    skip: whether only usage after the ledger began counts.
    browser_per_hour, proxy_per_gb: prices in nano-dollars, for hours and 10^9 bytes, where the provider
        reports no cost. minimum: the least time that is billed for a session.
    """

    settle_after: int
    skip: bool = False
    browser_per_hour: int = 0
    proxy_per_gb: int = 0
    minimum: int = 0


class Row(msgspec.Struct, frozen=True):
    """What is remembered of a session that may still change.

    series: as first seen, for a session's usage must not move between series.
    high: the highest figures that were counted. billed: the most time charged for at configured prices.
    lowered: which figures stood below their highest when last read, a bit for each.
    ended: when it ended; None while no reading showed an end.
    ending: the status under which its end was counted.
    missing: since when no usable row of it has been listed, or none with all figures after it has settled.
    settled: whether its usage is final.
    open_cost: its browser cost as last read while it was open, which has not been counted.
    start_counted: whether its start has been counted, or is not to be.
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
    open_cost: int = 0
    start_counted: bool = False


class Tally(msgspec.Struct, frozen=True):
    """What a listing of the time `now` adds to the totals, by an account's policy.

    keeps_incomplete: whether rows that lack a figure may outlast their session's settling.
    """

    now: int
    policy: AccountingPolicy
    added: Counter[CounterKey]
    keeps_incomplete: bool = True


def read_row(row: Row, session: Session, tally: Tally) -> Row:
    """Returns the row after a reading of its session, and adds what is new of it to the tally."""
    if row.ended is not None and session.ended is None:
        # Not settled, for as long as it is shown open: without its row it would pass for a new session.
        return msgspec.structs.replace(row, missing=None, settled=False)
    figures = _figures(row, session)
    lowered = _lowered(row, session, figures)
    if lowered:
        tally.added[CounterKey(ACCOUNT_WIDE, REVISIONS)] += _revisions(row, lowered)
    row = _count(row, session, figures, tally)
    settled = _has_settled(row.ended, tally)
    lacks = settled and session.is_incomplete and tally.keeps_incomplete
    missing = _lacking_since(row, tally.now) if lacks else None
    return msgspec.structs.replace(row, lowered=lowered, missing=missing, settled=settled)


def _lacking_since(row: Row, now: int) -> int | None:
    """Since when the row of a session that has settled lacks a figure; None if that is not waited for.

    It is kept like that of one that left the list, to count on; of old histories it is not.
    """
    if row.missing is None and row.ended is not None and now < row.ended + DAY:
        return now
    return row.missing


def read_stale_row(row: Row, session: Session, tally: Tally) -> Row:
    """As `read_row`, for a listing that may be outdated: an end in it counts, the lack of one does not."""
    if row.ended is not None and session.ended is None:
        return row
    row = _count(row, session, _figures(row, session), tally)
    return msgspec.structs.replace(row, settled=row.settled or _has_settled(row.ended, tally))


def mark_missing(row: Row, tally: Tally) -> Row:
    """Returns the row of a session without a usable row in the list: closed after `settle_after`."""
    if row.settled:
        # A closed row is kept for a month after it was last seen to be unusable; see queries.RETENTION.
        is_old = row.missing is not None and tally.now - row.missing >= DAY
        return msgspec.structs.replace(row, missing=tally.now) if is_old else row
    missing = tally.now if row.missing is None else row.missing
    if tally.now - missing < tally.policy.settle_after:
        return msgspec.structs.replace(row, missing=missing)
    high = row.high
    if row.ended is None:
        high = highest(high, Usage(browser_cost=row.open_cost))
        _charge(row, high, row.billed, tally)
    if row.ending is None:
        _add_end(row.series, UNKNOWN, high.time, tally)
    ending = row.ending or UNKNOWN
    return msgspec.structs.replace(row, high=high, ending=ending, missing=missing, settled=True)


def highest(one: Usage, other: Usage) -> Usage:
    """Returns the higher of each of two usages' figures."""
    return Usage(
        max(one.time, other.time),
        max(one.proxy_bytes, other.proxy_bytes),
        max(one.browser_cost, other.browser_cost),
        max(one.proxy_cost, other.proxy_cost),
    )


def billable(session: Session, time: int, policy: AccountingPolicy) -> int:
    """Returns the time to charge for; 0 before a session has started."""
    return max(time, policy.minimum) if session.started is not None else 0


def bucket(duration: int, bounds: Sequence[float] = DURATION_BUCKETS) -> str:
    """Returns the upper bound, in seconds, of the bucket that a duration falls into."""
    place = bisect_left(bounds, duration / SECOND)
    return str(bounds[place]) if place < len(bounds) else "+Inf"


def _figures(row: Row, session: Session) -> Usage:
    """Returns a reading's figures, as far as they count."""
    use = session.usage
    if session.ended is None:
        return Usage(_open_time(session), use.proxy_bytes, 0, use.proxy_cost)
    if session.end_is_known:
        return use
    if row.ended is not None:
        return msgspec.structs.replace(use, time=row.high.time)
    return msgspec.structs.replace(
        use, time=use.time - (session.ended - _at_most_expiry(session.ended, session))
    )


def _open_time(session: Session) -> int:
    if session.expires is None:
        return session.usage.time
    begun = session.created if session.started is None else session.started
    return min(session.usage.time, session.expires + EXPIRY_GRACE - begun)


def _end(row: Row, session: Session) -> int | None:
    """Returns when it ended: the latest that the provider said, else as first seen.

    Were an earlier end to count, the session could settle, and count anew when the later one is shown again.
    """
    if session.end_is_known and session.ended is not None:
        return session.ended if row.ended is None else max(session.ended, row.ended)
    if row.ended is not None or session.ended is None:
        return row.ended
    return _at_most_expiry(session.ended, session)


def _at_most_expiry(ended: int, session: Session) -> int:
    return ended if session.expires is None else min(ended, session.expires)


def _count(row: Row, session: Session, figures: Usage, tally: Tally) -> Row:
    """Returns the row with its highest figures and its end, and adds what is new of them to the tally."""
    high, ended, ending = highest(row.high, figures), _end(row, session), row.ending
    billed = max(row.billed, billable(session, figures.time, tally.policy))
    _charge(row, high, billed, tally)
    if ending is None:
        # The end of a session of an unknown status counts when it settles: a known status may come.
        ending = session.ending or (session.status if _has_settled(ended, tally) else None)
        if ending is not None:
            _add_end(row.series, ending, high.time, tally)
    open_cost = session.usage.browser_cost if ended is None else 0
    return msgspec.structs.replace(
        row,
        high=high,
        billed=billed,
        ended=ended,
        ending=ending,
        open_cost=open_cost,
        start_counted=_count_start(row, session, tally),
    )


def _count_start(row: Row, session: Session, tally: Tally) -> bool:
    """Add how long the session took to start, if that is known now; returns whether it has been counted."""
    if row.start_counted or session.start_latency is None:
        return row.start_counted
    tally.added[CounterKey(row.series, START, bucket(session.start_latency, START_BUCKETS))] += 1
    tally.added[CounterKey(row.series, START_SUM)] += session.start_latency
    return True


def _has_settled(ended: int | None, tally: Tally) -> bool:
    return ended is not None and tally.now >= ended + tally.policy.settle_after


def _charge(row: Row, high: Usage, billed: int, tally: Tally) -> None:
    """Add what the figures, and the time charged for, are above those of the row."""
    past, policy = row.high, tally.policy
    browser = _price_of_rise(policy.browser_per_hour, row.billed, billed, HOUR)
    proxy = _price_of_rise(policy.proxy_per_gb, past.proxy_bytes, high.proxy_bytes, GIGABYTE)
    for counter, label, rise in (
        (TIME, "", high.time - past.time),
        (PROXY_BYTES, "", high.proxy_bytes - past.proxy_bytes),
        (COST, "browser", high.browser_cost - past.browser_cost + browser),
        (COST, "proxy", high.proxy_cost - past.proxy_cost + proxy),
    ):
        if rise:
            tally.added[CounterKey(row.series, counter, label)] += rise


def _price_of_rise(price: int, past: int, amount: int, unit: int) -> int:
    """Returns the price of a rise. Amounts are rounded, not rises: so the prices of rises add up exactly."""
    if not price:
        return 0
    return (2 * price * amount + unit) // (2 * unit) - (2 * price * past + unit) // (2 * unit)


def _lowered(row: Row, session: Session, figures: Usage) -> int:
    """Returns which figures are below what was counted, a bit for each: some only of ended sessions."""
    high = row.high
    lowered = (
        (figures.time < high.time) * TIME_BIT
        + (figures.proxy_bytes < high.proxy_bytes) * PROXY_BYTES_BIT
        + (figures.browser_cost < high.browser_cost) * BROWSER_COST_BIT
        + (figures.proxy_cost < high.proxy_cost) * PROXY_COST_BIT
    )
    return lowered if session.ended is not None else lowered & ~FINAL_AT_END


def _revisions(row: Row, lowered: int) -> int:
    """Returns how many figures the provider has lowered since the last reading.

    At the first that shows the end, lower figures are no revision: those of the open session were not final.
    """
    new = lowered & ~row.lowered
    return (new if row.ended is not None else new & ~FINAL_AT_END).bit_count()


def _add_end(series: Series, ending: str, duration: int, tally: Tally) -> None:
    tally.added[CounterKey(series, ENDED, ending)] += 1
    tally.added[CounterKey(series, DURATION, bucket(duration))] += 1
    tally.added[CounterKey(series, DURATION_SUM)] += duration
