"""A ledger copied into another database, of the same kind and of the other."""

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from exporter.ledger.copying import copy
from exporter.ledger.database import database_at
from exporter.ledger.errors import LedgerError, LedgerRefusedError
from exporter.ledger.store import Ledger
from exporter.ledger.summary import account_states, reading
from exporter.metrics.counters import PROXY_BYTES
from exporter.model import HOUR, Account, Usage
from tests.support.listings import MINUTE, T0, listing, session
from tests.support.recording import ACCOUNT, record

OTHER = Account("browser_use", "other")
KINDS = ("sqlite", "postgresql")
Databases = Callable[[str], str]


@pytest.fixture
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Databases:
    """Makes empty databases, and returns their URLs."""
    numbers = itertools.count()

    def empty(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{next(numbers)}.db"
        url: str = request.getfixturevalue("cluster").empty()
        return url

    return empty


def fill(url: str, sessions: int = 3) -> None:
    """Make a ledger: two accounts, sessions open, ended and departed, and a rejected row."""
    rows = [session(id=f"s{n}", created=T0 - n, usage=Usage(MINUTE, 100 * n, 7, n)) for n in range(sessions)]
    with closing(Ledger(url)) as ledger:
        record(ledger, listing(*rows, rejected_ids=frozenset({"odd"})))
        for hours in (1, 2):
            record(ledger, listing(*rows[1:], missing=("s0",), time=T0 + hours * HOUR))
        record(ledger, listing(session(id="s1", usage=Usage(HOUR, 5))), account=OTHER)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_a_copy_holds_what_its_source_does_and_counts_on(
    databases: Databases, source: str, target: str
) -> None:
    one, two = databases(source), databases(target)
    fill(one)
    proof = copy(one, two)
    with reading(one) as (name, before), reading(two) as (other, after):
        assert account_states(before) == account_states(after)
        assert (proof.source, proof.target) == (name, other)
    assert proof.rows == {
        "accounts": 2,
        "sessions": 4,
        "rejected": 1,
        "totals": proof.rows["totals"],
        "words": 0,
    }
    assert proof.totals[ACCOUNT][PROXY_BYTES, ""] == 300
    with closing(Ledger(two)) as ledger:
        third = Account("browserbase", "third")
        assert record(ledger, listing(session()), account=third).rows == 1
        later = record(ledger, listing(session(id="s1", usage=Usage(HOUR, 9))), account=OTHER)
    assert sum(value for key, value in later.totals.items() if key.counter == PROXY_BYTES) == 9


@pytest.mark.parametrize("target", KINDS)
def test_a_target_that_is_not_empty_is_refused_and_stays_as_it_is(databases: Databases, target: str) -> None:
    one, two = databases("sqlite"), databases(target)
    fill(one)
    fill(two, 5)
    with reading(two) as (_, db):
        before = account_states(db)
    with pytest.raises(LedgerRefusedError, match="holds a ledger of 2 accounts; name an empty database"):
        copy(one, two)
    with reading(two) as (_, db):
        assert account_states(db) == before


def test_a_ledger_without_accounts_is_as_good_as_an_empty_database(databases: Databases) -> None:
    one, two = databases("sqlite"), databases("postgresql")
    fill(one)
    with closing(Ledger(two)) as ledger:
        ledger.open()
    assert copy(one, two).rows["accounts"] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_somebody_elses_database_is_no_target(databases: Databases, kind: str) -> None:
    one, two = databases("sqlite"), databases(kind)
    fill(one)
    with closing(database_at(two)) as database, database.creating(60) as db:
        db.exec_driver_sql("CREATE TABLE customers (name VARCHAR)")
    with pytest.raises(LedgerRefusedError, match="other tables than a ledger's; name an empty database"):
        copy(one, two)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_ledger_nothing_is_copied(databases: Databases, kind: str) -> None:
    two = databases(kind)
    with pytest.raises(LedgerRefusedError, match="there is no ledger"):
        copy(databases(kind), two)
    with pytest.raises(LedgerRefusedError, match="there is no ledger"), reading(two):
        pass


def test_an_earlier_versions_ledger_is_not_changed_by_reading_it(databases: Databases) -> None:
    one = databases("sqlite")
    fill(one)
    with closing(database_at(one)) as database, database.writing(60) as db:
        db.exec_driver_sql("DELETE FROM ledger_migrations WHERE name LIKE '3-%'")
    with pytest.raises(LedgerRefusedError, match="an earlier version made it; start the exporter on it once"):
        copy(one, databases("sqlite"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_is_not_equal_is_not_kept(databases: Databases, kind: str) -> None:
    """Somebody's trigger changes what is inserted."""
    one, two = databases("sqlite"), databases(kind)
    fill(one)
    with closing(Ledger(two)) as ledger:
        ledger.open()
    with closing(database_at(two)) as database:
        with database.writing(60) as db:
            for statement in TRIGGERS[kind]:
                db.exec_driver_sql(statement)
        with pytest.raises(LedgerError, match=r"not equal to .*; nothing was kept"):
            copy(one, two)
        with database.reading(60) as db:
            assert not account_states(db)


FUNCTION = """
CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.value = NEW.value + 1; RETURN NEW; END'
"""
TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER odd AFTER INSERT ON totals BEGIN UPDATE totals SET value = value + 1; END",
    ],
    "postgresql": [
        FUNCTION,
        "CREATE TRIGGER odd BEFORE INSERT ON totals FOR EACH ROW EXECUTE FUNCTION odd()",
    ],
}

COPIER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
sys.path.insert(0, sys.argv[3])
from sqlalchemy import event
from sqlalchemy.engine import Engine
from exporter.ledger.copying import copy
@event.listens_for(Engine, "before_cursor_execute")
def stop(connection, cursor, statement, *rest):
    if "INSERT INTO totals" in statement:
        print("copying", flush=True)
        sys.stdin.read()
copy(sys.argv[1], sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("kind", KINDS)
def test_after_an_interruption_the_target_is_empty_and_a_copy_can_be_made(
    databases: Databases, kind: str, end: signal.Signals
) -> None:
    one, two = databases("sqlite"), databases(kind)
    fill(one, 3000)
    command = [sys.executable, "-c", COPIER, one, two, str(Path(__file__).parents[2])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as made:
        assert made.stdout is not None
        try:
            assert made.stdout.readline() == b"copying\n"
            made.send_signal(end)
            made.wait(60)
        finally:
            made.kill()  # or leaving the block would wait for it
    assert copy(one, two).rows["sessions"] == 3001
