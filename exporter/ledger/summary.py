"""Reads a whole ledger, and changes nothing: what `ledger show` prints, and the source of `ledger copy`."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqlalchemy import Connection, inspect, select

from exporter.ledger.database import database_at
from exporter.ledger.errors import LedgerRefusedError, NoLedgerError
from exporter.ledger.migrations import ForeignDatabaseError, check
from exporter.ledger.queries import AccountState, find, load
from exporter.ledger.schema import accounts
from exporter.model import Account

READ_SECONDS = 3600.0  # as long as a person may wait; Ctrl-C ends it

Totals = dict[tuple[str, str], int]


@contextmanager
def reading(url: str) -> Iterator[tuple[str, Connection]]:
    """Yields the name of a ledger, without its password, and a transaction that reads it.

    Raises:
        NoLedgerError: where there is none.
        LedgerRefusedError: for a database that is no ledger of this version.
        LedgerError: when it cannot be read.
    """
    with closing(database_at(url)) as database:
        if not database.exists():
            raise NoLedgerError(f"{database}: there is no ledger")
        with database.reading(READ_SECONDS) as db:
            database.verify(db)
            _refuse_others(db, str(database))
            yield str(database), db


def _refuse_others(db: Connection, name: str) -> None:
    try:
        is_current = check(db)
    except ForeignDatabaseError as error:
        raise LedgerRefusedError(f"{name}: {error}") from error
    if not inspect(db).has_table(accounts.name):
        raise NoLedgerError(f"{name}: there is no ledger")
    if not is_current:
        raise LedgerRefusedError(f"{name}: an earlier version made it; start the exporter on it once")


def account_states(db: Connection) -> dict[Account, AccountState]:
    """Returns what a ledger holds of each account, in the order of their names."""
    named = select(accounts.c.provider, accounts.c.name).order_by(accounts.c.provider, accounts.c.name)
    found = [Account(provider, name) for provider, name in db.execute(named).all()]
    return {account: load(db, find(db, account)) for account in found}


def sums(state: AccountState) -> Totals:
    """Returns an account's totals by counter and label, over all projects, regions and other series."""
    found: Counter[tuple[str, str]] = Counter()
    for key, value in state.totals.items():
        found[key.counter, key.label] += value
    return dict(sorted(found.items()))
