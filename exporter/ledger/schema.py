"""The ledger's tables, and how a database comes to have them."""

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
)

from exporter.model import Usage

metadata = MetaData()

accounts = Table(
    "accounts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("provider", String, nullable=False),
    Column("name", String, nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("since", BigInteger, key="watermark"),
    Column("newest", BigInteger),
    Column("listings", BigInteger, nullable=False),
    Column("last_success", Float, nullable=False),
    Index("accounts_name", "provider", "name", unique=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("account", ForeignKey(accounts.c.id), primary_key=True),
    Column("id", String, primary_key=True),
    Column("series", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    *(Column(figure, BigInteger, nullable=False) for figure in Usage.__struct_fields__),
    Column("billed", BigInteger, nullable=False),
    Column("lowered", Integer, nullable=False),
    Column("ended", BigInteger),
    Column("ending", String),
    Column("missing", BigInteger),
    Column("settled", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
# A first import holds every session of the history, few of them unsettled.
Index("sessions_held", sessions.c.account, sqlite_where=sessions.c.settled == false())

totals = Table(
    "totals",
    metadata,
    Column("account", ForeignKey(accounts.c.id), primary_key=True),
    Column("series", String, primary_key=True),
    Column("counter", String, primary_key=True),
    Column("detail", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

words = Table(
    "words",
    metadata,
    Column("account", ForeignKey(accounts.c.id), primary_key=True),
    Column("label", String, primary_key=True),
    Column("value", String, primary_key=True),
    sqlite_with_rowid=False,
)

migrations = Table("ledger_migrations", metadata, Column("name", String, primary_key=True))

# In the order in which they are applied; a name, once released, keeps its place and its meaning.
MIGRATIONS = {"1-tables": metadata.create_all}


class ForeignDatabaseError(Exception):
    """These are not the ledger's tables, or are those of a later version; nothing was changed."""


def check(db: Connection) -> bool:
    """Whether a ledger is of this version; refuses somebody else's database, or a later version's.

    Raises:
        ForeignDatabaseError: says which of the two.
    """
    tables = set(inspect(db).get_table_names())
    if not tables and _blank(db):
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


def _blank(db: Connection) -> bool:
    """Whether a database without tables bears no other mark of somebody's either."""
    marks = ("SELECT count(*) FROM sqlite_master", "PRAGMA application_id", "PRAGMA user_version")
    return not any(db.exec_driver_sql(mark).scalar_one() for mark in marks)


def damage(db: Connection) -> str | None:
    """What is wrong with the file's pages; None if nothing is. Reads them all: a second for some 500 MB."""
    found = str(db.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
    return None if found == "ok" else found.splitlines()[-1]


def migrate(db: Connection) -> None:
    """Bring a checked database to this version; in one transaction with the caller's."""
    migrations.create(db, checkfirst=True)
    done = set(db.scalars(select(migrations.c.name)))
    for name, apply in MIGRATIONS.items():
        if name not in done:
            apply(db)
            db.execute(insert(migrations).values(name=name))
