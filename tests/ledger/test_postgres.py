"""One PostgreSQL database under faults: stopped, frozen, locked, read-only, foreign; and shared."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier, Event, Thread

import psycopg
import pytest
import trustme

from exporter.ledger.committed import RecordedListing
from exporter.ledger.errors import LedgerError, LedgerRefusedError
from exporter.ledger.postgres import CONNECT_SECONDS, CONNECTIONS, PostgresDatabase
from exporter.ledger.queries import AccountState
from exporter.ledger.store import Ledger
from exporter.metrics.counters import PROXY_BYTES, STARTED, CounterKey
from exporter.model import SECOND, Account, Usage
from tests.support.listings import RULES, WEST, listing, session
from tests.support.postgres import Cluster
from tests.support.recording import ACCOUNT, record

LONG = 60.0  # seconds; never waited for
PASSWORD = "Pl4nted%2FPa55"  # percent-encoded
CORE = "Pl4nted"
BYTES = CounterKey(WEST, PROXY_BYTES)


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.empty()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with closing(Ledger(url)) as opened:
        yield opened


@contextmanager
def other(url: str) -> Iterator[psycopg.Connection]:
    """Somebody else, within a transaction."""
    with closing(psycopg.connect(url)) as db:
        yield db


def used(count: int) -> Usage:
    return Usage(SECOND, count)


def test_a_first_listing_that_several_replicas_record_at_once_counts_once(url: str) -> None:
    replicas = [Ledger(url) for _ in range(4)]
    barrier = Barrier(len(replicas))

    def begin(replica: Ledger) -> list[AccountState]:
        states = []
        for number in range(5):
            unknown = replica.state(one := Account("browserbase", f"a{number}"))
            first = RecordedListing(listing(session(usage=used(7))), unknown, unknown.words, at=1.0)
            barrier.wait(LONG)
            states.append(replica.record(one, first, RULES, LONG))
            barrier.wait(LONG)
        return states

    with ThreadPoolExecutor() as pool:
        states = [state for states in pool.map(begin, replicas) for state in states]
    for replica in replicas:
        replica.close()
    assert {(one.totals[CounterKey(WEST, STARTED)], one.totals[BYTES]) for one in states} == {(1, 7)}


def test_replicas_that_start_together_migrate_once(cluster: Cluster, url: str) -> None:
    replicas = [Ledger(url) for _ in range(6)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(Ledger.open, replicas))
    for replica in replicas:
        replica.close()
    names = cluster.execute("SELECT name FROM ledger_migrations", url)
    assert len(names) == len(set(names))


def test_a_listing_that_changes_nothing_shows_what_another_replica_has_shown(url: str) -> None:
    """It was read before the other's, and is recorded after that."""
    with closing(Ledger(url)) as one, closing(Ledger(url)) as two:
        known = record(one, listing(session(usage=used(5))))
        shown = record(two, listing(session(usage=used(9))))
        late = RecordedListing(listing(session(usage=used(5))), known, known.words, at=2.0)
        assert one.record(ACCOUNT, late, RULES).totals == shown.totals


def test_a_listing_that_changes_nothing_is_not_written(cluster: Cluster, url: str, ledger: Ledger) -> None:
    state = record(ledger, listing(session()))
    version = cluster.execute("SELECT xmin, xmax, changes FROM accounts", url)
    same = RecordedListing(listing(session()), state, state.words, at=9.0)
    assert ledger.record(ACCOUNT, same, RULES).last_success == 9.0
    assert cluster.execute("SELECT xmin, xmax, changes FROM accounts", url) == version


def test_another_accounts_lock_delays_nobody(url: str, ledger: Ledger) -> None:
    record(ledger, listing(session()))
    record(ledger, listing(session()), account=Account("browser_use", "other"))
    with other(url) as holder:
        holder.execute("SELECT FROM accounts WHERE name = 'other' FOR UPDATE")
        assert record(ledger, listing(session(usage=used(9)))).totals[BYTES] == 9


def test_while_another_exporter_counts_the_account_nothing_is_counted_and_nothing_lost(
    url: str, ledger: Ledger
) -> None:
    state = record(ledger, listing(session()))
    later = RecordedListing(listing(session(usage=used(9))), state, state.words, at=2.0)
    with other(url) as holder:
        holder.execute("SELECT FROM accounts FOR UPDATE")
        assert ledger.state(ACCOUNT) == state, "reading waits for nobody"
        with pytest.raises(LedgerError, match="lock timeout; another exporter counts this account"):
            ledger.record(ACCOUNT, later, RULES, 0.1)
    assert ledger.record(ACCOUNT, later, RULES).totals[BYTES] == 9


def test_a_statement_ends_with_the_time_that_its_scrape_has(url: str) -> None:
    def sleep() -> None:
        with database.reading(0.2) as db:
            db.exec_driver_sql("SELECT pg_sleep(60)")

    with closing(PostgresDatabase(url)) as database:
        with pytest.raises(LedgerError, match="statement timeout; it took longer than the scrape has"):
            sleep()
        database.ping(LONG)


def test_commits_are_durable_also_where_the_role_has_that_off(cluster: Cluster, url: str) -> None:
    cluster.execute("CREATE ROLE hasty LOGIN; ALTER ROLE hasty SET synchronous_commit = off")
    with (
        closing(PostgresDatabase(url.replace("postgres@", "hasty@"))) as database,
        database.writing(LONG) as db,
    ):
        assert db.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
        assert db.exec_driver_sql("SHOW fsync").scalar_one() == "on"


def test_a_server_that_was_restarted_is_used_again_at_once(cluster: Cluster, ledger: Ledger) -> None:
    record(ledger, listing(session(usage=used(5))))
    with cluster.stopped(), pytest.raises(LedgerError, match="check that the server can be reached"):
        ledger.state(ACCOUNT)
    assert record(ledger, listing(session(usage=used(9)))).totals[BYTES] == 9


def test_a_server_that_hangs_takes_no_more_time_than_there_is(cluster: Cluster, ledger: Ledger) -> None:
    record(ledger, listing(session(usage=used(5))))
    with cluster.frozen():
        begun = time.monotonic()
        for _ in range(3):
            with pytest.raises(LedgerError, match=r"connection timeout|did not answer"):
                ledger.state(ACCOUNT, 0.1)
        assert time.monotonic() - begun < 2 * CONNECT_SECONDS, "a connection is attempted once"
    ledger.close()
    with closing(Ledger(cluster.url())) as fresh:
        fresh.open(LONG)


def test_more_accounts_than_connections_wait_no_longer_than_they_may(url: str) -> None:
    with closing(PostgresDatabase(url)) as database:
        release, held = Event(), Barrier(CONNECTIONS + 1)

        def hold() -> None:
            with database.reading(LONG):
                held.wait(LONG)
                release.wait(LONG)

        threads = [Thread(target=hold) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        held.wait(LONG)
        with pytest.raises(LedgerError, match="busy with other accounts"):
            database.ping(0.05)
        release.set()
        for thread in threads:
            thread.join()
        database.ping(LONG)


REFUSALS = {
    "CREATE TABLE customers (name text)": "other tables",
    "CREATE TABLE sessions (name text)": "other tables",
    "CREATE VIEW customers AS SELECT 1": "other tables",
}


@pytest.mark.parametrize("statement", REFUSALS)
def test_somebody_elses_database_is_refused(
    cluster: Cluster, url: str, ledger: Ledger, statement: str
) -> None:
    cluster.execute(statement, url)
    for _ in range(2):
        with pytest.raises(LedgerRefusedError, match=REFUSALS[statement]) as told:
            ledger.open()
    assert "name another database" in str(told.value)
    assert cluster.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema::regnamespace", url
    ) == [(1,)]


def test_a_later_versions_ledger_is_refused(cluster: Cluster, url: str) -> None:
    with closing(Ledger(url)) as ledger:
        ledger.open()
    cluster.execute("INSERT INTO ledger_migrations VALUES ('9-later')", url)
    with closing(Ledger(url)) as ledger, pytest.raises(LedgerRefusedError, match="a later version"):
        ledger.open()


def test_a_read_only_server_is_read_and_named(cluster: Cluster, url: str, ledger: Ledger) -> None:
    state = record(ledger, listing(session(usage=used(5))))
    with closing(Ledger(f"{url}%20-cdefault_transaction_read_only%3Don")) as standby:
        assert standby.state(ACCOUNT) == state
        with pytest.raises(LedgerError, match="read-only; name the primary"):
            record(standby, listing(session(usage=used(9))))


def test_a_user_without_rights_is_told_what_it_needs(cluster: Cluster, url: str) -> None:
    cluster.execute("CREATE ROLE stranger LOGIN")
    cluster.execute(f"GRANT USAGE ON SCHEMA {url.rpartition('%3D')[2]} TO stranger")
    strange = url.replace("postgres@", "stranger@")
    with (
        closing(Ledger(strange)) as ledger,
        pytest.raises(LedgerError, match="must be allowed to create tables"),
    ):
        ledger.open()


def test_a_database_that_is_not_there_is_named(cluster: Cluster) -> None:
    with (
        closing(Ledger(cluster.url().replace("/postgres?", "/missing?"))) as ledger,
        pytest.raises(LedgerError, match=r"postgresql://postgres@/missing: .*\"missing\" does not exist"),
    ):
        ledger.open()


@pytest.fixture
def secret(cluster: Cluster) -> str:
    """The URL of a user with a password, without that."""
    cluster.set_password("Pl4nted/Pa55")
    return cluster.empty().replace("postgres@", "secret@")


def test_a_password_is_in_no_text(secret: str) -> None:
    right = secret.replace("secret@", f"secret:{PASSWORD}@")
    with closing(Ledger(right)) as ledger:
        ledger.open()
    wrong = right.replace("Pa55", "wrong")
    for url in (wrong, f"{secret}&password={PASSWORD}wrong"):
        with closing(Ledger(url)) as ledger, pytest.raises(LedgerError, match="user and password") as told:
            ledger.open()
        assert CORE not in str(told.value)
        assert "postgresql://secret@/postgres" in str(told.value)


def test_a_password_comes_from_the_environment_or_a_file(
    secret: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("PGPASSWORD", "Pl4nted/Pa55")
    with closing(Ledger(secret)) as ledger:
        ledger.open()
    file = tmp_path_factory.mktemp("secret") / "pgpass"
    file.write_text("*:*:*:secret:Pl4nted/Pa55\n")
    file.chmod(0o600)
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGPASSFILE", str(file))
    with closing(Ledger(secret)) as ledger:
        ledger.open()


@pytest.mark.parametrize("url", [f"postgresql://u:{CORE}%zz@h/d", f"postgresql://u:{CORE}@h/d?sslmod=x"])
def test_a_url_that_cannot_be_read_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(LedgerRefusedError, match="percent-encode") as told:
        Ledger(url)
    assert CORE not in str(told.value)
    assert told.value.__cause__ is None


def test_tls_is_as_the_url_says(cluster: Cluster, tmp_path: Path) -> None:
    with (
        closing(
            PostgresDatabase(cluster.remote(sslmode="verify-full", sslrootcert=str(cluster.ca_file)))
        ) as one,
        one.reading(LONG) as db,
    ):
        query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert db.exec_driver_sql(query).scalar_one()
    stranger = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    untrusted = cluster.remote(sslmode="verify-full", sslrootcert=str(stranger))
    for url, message in (
        (untrusted, "certificate verify failed"),
        (cluster.remote(sslmode="disable"), "no encryption"),
    ):
        with closing(PostgresDatabase(url)) as two, pytest.raises(LedgerError, match=message):
            two.ping(LONG)
