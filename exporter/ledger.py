"""Keeps rows and totals: every figure that is shown was committed here before.

One transaction for each listing: what it changes and where the books then stand become durable
together, or not at all. SQLite runs with a write-ahead log and a sync at every commit, and every
transaction takes the write lock before it reads, so that two exporters on one file add one after the
other.

    LedgerError             the ledger cannot be used now: the disk is full, the file is locked ...
    +-- LedgerRefusedError  it never can be: no ledger, or a later version's; it is left as it is
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Lock
from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from exporter.accounting import Rules, post
from exporter.schema import ForeignDatabaseError, check, migrate
from exporter.session import Account, Listing
from exporter.state import (
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
from exporter.words import Words

BUSY_SECONDS = 2  # how long to wait for another process's write lock: well below a pull's deadline
FREE_PAGES = 256  # 1 MiB of a file may be free
GIVEN_BACK = 2500  # beyond that, 10 MiB are given back after each pull: it takes some 30 ms

DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
ADVICE = {
    **dict.fromkeys(DAMAGED, "put back a copy, or move it away: counters then start anew from the list"),
    "SQLITE_CANTOPEN": "its folder must exist and be writable for this user",
    "SQLITE_READONLY": "the file and its folder must be writable for this user",
    "SQLITE_BUSY": "another process is writing to it; this one tries again at the next pull",
    "SQLITE_FULL": "make room on its disk",
}


class LedgerError(Exception):
    """The ledger cannot be read or written now; nothing of the transaction has happened."""


class LedgerRefusedError(LedgerError):
    """The database is not a ledger, is damaged, or is a later version's; it was not touched."""


class Ledger:
    """A ledger at a database URL; opened at its first use, closed for good by `close`."""

    def __init__(self, url: str) -> None:
        self._where = make_url(url).database or url
        self._engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "isolation_level": None})
        event.listen(self._engine, "connect", _prepare_connection)
        event.listen(self._engine, "begin", _begin)
        # SQLite's own wait is unfair and ends; our threads queue here, and it is for other processes only.
        self._turn = Lock()
        self._open = False

    def open(self) -> None:
        """Create the tables or bring them to this version; does nothing the second time.

        Raises:
            LedgerRefusedError: for a database that must not be touched.
            LedgerError: when it cannot be opened now.
        """
        if not self._open:
            with self._transaction() as db:
                check(db)
                migrate(db)
            self._outside("PRAGMA journal_mode = WAL")
            self._open = True

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()

    def state(self, account: Account) -> State:
        """What is known of an account.

        Raises:
            LedgerError: when the ledger cannot be read.
        """
        self.open()
        with self._transaction() as db:
            return load(db, find(db, account))

    def record(self, account: Account, listing: Listing, shown: Words, rules: Rules, at: float) -> State:
        """Count a listing, read at time `at`, and return what is then durable.

        Raises:
            LedgerError: when it cannot be written; nothing was counted, and the next listing will.
        """
        self.open()
        with self._transaction() as db:
            key = find(db, account)
            books = load_books(db, key)
            rows = load_rows(db, key, books, listing)
            posting = post(books, rows, listing, rules)
            key = save_books(db, key, account, posting.books, at)
            save_rows(db, key, rows, posting)
            add_to_totals(db, key, posting.added)
            add_words(db, key, shown)
            state = load(db, key)
            freed = db.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        if freed > FREE_PAGES:
            # What a first import needed is given back by and by. All is committed: if it fails now, for
            # another process has the lock, the next pull tries again.
            with suppress(LedgerError):
                self._outside(f"PRAGMA incremental_vacuum({GIVEN_BACK})")
        return state

    def _outside(self, pragma: str) -> None:
        """Run what SQLite does outside of a transaction only, and to its end: execute() does one step."""
        with self._explained(), closing(self._engine.raw_connection()) as connection:
            connection.cursor().executescript(pragma)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._turn, self._explained(), self._engine.begin() as db:
            yield db

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Map the database's errors, once; each says which file it is and what can be done."""
        try:
            yield
        except ForeignDatabaseError as error:
            advice = "name another file with --ledger.url"
            raise LedgerRefusedError(f"{self._where}: {error}; {advice}") from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            cause = getattr(error, "orig", error)
            name = getattr(cause, "sqlite_errorname", "")
            kind = LedgerRefusedError if name.startswith(DAMAGED) else LedgerError
            raise kind(f"{self._where}: {cause}; {_advice(name)}") from error


def _advice(name: str) -> str:
    """What to do about an error of SQLite's, by its name."""
    found = (advice for start, advice in ADVICE.items() if name.startswith(start))
    return next(found, "counters stay as they are until it can be written again")


def _prepare_connection(connection: Any, _record: Any) -> None:
    # Synchronous FULL makes a commit durable even when the power fails; the log of a large import is cut
    # back to 4 MiB. auto_vacuum can be chosen for a new file only, and would write to any other.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {1 << 22}")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")


def _begin(db: Connection) -> None:
    # The driver's own BEGIN would take the write lock only at the first write, after the reading.
    db.exec_driver_sql("BEGIN IMMEDIATE")
