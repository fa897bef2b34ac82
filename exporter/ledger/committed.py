"""An account as its last commit left it, kept in memory, so that a scrape does not read it anew. Pure."""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from exporter.labels import SeenLabelValues
from exporter.ledger.accounting import (
    AccountingPolicy,
    AccountProgress,
    LedgerUpdate,
    Rejection,
    Row,
    apply_listing,
)
from exporter.ledger.last_sessions import last_sessions
from exporter.ledger.queries import MOST, AccountKey, AccountState, deletes_before, is_deletable
from exporter.model import Listing


class RecordedListing(msgspec.Struct, frozen=True):
    """A listing to be counted.

    known: the account's state before the request to the provider. shown: the label values that it shows.
    at: when it was read, in seconds since 1970 by the exporter's clock.
    """

    listing: Listing
    known: AccountState
    shown: SeenLabelValues
    at: float


class Committed(msgspec.Struct, frozen=True):
    """What an account's last commit left.

    key: its key and version; None before its first listing.
    rows: all that are kept; None during a first import, whose history may be larger than memory.
    rejected: the rejected rows that are remembered.
    """

    key: AccountKey | None = None
    state: AccountState = AccountState()
    rows: dict[str, Row] | None = None
    rejected: dict[str, Rejection] = {}

    def count(
        self, rows: dict[str, Row], recorded: RecordedListing, policy: AccountingPolicy
    ) -> LedgerUpdate:
        """Returns what a listing changes; `rows` are those that it may change."""
        progress = self.state.progress
        return apply_listing(
            progress,
            rows,
            recorded.listing,
            policy,
            rejected=self.rejected,
            is_stale=_is_stale(recorded.known.progress, progress),
        )

    def is_changed_by(self, update: LedgerUpdate, shown: SeenLabelValues) -> bool:
        """Returns whether there is something to write: a row, a total, a label value, or a row to delete."""
        progress, bound = self.state.progress, deletes_before(update.progress)
        return bool(
            update.changed
            or update.added
            or update.rejected
            or update.forgotten
            or progress is None
            or progress.complete != update.progress.complete
            or _union(self.state.words, shown) != self.state.words
            or any(is_deletable(row, bound) for row in (self.rows or {}).values())
        )

    def at(self, last_success: float) -> "Committed":
        """Returns the same after a listing that changed nothing."""
        return msgspec.structs.replace(
            self, state=msgspec.structs.replace(self.state, last_success=last_success)
        )

    def after(
        self, key: AccountKey, known: Collection[str], update: LedgerUpdate, recorded: RecordedListing
    ) -> "Committed":
        """Returns what an update leaves once it is committed; `known` are the rows that there were before.

        Not for the update that ends a first import, of which not all rows are known.
        """
        rows = None if self.rows is None else _kept(self.rows, update)
        departed = _departed(self.state.departed, update.changed)
        rejected = {**self.rejected, **update.rejected}
        for name in update.forgotten:
            del rejected[name]
        totals = dict(self.state.totals)
        for counter, rise in update.added.items():
            totals[counter] = min(totals.get(counter, 0) + rise, MOST)
        state = AccountState(
            progress=update.progress,
            totals=totals,
            unsettled=_unsettled(self.state.unsettled, update.changed),
            departed=departed if rows is None else departed & rows.keys(),
            rejected=frozenset(rejected),
            words=_union(self.state.words, recorded.shown),
            rows=self.state.rows + _new(known, update) if rows is None else len(rows),
            last_success=recorded.at,
            last_sessions=last_sessions(update.changed, self.state.last_sessions),
        )
        return Committed(key, state, rows, rejected)


def _kept(rows: Mapping[str, Row], update: LedgerUpdate) -> dict[str, Row]:
    bound = deletes_before(update.progress)
    rows = {**rows, **{row.id: row for row in update.changed}}
    return {name: row for name, row in rows.items() if not is_deletable(row, bound)}


def _unsettled(before: Mapping[str, int], changed: Iterable[Row]) -> dict[str, int]:
    unsettled = dict(before)
    for row in changed:
        if row.settled:
            unsettled.pop(row.id, None)
        else:
            unsettled[row.id] = row.created
    return unsettled


def _departed(before: frozenset[str], changed: Collection[Row]) -> frozenset[str]:
    left = {row.id for row in changed if row.settled and row.missing is not None}
    return (before - {row.id for row in changed}) | left


def _new(known: Collection[str], update: LedgerUpdate) -> int:
    return sum(row.id not in known for row in update.changed)


def _union(one: SeenLabelValues, other: SeenLabelValues) -> SeenLabelValues:
    fields = zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
    return SeenLabelValues(*(values | others for values, others in fields))


def _is_stale(known: AccountProgress | None, progress: AccountProgress | None) -> bool:
    """Returns whether another listing was counted since the known one."""
    return progress is not None and (known is None or known.listings != progress.listings)
