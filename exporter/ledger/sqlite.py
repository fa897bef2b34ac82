"""One SQLite file: transactions bounded in time, and errors that say what to do.

Reading never writes to the file, does not wait for a writer, and works on a read-only medium. Writing
takes the write lock before it reads, so that two processes on one file add one after the other. SQLite
runs with a write-ahead log (WAL), and a sync at every commit. A WAL needs memory that processes share by
way of a file; on a file system without, a rollback journal takes its place, and readers wait for commits.
"""

import errno
import mmap
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from exporter.ledger.errors import LedgerError, LedgerRefusedError
from exporter.ledger.watch import Rows, Watch, connect, error_name

LOCK_SECONDS = 2  # how long to wait for another process's lock; other threads queue meanwhile
MAX_FREE_PAGES = 256  # 1 MiB of a file may be free
VACUUM_PAGES = 2500  # beyond that, 10 MiB are given back after each write: it takes some 30 ms
MIN_DATABASE_BYTES = 512  # SQLite itself takes a file of one byte for an empty one

# Reading takes its snapshot at once, so that errors are raised before the caller uses the transaction.
READ = ("BEGIN", "SELECT count(*) FROM sqlite_master")
# Synchronous FULL makes a commit durable even when the power fails; the log of a large import is cut
# back to 4 MiB.
WRITE = (
    "PRAGMA synchronous = FULL",
    f"PRAGMA journal_size_limit = {1 << 22}",
    "PRAGMA journal_mode = WAL",
    "BEGIN IMMEDIATE",
)
WRITE_WITHOUT_WAL = tuple(statement for statement in WRITE if "WAL" not in statement)
# A file that has a WAL from elsewhere: while nobody else uses it, SQLite needs no shared memory.
LEAVE_WAL = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; PRAGMA locking_mode = NORMAL"
# auto_vacuum can be chosen for a new file only; WAL follows when the file is known to be a ledger.
CREATE = ("PRAGMA auto_vacuum = INCREMENTAL", "BEGIN IMMEDIATE")

NOT_MAPPABLE = (errno.ENODEV, errno.EINVAL, errno.ENOTSUP)
DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
UNWRITABLE = ("SQLITE_READONLY", "SQLITE_CANTOPEN")
WAL_UNAVAILABLE = (*UNWRITABLE, "SQLITE_IOERR_SHM")
RESTORE = "stop the exporter and put back a copy, or move it away: counters then start anew from the list"
OTHER_FILE = f"name another file with --ledger.url; or {RESTORE}"  # for a file that was never in use
ADVICE = {
    "SQLITE_CANTOPEN": "its folder must exist, and folder and file be writable for this user",
    "SQLITE_READONLY": "the file and its folder must be writable for this user",
    "SQLITE_BUSY": "another process is writing to it; this one tries again at the next scrape",
    "SQLITE_FULL": "free space on its disk",
    "SQLITE_IOERR_SHM": "its file system has no shared memory maps; name a file on a local disk",
    "SQLITE_IOERR": "its disk fails, or is full",
}


class SqliteDatabase:
    """A file that all threads of the process share; `seconds` bounds how long a call waits for others."""

    is_shared = False  # exporters on one machine may use one file, which all of them can read

    def __init__(self, url: str, shares_memory: Callable[[Path], bool] | None = None) -> None:
        self._path = make_url(url).database or url
        self._shares_memory = shares_memory or can_share_memory
        self._write: tuple[str, ...] = WRITE
        options = {"timeout": 0, "isolation_level": None}
        self._writer = create_engine(url, max_overflow=-1, connect_args=options)
        self._reader, self._frozen = (
            create_engine("sqlite://", creator=partial(connect, self._path, mode), poolclass=NullPool)
            for mode in ("mode=ro", "mode=ro&immutable=1")
        )
        for engine in (self._writer, self._reader, self._frozen):
            event.listen(engine, "begin", _begin)
        # SQLite's own busy wait is unfair, so that threads queue here; it serves for other processes only.
        self._write_lock = Lock()
        self._watch = Watch(self._path)
        self._paths = {end: self._path + end for end in ("", "-wal", "-shm")}
        self._files: dict[str, tuple[int, int]] = {}
        self._damage: str | None = None

    def __str__(self) -> str:
        return self._path

    def close(self) -> None:
        """Close all connections."""
        self._dispose()

    def exists(self) -> bool:
        """Returns whether there is something to read.

        Raises:
            LedgerRefusedError: if the path cannot be a database.
        """
        with self._translate_errors():
            path = Path(self._path)
            if path.is_dir():
                raise LedgerRefusedError(f"{path}: is a folder; name a file with --ledger.url")
            size = path.stat().st_size if path.exists() else 0
            if 0 < size < MIN_DATABASE_BYTES:
                raise self.damaged("file is not a database")
            return size > 0

    def watch(self, query: str, seconds: float) -> Rows | None:
        """Returns what a query finds; the same object as before where nobody has committed since.

        None where that cannot be told: before this process has written, and when the file has changed.

        Raises:
            LedgerError: if the file cannot be read.
        """
        with self._translate_errors():
            return self._watch.rows(query, seconds) if self._files else None

    @contextmanager
    def reading(self, seconds: float) -> Iterator[Connection]:
        """Yields a transaction that reads one snapshot of the file.

        Raises:
            LedgerError: if the file cannot be read.
        """
        with self._translate_errors(), ExitStack() as stack:
            try:
                db = stack.enter_context(_transaction(self._reader, READ, seconds))
            except (SQLAlchemyError, sqlite3.Error) as error:
                if not error_name(error).startswith(WAL_UNAVAILABLE) or _size(f"{self._path}-wal"):
                    raise
                # A process killed before the file had a WAL left a journal, which only a writer can roll
                # back. Else this is a read-only medium without a WAL: open immutable.
                interrupted = _size(f"{self._path}-journal")
                engine = self._writer if interrupted else self._frozen
                db = stack.enter_context(_transaction(engine, READ, seconds))
            yield db

    @contextmanager
    def writing(self, seconds: float) -> Iterator[Connection]:
        """Yields a transaction that is durable when the block ends; an error rolls it back.

        Raises:
            LedgerError: if the file cannot be written.
        """
        with self._locked(seconds, None) as db:
            yield db
            free = db.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        if free > MAX_FREE_PAGES:  # what a first import needed is given back step by step
            self.run_pragma(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")

    def creating(self, seconds: float) -> AbstractContextManager[Connection]:
        """Yields a transaction in which tables may be made in a new file."""
        return self._locked(seconds, CREATE)

    @contextmanager
    def _locked(self, seconds: float, begin: tuple[str, ...] | None) -> Iterator[Connection]:
        ends = time.monotonic() + seconds
        if not self._write_lock.acquire(timeout=max(0.0, seconds)):
            raise LedgerError(f"{self._path}: busy with other accounts until now; the next scrape counts")
        try:
            if not self._files and not self._shares_memory(Path(self._path).parent):
                self._write = WRITE_WITHOUT_WAL
                self.run_pragma(LEAVE_WAL)
            left = ends - time.monotonic()
            with self._translate_errors(), _transaction(self._writer, begin or self._write, left) as db:
                yield db
            self._record_file_identity()
        finally:
            self._write_lock.release()

    def run_pragma(self, pragma: str) -> None:
        """Run a pragma outside of a transaction; skipped while another process writes."""
        with (
            suppress(LedgerError),
            self._translate_errors(),
            closing(self._writer.raw_connection()) as connection,
        ):
            # execute() would do a single step of an incremental vacuum.
            connection.cursor().executescript(f"PRAGMA busy_timeout = 0; {pragma}")

    def check(self) -> None:
        """Refuse a file that is known to be damaged, or is not the one that was opened.

        What is written to a deleted file, or to a deleted WAL, would be lost.

        Raises:
            LedgerError: says what happened.
        """
        if self._damage is not None:
            raise LedgerRefusedError(self._damage)
        gone = [end for end, known in [*self._files.items()] if _identity(self._paths[end]) != known]
        if "" in gone:
            raise LedgerError(f"{self._path}: deleted or replaced while in use; put it back, or restart")
        if gone:
            self._dispose()  # closing the last connection checkpoints the WAL into the file
            raise LedgerError(f"{self._path}{gone[0]}: deleted while in use; the next scrape makes a new one")

    def ping(self, seconds: float) -> None:  # noqa: ARG002 - a file answers at once
        """Refuse what `check` refuses."""
        self.check()

    def verify(self, db: Connection) -> None:
        """Refuse a file with damaged pages. Reads them all: a second for some 500 MB.

        Raises:
            LedgerRefusedError: if there are any.
        """
        found = str(db.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
        if found != "ok":
            raise self.damaged(found.splitlines()[-1])

    def damaged(self, what: str) -> LedgerRefusedError:
        """Remember that the file is damaged, so that it is never written again; returns the error."""
        self._damage = f"{self._path}: {what}; {RESTORE if self._files else OTHER_FILE}"
        return LedgerRefusedError(self._damage)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Map the database's errors to a LedgerError that names the file and what can be done."""
        self.check()
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            name, cause = error_name(error), getattr(error, "orig", error)
            if name.startswith(DAMAGED):
                raise self.damaged(str(cause)) from error
            if name.startswith(UNWRITABLE):
                self._dispose()  # an open connection would not notice that the file is writable again
            raise LedgerError(f"{self._path}: {cause}; {_advice(name)}") from error
        self.check()

    def _record_file_identity(self) -> None:
        """Remember the identity of the files in use: a pooled connection keeps the WAL and its index open."""
        for end, path in self._paths.items():
            found = _identity(path)
            if found is not None:
                self._files.setdefault(end, found)

    def _dispose(self) -> None:
        self._watch.close()  # before the last connection that can write, which takes the WAL along
        self._writer.dispose()
        self._files = {end: known for end, known in self._files.items() if not end}


def can_share_memory(folder: Path) -> bool:
    """Returns whether files of a folder can be mapped to shared memory; True where that cannot be tried."""
    try:
        with TemporaryFile(dir=folder) as file:
            file.truncate(mmap.PAGESIZE)
            mmap.mmap(file.fileno(), mmap.PAGESIZE).close()
    except OSError as error:
        return error.errno not in NOT_MAPPABLE
    return True


@contextmanager
def _transaction(engine: Engine, begin: tuple[str, ...], seconds: float) -> Iterator[Connection]:
    wait = max(0, round(1000 * min(seconds, LOCK_SECONDS)))
    with engine.connect() as db:
        db.execution_options(begin=(f"PRAGMA busy_timeout = {wait}", *begin))
        with db.begin():
            yield db


def _begin(db: Connection) -> None:
    # The driver's own BEGIN would take the write lock only at the first write, after the reads.
    connection: Any = db.connection.driver_connection
    for statement in db.get_execution_options()["begin"]:
        connection.execute(statement).close()  # SQLAlchemy would take ten times as long


def _advice(name: str) -> str:
    found = (advice for start, advice in ADVICE.items() if name.startswith(start))
    return next(found, "counters stay as they are until it can be written again")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - asked for nine times a scrape
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0
