"""How a database comes to have the ledger's tables, and which databases are refused.

Each migration creates what it created when it was written, by definitions of its own: the tables of `schema`
change, released migrations do not. All of them run on SQLite and on PostgreSQL.
"""

from collections.abc import Callable, Mapping

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    false,
    insert,
    inspect,
    select,
    text,
)

from exporter.ledger.schema import metadata, migrations


class ForeignDatabaseError(Exception):
    """These are not the ledger's tables, or are those of a later version; nothing was changed."""


def check(db: Connection) -> bool:
    """Returns whether a ledger is of this version; False for an older one, and for an empty database.

    Raises:
        ForeignDatabaseError: for a database of another program, or a ledger of a later version.
    """
    tables = set(inspect(db).get_table_names())
    if not tables and _is_blank(db):
        return False
    if not {"accounts", "sessions", "totals", migrations.name} <= tables:
        raise ForeignDatabaseError("it holds other tables than a ledger's")
    done = set(db.scalars(select(migrations.c.name)))
    if done - MIGRATIONS.keys():
        raise ForeignDatabaseError("a later version of the exporter made it")
    if done != MIGRATIONS.keys():
        return False
    for table in metadata.sorted_tables:
        if {one["name"] for one in inspect(db).get_columns(table.name)} != {
            one.name for one in table.columns
        }:
            raise ForeignDatabaseError(f"its table {table.name} has other columns than a ledger's")
    return True


def migrate(db: Connection) -> None:
    """Apply the missing migrations to a checked database, in the caller's transaction."""
    migrations.create(db, checkfirst=True)
    done = set(db.scalars(select(migrations.c.name)))
    for name, apply in MIGRATIONS.items():
        if name not in done:
            apply(db)
            db.execute(insert(migrations).values(name=name))


def _is_blank(db: Connection) -> bool:
    """Returns whether a database without tables bears no other mark of another program either."""
    if db.dialect.name != "sqlite":
        return not inspect(db).get_view_names()
    marks = ("SELECT count(*) FROM sqlite_master", "PRAGMA application_id", "PRAGMA user_version")
    return not any(db.exec_driver_sql(mark).scalar_one() for mark in marks)


def _create_tables(db: Connection) -> None:
    first = MetaData()
    accounts = Table(
        "accounts",
        first,
        Column("id", Integer, primary_key=True),
        Column("provider", String, nullable=False),
        Column("name", String, nullable=False),
        Column("began", BigInteger, nullable=False),
        Column("complete", Boolean, nullable=False),
        Column("since", BigInteger),
        Column("newest", BigInteger),
        Column("listings", BigInteger, nullable=False),
        Column("last_success", Float, nullable=False),
        Index("accounts_name", "provider", "name", unique=True),
    )
    sessions = Table(
        "sessions",
        first,
        _account_key(accounts),
        Column("id", String, primary_key=True),
        Column("series", String, nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("time", BigInteger, nullable=False),
        Column("proxy_bytes", BigInteger, nullable=False),
        Column("browser_cost", BigInteger, nullable=False),
        Column("proxy_cost", BigInteger, nullable=False),
        Column("billed", BigInteger, nullable=False),
        Column("lowered", Integer, nullable=False),
        Column("ended", BigInteger),
        Column("ending", String),
        Column("missing", BigInteger),
        Column("settled", Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    held = sessions.c.settled == false()
    Index("sessions_held", sessions.c.account, sqlite_where=held, postgresql_where=held)
    keys = {"totals": ("series", "counter", "detail"), "words": ("label", "value")}
    for name, parts in keys.items():
        key = [Column(part, String, primary_key=True) for part in parts]
        value = [Column("value", BigInteger, nullable=False)] if name == "totals" else []
        Table(name, first, _account_key(accounts), *key, *value, sqlite_with_rowid=False)
    first.create_all(db)


def _account_key(accounts: Table) -> Column[int]:
    return Column("account", ForeignKey(accounts.c.id), primary_key=True)


def _add_rejected_rows(db: Connection) -> None:
    """Add rejected rows, the cost of open sessions, and the number of an account's changes.

    An older ledger has no latest time of a listing: the time of its last success is close to it.
    """
    for statement in (
        "ALTER TABLE sessions ADD COLUMN open_cost BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE accounts ADD COLUMN latest BIGINT",
        "ALTER TABLE accounts ADD COLUMN changes BIGINT NOT NULL DEFAULT 0",
        "UPDATE accounts SET latest = CAST(last_success * 1000000 AS BIGINT)",
    ):
        db.exec_driver_sql(statement)
    second = MetaData()
    accounts = Table("accounts", second, Column("id", Integer, primary_key=True))
    rejected = Table(
        "rejected",
        second,
        _account_key(accounts),
        Column("id", String, primary_key=True),
        Column("at", BigInteger, nullable=False),
        Column("watermark", BigInteger),
        sqlite_with_rowid=False,
    )
    rejected.create(db)


def _add_import_position(db: Connection) -> None:
    db.exec_driver_sql("ALTER TABLE accounts ADD COLUMN position VARCHAR")


def _add_start_latency(db: Connection) -> None:
    """Add whether a session's start was counted, and buckets for durations of 1 and 5 seconds.

    Sessions of up to 10 seconds were counted in one bucket. Those whose rows are kept move to the new ones;
    of the others only that bucket is known.
    """
    db.exec_driver_sql("ALTER TABLE sessions ADD COLUMN start_counted BOOLEAN NOT NULL DEFAULT FALSE")
    for bucket, above, most in (("1", -1, 1_000_000), ("5", 1_000_000, 5_000_000)):
        for account, series, count in db.execute(_COUNT_ENDS, {"above": above, "most": most}).all():
            moved = {"account": account, "series": series, "count": count}
            db.execute(_TAKE_FROM_10_SECONDS, moved)
            db.execute(_ADD_BUCKET, {**moved, "bucket": bucket})


_COUNT_ENDS = text(
    "SELECT account, series, count(*) FROM sessions"
    " WHERE ending IS NOT NULL AND time > :above AND time <= :most GROUP BY account, series"
)
_TAKE_FROM_10_SECONDS = text(
    "UPDATE totals SET value = value - :count"
    " WHERE account = :account AND series = :series AND counter = 'duration' AND detail = '10'"
)
_ADD_BUCKET = text(
    "INSERT INTO totals (account, series, counter, detail, value)"
    " VALUES (:account, :series, 'duration', :bucket, :count)"
)

# In the order in which they are applied; a name, once released, keeps its place and its meaning.
MIGRATIONS: Mapping[str, Callable[[Connection], None]] = {
    "1-tables": _create_tables,
    "2-rejected-rows": _add_rejected_rows,
    "3-import-position": _add_import_position,
    "4-start-latency": _add_start_latency,
}
