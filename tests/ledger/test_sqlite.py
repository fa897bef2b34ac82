"""One file of SQLite under faults: locked, read-only, damaged, deleted, and back again."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread, Timer

import pytest

from exporter.ledger.errors import LedgerError, LedgerRefusedError
from exporter.ledger.sqlite import SqliteDatabase, can_share_memory
from tests.support.disks import closable, read_only

LONG = 60.0  # seconds; never waited for
CREATE, ADD, ALL = "CREATE TABLE notes (word)", "INSERT INTO notes VALUES ('{}')", "SELECT word FROM notes"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a #file.db"


@pytest.fixture
def file(path: Path) -> Iterator[SqliteDatabase]:
    """With the word `one` in it."""
    with opened(path) as made:
        add(made, CREATE)
        add(made, ADD.format("one"))
        yield made


@contextmanager
def opened(path: Path) -> Iterator[SqliteDatabase]:
    with closing(SqliteDatabase(f"sqlite:///{path}")) as made:
        yield made


def add(file: SqliteDatabase, statement: str, seconds: float = LONG) -> None:
    with file.writing(seconds) as db:
        db.exec_driver_sql(statement)


def words(file: SqliteDatabase) -> list[str]:
    with file.reading(0) as db:
        return list(db.exec_driver_sql(ALL).scalars())


def found(path: Path) -> list[str]:
    """What somebody else finds in it."""
    with closing(sqlite3.connect(path)) as other:
        return [word for (word,) in other.execute(ALL)]


@contextmanager
def locked(path: Path, lock: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Somebody else writes."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute(lock)
        yield other


def test_every_commit_is_synced_and_goes_to_a_log(file: SqliteDatabase) -> None:
    with file.writing(LONG) as db:
        set_to = [db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")]
    assert set_to == [2, "wal"]


def test_a_transaction_that_fails_leaves_nothing_behind(file: SqliteDatabase, path: Path) -> None:
    def fail() -> None:
        with file.writing(LONG) as db:
            db.exec_driver_sql(ADD.format("half"))
            db.exec_driver_sql("nonsense")

    with pytest.raises(LedgerError, match="syntax error"):
        fail()
    with locked(path):
        assert words(file) == ["one"]
    add(file, ADD.format("two"))
    assert found(path) == ["one", "two"]


def test_reading_waits_for_no_writer(file: SqliteDatabase, path: Path) -> None:
    with locked(path) as other:
        other.execute(ADD.format("two"))
        assert words(file) == ["one"]
        other.execute("COMMIT")
    with file.writing(LONG) as db:
        db.exec_driver_sql(ADD.format("three"))
        assert words(file) == ["one", "two"]


def test_writing_takes_the_lock_before_it_reads(file: SqliteDatabase, path: Path) -> None:
    with (
        file.writing(LONG),
        pytest.raises(sqlite3.OperationalError, match="locked"),
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")


def test_a_lock_that_is_soon_released_is_waited_for(file: SqliteDatabase, path: Path) -> None:
    with locked(path) as other:
        released = Timer(0.1, lambda: other.execute("COMMIT"))
        released.start()
        add(file, ADD.format("two"))
        released.join()
    assert words(file) == ["one", "two"]


def test_a_lock_that_stays_is_an_error_that_names_the_file(file: SqliteDatabase, path: Path) -> None:
    with locked(path), pytest.raises(LedgerError, match=r"a #file\.db: database is locked; another process"):
        add(file, ADD.format("two"), 0.05)
    add(file, ADD.format("two"))
    assert found(path) == ["one", "two"]


def test_a_file_that_is_locked_even_for_readers_is_an_error_and_no_more(
    file: SqliteDatabase, path: Path
) -> None:
    with opened(path) as fresh:
        file.close()
        with locked(path, "PRAGMA locking_mode = EXCLUSIVE") as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(LedgerError, match="locked"):
                words(fresh)
            with pytest.raises(LedgerError, match="locked"):
                add(fresh, ADD.format("two"), 0.05)
        assert words(fresh) == ["one"]


def test_one_that_is_stuck_makes_nobody_else_wait_for_ever(file: SqliteDatabase) -> None:
    stuck, go_on = Event(), Event()

    def hang() -> None:
        with file.writing(LONG) as db:
            db.exec_driver_sql(ADD.format("late"))
            stuck.set()
            go_on.wait(LONG)

    other = Thread(target=hang)
    other.start()
    assert stuck.wait(LONG)
    with pytest.raises(LedgerError, match="busy with other accounts"):
        add(file, ADD.format("two"), 0.05)
    assert words(file) == ["one"]
    go_on.set()
    other.join()
    add(file, ADD.format("two"))
    assert words(file) == ["one", "late", "two"]


def test_what_is_on_a_read_only_disk_is_read_and_written_when_it_can_be(tmp_path: Path) -> None:
    with closable(tmp_path / "disk") as folder:
        path = folder / "ledger.db"
        with opened(path) as first:
            add(first, CREATE)
            add(first, ADD.format("one"))
        assert not Path(f"{path}-wal").exists()
        with opened(path) as file:
            with read_only(folder):
                assert words(file) == ["one"]
                with pytest.raises(LedgerError, match="writable for this user"):
                    add(file, ADD.format("lost"))
                assert words(file) == ["one"]
            add(file, ADD.format("two"))
            assert found(path) == words(file) == ["one", "two"]


def test_what_a_killed_process_had_half_done_before_there_was_a_log_is_undone(tmp_path: Path) -> None:
    path, killed = tmp_path / "ledger.db", tmp_path / "killed.db"
    with closing(sqlite3.connect(killed, isolation_level=None)) as half:
        for statement in (CREATE, ADD.format("one"), "PRAGMA cache_size = 1", "BEGIN"):
            half.execute(statement)
        half.executemany(ADD.format("half").replace("'half'", "?"), [["half" * 1000]] * 9)
        for end in ("", "-journal"):
            Path(f"{path}{end}").write_bytes(Path(f"{killed}{end}").read_bytes())
    with opened(path) as file:
        assert words(file) == ["one"]
        add(file, ADD.format("two"))
        assert words(file) == ["one", "two"]


def test_what_a_killed_process_left_in_its_log_is_read_from_a_read_only_disk(tmp_path: Path) -> None:
    with closable(tmp_path / "disk") as folder:
        path, other = folder / "ledger.db", tmp_path / "other.db"
        with opened(other) as killed:
            add(killed, CREATE)
            add(killed, ADD.format("one"))
            for end in ("", "-wal", "-shm"):
                Path(f"{path}{end}").write_bytes(Path(f"{other}{end}").read_bytes())
        with opened(path) as file:
            with read_only(folder):
                assert words(file) == ["one"]
                with pytest.raises(LedgerError, match="writable for this user"):
                    add(file, ADD.format("lost"))
            add(file, ADD.format("two"))
            assert words(file) == ["one", "two"]


def test_a_log_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    with closable(tmp_path / "disk") as folder:
        path, other = folder / "ledger.db", tmp_path / "other.db"
        with opened(other) as killed:
            add(killed, CREATE)
            for end in ("", "-wal"):
                Path(f"{path}{end}").write_bytes(Path(f"{other}{end}").read_bytes())
        with opened(path) as file:
            with read_only(folder), pytest.raises(LedgerError, match="writable for this user"):
                words(file)
            assert words(file) == []


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_a_log_deleted_while_in_use_is_an_error_once_and_loses_nothing(
    file: SqliteDatabase, path: Path, end: str
) -> None:
    Path(f"{path}{end}").unlink()
    with pytest.raises(LedgerError, match=f"{end}: deleted while in use"):
        add(file, ADD.format("lost"))
    add(file, ADD.format("two"))
    assert found(path) == words(file) == ["one", "two"]


def test_a_file_deleted_while_in_use_takes_nothing_more_until_it_is_back(
    file: SqliteDatabase, path: Path
) -> None:
    aside = path.with_name("aside")
    path.rename(aside)
    for use in (words, lambda one: add(one, ADD.format("lost")), SqliteDatabase.check):
        with pytest.raises(LedgerError, match="deleted or replaced"):
            use(file)
    path.write_bytes(b"")
    with pytest.raises(LedgerError, match="deleted or replaced"):
        words(file)
    assert path.read_bytes() == b""
    aside.rename(path)
    add(file, ADD.format("two"))
    assert found(path) == words(file) == ["one", "two"]


def test_what_was_committed_to_a_file_deleted_meanwhile_is_not_told(file: SqliteDatabase, path: Path) -> None:
    def deleted_before_its_end() -> None:
        with file.writing(LONG) as db:
            db.exec_driver_sql(ADD.format("two"))
            path.unlink()

    with pytest.raises(LedgerError, match="deleted or replaced"):
        deleted_before_its_end()


def test_a_damaged_file_is_left_as_it_is_from_then_on(file: SqliteDatabase, path: Path) -> None:
    file.close()
    content = path.read_bytes()
    damaged = content[:4096] + bytes([0xA5]) * (len(content) - 4096)
    path.write_bytes(damaged)
    with opened(path) as later:
        with pytest.raises(LedgerRefusedError, match=r"malformed; name another file with --ledger.url"):
            words(later)
        path.write_bytes(content)
        with pytest.raises(LedgerRefusedError, match="malformed"):
            add(later, ADD.format("two"))
    assert path.read_bytes() == content


def test_reading_makes_no_file_where_one_has_gone(path: Path) -> None:
    with opened(path) as file:
        with pytest.raises(LedgerError, match="unable to open database file; its folder must exist"):
            words(file)
        assert not path.exists()


def test_a_file_comes_where_none_is_and_not_where_none_can_be(tmp_path: Path) -> None:
    with opened(tmp_path / "later" / "ledger.db") as file:
        assert not file.exists()
        with pytest.raises(LedgerError, match="its folder must exist"):
            add(file, CREATE)
        (tmp_path / "later").mkdir()
        add(file, CREATE)
        assert file.exists()
    with opened(tmp_path) as folder, pytest.raises(LedgerRefusedError, match="is a folder"):
        folder.exists()


def test_a_file_too_short_for_a_database_is_none_whatever_sqlite_says(path: Path) -> None:
    for content in (b"x", b"short", b"SQLite format 3\0"):
        path.write_bytes(content)
        with opened(path) as file, pytest.raises(LedgerRefusedError, match="not a database"):
            file.exists()


def test_without_shared_memory_there_is_no_log_and_everything_else_holds(path: Path) -> None:
    """As on some network file systems; two processes add one after the other."""
    with (
        closing(SqliteDatabase(f"sqlite:///{path}", shares_memory=lambda _: False)) as one,
        closing(SqliteDatabase(f"sqlite:///{path}", shares_memory=lambda _: False)) as two,
    ):
        add(one, CREATE)
        for file, word in ((one, "one"), (two, "two"), (one, "three")):
            add(file, ADD.format(word))
            assert not Path(f"{path}-wal").exists()
        with one.writing(LONG) as db:
            set_to = [
                db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")
            ]
        assert words(one) == words(two) == found(path) == ["one", "two", "three"]
    assert set_to == [2, "delete"]


def test_a_file_moved_to_where_no_memory_is_shared_leaves_its_log(file: SqliteDatabase, path: Path) -> None:
    file.close()
    with closing(SqliteDatabase(f"sqlite:///{path}", shares_memory=lambda _: False)) as moved:
        add(moved, ADD.format("two"))
        assert not Path(f"{path}-wal").exists()
        assert words(moved) == found(path) == ["one", "two"]
    assert path.read_bytes()[18:20] == b"\x01\x01", "the file says that it needs no log"


def test_a_local_folder_shares_memory_and_one_that_is_not_there_is_sqlites_to_say(tmp_path: Path) -> None:
    assert can_share_memory(tmp_path)
    assert can_share_memory(tmp_path / "missing")
