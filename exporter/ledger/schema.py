"""The ledger's tables, as this version reads and writes them; `migrations` creates them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    false,
)

from exporter.model import Usage

metadata = MetaData()

# changes: how many commits changed the account, which tells whether what is in memory is up to date.
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
    Column("latest", BigInteger),
    Column("changes", BigInteger, nullable=False),
    Column("position", String),
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
    Column("open_cost", BigInteger, nullable=False),
    Column("start_counted", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
# A first import holds every session of the history, few of them unsettled.
_HELD = sessions.c.settled == false()
Index("sessions_held", sessions.c.account, sqlite_where=_HELD, postgresql_where=_HELD)

# Rows of the lists that were never usable; at and watermark are those of accounting.Rejection.
rejected = Table(
    "rejected",
    metadata,
    Column("account", ForeignKey(accounts.c.id), primary_key=True),
    Column("id", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("watermark", BigInteger),
    sqlite_with_rowid=False,
)

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

# Label values that an account has shown. The table keeps its released name.
words = Table(
    "words",
    metadata,
    Column("account", ForeignKey(accounts.c.id), primary_key=True),
    Column("label", String, primary_key=True),
    Column("value", String, primary_key=True),
    sqlite_with_rowid=False,
)

migrations = Table("ledger_migrations", metadata, Column("name", String, primary_key=True))
