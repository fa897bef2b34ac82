"""An account in the ledger's tables: what is read and written of it within a transaction."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection, case, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from exporter.labels import SeenLabelValues
from exporter.ledger.accounting import AccountingPolicy, AccountProgress, LedgerUpdate, Row
from exporter.ledger.schema import accounts, sessions, totals, words
from exporter.metrics.counters import CounterKey
from exporter.model import HOUR, Account, Listing, ReadWindow, Series, Usage

IDS_PER_QUERY = 1000
MOST = 2**63 - 1  # beyond it SQLite would make a float of a sum
FAR_FUTURE = 2**62  # later than any session
LABELS = (
    "status",
    "region",
    "project",
)  # as the words of each are kept; the order of SeenLabelValues' fields
RETENTION = 31 * 24 * HOUR  # as long as a provider lists a session at most


class AccountState(msgspec.Struct, frozen=True):
    """What the ledger knows of an account, as last committed.

    unsettled: ids of those sessions, with their times of creation. departed: those of sessions that left the
    list before they ended. rows: how many sessions are kept.
    last_success: when a listing was last recorded, in seconds since 1970 by the exporter's clock.
    """

    progress: AccountProgress | None = None
    totals: Mapping[CounterKey, int] = {}
    unsettled: Mapping[str, int] = {}
    departed: frozenset[str] = frozenset()
    words: SeenLabelValues = SeenLabelValues()
    rows: int = 0
    last_success: float | None = None

    def window(self, policy: AccountingPolicy) -> ReadWindow:
        """What the next scrape has to read."""
        if self.progress is None:
            return ReadWindow(FAR_FUTURE if policy.skip else None)
        if self.progress.watermark is None and policy.skip:
            return ReadWindow(self.progress.began, self.unsettled, self.departed)
        return ReadWindow(self.progress.watermark, self.unsettled, self.departed)


def find(db: Connection, account: Account) -> int | None:
    """The key of an account in the tables; None before its first listing."""
    named = (accounts.c.provider == account.provider) & (accounts.c.name == account.name)
    return db.scalar(select(accounts.c.id).where(named))


def load_progress(db: Connection, key: int | None) -> AccountProgress | None:
    """Where its progress stand."""
    query = select(*(accounts.c[field] for field in AccountProgress.__struct_fields__))
    found = db.execute(query.where(accounts.c.id == key)).one_or_none()
    return AccountProgress(*found) if found else None


def load_rows(
    db: Connection, key: int | None, progress: AccountProgress | None, listing: Listing
) -> dict[str, Row]:
    """The rows that a listing may change: all that are kept, but during a first import those listed."""
    if progress is None:
        return {}
    if progress.complete:
        return _select(db, sessions.c.account == key)
    rows = _select(db, (sessions.c.account == key) & ~sessions.c.settled)
    ids = [session.id for session in listing.sessions]
    for start in range(0, len(ids), IDS_PER_QUERY):
        some = ids[start : start + IDS_PER_QUERY]
        # The driver would keep a statement for each length.
        some += some[-1:] * (IDS_PER_QUERY - len(some))
        rows |= _select(db, (sessions.c.account == key) & sessions.c.id.in_(some))
    return rows


def _select(db: Connection, where: Any) -> dict[str, Row]:
    query = select(*sessions.c).where(where)
    return {row.id: row for row in (_row(*found[1:]) for found in db.execute(query))}


def _row(name: str, series: str, created: int, *rest: Any) -> Row:
    figures = len(Usage.__struct_fields__)
    return Row(name, _series(series), created, Usage(*rest[:figures]), *rest[figures:])


@lru_cache(maxsize=4096)
def _series(text: str) -> Series:
    return msgspec.json.decode(text, type=Series)


@lru_cache(maxsize=4096)
def _text(series: Series) -> str:
    return msgspec.json.encode(series).decode()


def save_progress(
    db: Connection, key: int | None, account: Account, progress: AccountProgress, at: float
) -> int:
    """Keep where the progress stand since the listing recorded `at`; the key, new if there was none."""
    values = {**msgspec.structs.asdict(progress), "last_success": at}
    if key is not None:
        db.execute(update(accounts).where(accounts.c.id == key).values(values))
        return key
    name = {"provider": account.provider, "name": account.name}
    return int(db.execute(insert(accounts).values(values | name).returning(accounts.c.id)).scalar_one())


def save_rows(db: Connection, key: int, known: Mapping[str, Row], ledger_update: LedgerUpdate) -> None:
    """Keep the changed rows, and let go of those that settled and lie before the watermark.

    One that had left the list stays for a month: should it come back, it must not count again.
    """
    since = -FAR_FUTURE if ledger_update.progress.watermark is None else ledger_update.progress.watermark
    new = insert(sessions)
    replace = new.on_conflict_do_update(
        index_elements=sessions.primary_key.columns,
        set_={column.name: new.excluded[column.name] for column in sessions.c},
    )
    # What settles as it is first seen, as most of a history does, never becomes a row.
    kept = [
        row for row in ledger_update.changed if row.id in known or not row.settled or row.created >= since
    ]
    if kept:
        db.execute(replace, [_columns(key, row) for row in kept])
    past = (sessions.c.account == key) & sessions.c.settled & (sessions.c.created < since)
    db.execute(
        delete(sessions).where(past, func.coalesce(sessions.c.missing, -FAR_FUTURE) < since - RETENTION)
    )


def _columns(key: int, row: Row) -> dict[str, Any]:
    columns = msgspec.structs.asdict(row)
    usage = msgspec.structs.asdict(columns.pop("high"))
    return {**columns, **usage, "account": key, "series": _text(row.series)}


def add_to_totals(db: Connection, key: int, added: Mapping[CounterKey, int]) -> None:
    """Add to the totals; those that are not there begin. One that is at its most stays there."""
    new = insert(totals)
    rise = new.excluded.value
    total = case((totals.c.value > MOST - rise, MOST), else_=totals.c.value + rise)
    add = new.on_conflict_do_update(index_elements=totals.primary_key.columns, set_={"value": total})
    rows = [
        {**_named(key_of_counter), "account": key, "value": min(rise, MOST)}
        for key_of_counter, rise in added.items()
    ]
    if rows:
        db.execute(add, rows)


def _named(key_of_counter: CounterKey) -> dict[str, str]:
    return {
        "series": _text(key_of_counter.series),
        "counter": key_of_counter.counter,
        "detail": key_of_counter.label,
    }


def add_words(db: Connection, key: int, shown: SeenLabelValues) -> None:
    """Keep the words shown; those once shown are never given up."""
    labels = zip(LABELS, msgspec.structs.astuple(shown), strict=True)
    rows = [{"account": key, "label": label, "value": value} for label, values in labels for value in values]
    if rows:
        db.execute(insert(words).on_conflict_do_nothing(), rows)


def load(db: Connection, key: int | None) -> AccountState:
    """All that is known of an account."""
    if key is None:
        return AccountState()
    held = select(sessions.c.id, sessions.c.created).where(sessions.c.account == key, ~sessions.c.settled)
    closed = (sessions.c.account == key) & sessions.c.settled & sessions.c.missing.is_not(None)
    shown = db.execute(select(words.c.label, words.c.value).where(words.c.account == key)).all()
    return AccountState(
        progress=load_progress(db, key),
        totals=_totals(db, key),
        unsettled={found.id: found.created for found in db.execute(held)},
        departed=frozenset(db.scalars(select(sessions.c.id).where(closed))),
        words=SeenLabelValues(
            *(frozenset(value for label, value in shown if label == kind) for kind in LABELS)
        ),
        rows=db.scalar(select(func.count()).where(sessions.c.account == key)) or 0,
        last_success=db.scalar(select(accounts.c.last_success).where(accounts.c.id == key)),
    )


def _totals(db: Connection, key: int) -> dict[CounterKey, int]:
    query = select(totals.c.series, totals.c.counter, totals.c.detail, totals.c.value)
    found = db.execute(query.where(totals.c.account == key))
    return {CounterKey(_series(series), counter, detail): value for series, counter, detail, value in found}
