"""An account as its last commit left it, kept in memory, so that a scrape does not read it anew. Pure."""

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

    def after(self, key: AccountKey, update: LedgerUpdate, recorded: RecordedListing) -> "Committed":
        """Returns what a committed update leaves; only for an account whose rows are all known."""
        bound = deletes_before(update.progress)
        rows = {**(self.rows or {}), **{row.id: row for row in update.changed}}
        rows = {name: row for name, row in rows.items() if not is_deletable(row, bound)}
        rejected = {**self.rejected, **update.rejected}
        for name in update.forgotten:
            del rejected[name]
        totals = dict(self.state.totals)
        for counter, rise in update.added.items():
            totals[counter] = min(totals.get(counter, 0) + rise, MOST)
        state = AccountState(
            progress=update.progress,
            totals=totals,
            unsettled={name: row.created for name, row in rows.items() if not row.settled},
            departed=frozenset(name for name, row in rows.items() if row.settled and row.missing is not None),
            rejected=frozenset(rejected),
            words=_union(self.state.words, recorded.shown),
            rows=len(rows),
            last_success=recorded.at,
        )
        return Committed(key, state, rows, rejected)


def _union(one: SeenLabelValues, other: SeenLabelValues) -> SeenLabelValues:
    return SeenLabelValues(
        one.statuses | other.statuses, one.regions | other.regions, one.projects | other.projects
    )


def _is_stale(known: AccountProgress | None, progress: AccountProgress | None) -> bool:
    """Returns whether another listing was counted since the known one."""
    return progress is not None and (known is None or known.listings != progress.listings)
