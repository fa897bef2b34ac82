"""A first import between scrapes: until it is complete, a scrape comes, it fails, or the account leaves."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.client.errors import RateLimitedError
from exporter.ledger.store import Ledger
from exporter.metrics.counters import STARTED, CounterKey
from exporter.scrape.plan import ScrapePlan
from exporter.scrape.scraper import Scraper
from tests.support.listings import WEST, listing, session
from tests.support.scripted_provider import LONG, ONE, HistoryProvider, Provider, Tally, Threads, of

PART = listing(session(id="a"), covers=None, remaining=5, position="after a")
NEXT = listing(session(id="b"), covers=None, remaining=4, position="after b")
LAST = listing(session(id="c"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as opened:
        yield opened


def started(ledger: Ledger) -> int:
    return ledger.state(ONE).totals[CounterKey(WEST, STARTED)]


def test_after_a_scrape_the_import_goes_on_until_it_is_complete(ledger: Ledger) -> None:
    provider, threads = HistoryProvider(PART, history=[NEXT, LAST, NEXT]), Threads()
    scraper = Scraper(ScrapePlan((provider.target(ONE),)), ledger, Tally(), start=threads)
    first = of(asyncio.run(scraper.scrape(LONG)), ONE)
    threads.join(ONE)
    assert (first.complete, first.totals) == (False, None)
    progress = ledger.state(ONE).progress
    assert progress is not None
    assert progress.complete
    assert (started(ledger), provider.commits) == (3, 3)
    assert provider.history == [NEXT], "nothing more is read"


def test_a_scrape_ends_the_import_and_then_lets_it_go_on(ledger: Ledger) -> None:
    provider, threads = HistoryProvider(PART, history=[NEXT]), Threads()
    scraper = Scraper(ScrapePlan((provider.target(ONE),)), ledger, Tally(), start=threads)
    asyncio.run(scraper.scrape(LONG))
    assert provider.waiting.wait(LONG)
    provider.history.append(LAST)
    second = of(asyncio.run(scraper.scrape(LONG)), ONE)
    threads.join(ONE)
    assert (second.error, second.complete) == (None, False)
    assert [window.position for window in provider.windows] == [None, "after b"]
    assert started(ledger) == 3


def test_where_an_import_stands_outlives_the_process_and_is_forgotten_once_complete(ledger: Ledger) -> None:
    provider, threads = HistoryProvider(PART, history=[NEXT, RateLimitedError(429)]), Threads()
    asyncio.run(Scraper(ScrapePlan((provider.target(ONE),)), ledger, Tally(), start=threads).scrape(LONG))
    threads.join(ONE)
    after = Provider(LAST)
    asyncio.run(Scraper(ScrapePlan((after.target(ONE),)), ledger, Tally()).scrape(LONG))
    assert after.windows[0].position == "after b"
    progress = ledger.state(ONE).progress
    assert progress is not None
    assert (progress.complete, progress.position, started(ledger)) == (True, None, 3)


def test_an_import_that_fails_is_counted_told_and_begun_again_by_the_next_scrape(ledger: Ledger) -> None:
    provider, threads, tally = HistoryProvider(PART, history=[RateLimitedError(429)]), Threads(), Tally()
    scraper = Scraper(ScrapePlan((provider.target(ONE),)), ledger, tally, start=threads)
    with capture_logs() as lines:
        assert of(asyncio.run(scraper.scrape(LONG)), ONE).error is None
        threads.join(ONE)
        provider.history += [ZeroDivisionError()]
        asyncio.run(scraper.scrape(LONG))
        threads.join(ONE)
    assert tally.failures == {(ONE, "rate_limited"): 1, (ONE, "internal"): 1}
    assert sum(line["event"].startswith("import interrupted") for line in lines) == 2
    assert len(provider.read_on_windows) == 2


def test_after_a_scrape_that_failed_no_import_begins(ledger: Ledger) -> None:
    provider, threads = HistoryProvider(PART, RateLimitedError(429), history=[]), Threads()
    scraper = Scraper(ScrapePlan((provider.target(ONE),)), ledger, Tally(), start=threads)
    asyncio.run(scraper.scrape(LONG))
    assert provider.waiting.wait(LONG)
    asyncio.run(scraper.scrape(LONG))
    threads.join(ONE)
    assert len(provider.read_on_windows) == 1


def test_closing_ends_an_import(ledger: Ledger) -> None:
    provider, threads = HistoryProvider(PART, history=[NEXT]), Threads()
    scraper = Scraper(ScrapePlan((provider.target(ONE),)), ledger, Tally(), start=threads)
    asyncio.run(scraper.scrape(LONG))
    assert provider.waiting.wait(LONG)
    scraper.close(LONG)
    threads.join(ONE)


@pytest.mark.parametrize("removed", [True, False])
def test_a_plan_without_the_account_or_its_requests_ends_its_import(ledger: Ledger, *, removed: bool) -> None:
    provider, threads = HistoryProvider(PART, history=[NEXT]), Threads()
    scraper = Scraper(ScrapePlan((provider.target(ONE),)), ledger, Tally(), start=threads)
    asyncio.run(scraper.scrape(LONG))
    assert provider.waiting.wait(LONG)
    scraper.plan = ScrapePlan(() if removed else (provider.target(ONE, fetch_key="others"),))
    threads.join(ONE)
