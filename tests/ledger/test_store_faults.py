"""The installed command while its ledger cannot be written, or read, and after that."""

import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from exporter.ledger.store import Ledger
from tests.support.disks import closable, disk, full, no_growth, read_only
from tests.support.ledger_files import Course, Page, course, scraped
from tests.support.processes import COMMAND, Exporter, exporter, run, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def world() -> Iterator[Course]:
    with course() as made:
        yield made


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process has the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def away(path: Path) -> Iterator[None]:
    """A file or folder is moved elsewhere, and back."""
    elsewhere = path.rename(path.with_name("elsewhere"))
    yield
    elsewhere.rename(path)


@contextmanager
def replaced(path: Path) -> Iterator[None]:
    """Another file stands in its place."""
    with away(path):
        path.write_bytes(b"")
        yield
        assert path.read_bytes() == b""


Strike = Callable[[Exporter, Path], AbstractContextManager[None]]
FAULTS: dict[str, Strike] = {
    "the disk is full": lambda _, path: full(path.parent),
    "no file may grow": lambda process, _: no_growth(process),
    "another process has the lock": lambda _, path: locked(path),
    "the file is away": lambda _, path: away(path),
    "another file is in its place": lambda _, path: replaced(path),
    "the folder is away": lambda _, path: away(path.parent),
}


@contextmanager
def folder_for(fault: str, where: Path) -> Iterator[Path]:
    made = {"the disk is full": disk, "the disk is read-only": closable}.get(fault, folder_at)
    with made(where) as folder:
        yield folder


@contextmanager
def folder_at(where: Path) -> Iterator[Path]:
    where.mkdir()
    yield where


@pytest.mark.parametrize("fault", FAULTS)
def test_while_the_ledger_cannot_be_written_gauges_go_on_and_afterwards_nothing_is_lost(
    world: Course, tmp_path: Path, fault: str
) -> None:
    with folder_for(fault, tmp_path / "state") as folder:
        path = folder / "ledger.db"
        with exporter(*world.flags(tmp_path, path)) as process:
            before = scraped(process)
            assert (before.counters, before.errors) == (world.counters(), {})
            with FAULTS[fault](process, path):
                during = [pulled_later(world, process) for _ in range(2)]
            for number, page in enumerate(during, 1):
                assert page.counters == before.counters
                assert page.errors == {"ledger": 2 * number}, "once a scrape, for each of two accounts"
                assert page.write_errors == 2 * number
            wait_until(lambda: len(lines(process)) >= 2, "lines of the log")
            assert len(lines(process)) == 2, "one line for each account, not for each scrape"
            assert all(str(path) in line for line in lines(process))
            after = pulled_later(world, process)
            assert (after.counters, after.errors) == (world.counters(), during[-1].errors)
            assert process.get("/-/ready").status_code == 200
            process.kill()
        with exporter(*world.flags(tmp_path, path)) as process:
            assert pulled_later(world, process).counters == world.counters()


def pulled_later(world: Course, process: Exporter) -> Page:
    """A scrape after sessions have gone on: both accounts are up, and their lists as they are now."""
    world.step()
    page = scraped(process)
    assert page.up == 2
    assert page.gauges == world.gauges()
    return page


def lines(process: Exporter) -> list[str]:
    """The warnings of scrapes that the ledger failed."""
    return [line for line in process.log.splitlines() if "level=warning" in line and "reason=ledger" in line]


MEANWHILE: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "the disk is read-only": lambda path: read_only(path.parent),
    "the disk is full": lambda path: full(path.parent),
    "another process has the lock": locked,
}


def ended(world: Course, folder: Path, end: signal.Signals) -> Page:
    """What was shown by an exporter that has ended since."""
    with exporter(*world.flags(folder, folder / "state" / "ledger.db")) as process:
        page = scraped(process)
        process.signal(end)
        process.wait()
    assert page.counters == world.counters()
    return page


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        ("the disk is read-only", signal.SIGTERM),
        ("the disk is read-only", signal.SIGKILL),
        ("the disk is full", signal.SIGTERM),
        ("the disk is full", signal.SIGKILL),
        ("another process has the lock", signal.SIGKILL),
    ],
)
def test_started_while_the_ledger_cannot_be_written_it_shows_what_that_holds(
    world: Course, tmp_path: Path, fault: str, end: signal.Signals
) -> None:
    folder = tmp_path / "state"
    with folder_for(fault, folder), ExitStack() as struck:
        before = ended(world, tmp_path, end)
        path = folder / "ledger.db"
        struck.enter_context(MEANWHILE[fault](path))
        with exporter(*world.flags(tmp_path, path)) as process:
            during = pulled_later(world, process)
            assert (during.counters, during.errors) == (before.counters, {"ledger": 2})
            struck.close()
            assert pulled_later(world, process).counters == world.counters()


def test_what_a_kill_leaves_beside_the_ledger_may_be_lost(world: Course, tmp_path: Path) -> None:
    """The index is made anew; what was in the log only is counted from the providers' lists again."""
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "ledger.db"
    for left in ("-shm", "-wal"):
        ended(world, tmp_path, signal.SIGKILL)
        Path(f"{path}{left}").unlink()
        world.step()
    with exporter(*world.flags(tmp_path, path)) as process:
        assert pulled_later(world, process).counters == world.counters()


def test_a_ledger_whose_folder_is_missing_is_begun_when_that_is_there(world: Course, tmp_path: Path) -> None:
    path = tmp_path / "later" / "ledger.db"
    with exporter(*world.flags(tmp_path, path)) as process:
        process.wait_for_log(rf"level=warning .*cannot be opened yet.*{path}: .*its folder must exist")
        assert process.get("/-/ready").status_code == 503
        page = pulled_later(world, process)
        assert (page.counters, page.errors, page.write_errors) == ({}, {"ledger": 2}, 2)
        path.parent.mkdir()
        assert process.get("/-/ready").status_code == 200
        assert pulled_later(world, process).counters == world.counters()


def test_a_ledger_damaged_while_in_use_is_left_as_it_is_and_refused_at_the_next_start(
    world: Course, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "ledger.db"
    ended(world, tmp_path, signal.SIGTERM)
    with exporter(*world.flags(tmp_path, path)) as process:
        before = pulled_later(world, process)
        damaged = path.read_bytes()[:4096] + bytes([0xA5]) * (path.stat().st_size - 4096)
        path.write_bytes(damaged)
        during = pulled_later(world, process)
        assert (during.counters, during.errors) == (before.counters, {"ledger": 2})
        assert all("; stop the exporter and put back a copy" in line for line in lines(process))
        assert process.get("/-/ready").status_code == 503
        process.kill()
    assert path.read_bytes() == damaged
    code, _, errors = run(COMMAND, *world.flags(tmp_path, path))
    assert (code, str(path) in errors.splitlines()[-1]) == (1, True)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("kind", ["a folder", "a text", "a later version's"])
def test_what_is_no_ledger_ends_the_start_with_a_line_that_names_it(
    world: Course, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "ledger.db"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a text":
        path.write_text("notes, not a database\n" * 100)
    else:
        with closing(Ledger(f"sqlite:///{path}")) as ledger:
            ledger.open()
        with closing(sqlite3.connect(path)) as later, later:
            later.execute("INSERT INTO ledger_migrations VALUES ('9-later')")
    content = path.is_file() and path.read_bytes()
    code, out, errors = run(COMMAND, *world.flags(tmp_path, path))
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert errors.startswith(f"cloud-browser-exporter: {path}: ")
    assert content == (path.is_file() and path.read_bytes())
