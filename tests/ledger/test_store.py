"""The ledger on real databases: opened again, killed, shared, locked."""

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck
from hypothesis.stateful import invariant

from exporter.labels import SeenLabelValues
from exporter.ledger.accounting import AccountingPolicy
from exporter.ledger.queries import FAR_FUTURE, MOST, AccountState
from exporter.ledger.store import Ledger, LedgerError, RecordedListing
from exporter.metrics.counters import COST, ENDED, PROXY_BYTES, STARTED, CounterKey
from exporter.model import HOUR, SECOND, UNKNOWN, Account, Listing, ReadWindow, Usage
from tests.support.accounting_machine import World
from tests.support.examples import examples
from tests.support.listings import MINUTE, RULES, SETTLE, SKIP, T0, WEST, listing, session
from tests.support.recording import ACCOUNT, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def in_file(path: Path) -> Iterator[Ledger]:
    with closing(Ledger(f"sqlite:///{path}")) as opened:
        yield opened


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with closing(Ledger(ledger_url)) as opened:
        yield opened


class Durable:
    """The progress in a database, opened anew whenever the process is said to have stopped."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ledger = Ledger(url)
        self.state = AccountState()

    def record(self, listing: Listing, policy: AccountingPolicy) -> None:
        self.state = record(self.ledger, listing, policy)

    def window(self, policy: AccountingPolicy) -> ReadWindow:
        return self.state.window(policy)

    def totals(self) -> dict[CounterKey, int]:
        return dict(self.state.totals)

    def rows(self) -> int:
        return self.state.rows

    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.url)
        shown, self.state = self.state, self.ledger.state(ACCOUNT)
        # What is kept in memory alone is no more than it was; totals do not depend on it.
        assert self.state.last_sessions.keys() <= shown.last_sessions.keys()
        last = {"last_sessions": self.state.last_sessions}
        assert self.state == msgspec.structs.replace(shown, **last)


@pytest.mark.parametrize(("kind", "number"), [("sqlite", 60), ("postgresql", 30)])
def test_committed_totals_equal_the_truth_over_random_histories(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, number: int
) -> None:
    numbers = itertools.count()

    def empty() -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{next(numbers)}.db"
        url: str = request.getfixturevalue("cluster").empty()
        return url

    class DurableWorld(World):
        def make(self) -> Durable:
            return Durable(empty())

        @invariant()
        def last_sessions_are_some_that_were_counted(self) -> None:
            assert isinstance(self.store, Durable)
            for key, last in self.store.state.last_sessions.items():
                known = self.known[last.id]
                assert key.series == known.series
                assert key.counter != ENDED or key.label == (known.ending or ("", 0))[0]
                assert known.ending is not None

        def teardown(self) -> None:
            assert isinstance(self.store, Durable)
            self.store.ledger.close()

    case = DurableWorld.TestCase
    case.settings = examples(number, stateful_step_count=25, suppress_health_check=list(HealthCheck))
    case().runTest()


def test_an_unknown_account_has_nothing(ledger: Ledger) -> None:
    assert ledger.state(ACCOUNT) == AccountState()


def test_what_is_returned_is_what_a_later_start_knows(ledger: Ledger, ledger_url: str) -> None:
    shown = record(ledger, listing(session(usage=Usage(SECOND, 7, 8, 9))))
    with closing(Ledger(ledger_url)) as later:
        assert later.state(ACCOUNT) == shown
    assert shown.totals[CounterKey(WEST, PROXY_BYTES)] == 7
    assert (shown.rows, shown.last_success) == (1, 1.5)


def test_accounts_of_one_name_at_two_providers_are_two(ledger: Ledger) -> None:
    record(ledger, listing(session()))
    other = record(ledger, listing(session(), session(id="s2")), account=Account("browser_use", ACCOUNT.name))
    assert other.totals[CounterKey(WEST, STARTED)] == 2
    assert ledger.state(ACCOUNT).totals[CounterKey(WEST, STARTED)] == 1


def test_words_once_shown_stay(ledger: Ledger, ledger_url: str) -> None:
    words = SeenLabelValues(frozenset({"paused"}), frozenset({"mars-1"}), frozenset({"project"}))
    ledger.record(ACCOUNT, RecordedListing(listing(session()), AccountState(), words, at=1.0), RULES)
    with closing(Ledger(ledger_url)) as later:
        assert later.state(ACCOUNT).words == words


def test_two_ledgers_on_one_file_count_a_session_once(ledger: Ledger, ledger_url: str) -> None:
    with closing(Ledger(ledger_url)) as replica:
        for used in range(1, 20):
            one = record(ledger, listing(session(usage=Usage(SECOND, 10 * used))))
            two = record(replica, listing(session(usage=Usage(SECOND, 10 * used + 5))))
    assert one.totals[CounterKey(WEST, PROXY_BYTES)] == 190
    assert two.totals[CounterKey(WEST, PROXY_BYTES)] == 195
    assert two.totals[CounterKey(WEST, STARTED)] == 1


def test_a_listing_that_another_process_overtook_counts_no_session_twice(
    ledger: Ledger, ledger_url: str
) -> None:
    """It was read while a session was open that has settled since, and is no longer kept."""
    known = ledger.state(ACCOUNT)
    done = session(status="stopped", ending="stopped", ended=T0)
    with closing(Ledger(ledger_url)) as replica:
        later = record(replica, listing(done, session(id="s2", created=T0 + HOUR), time=T0 + HOUR))
    assert later.rows == 1
    state = ledger.record(
        ACCOUNT, RecordedListing(listing(session()), known, SeenLabelValues(), at=1.5), RULES
    )
    assert (state.rows, state.totals) == (later.rows, later.totals)


def test_while_another_process_writes_nothing_is_counted_and_nothing_lost(
    in_file: Ledger, path: Path
) -> None:
    record(in_file, listing(session()))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match=r"ledger\.db: database is locked; another process"):
            record(in_file, listing(session(usage=Usage(SECOND, 9))))
        other.execute("ROLLBACK")
    assert (
        record(in_file, listing(session(usage=Usage(SECOND, 9)))).totals[CounterKey(WEST, PROXY_BYTES)] == 9
    )


def test_a_missing_folder_is_said_and_may_come_later(tmp_path: Path) -> None:
    with closing(Ledger(f"sqlite:///{tmp_path}/later/ledger.db")) as ledger:
        with pytest.raises(LedgerError, match="its folder must exist"):
            ledger.open()
        (tmp_path / "later").mkdir()
        assert record(ledger, listing(session())).rows == 1


def ended(number: int) -> tuple[Listing, ...]:
    """A history of so many ended sessions, as partial listings."""
    old = (
        session(
            id=f"s{n}",
            created=T0 - (n + 1) * SECOND,
            ended=T0 - n * SECOND,
            status="stopped",
            ending="stopped",
        )
        for n in range(number)
    )
    rows = tuple(old)
    return tuple(listing(*rows[at : at + 5000], time=T0 + HOUR, covers=None) for at in range(0, number, 5000))


def test_a_history_passes_through_and_leaves_neither_rows_nor_file(path: Path) -> None:
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        for part in ended(20_000):
            state = record(ledger, part)
    assert (state.rows, state.progress and state.progress.complete) == (20_000, False)
    grown = path.stat().st_size
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        for _ in range(3):
            state = record(ledger, listing(time=T0 + HOUR))
    assert (state.rows, state.totals[CounterKey(WEST, ENDED, "stopped")]) == (0, 20_000)
    assert path.stat().st_size < grown / 10


def test_an_import_that_was_interrupted_counts_each_session_once(ledger: Ledger) -> None:
    for part in (*ended(10_000), *ended(12_000)):
        state = record(ledger, part)
    assert state.totals[CounterKey(WEST, STARTED)] == 12_000


def test_a_history_that_has_settled_when_first_seen_never_becomes_a_row(ledger: Ledger) -> None:
    whole = [one for part in ended(3000) for one in part.sessions]
    assert record(ledger, listing(*whole, session(id="now", created=T0 + HOUR), time=T0 + HOUR)).rows == 1


def test_the_window_is_everything_then_the_watermark_and_what_is_unsettled(ledger: Ledger) -> None:
    assert AccountState().window(RULES) == ReadWindow(None)
    assert AccountState().window(SKIP) == ReadWindow(FAR_FUTURE)
    state = record(ledger, listing(session(), session(id="s2", created=T0 + 2 * HOUR), time=T0 + 2 * HOUR))
    settled = T0 + 2 * HOUR - SETTLE
    assert state.window(RULES) == ReadWindow(
        settled + 1, {"s1": T0, "s2": T0 + 2 * HOUR}, ended_after=settled
    )


WRITER = """
import sys
from contextlib import closing
sys.path.insert(0, sys.argv[2])
from exporter.ledger.store import Ledger
from exporter.metrics.counters import PROXY_BYTES, CounterKey
from exporter.model import SECOND, Usage
from tests.support.listings import WEST, listing, session
from tests.support.recording import ACCOUNT, record
with closing(Ledger(sys.argv[1])) as ledger:
    used = ledger.state(ACCOUNT).totals.get(CounterKey(WEST, PROXY_BYTES), 0) // 3
    while True:
        used += 1
        rows = [session(id=f"s{n}", usage=Usage(SECOND, used)) for n in range(3)]
        state = record(ledger, listing(*rows))
        print(sum(state.totals.values()), flush=True)
"""


@pytest.mark.slow
def test_no_value_was_shown_that_a_later_start_does_not_know(ledger_url: str) -> None:
    """A process that shows what it recorded is killed at random moments."""
    is_file = ledger_url.startswith("sqlite")
    luck = random.Random(50)
    for _ in range(50 if is_file else 15):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, ledger_url, str(Path(__file__).parents[2])],
            stdout=subprocess.PIPE,
            text=True,
        )
        with writer:
            assert writer.stdout is not None
            shown = [int(writer.stdout.readline()) for _ in range(luck.randint(1, 12))]
            # Somewhere within a transaction: so many bytes of the log later, or at once.
            os.kill(writer.pid, signal.SIGKILL)
            shown += [int(line) for line in writer.stdout if line.endswith("\n")]
        with closing(Ledger(ledger_url)) as later:
            known = sum(later.state(ACCOUNT).totals.values())
        assert known >= shown[-1]
        assert shown == sorted(shown)
    if is_file:
        with closing(sqlite3.connect(ledger_url.removeprefix("sqlite:///"))) as check:
            assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_session_that_left_while_open_and_comes_back_ended_counts_on(ledger: Ledger) -> None:
    left = session(usage=Usage(MINUTE, 10))
    others = [session(id=f"o{hour}", created=T0 + hour * HOUR) for hour in range(4)]
    record(ledger, listing(left, *others[:1]))
    for hour in (1, 2, 3):
        state = record(ledger, listing(*others, missing=("s1",), time=T0 + hour * HOUR))
    assert state.departed == state.window(RULES).departed == {"s1"}
    assert state.totals[CounterKey(WEST, ENDED, UNKNOWN)] == 1
    assert state.window(RULES).includes("s1", T0, is_open=False)
    back = msgspec.structs.replace(left, usage=Usage(MINUTE, 5000), ended=T0 + MINUTE, ending="completed")
    state = record(ledger, listing(back, *others, time=T0 + 4 * HOUR))
    assert state.totals[CounterKey(WEST, PROXY_BYTES)] == 5000
    assert state.totals[CounterKey(WEST, ENDED, UNKNOWN)] == 1, "it ended once"
    assert not state.window(RULES).includes("s1", T0, is_open=False), "it has settled"


def test_a_total_stays_at_the_most_that_there_is(ledger: Ledger) -> None:
    for number in range(3):
        state = record(ledger, listing(session(id=f"s{number}", usage=Usage(0, 2**62))))
    assert state.totals[CounterKey(WEST, PROXY_BYTES)] == MOST
    dear = AccountingPolicy(SETTLE, proxy_per_gb=10**15)
    state = record(ledger, listing(session(id="dear", usage=Usage(0, 10**15))), dear)
    assert state.totals[CounterKey(WEST, COST, "proxy")] == MOST


def test_totals_are_whole_beyond_what_a_float_holds(ledger: Ledger) -> None:
    big = 10**15
    for number in range(40):
        state = record(ledger, listing(session(id=f"s{number}", usage=Usage(0, big + 1))))
    assert state.totals[CounterKey(WEST, PROXY_BYTES)] == 40 * (big + 1)
    assert Counter(state.totals)[CounterKey(WEST, STARTED)] == 40


def test_a_listing_that_changes_nothing_is_not_written(in_file: Ledger, path: Path) -> None:
    done = session(status="stopped", ending="stopped", ended=T0 + MINUTE)
    for minute in (2, 20, 40):
        state = record(in_file, listing(done, time=T0 + minute * MINUTE))
    before = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    again = in_file.record(
        ACCOUNT, RecordedListing(listing(time=T0 + HOUR), state, state.words, at=9.0), RULES
    )
    assert again == msgspec.structs.replace(state, last_success=9.0)
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == before
    with closing(Ledger(f"sqlite:///{path}")) as later:
        assert later.state(ACCOUNT).last_success == 1.5, "that of the last listing that changed something"


def test_what_another_process_has_written_is_read_again(ledger: Ledger, ledger_url: str) -> None:
    record(ledger, listing(session(usage=Usage(SECOND, 5))))
    with closing(Ledger(ledger_url)) as replica:
        theirs = record(replica, listing(session(usage=Usage(SECOND, 9))))
    assert ledger.state(ACCOUNT) == theirs
    later = record(ledger, listing(session(usage=Usage(SECOND, 9))))
    assert later.totals[CounterKey(WEST, PROXY_BYTES)] == 9


def test_what_another_process_writes_between_reading_and_recording_is_not_counted_twice(
    ledger: Ledger, ledger_url: str
) -> None:
    known = record(ledger, listing(session(usage=Usage(SECOND, 5))))
    with closing(Ledger(ledger_url)) as replica:
        record(replica, listing(session(usage=Usage(SECOND, 9))))
    mine = RecordedListing(listing(session(usage=Usage(SECOND, 12))), known, known.words, at=2.0)
    state = ledger.record(ACCOUNT, mine, RULES)
    assert state.totals[CounterKey(WEST, PROXY_BYTES)] == 12
    assert ledger.state(ACCOUNT) == state


def test_a_rejected_row_is_remembered_by_a_later_start_and_counts_when_it_is_sound(
    ledger: Ledger, ledger_url: str
) -> None:
    newer = session(id="s2", created=T0 + HOUR)
    record(ledger, listing(newer, time=T0 + HOUR, rejected_ids=frozenset({"s1"})))
    record(ledger, listing(newer, time=T0 + 9 * HOUR, rejected_ids=frozenset({"s1"})))
    ledger.close()
    with closing(Ledger(ledger_url)) as later:
        assert later.state(ACCOUNT).window(RULES).rejected == {"s1"}
        done = session(
            status="stopped", ending="stopped", ended=T0 + HOUR, usage=Usage(HOUR, 70), end_is_known=True
        )
        state = record(later, listing(newer, done, time=T0 + 10 * HOUR))
    assert state.rejected == frozenset()
    assert state.totals[CounterKey(WEST, PROXY_BYTES)] == 70
