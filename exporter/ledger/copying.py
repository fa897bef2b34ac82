"""Copies a ledger into an empty database, of the same kind or the other, in one transaction."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, func, insert, select

from exporter.ledger.database import Database, database_at
from exporter.ledger.errors import LedgerError, LedgerRefusedError
from exporter.ledger.migrations import ForeignDatabaseError, check, migrate
from exporter.ledger.schema import accounts, metadata, migrations
from exporter.ledger.summary import READ_SECONDS, Totals, account_states, reading, sums
from exporter.model import Account

ROWS_AT_ONCE = 1000
TABLES = [table for table in metadata.sorted_tables if table not in (accounts, migrations)]


class Proof(msgspec.Struct, frozen=True):
    """What was read from both ledgers after copying, and found equal.

    source, target: their names. totals: of each account. rows: how many each table has.
    """

    source: str
    target: str
    totals: Mapping[Account, Totals]
    rows: Mapping[str, int]


def copy(source_url: str, target_url: str) -> Proof:
    """Copy a ledger. What is copied is committed only after all of it was read again and found equal.

    Raises:
        LedgerRefusedError: if the source is no ledger, or the target is not empty.
        LedgerError: when one of them cannot be read or written; the target is then as it was.
    """
    with reading(source_url) as (source_name, source), closing(database_at(target_url)) as database:
        database.exists()  # refuses what can be no database
        with database.creating(READ_SECONDS) as target:
            _prepare(database, target)
            _copy_rows(source, target)
            return _proof(source_name, str(database), source, target)


def _prepare(database: Database, target: Connection) -> None:
    try:
        check(target)
    except ForeignDatabaseError as error:
        raise LedgerRefusedError(f"{database}: {error}; name an empty database") from error
    migrate(target)
    found = _count(target, accounts)
    if found:
        raise LedgerRefusedError(f"{database}: holds a ledger of {found} accounts; name an empty database")


def _copy_rows(source: Connection, target: Connection) -> None:
    """Copy all tables; each database numbers the accounts itself."""
    numbers: dict[int, int] = {}
    for row in _rows(source, accounts):
        number = row.pop("id")
        made = target.execute(insert(accounts).returning(accounts.c.id), row)
        numbers[number] = made.scalar_one()
    for table in TABLES:
        batch: list[dict[str, Any]] = []
        for row in _rows(source, table):
            batch.append({**row, "account": numbers[row["account"]]})
            if len(batch) == ROWS_AT_ONCE:
                target.execute(insert(table), batch)
                batch = []
        if batch:
            target.execute(insert(table), batch)


def _rows(db: Connection, table: Table) -> Iterator[dict[str, Any]]:
    keys = [column.key for column in table.columns]
    with db.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table)) as found:
        for row in found:
            yield dict(zip(keys, row, strict=True))


def _count(db: Connection, table: Table) -> int:
    return db.scalar(select(func.count()).select_from(table)) or 0


def _proof(source_name: str, target_name: str, source: Connection, target: Connection) -> Proof:
    states, copied = account_states(source), account_states(target)
    rows, rows_copied = _counts(source), _counts(target)
    if states != copied or rows != rows_copied:
        raise LedgerError(f"{target_name}: what was copied is not equal to {source_name}; nothing was kept")
    return Proof(source_name, target_name, {one: sums(state) for one, state in copied.items()}, rows)


def _counts(db: Connection) -> dict[str, int]:
    return {table.name: _count(db, table) for table in (accounts, *TABLES)}
