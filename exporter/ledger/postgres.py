"""One PostgreSQL database: transactions bounded in time, and errors that say what to do.

Exporters on several machines may share it. A transaction that writes locks its account's row (see
`queries.lock`), so that they add one after the other; one that makes tables has an advisory lock. The server
bounds each statement and each wait for a lock (`statement_timeout`, `lock_timeout`); where it does not answer
at all, the client closes the connection.

Passwords come from the URL, PGPASSWORD or PGPASSFILE, and are in no text of this module.
"""

import math
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from threading import BoundedSemaphore
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from exporter.ledger.errors import LedgerError, LedgerRefusedError

CONNECTIONS = 10  # of one exporter at most; accounts beyond wait for one
CONNECT_SECONDS = 2  # the least that libpq takes
CONNECT_PAUSE = 5.0  # seconds without a further attempt, after one that was not answered at all
CREATE_SECONDS = 30.0  # for migrations
GRACE = 0.25  # seconds in which the server's own timeouts come before the client's
IDLE_MS = 5000  # an exporter that is frozen within a transaction loses its locks
CREATE_LOCK = 0x636C6F7564  # any number that other programs do not use; one for all ledgers of a database

LIMITS = text(
    "SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true),"
    " set_config('idle_in_transaction_session_timeout', :idle, true)"
)
# A commit is durable before it is shown, also where a role or database has this off.
DURABLE = text(
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)
LOCK_CREATION = text("SELECT pg_advisory_xact_lock(:key)")
CHECK_URL = "percent-encode special characters of its user, password and database"
ADVICE = {  # by the beginning of the SQLSTATE; connections that fail have none
    "25006": "the server is read-only; name the primary, or hosts with target_session_attrs=read-write",
    "3D000": "create the database",
    "42501": "its user must be allowed to create tables in the schema, and own those that there are",
    "42P01": "its tables are gone; put back a copy and restart the exporter",
    "53": "the server lacks connections, memory or disk space",
    "55P03": "another exporter counts this account; this one tries again at the next scrape",
    "57014": "it took longer than the scrape has; the next scrape tries again",
}
UNREACHABLE = (
    "check that the server can be reached, and user and password (PGPASSFILE, PGPASSWORD or the URL)"
)

_ends: ContextVar[float] = ContextVar("ends", default=math.inf)


class _BoundedConnection(psycopg.Connection[TupleRow]):
    """Waits for the server until the deadline of the transaction in this thread."""

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:
        """Complete what the generator does; closes the connection at the deadline."""
        return super().wait(self._until(_ends.get(), gen), *args, **kwargs)

    def _until(self, ends: float, gen: PQGen[RV]) -> PQGen[RV]:
        """Yields what the generator waits for, and sends it what is ready: now and then, nothing."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= ends:
                    self.pgconn.finish()  # it may be in the midst of an answer
                    raise psycopg.OperationalError("the server did not answer in time")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result


class PostgresDatabase:
    """A database that all threads of the process share; `seconds` bounds how long a call takes."""

    is_shared = True

    def __init__(self, url: str) -> None:
        self._url, self._name = url, _name(url)
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,  # the server may have been restarted
            isolation_level="READ COMMITTED",
        )
        self._snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._free = BoundedSemaphore(CONNECTIONS)
        self._silent_until = -math.inf

    def __str__(self) -> str:
        return self._name

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()

    def exists(self) -> bool:
        """Returns True: there is something to read where there is a server."""
        return True

    def check(self) -> None:
        """Do nothing: only the server knows."""

    def ping(self, seconds: float) -> None:
        """Raise LedgerError if the server does not answer."""
        with self.reading(seconds):
            pass

    def watch(self, query: str, seconds: float) -> None:
        """Return None: a server does not tell whether somebody has committed."""

    def verify(self, db: Connection) -> None:
        """Do nothing: the server verifies its files itself."""

    def reading(self, seconds: float) -> AbstractContextManager[Connection]:
        """Yields a transaction that reads one snapshot.

        Raises:
            LedgerError: if the database cannot be read.
        """
        return self._transaction(self._snapshot, seconds, seconds)

    @contextmanager
    def writing(self, seconds: float) -> Iterator[Connection]:
        """Yields a transaction that is durable when the block ends; an error rolls it back.

        Raises:
            LedgerError: if the database cannot be written.
        """
        with self._transaction(self._engine, seconds, seconds) as db:
            db.execute(DURABLE)
            yield db

    @contextmanager
    def creating(self, seconds: float) -> Iterator[Connection]:
        """Yields a transaction in which tables may be made; one process at a time has it.

        Raises:
            LedgerError: if the database cannot be written, or another process makes tables all the while.
        """
        with self._transaction(self._engine, max(seconds, CREATE_SECONDS), seconds) as db:
            db.execute(DURABLE)
            db.execute(LOCK_CREATION, {"key": CREATE_LOCK})
            yield db

    @contextmanager
    def _transaction(self, engine: Engine, seconds: float, lock_seconds: float) -> Iterator[Connection]:
        ends = time.monotonic() + seconds
        if not self._free.acquire(timeout=max(0.0, lock_seconds)):
            raise LedgerError(f"{self}: busy with other accounts until now; the next scrape counts")
        deadline = _ends.set(ends + GRACE)
        try:
            with self._translate_errors(), engine.connect() as db, db.begin():
                db.execute(LIMITS, _limits(ends - time.monotonic(), lock_seconds))
                yield db
        finally:
            _ends.reset(deadline)
            self._free.release()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Map the database's errors to a LedgerError that names it and what can be done."""
        try:
            yield
        except (SQLAlchemyError, psycopg.Error) as error:
            cause = getattr(error, "orig", None) or error
            raise LedgerError(f"{self}: {_message(cause)}; {_advice(cause)}") from error

    def _connect(self) -> psycopg.Connection[TupleRow]:
        if time.monotonic() < self._silent_until:
            raise psycopg.OperationalError("the server did not answer some seconds ago")
        try:
            return _BoundedConnection.connect(
                self._url,
                connect_timeout=CONNECT_SECONDS,
                application_name="cloud-browser-exporter",
                client_encoding="UTF8",
                prepare_threshold=None,  # poolers such as PgBouncer may give each transaction another server
            )
        except psycopg.errors.ConnectionTimeout:
            self._silent_until = time.monotonic() + CONNECT_PAUSE
            raise


def _limits(seconds: float, lock_seconds: float) -> dict[str, str]:
    left = max(2, round(1000 * seconds))  # 0 would be no limit
    lock = max(1, min(9 * left // 10, round(1000 * lock_seconds)))  # it comes first, and says more
    return {"statement": f"{left}ms", "lock": f"{lock}ms", "idle": f"{left + IDLE_MS}ms"}


def _name(url: str) -> str:
    """Returns the URL without password and parameters.

    Raises:
        LedgerRefusedError: if it is not one. Does not say what libpq does, which quotes the URL.
    """
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        raise LedgerRefusedError(
            f"the ledger's URL cannot be read as one of PostgreSQL; {CHECK_URL}"
        ) from None
    return re.sub(r"(?<=://)([^:@/?]*)(:[^@]*)?@", r"\1@", url).partition("?")[0]


def _message(error: BaseException) -> str:
    """Returns the server's message in one line, without its context; or the client's."""
    told = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return " ".join((told or str(error)).split())


def _advice(error: object) -> str:
    state = getattr(error, "sqlstate", None)
    if not state or state.startswith("57P"):
        return UNREACHABLE
    found = (advice for start, advice in ADVICE.items() if state.startswith(start))
    return next(found, "counters stay as they are until it can be written again")
