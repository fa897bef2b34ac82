"""The databases that can hold a ledger, chosen by URL; all else of the ledger is the same for both."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Connection

from exporter.ledger.errors import LedgerError, LedgerRefusedError
from exporter.ledger.sqlite import SqliteDatabase

BUSY_SECONDS = 2.0  # how long a call waits for others where no deadline is given
POSTGRESQL = "postgresql://"
NO_DRIVER = (
    "PostgreSQL needs psycopg 3, which is not installed: pip install 'cloud-browser-exporter[postgres]'"
)


class Database(Protocol):
    """A database that all threads of the process share; `seconds` bounds how long a call may take or wait.

    `str` names it for people, without a password. `is_shared`: whether exporters on other machines may have
    counted more than this one knows, so that a state that cannot be read again must not be shown.
    """

    is_shared: bool

    def close(self) -> None:
        """Close all connections."""

    def exists(self) -> bool:
        """Returns whether there is something to read. Raises LedgerRefusedError if there can never be."""

    def check(self) -> None:
        """Raise LedgerError if the database is known to be unusable; sends nothing to a server."""

    def ping(self, seconds: float) -> None:
        """Raise LedgerError if the database does not answer."""

    def watch(self, query: str, seconds: float) -> list[tuple[Any, ...]] | None:
        """Returns what a query finds; the same object as before where nobody has committed since.

        None where that cannot be told. Raises LedgerError.
        """

    def verify(self, db: Connection) -> None:
        """Raise LedgerRefusedError if the database is damaged; called once, before it is used."""

    def reading(self, seconds: float) -> AbstractContextManager[Connection]:
        """Yields a transaction that reads one snapshot. Raises LedgerError."""

    def writing(self, seconds: float) -> AbstractContextManager[Connection]:
        """Yields a transaction that is durable when the block ends; an error rolls it back."""

    def creating(self, seconds: float) -> AbstractContextManager[Connection]:
        """Yields a transaction in which tables may be made; one process at a time has it."""


def database_at(url: str) -> Database:
    """Returns the database at a URL; it is opened at its first use.

    Raises:
        LedgerRefusedError: if the driver is not installed.
    """
    if not url.startswith(POSTGRESQL):
        return SqliteDatabase(url)
    return _postgres()(url)


def _postgres() -> Callable[[str], Database]:
    try:
        from exporter.ledger.postgres import PostgresDatabase  # noqa: PLC0415 - psycopg is an extra
    except ImportError as error:
        raise LedgerRefusedError(NO_DRIVER) from error
    return PostgresDatabase


__all__ = ["BUSY_SECONDS", "Database", "LedgerError", "LedgerRefusedError", "database_at"]
