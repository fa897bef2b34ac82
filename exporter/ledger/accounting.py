"""Turns a listing into what to add to the totals, so that they are exact whatever the list does.

Pure: the rows known of an account and a `Listing` go in, changed rows and additions come out. A total is the
sum, over all sessions ever seen, of the highest figure seen of each.

Rows of sessions that have settled are deleted once they lie before the watermark. A session that counted
must never count again, so these hold at every commit:

- A session that was counted has a row, unless it was created before the watermark and had settled by
  `latest`: it was read `settle_after` or later after its end. (Rows of sessions that left the list before
  that, or whose rows became unusable, are kept for a month longer.)
- So a session without a row has not been counted if it was created at or after the watermark, if it is
  open, or if its end, as the provider gives it, lies less than `settle_after` before `latest` and the time of
  the listing. Where the provider gives no end, this cannot be decided, and it does not count.
- The watermark and `latest` never fall, also when a clock does. The watermark is at least `settle_after`
  older than the listing that moved it, and at most the newest session's creation.
- Of a row that is rejected, the watermark and `latest` at its first rejection are remembered. If it becomes
  sound and has no row, the same is decided by these: since then no process can have counted it.

An ended session that a stale answer shows open after its row was deleted cannot be distinguished from an
open one that is listed for the first time, and counts as such.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from exporter.ledger.rows import (
    AccountingPolicy,
    Row,
    Tally,
    billable,
    bucket,
    highest,
    mark_missing,
    read_row,
    read_stale_row,
)
from exporter.metrics.counters import STARTED, CounterKey
from exporter.model import SECOND, Listing, Session, Usage

__all__ = [
    "AccountProgress",
    "AccountingPolicy",
    "LedgerUpdate",
    "Rejection",
    "Row",
    "apply_listing",
    "bucket",
]

MAX_REMEMBERED = 10_000  # rejected rows of an account, and rows kept for a figure that they lack


class AccountProgress(msgspec.Struct, frozen=True):
    """How far an account's list has been counted.

    began: the time of the first listing. complete: whether the whole history has been read.
    watermark: everything created before it has settled, except sessions with a row (None: nothing has).
    newest: the latest creation seen (None: no session was).
    listings: how many listings were counted, except stale ones.
    latest: the latest time of a listing (None: of a ledger that did not keep it).
    position: where the reading of the history goes on (None: at its beginning, or it is complete).
    """

    began: int
    complete: bool = False
    watermark: int | None = None
    newest: int | None = None
    listings: int = 0
    latest: int | None = None
    position: str | None = None


class Rejection(msgspec.Struct, frozen=True):
    """When a row without a counted session was first rejected: the latest time, and the watermark then."""

    at: int
    watermark: int | None


class LedgerUpdate(msgspec.Struct, frozen=True):
    """What one listing changes.

    changed: rows that are new or different. added: what the totals rise by.
    rejected: ids of rejected rows to remember. forgotten: those that need not be remembered any more.
    """

    progress: AccountProgress
    changed: tuple[Row, ...]
    added: Mapping[CounterKey, int]
    rejected: Mapping[str, Rejection] = {}
    forgotten: frozenset[str] = frozenset()


def apply_listing(  # noqa: PLR0913 - all that is known when one listing is counted
    progress: AccountProgress | None,
    rows: Mapping[str, Row],
    listing: Listing,
    policy: AccountingPolicy,
    *,
    rejected: Mapping[str, Rejection] | None = None,
    is_stale: bool = False,
) -> LedgerUpdate:
    """Returns what a listing changes.

    Args:
        progress: of the account; None before its first listing.
        rows: at least those of all ids in the listing.
        listing: what was read.
        policy: how to count it.
        rejected: the rejected rows that are remembered.
        is_stale: whether another listing was counted since this one was requested. That one may be
            newer, so this one does not decide what has left the list, was lowered, or has settled.
    """
    progress = progress or AccountProgress(began=listing.time)
    remembered = rejected or {}
    now = Rejection(max(listing.time, progress.latest or listing.time), progress.watermark)
    closed = sum(row.settled and row.missing is not None for row in rows.values())
    tally = Tally(listing.time, policy, Counter(), keeps_incomplete=closed < MAX_REMEMBERED)
    changed: dict[str, Row] = {}
    read, sessions = read_stale_row if is_stale else read_row, _merged(listing.sessions)
    for name, session in sessions.items():
        row = rows.get(name)
        if row is None:
            first = remembered.get(name, now)
            row = _new_row(progress, session, first, tally, is_stale=is_stale)
        if row is not None:
            changed[name] = read(row, session, tally)
    for name in () if is_stale else {*listing.missing, *listing.rejected_ids} & rows.keys() - sessions.keys():
        changed[name] = mark_missing(rows[name], tally)
    new, forgotten = _remember(remembered, listing.rejected_ids, rows.keys() | sessions.keys(), now)
    fresh = tuple(row for row in changed.values() if row != rows.get(row.id))
    progress = _advance(progress, listing, policy, now.at, progress.listings + (not is_stale))
    return LedgerUpdate(progress, fresh, {key: n for key, n in tally.added.items() if n}, new, forgotten)


def _merged(sessions: Iterable[Session]) -> dict[str, Session]:
    """Returns one reading of each session, by id; see `_merge`."""
    merged: dict[str, Session] = {}
    for session in sessions:
        twin = merged.get(session.id)
        merged[session.id] = session if twin is None else merge(twin, session)
    return merged


def merge(one: Session, other: Session) -> Session:
    """Returns the reading with an end, best one that the provider gives; of equals, the highest figures."""
    ranks = [(session.ended is not None, session.end_is_known) for session in (one, other)]
    if ranks[0] != ranks[1]:
        return one if ranks[0] > ranks[1] else other
    return msgspec.structs.replace(other, usage=highest(one.usage, other.usage))


def _new_row(
    progress: AccountProgress, session: Session, first: Rejection, tally: Tally, *, is_stale: bool
) -> Row | None:
    """Returns the row of a session not known yet; None if it was counted before, or is not to be counted."""
    policy = tally.policy
    if _may_have_settled(session, first, policy, is_stale=is_stale):
        return None
    row = Row(session.id, session.series, session.created)
    if not policy.skip or session.created >= progress.began:
        tally.added[CounterKey(row.series, STARTED)] += 1
        return row
    # The provider's clock has whole seconds: this one had ended in the second in which the ledger began.
    if is_stale or (session.ended is not None and session.ended < progress.began + SECOND):
        return None
    usage, has_started = highest(session.usage, Usage()), session.start_latency is not None
    billed = billable(session, usage.time, policy)
    return msgspec.structs.replace(row, high=usage, billed=billed, start_counted=has_started)


def _may_have_settled(
    session: Session, first: Rejection, policy: AccountingPolicy, *, is_stale: bool
) -> bool:
    """Returns whether a session without a row may have been counted before its row was deleted."""
    if first.watermark is None or session.created >= first.watermark:
        return False
    if session.ended is None:
        return is_stale  # it may have ended since
    return not session.end_is_known or first.at >= session.ended + policy.settle_after


def _remember(
    remembered: Mapping[str, Rejection], rejected: Iterable[str], known: Iterable[str], now: Rejection
) -> tuple[dict[str, Rejection], frozenset[str]]:
    """Returns the rejected rows that are new, and the ids to forget: beyond the bound, the oldest.

    Those that are still listed are forgotten last: else each listing would forget what the one before added.
    """
    listed, known = frozenset(rejected), frozenset(known)
    new = dict.fromkeys(listed - known - remembered.keys(), now)
    sound = remembered.keys() & known
    left = (remembered.keys() - sound) | new.keys()
    if len(left) <= MAX_REMEMBERED:
        return new, frozenset(sound)
    when = {**remembered, **new}
    oldest = sorted(left, key=lambda name: (name in listed, when[name].at, name))
    evicted = frozenset(oldest[: len(left) - MAX_REMEMBERED])
    kept = {name: first for name, first in new.items() if name not in evicted}
    return kept, frozenset(sound) | (evicted - new.keys())


def _advance(
    progress: AccountProgress, listing: Listing, policy: AccountingPolicy, latest: int, listings: int
) -> AccountProgress:
    """Returns the progress with its watermark moved: only after a complete listing, and never backwards.

    It does not pass the newest session seen: were it to follow a provider's clock that has run ahead, every
    session begun until that time would pass for settled, and not be counted.
    """
    created = [session.created for session in listing.sessions]
    newest = max(created if progress.newest is None else [*created, progress.newest], default=None)
    marks = [] if progress.watermark is None else [progress.watermark]
    if listing.covers is not None:
        marks += [] if newest is None else [min(listing.covers - policy.settle_after, newest) + 1]
        marks += [progress.began - policy.settle_after] if policy.skip else []
    complete = progress.complete or listing.covers is not None
    return AccountProgress(
        progress.began,
        complete=complete,
        watermark=max(marks, default=None),
        newest=newest,
        listings=listings,
        latest=latest,
        position=None if complete else listing.position,
    )
