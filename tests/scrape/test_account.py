"""What an account's object keeps from one scrape to the next, and what several threads may touch."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from exporter.clocks import boottime
from exporter.ledger.store import Ledger
from exporter.scrape.account import AccountScraper
from exporter.threads import in_thread
from tests.support.listings import listing, session
from tests.support.scripted_provider import LONG, ONE, Provider, Tally


@pytest.fixture
def account(tmp_path: Path) -> Iterator[AccountScraper]:
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        yield AccountScraper(ONE, ledger, Tally())


def test_at_most_one_thread_reads_the_account_and_nobody_else_waits_for_it(account: AccountScraper) -> None:
    provider = Provider(listing(session()))
    provider.gate.clear()
    scrapes = [
        in_thread("one", lambda: account.scrape(provider.target(ONE), boottime() + LONG)) for _ in range(3)
    ]
    provider.asked.wait()
    late = account.timed_out(provider.target(ONE), 7)
    assert not provider.crowded.wait(0.3), "two threads read at once"
    provider.gate.set()
    assert [scrape.result().error for scrape in scrapes] == [None] * 3
    assert (late.error, late.listing, late.seconds) == ("timeout", None, 7)
    assert len(provider.windows) == 3


def test_a_result_without_a_listing_has_what_the_ledger_returned_last(account: AccountScraper) -> None:
    unknown = account.timed_out(Provider().target(ONE), 0)
    good = account.scrape(Provider(listing(session())).target(ONE), boottime() + LONG)
    later = account.not_started(Provider().target(ONE), RuntimeError("can't start new thread"))
    assert (unknown.totals, unknown.complete, unknown.rows) == (None, None, None)
    assert later.totals
    assert (later.totals, later.rows, later.last_success) == (good.totals, good.rows, good.last_success)
    assert (later.error, later.listing) == ("internal", None)


def test_a_reader_is_kept_for_as_long_as_its_requests_are_the_same(account: AccountScraper) -> None:
    first, second, third = (Provider(listing(session())) for _ in range(3))
    for provider, fetch_key in ((first, "these"), (second, "these"), (third, "others")):
        account.scrape(provider.target(ONE, fetch_key=fetch_key), boottime() + LONG)
    assert [len(one.windows) for one in (first, second, third)] == [2, 0, 1]
    assert [one.commits for one in (first, second, third)] == [2, 0, 1]


def test_the_readers_deadline_leaves_time_for_the_ledger(tmp_path: Path) -> None:
    provider = Provider(listing(session()))
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        AccountScraper(ONE, ledger, Tally(), clock=lambda: 1000).scrape(provider.target(ONE), 1100)
    assert provider.deadlines == [1090]
