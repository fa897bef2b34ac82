"""Keeps rows and totals: every figure that is shown was committed here before.

One transaction for each listing: what it adds to the totals, the rows it changes and the account's progress
become durable together, or not at all. A listing that changes neither is not written: its watermark and time
are computed again from the next one.

Other processes may record the same accounts in the same database. What an account's last commit left is kept
in memory, and read again when the account's number of changes shows that another process has changed it. What
a listing adds is computed while the account is locked, or was computed from the same commit.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection

from exporter.ledger.accounting import AccountingPolicy, LedgerUpdate
from exporter.ledger.committed import Committed, RecordedListing
from exporter.ledger.database import BUSY_SECONDS, Database, database_at
from exporter.ledger.errors import LedgerError, LedgerRefusedError
from exporter.ledger.last_sessions import last_sessions
from exporter.ledger.migrations import ForeignDatabaseError, check, migrate
from exporter.ledger.queries import (
    FIND_ALL,
    AccountKey,
    AccountState,
    add_label_values,
    add_to_totals,
    find,
    load,
    load_all_rows,
    load_rejected,
    load_rows,
    lock,
    save,
    save_rejected,
    save_rows,
)
from exporter.model import Account

__all__ = ["Ledger", "LedgerError", "LedgerRefusedError", "RecordedListing"]


class Ledger:
    """A ledger at a database URL; opened at its first use, closed for good by `close`.

    `seconds` bounds how long a call waits for other threads and processes.
    """

    def __init__(self, url: str) -> None:
        self._database = database_at(url)
        self._open = False
        self._committed: dict[Account, Committed] = {}
        self._keys = _Keys(self._database)

    @property
    def is_shared(self) -> bool:
        """Whether exporters on other machines may have counted more than was read here last."""
        return self._database.is_shared

    def open(self, seconds: float = BUSY_SECONDS) -> None:
        """Create the tables or bring them to this version; once open, check that it is there still.

        Raises:
            LedgerRefusedError: for a database that must not be touched.
            LedgerError: when it cannot be opened or reached now.
        """
        if self._open:
            self._database.ping(seconds)
        else:
            self._ensure_open(seconds)

    def _ensure_open(self, seconds: float) -> None:
        if self._open:
            self._database.check()
            return
        try:
            if not (self._database.exists() and self._is_current(seconds)):
                with self._database.creating(seconds) as db:
                    check(db)
                    migrate(db)
        except ForeignDatabaseError as error:
            raise LedgerRefusedError(
                f"{self._database}: {error}; name another database with --ledger.url"
            ) from error
        self._open = True

    def _is_current(self, seconds: float) -> bool:
        """Returns whether the database is a sound ledger of this version. Writes nothing."""
        with self._database.reading(seconds) as db:
            current = check(db)
            self._database.verify(db)
        return current

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def state(self, account: Account, seconds: float = BUSY_SECONDS) -> AccountState:
        """Returns what is known of an account, also where nothing can be written.

        Raises:
            LedgerError: when the ledger cannot be read.
        """
        return self._read(account, seconds).state

    def _read(self, account: Account, seconds: float) -> Committed:
        self._ensure_open(seconds)
        keys, committed = self._keys.read(seconds), self._committed.get(account)
        if keys is not None and committed is not None and committed.key == keys.get(account):
            return committed
        with self._database.reading(seconds) as db:
            key = find(db, account)
            if committed is None or committed.key != key:
                committed = self._committed[account] = _load(db, key, committed)
        return committed

    def record(
        self,
        account: Account,
        recorded: RecordedListing,
        policy: AccountingPolicy,
        seconds: float = BUSY_SECONDS,
    ) -> AccountState:
        """Count a listing, and return what is then durable.

        Raises:
            LedgerError: when it cannot be written; nothing was counted, and the next listing will.
        """
        self._ensure_open(seconds)
        before = self._committed.get(account, Committed())
        update = None if before.rows is None else before.count(before.rows, recorded, policy)
        if update is not None and not before.is_changed_by(update, recorded.shown):
            # Another exporter may have counted, and shown, more since.
            after = (self._read(account, seconds) if self.is_shared else before).at(recorded.at)
        else:
            with self._database.writing(seconds) as db:
                after = _write(db, account, before, update, recorded, policy)
        self._committed[account] = after
        return after.state


class _Keys:
    """All accounts' keys, read once for all of them, and again when somebody has committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: tuple[list[tuple[Any, ...]], Mapping[Account, AccountKey]] = [], {}

    def read(self, seconds: float) -> Mapping[Account, AccountKey] | None:
        """Returns the keys; None where it cannot be told whether they are current.

        Raises:
            LedgerError: when the ledger cannot be read.
        """
        found, (before, keys) = self._database.watch(FIND_ALL, seconds), self._known
        if found is None:
            return None
        if found is not before:
            keys = {Account(*one[:2]): AccountKey(*one[2:]) for one in found}
            self._known = found, keys
        return keys


def _load(db: Connection, key: AccountKey | None, before: Committed | None) -> Committed:
    """Returns an account as it is in the database; what is kept in memory alone is that of before."""
    state = load(db, key)
    is_complete = state.progress is not None and state.progress.complete
    rows = load_all_rows(db, key) if key is not None and is_complete else None
    last = last_sessions((rows or {}).values(), None if before is None else before.state.last_sessions)
    state = msgspec.structs.replace(state, last_sessions=last)
    return Committed(key, state, rows, load_rejected(db, key))


def _write(  # noqa: PLR0913, PLR0917 - all that is known when one listing is written
    db: Connection,
    account: Account,
    before: Committed,
    update: LedgerUpdate | None,
    recorded: RecordedListing,
    policy: AccountingPolicy,
) -> Committed:
    """Write what a listing changes: `update`, if the account has not changed since `before`."""
    key = lock(db, account)
    if before.key != key:
        before, update = _load(db, key, before), None
    rows = before.rows
    if rows is None:
        rows = load_rows(db, key, before.state.progress, recorded.listing)
    if update is None:
        update = before.count(rows, recorded, policy)
    written = save(db, key, account, update.progress, recorded.at)
    save_rows(db, written.id, rows, update)
    save_rejected(db, written.id, update)
    add_to_totals(db, written.id, update.added)
    add_label_values(db, written.id, recorded.shown)
    after = before.after(written, rows, update, recorded)
    return _load(db, written, after) if before.rows is None and update.progress.complete else after
