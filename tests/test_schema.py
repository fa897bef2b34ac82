"""How a database comes to have the ledger's tables."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine, insert, inspect, select, text
from sqlalchemy.pool import StaticPool

from exporter.schema import MIGRATIONS, ForeignDatabaseError, check, metadata, migrate, migrations


@pytest.fixture
def db() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def test_an_empty_database_gets_all_tables_once(db: Connection) -> None:
    for _ in range(2):
        check(db)
        migrate(db)
    assert set(inspect(db).get_table_names()) == set(metadata.tables)
    assert list(db.scalars(select(migrations.c.name))) == list(MIGRATIONS)


@pytest.mark.parametrize("table", ["customers", "sessions", "migrations", "ledger_migrations"])
def test_other_tables_are_refused(db: Connection, table: str) -> None:
    db.execute(text(f"CREATE TABLE {table} (name)"))
    with pytest.raises(ForeignDatabaseError, match="other tables"):
        check(db)


def test_a_later_versions_ledger_is_refused(db: Connection) -> None:
    migrate(db)
    db.execute(insert(migrations).values(name="9-later"))
    with pytest.raises(ForeignDatabaseError, match="later version"):
        check(db)
