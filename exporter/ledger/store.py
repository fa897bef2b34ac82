"""Keeps rows and totals: every figure that is shown was committed here before.

One transaction for each listing: what it changes and where the progress then stand become durable
together, or not at all. Other processes may record the same accounts in the same file: what a listing
adds is found in the transaction that adds it.
"""

import msgspec

from exporter.labels import SeenLabelValues
from exporter.ledger.accounting import AccountingPolicy, AccountProgress, apply_listing
from exporter.ledger.queries import (
    AccountState,
    add_to_totals,
    add_words,
    find,
    load,
    load_progress,
    load_rows,
    save_progress,
    save_rows,
)
from exporter.ledger.schema import ForeignDatabaseError, check, damage, migrate
from exporter.ledger.sqlite import BUSY_SECONDS, CREATE, Database, LedgerError, LedgerRefusedError
from exporter.model import Account, Listing

__all__ = ["Ledger", "LedgerError", "LedgerRefusedError", "RecordedListing"]

MAX_FREE_PAGES = 256  # 1 MiB of a file may be free
VACUUM_PAGES = 2500  # beyond that, 10 MiB are given back after each scrape: it takes some 30 ms


class RecordedListing(msgspec.Struct, frozen=True):
    """A listing to be counted.

    known: what the ledger knew of the account before it was asked. shown: the words that it shows.
    at: when it was read, in seconds since 1970 by the exporter's clock.
    """

    listing: Listing
    known: AccountState
    shown: SeenLabelValues
    at: float


class Ledger:
    """A ledger at a database URL; opened at its first use, closed for good by `close`.

    `seconds` bound a call's waiting for others, be they threads or processes.
    """

    def __init__(self, url: str) -> None:
        self._file = Database(url)
        self._open = False

    def open(self, seconds: float = BUSY_SECONDS) -> None:
        """Create the tables or bring them to this version; once open, check that it is still the same file.

        Raises:
            LedgerRefusedError: for a database that must not be touched.
            LedgerError: when it cannot be opened now.
        """
        if self._open:
            self._file.check()
            return
        try:
            if not (self._file.exists() and self._current(seconds)):
                with self._file.writing(seconds, CREATE) as db:
                    check(db)
                    migrate(db)
        except ForeignDatabaseError as error:
            raise LedgerRefusedError(f"{self._file}: {error}; name another file with --ledger.url") from error
        self._open = True

    def _current(self, seconds: float) -> bool:
        """Whether the file is sound, ours and of this version; nothing is written to find out."""
        with self._file.reading(seconds) as db:
            current, found = check(db), damage(db)
        if found is not None:
            raise self._file.damaged(found)
        return current

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def state(self, account: Account, seconds: float = BUSY_SECONDS) -> AccountState:
        """What is known of an account; also where nothing can be written.

        Raises:
            LedgerError: when the ledger cannot be read.
        """
        self.open(seconds)
        with self._file.reading(seconds) as db:
            return load(db, find(db, account))

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
        self.open(seconds)
        listing = recorded.listing
        with self._file.writing(seconds) as db:
            key = find(db, account)
            progress = load_progress(db, key)
            rows = load_rows(db, key, progress, listing)
            ledger_update = apply_listing(
                progress, rows, listing, policy, is_stale=_is_stale(recorded.known, progress)
            )
            key = save_progress(db, key, account, ledger_update.progress, recorded.at)
            save_rows(db, key, rows, ledger_update)
            add_to_totals(db, key, ledger_update.added)
            add_words(db, key, recorded.shown)
            state = load(db, key)
            freed = db.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        if freed > MAX_FREE_PAGES:  # what a first import needed is given back by and by
            self._file.run_pragma(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        return state


def _is_stale(known: AccountState, progress: AccountProgress | None) -> bool:
    """Whether another listing was counted since this was known."""
    return progress is not None and (known.progress is None or known.progress.listings != progress.listings)
