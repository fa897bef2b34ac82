"""Whether others have committed to a file of SQLite: told without reading it anew, and never wrongly."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from exporter.ledger.errors import LedgerError, LedgerRefusedError
from exporter.ledger.sqlite import SqliteDatabase

LONG = 60.0  # seconds; never waited for
ALL = "SELECT word FROM notes"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.db"


@pytest.fixture
def file(path: Path) -> Iterator[SqliteDatabase]:
    """With the word `one` in it; it has been looked at once."""
    with closing(SqliteDatabase(f"sqlite:///{path}")) as made:
        with made.writing(LONG) as db:
            db.exec_driver_sql("CREATE TABLE notes (word)")
            db.exec_driver_sql("INSERT INTO notes VALUES ('one')")
        assert made.watch(ALL, LONG) is None, "at first, another connection looks"
        yield made


def add(file: SqliteDatabase, word: str) -> None:
    with file.writing(LONG) as db:
        db.exec_driver_sql(f"INSERT INTO notes VALUES ('{word}')")


@contextmanager
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def test_what_nobody_has_changed_is_not_read_again(file: SqliteDatabase) -> None:
    assert file.watch(ALL, LONG) == [("one",)]
    assert file.watch(ALL, LONG) is file.watch(ALL, LONG)


def test_commits_of_this_process_and_of_others_are_seen(file: SqliteDatabase, path: Path) -> None:
    assert file.watch(ALL, LONG) == [("one",)]
    add(file, "two")
    assert file.watch(ALL, LONG) == [("one",), ("two",)]
    with other(path) as connection:
        connection.execute("INSERT INTO notes VALUES ('three')")
    assert file.watch(ALL, LONG) == [("one",), ("two",), ("three",)]


def test_what_is_not_committed_is_not_seen_nor_waited_for(file: SqliteDatabase) -> None:
    with file.writing(LONG) as db:
        db.exec_driver_sql("INSERT INTO notes VALUES ('two')")
        assert file.watch(ALL, LONG) == [("one",)]


def test_a_process_that_has_not_written_leaves_it_to_another_connection(
    file: SqliteDatabase, path: Path
) -> None:
    with closing(SqliteDatabase(f"sqlite:///{path}")) as reader:
        assert [reader.watch(ALL, LONG) for _ in range(3)] == [None] * 3
    assert file.watch(ALL, LONG) == [("one",)]


@pytest.mark.parametrize("change", ["overwritten", "checkpointed"])
def test_a_file_that_has_changed_is_left_to_another_connection_once(
    file: SqliteDatabase, path: Path, change: str
) -> None:
    assert file.watch(ALL, LONG) == [("one",)]
    with other(path) as connection:
        if change == "overwritten":
            path.write_bytes(path.read_bytes() + bytes(4096))
        else:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert file.watch(ALL, LONG) is None
        assert file.watch(ALL, LONG) == [("one",)]


def test_a_file_that_is_gone_or_known_to_be_damaged_is_an_error(file: SqliteDatabase, path: Path) -> None:
    aside = path.with_name("aside")
    path.rename(aside)
    with pytest.raises(LedgerError, match="deleted or replaced"):
        file.watch(ALL, LONG)
    aside.rename(path)
    file.damaged("in pieces")
    with pytest.raises(LedgerRefusedError, match="in pieces"):
        file.watch(ALL, LONG)


def test_a_log_deleted_while_in_use_is_not_read_from(file: SqliteDatabase, path: Path) -> None:
    assert file.watch(ALL, LONG) == [("one",)]
    Path(f"{path}-wal").unlink()
    with pytest.raises(LedgerError, match="deleted while in use"):
        file.watch(ALL, LONG)
    add(file, "two")
    file.watch(ALL, LONG)
    assert file.watch(ALL, LONG) == [("one",), ("two",)]


def test_closed_it_leaves_no_log_behind(file: SqliteDatabase, path: Path) -> None:
    assert file.watch(ALL, LONG) == [("one",)]
    file.close()
    assert not Path(f"{path}-wal").exists()
