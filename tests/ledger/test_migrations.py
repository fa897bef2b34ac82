"""How a database comes to have the ledger's tables, and which ones never get them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, inspect, select, text

from exporter.ledger.database import database_at
from exporter.ledger.migrations import MIGRATIONS, ForeignDatabaseError, check, migrate
from exporter.ledger.queries import AccountState
from exporter.ledger.schema import metadata, migrations, sessions, totals
from exporter.ledger.store import Ledger, LedgerRefusedError
from exporter.model import HOUR, SECOND, Account, Usage
from tests.support.listings import MINUTE, T0, listing, session
from tests.support.recording import record

LONG = 60.0  # seconds; never waited for


@pytest.fixture
def db(ledger_url: str) -> Iterator[Connection]:
    database = database_at(ledger_url)
    with closing(database), database.creating(LONG) as connection:
        yield connection


def test_an_empty_database_gets_all_tables_once(db: Connection) -> None:
    for _ in range(2):
        check(db)
        migrate(db)
    assert set(inspect(db).get_table_names()) == set(metadata.tables)
    assert list(db.scalars(select(migrations.c.name))) == list(MIGRATIONS)


@pytest.mark.parametrize("table", ["customers", "sessions", "migrations", "ledger_migrations"])
def test_other_tables_are_refused(db: Connection, table: str) -> None:
    db.execute(text(f"CREATE TABLE {table} (name VARCHAR)"))
    with pytest.raises(ForeignDatabaseError, match="other tables"):
        check(db)


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS)))
def test_migrations_that_have_been_applied_are_not_applied_again(db: Connection, number: int) -> None:
    migrations.create(db)
    for name in [*MIGRATIONS][:number]:
        MIGRATIONS[name](db)
        db.execute(insert(migrations).values(name=name))
    assert not check(db)
    migrate(db)
    assert check(db)


def test_a_view_of_somebody_elses_is_refused(db: Connection) -> None:
    db.execute(text("CREATE VIEW now AS SELECT 1 AS one"))
    with pytest.raises(ForeignDatabaseError, match="other tables"):
        check(db)


def test_tables_of_our_names_with_other_columns_are_refused(db: Connection) -> None:
    migrate(db)
    db.execute(text("ALTER TABLE totals RENAME COLUMN value TO amount"))
    with pytest.raises(ForeignDatabaseError, match="totals has other columns than a ledger's"):
        check(db)


def test_a_later_versions_ledger_is_refused(db: Connection) -> None:
    migrate(db)
    db.execute(insert(migrations).values(name="9-later"))
    with pytest.raises(ForeignDatabaseError, match="later version"):
        check(db)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def refused(path: Path, words: str) -> None:
    """That is said of this file, at each try, and the file stays as it is."""
    content = path.read_bytes()
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        for _ in range(2):
            with pytest.raises(LedgerRefusedError, match=words) as told:
                ledger.open()
    assert str(path) in str(told.value)
    assert path.read_bytes() == content


def filled(path: Path) -> bytes:
    """A ledger's bytes, of many pages."""
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        record(ledger, listing(*(session(id=f"s{n}" * 20) for n in range(300))))
    return path.read_bytes()


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path) -> None:
    for content in (b"x", b"SQLite format 3\0", b"no database " * 100, bytes(4096)):
        path.write_bytes(content)
        refused(path, "not a database")


def test_a_ledger_cut_short_is_refused_and_left_as_it_is(path: Path) -> None:
    whole = filled(path)
    for length in (1, 99, 100, 511, 512, 4095, 4096, 4097, 8192, len(whole) - 4096):
        path.write_bytes(whole[:length])
        refused(path, "malformed|not a database|page")


def test_a_ledger_with_a_damaged_page_is_refused_and_left_as_it_is(path: Path) -> None:
    whole = filled(path)
    for start in range(0, len(whole), 4096):
        path.write_bytes(whole[:start] + bytes([0xA5]) * 4096 + whole[start + 4096 :])
        refused(path, "; name another file with --ledger.url; or stop the exporter and put back a copy")


def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    path.touch()
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        assert record(ledger, listing(session())).rows == 1


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE customers (name)"],
        ["CREATE TABLE migrations (id, migration)"],
        ["CREATE TABLE ledger_migrations (name)", "CREATE TABLE users (name)"],
        ["CREATE VIEW now AS SELECT 1"],
        ["PRAGMA user_version = 7"],
        ["PRAGMA application_id = 7"],
        ["PRAGMA journal_mode = WAL", "CREATE TABLE customers (name)"],
    ],
)
def test_somebody_elses_database_is_refused_and_left_as_it_is(path: Path, statements: list[str]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for statement in statements:
            other.execute(statement)
        refused(path, "other tables")
    refused(path, "other tables")


FILES = Path(__file__).parent / "files"
OURS = Account("browser_use", "ours")
THIRTY = T0 + 30 * MINUTE  # when the files' last listing of OURS was read


def restored(name: str, path: Path) -> dict[tuple[str, str], int]:
    """Make the ledger of a schema; returns its totals of OURS, by counter and detail."""
    with closing(sqlite3.connect(path)) as made:
        made.executescript((FILES / f"{name}.sql").read_text())
        found = made.execute("SELECT counter, detail, value FROM totals WHERE account = 1").fetchall()
    return {(counter, detail): value for counter, detail, value in found}


def shown(state: AccountState) -> dict[tuple[str, str], int]:
    return {(key.counter, key.label): value for key, value in state.totals.items()}


def test_a_file_is_kept_of_each_schema_that_ever_was() -> None:
    assert sorted(path.stem for path in FILES.glob("*.sql")) == sorted(MIGRATIONS)


@pytest.mark.parametrize("name", MIGRATIONS)
def test_a_ledger_of_each_schema_opens_with_its_totals_and_counts_on(path: Path, name: str) -> None:
    before = restored(name, path)
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        state = ledger.state(OURS)
        assert shown(state) == before
        assert {*state.unsettled} == {"open", "new"}
        assert state.departed == {"left"}
        ended = session(
            id="open", status="stopped", ending="stopped", ended=THIRTY, usage=Usage(30 * MINUTE, 1000, 17, 5)
        )
        new = session(id="new", created=THIRTY - MINUTE, usage=Usage(2 * MINUTE, 1000))
        later = record(ledger, listing(ended, new, time=THIRTY + MINUTE), account=OURS)
    after = shown(later)
    assert all(after[key] >= value for key, value in before.items())
    assert after["ended", "stopped"] == before["ended", "stopped"] + 1
    assert after["time", ""] == before["time", ""] + MINUTE
    # A ledger of the first schema has counted what was charged upfront; it neither falls nor counts twice.
    assert after["cost", "browser"] == before["cost", "browser"] + (0 if name == "1-tables" else 17)


@pytest.mark.parametrize("name", MIGRATIONS)
def test_a_session_of_an_older_ledger_that_was_counted_and_deleted_never_counts_again(
    path: Path, name: str
) -> None:
    before = restored(name, path)
    old = session(id="old", created=T0 - HOUR, ended=T0 - 50 * MINUTE, status="stopped", ending="stopped")
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        later = record(ledger, listing(old, time=T0), account=OURS)
    assert shown(later)["started", ""] == before["started", ""]


def test_the_durations_of_an_older_ledger_are_moved_to_shorter_buckets_where_they_are_known(
    db: Connection,
) -> None:
    migrations.create(db)
    names = [*MIGRATIONS]
    for name in names[: names.index("4-start-latency")]:
        MIGRATIONS[name](db)
        db.execute(insert(migrations).values(name=name))
    for statement in (OLD_ACCOUNT, OLD_TOTALS, *(OLD_ROW.format(*row) for row in OLD_ROWS)):
        db.execute(text(statement))
    migrate(db)
    assert check(db)
    found = db.execute(select(totals.c.series, totals.c.detail, totals.c.value).order_by(totals.c.series))
    assert sorted(tuple(row) for row in found) == [
        ('["p1","east"]', "1", 1),
        ('["p1","east"]', "10", 0),
        ('["p1","west"]', "1", 2),
        ('["p1","west"]', "10", 4),  # one that is kept, three that are not
        ('["p1","west"]', "30", 1),
        ('["p1","west"]', "5", 1),
    ]
    assert not any(db.scalars(select(sessions.c.start_counted)))


OLD_ACCOUNT = (
    "INSERT INTO accounts (id, provider, name, began, complete, listings, last_success)"
    " VALUES (1, 'browserbase', 'ours', 1, TRUE, 1, 1.5)"
)
OLD_TOTALS = (
    "INSERT INTO totals (account, series, counter, detail, value)"
    """ VALUES (1, '["p1","west"]', 'duration', '10', 7), (1, '["p1","west"]', 'duration', '30', 1),"""
    """ (1, '["p1","east"]', 'duration', '10', 1)"""
)
OLD_ROW = (
    "INSERT INTO sessions (account, id, series, created, time, proxy_bytes, browser_cost, proxy_cost, billed,"
    """ lowered, settled, ending) VALUES (1, '{0}', '["p1","{1}"]', 1, {2}, 0, 0, 0, 0, 0, TRUE, {3})"""
)
OLD_ROWS = (
    ("at once", "west", 0, "'error'"),
    ("1 s", "west", SECOND, "'error'"),
    ("5 s", "west", 5 * SECOND, "'completed'"),
    ("longer", "west", 5 * SECOND + 1, "'completed'"),
    ("11 s", "west", 11 * SECOND, "'completed'"),
    ("open", "west", SECOND, "NULL"),
    ("east", "east", SECOND // 2, "'completed'"),
)


@pytest.mark.parametrize("name", MIGRATIONS)
def test_every_schema_leads_to_the_same_tables_as_an_empty_file(
    path: Path, tmp_path: Path, name: str
) -> None:
    restored(name, path)
    fresh = tmp_path / "fresh.db"
    for file in (path, fresh):
        with closing(Ledger(f"sqlite:///{file}")) as ledger:
            ledger.open()
    assert _columns(path) == _columns(fresh)


def _columns(path: Path) -> set[tuple[object, ...]]:
    query = (
        'SELECT m.name, c.name, c.type, c."notnull", c.pk FROM sqlite_master m, pragma_table_info(m.name) c'
    )
    with closing(sqlite3.connect(path)) as db:
        return set(db.execute(query))
