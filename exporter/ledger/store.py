"""Keeps rows and totals: every figure that is shown was committed here before.

One transaction for each listing: what it changes and where the books then stand become durable
together, or not at all. Other processes may record the same accounts in the same file: what a listing
adds is found in the transaction that adds it.
"""

import msgspec

from exporter.labels import Words
from exporter.ledger.accounting import Books, Rules, post
from exporter.ledger.queries import (
    State,
    add_to_totals,
    add_words,
    find,
    load,
    load_books,
    load_rows,
    save_books,
    save_rows,
)
from exporter.ledger.schema import ForeignDatabaseError, check, damage, migrate
from exporter.ledger.sqlite import BUSY_SECONDS, CREATE, Database, LedgerError, LedgerRefusedError
from exporter.model import Account, Listing

__all__ = ["Ledger", "LedgerError", "LedgerRefusedError", "Reading"]

FREE_PAGES = 256  # 1 MiB of a file may be free
GIVEN_BACK = 2500  # beyond that, 10 MiB are given back after each pull: it takes some 30 ms


class Reading(msgspec.Struct, frozen=True):
    """A listing to be counted.

    known: what the ledger knew of the account before it was asked. shown: the words that it shows.
    at: when it was read, in seconds since 1970 by the exporter's clock.
    """

    listing: Listing
    known: State
    shown: Words
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

    def state(self, account: Account, seconds: float = BUSY_SECONDS) -> State:
        """What is known of an account; also where nothing can be written.

        Raises:
            LedgerError: when the ledger cannot be read.
        """
        self.open(seconds)
        with self._file.reading(seconds) as db:
            return load(db, find(db, account))

    def record(
        self, account: Account, reading: Reading, rules: Rules, seconds: float = BUSY_SECONDS
    ) -> State:
        """Count a listing, and return what is then durable.

        Raises:
            LedgerError: when it cannot be written; nothing was counted, and the next listing will.
        """
        self.open(seconds)
        listing = reading.listing
        with self._file.writing(seconds) as db:
            key = find(db, account)
            books = load_books(db, key)
            rows = load_rows(db, key, books, listing)
            posting = post(books, rows, listing, rules, overtaken=_overtaken(reading.known, books))
            key = save_books(db, key, account, posting.books, reading.at)
            save_rows(db, key, rows, posting)
            add_to_totals(db, key, posting.added)
            add_words(db, key, reading.shown)
            state = load(db, key)
            freed = db.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        if freed > FREE_PAGES:  # what a first import needed is given back by and by
            self._file.outside(f"PRAGMA incremental_vacuum({GIVEN_BACK})")
        return state


def _overtaken(known: State, books: Books | None) -> bool:
    """Whether another listing was counted since this was known."""
    return books is not None and (known.books is None or known.books.listings != books.listings)
