"""An account in the ledger's tables: what is read and written of it within a transaction."""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    Connection,
    Insert,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from exporter.labels import SeenLabelValues
from exporter.ledger.accounting import AccountingPolicy, AccountProgress, LedgerUpdate, Rejection, Row
from exporter.ledger.label_values import from_pairs, to_pairs
from exporter.ledger.schema import accounts, migrations, rejected, sessions, totals, words
from exporter.metrics.counters import STARTED, CounterKey, LastSession
from exporter.model import HOUR, Account, Listing, ReadWindow, Series, Usage

IDS_PER_QUERY = 1000
MOST = 2**63 - 1  # beyond it SQLite would make a float of a sum
FAR_FUTURE = 2**62  # later than any session
RETENTION = 31 * 24 * HOUR  # as long as a provider lists a session at most

_ACCOUNT: BindParameter[int] = bindparam("account")
_PROGRESS = [accounts.c[field] for field in AccountProgress.__struct_fields__]
_NAMED = (accounts.c.provider == bindparam("provider")) & (accounts.c.name == bindparam("name"))

FIND = select(accounts.c.id, accounts.c.changes, accounts.c.listings).where(_NAMED)
FIND_ALL = str(
    select(accounts.c.provider, accounts.c.name, accounts.c.id, accounts.c.changes, accounts.c.listings)
)
# SQLite locks the file, and ignores FOR UPDATE.
LOCK = FIND.with_for_update()
# An account without a row cannot be locked: its row is made by one process at a time.
LOCK_CREATION = select(migrations.c.name).where(migrations.c.name == "1-tables").with_for_update()
PROGRESS = select(*_PROGRESS, accounts.c.last_success).where(accounts.c.id == _ACCOUNT)
ROWS = select(*sessions.c).where(sessions.c.account == _ACCOUNT)
ROWS_BY_ID = ROWS.where(sessions.c.id.in_(bindparam("ids", expanding=True)))
UNSETTLED = select(sessions.c.id, sessions.c.created).where(
    sessions.c.account == _ACCOUNT, ~sessions.c.settled
)
DEPARTED = select(sessions.c.id).where(
    sessions.c.account == _ACCOUNT, sessions.c.settled, sessions.c.missing.is_not(None)
)
COUNT_ROWS = select(func.count()).where(sessions.c.account == _ACCOUNT)
REJECTED = select(rejected.c.id, rejected.c.at, rejected.c.watermark).where(rejected.c.account == _ACCOUNT)
TOTALS = select(totals.c.series, totals.c.counter, totals.c.detail, totals.c.value).where(
    totals.c.account == _ACCOUNT
)
LABEL_VALUES = select(words.c.label, words.c.value).where(words.c.account == _ACCOUNT)

DELETE_SETTLED = delete(sessions).where(
    sessions.c.account == _ACCOUNT,
    sessions.c.settled,
    sessions.c.created < bindparam("since"),
    func.coalesce(sessions.c.missing, -FAR_FUTURE) < bindparam("missing_since"),
)
FORGET_REJECTED = delete(rejected).where(
    rejected.c.account == _ACCOUNT, rejected.c.id == bindparam("rejected_id")
)
ADD_ACCOUNT = insert(accounts).returning(accounts.c.id)
SAVE_PROGRESS = update(accounts).where(accounts.c.id == _ACCOUNT)


class Upserts(msgspec.Struct, frozen=True):
    """The statements that insert, or change what is there: each dialect has its own insert for them."""

    save_row: Insert
    add_to_total: Insert
    add_label_value: Insert
    add_rejected: Insert


def _upserts(insert: type[sqlite.Insert] | type[postgresql.Insert]) -> Upserts:
    row, total = insert(sessions), insert(totals)
    rise = total.excluded.value
    return Upserts(
        row.on_conflict_do_update(
            index_elements=sessions.primary_key.columns,
            set_={column.name: row.excluded[column.name] for column in sessions.c},
        ),
        total.on_conflict_do_update(
            index_elements=totals.primary_key.columns,
            set_={"value": case((totals.c.value > MOST - rise, MOST), else_=totals.c.value + rise)},
        ),
        insert(words).on_conflict_do_nothing(),
        insert(rejected).on_conflict_do_nothing(),
    )


UPSERTS = {"sqlite": _upserts(sqlite.Insert), "postgresql": _upserts(postgresql.Insert)}


class AccountState(msgspec.Struct, frozen=True):
    """What the ledger knows of an account, as last committed.

    unsettled: sessions that may still change: their ids and the times they were created. departed: those
    that left the list, or whose rows became unusable, before they had settled.
    rejected: ids of rows that were never usable. rows: how many sessions are kept.
    last_success: when a listing was last recorded, in seconds since 1970 by the exporter's clock. It is
    written with the next change only: after a restart it may be that of an earlier listing.
    last_sessions: the last session that totals of ends counted. It is kept in memory alone.
    """

    progress: AccountProgress | None = None
    totals: Mapping[CounterKey, int] = {}
    unsettled: Mapping[str, int] = {}
    departed: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    words: SeenLabelValues = SeenLabelValues()
    rows: int = 0
    last_success: float | None = None
    last_sessions: Mapping[CounterKey, LastSession] = {}

    @property
    def started(self) -> int:
        """How many sessions have been counted."""
        return sum(value for key, value in self.totals.items() if key.counter == STARTED)

    def window(self, policy: AccountingPolicy) -> ReadWindow:
        """Returns what the next scrape has to read."""
        if self.progress is None:
            return ReadWindow(FAR_FUTURE if policy.skip else None)
        watermark, latest = self.progress.watermark, self.progress.latest
        return ReadWindow(
            watermark=self.progress.began if watermark is None and policy.skip else watermark,
            unsettled=self.unsettled,
            departed=self.departed,
            rejected=self.rejected,
            ended_after=None if latest is None else latest - policy.settle_after,
            position=self.progress.position,
        )


class AccountKey(msgspec.Struct, frozen=True):
    """An account's key in the tables, and its version: two numbers that rise with what is committed of it."""

    id: int
    changes: int
    listings: int


def find(db: Connection, account: Account) -> AccountKey | None:
    """Returns the key of an account; None before its first listing."""
    found = db.execute(FIND, {"provider": account.provider, "name": account.name}).one_or_none()
    return None if found is None else AccountKey(*found)


def lock(db: Connection, account: Account) -> AccountKey | None:
    """Returns the key of an account that no other transaction changes until the end of this one.

    None before its first listing: then no other transaction adds the account either.
    """
    named = {"provider": account.provider, "name": account.name}
    found = db.execute(LOCK, named).one_or_none()
    if found is None:
        db.execute(LOCK_CREATION)
        found = db.execute(LOCK, named).one_or_none()
    return None if found is None else AccountKey(*found)


def load_progress(db: Connection, key: AccountKey | None) -> tuple[AccountProgress | None, float | None]:
    """Returns an account's progress, and when a listing was last recorded; None where there was none."""
    if key is None:
        return None, None
    *progress, last_success = db.execute(PROGRESS, {"account": key.id}).one()
    return AccountProgress(*progress), last_success


def load_rows(
    db: Connection, key: AccountKey | None, progress: AccountProgress | None, listing: Listing
) -> dict[str, Row]:
    """Returns the rows that a listing may change: all; during a first import, unsettled or listed ones."""
    if key is None or progress is None:
        return {}
    if progress.complete:
        return load_all_rows(db, key)
    rows: dict[str, Row] = {}
    ids = [*{session.id for session in listing.sessions} | listing.rejected_ids | {*listing.missing}]
    for start in range(0, len(ids), IDS_PER_QUERY):
        some = ids[start : start + IDS_PER_QUERY]
        # Padded, because the driver would cache a statement for each length.
        some += some[-1:] * (IDS_PER_QUERY - len(some))
        rows |= _rows(db.execute(ROWS_BY_ID, {"account": key.id, "ids": some}))
    return rows


def load_all_rows(db: Connection, key: AccountKey) -> dict[str, Row]:
    """Returns all rows that are kept of an account."""
    return _rows(db.execute(ROWS, {"account": key.id}))


def _rows(found: Iterable[Any]) -> dict[str, Row]:
    return {row.id: row for row in (_row(*columns[1:]) for columns in found)}


def _row(name: str, series: str, created: int, *rest: Any) -> Row:
    figures = len(Usage.__struct_fields__)
    return Row(name, _series(series), created, Usage(*rest[:figures]), *rest[figures:])


@lru_cache(maxsize=4096)
def _series(text: str) -> Series:
    return msgspec.json.decode(text, type=Series)


@lru_cache(maxsize=4096)
def _text(series: Series) -> str:
    """Returns the series as JSON, in the same form as ledgers had it before there was metadata."""
    parts = (series.project, series.region, series.metadata)
    return msgspec.json.encode(parts if series.metadata else parts[:2]).decode()


def load_rejected(db: Connection, key: AccountKey | None) -> dict[str, Rejection]:
    """Returns the rejected rows that are remembered."""
    if key is None:
        return {}
    found = db.execute(REJECTED, {"account": key.id})
    return {name: Rejection(at, watermark) for name, at, watermark in found}


def save(
    db: Connection, key: AccountKey | None, account: Account, progress: AccountProgress, at: float
) -> AccountKey:
    """Write an account's progress and the time of its last listing; returns its new version."""
    values = {**msgspec.structs.asdict(progress), "last_success": at}
    if key is not None:
        db.execute(SAVE_PROGRESS, {**values, "changes": key.changes + 1, "account": key.id})
        return AccountKey(key.id, key.changes + 1, progress.listings)
    named = {"provider": account.provider, "name": account.name, "changes": 1}
    return AccountKey(db.execute(ADD_ACCOUNT, values | named).scalar_one(), 1, progress.listings)


def deletes_before(progress: AccountProgress) -> int:
    """Returns the creation time before which settled sessions need no row any more."""
    return -FAR_FUTURE if progress.watermark is None else progress.watermark


def is_deletable(row: Row, before: int) -> bool:
    """Returns whether a row has settled and lies before the watermark.

    One that had left the list stays for a month: should it come back, it must not count again.
    """
    is_past = row.settled and row.created < before
    return is_past and (row.missing is None or row.missing < before - RETENTION)


def save_rows(db: Connection, key: int, known: Collection[str], ledger_update: LedgerUpdate) -> None:
    """Write the changed rows, and delete those that are not needed any more."""
    before = deletes_before(ledger_update.progress)
    # What settles as it is first seen, as most of a history does, never becomes a row.
    kept = [row for row in ledger_update.changed if row.id in known or not is_deletable(row, before)]
    if kept:
        db.execute(UPSERTS[db.dialect.name].save_row, [_columns(key, row) for row in kept])
    if before != -FAR_FUTURE:  # else a first import goes on, which keeps all rows
        db.execute(DELETE_SETTLED, {"account": key, "since": before, "missing_since": before - RETENTION})


def _columns(key: int, row: Row) -> dict[str, Any]:
    columns = msgspec.structs.asdict(row)
    usage = msgspec.structs.asdict(columns.pop("high"))
    return {**columns, **usage, "account": key, "series": _text(row.series)}


def save_rejected(db: Connection, key: int, ledger_update: LedgerUpdate) -> None:
    """Remember rejected rows, and forget others."""
    new = [
        {"account": key, "id": name, "at": first.at, "watermark": first.watermark}
        for name, first in ledger_update.rejected.items()
    ]
    if new:
        db.execute(UPSERTS[db.dialect.name].add_rejected, new)
    if ledger_update.forgotten:
        forgotten = [{"account": key, "rejected_id": name} for name in ledger_update.forgotten]
        db.execute(FORGET_REJECTED, forgotten)


def add_to_totals(db: Connection, key: int, added: Mapping[CounterKey, int]) -> None:
    """Add to the totals, creating those that are new. One that has reached `MOST` stays there."""
    rows = [
        {
            "account": key,
            "series": _text(counter.series),
            "counter": counter.counter,
            "detail": counter.label,
            "value": min(rise, MOST),
        }
        for counter, rise in added.items()
    ]
    if rows:
        db.execute(UPSERTS[db.dialect.name].add_to_total, rows)


def add_label_values(db: Connection, key: int, shown: SeenLabelValues) -> None:
    """Keep the label values shown; none is ever removed."""
    rows = [{"account": key, "label": label, "value": value} for label, value in to_pairs(shown)]
    if rows:
        db.execute(UPSERTS[db.dialect.name].add_label_value, rows)


def load(db: Connection, key: AccountKey | None) -> AccountState:
    """Returns all that is known of an account."""
    if key is None:
        return AccountState()
    account = {"account": key.id}
    progress, last_success = load_progress(db, key)
    return AccountState(
        progress=progress,
        totals={CounterKey(_series(one.series), *one[1:3]): one.value for one in db.execute(TOTALS, account)},
        unsettled={found.id: found.created for found in db.execute(UNSETTLED, account)},
        departed=frozenset(db.scalars(DEPARTED, account)),
        rejected=frozenset(load_rejected(db, key)),
        words=from_pairs((label, value) for label, value in db.execute(LABEL_VALUES, account)),
        rows=db.scalar(COUNT_ROWS, account) or 0,
        last_success=last_success,
    )
