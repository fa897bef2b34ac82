"""Totals where another exporter counts the same accounts in the same PostgreSQL."""

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from exporter.client.errors import UnreachableError
from exporter.ledger.store import Ledger
from exporter.metrics.counters import PROXY_BYTES, CounterKey
from exporter.metrics.results import AccountResult
from exporter.model import SECOND, Usage
from exporter.scrape.plan import AccountTarget, ScrapePlan
from exporter.scrape.scraper import Scraper
from tests.support.listings import WEST, listing, session
from tests.support.postgres import Cluster
from tests.support.recording import record
from tests.support.scripted_provider import LONG, ONE, TWO, Provider, Tally, of

BYTES = CounterKey(WEST, PROXY_BYTES)


def used(count: int) -> Provider:
    return Provider(listing(session(usage=Usage(SECOND, count))))


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.empty()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with closing(Ledger(url)) as opened:
        yield opened


@pytest.fixture
def other(url: str) -> Iterator[Ledger]:
    with closing(Ledger(url)) as opened:
        yield opened


def count(ledger: Ledger, amount: int) -> None:
    """Count in account ONE."""
    record(ledger, listing(session(usage=Usage(SECOND, amount))), account=ONE)


def shown(result: AccountResult) -> int | None:
    return None if result.totals is None else result.totals[BYTES]


def scraper(ledger: Ledger, *targets: AccountTarget, min_interval: float = 0) -> Scraper:
    return Scraper(ScrapePlan(targets, min_interval=min_interval), ledger, Tally())


async def shared(scrapes: Scraper, slow: Provider, other: Ledger) -> AccountResult:
    """The result for ONE of a scrape that joins another, in which ONE has been read, and TWO has not."""
    slow.gate.clear()
    first = asyncio.ensure_future(scrapes.scrape(LONG))
    await asyncio.to_thread(slow.asked.wait)
    await asyncio.wrap_future(scrapes._scrapes[ONE].future)  # noqa: SLF001 - nothing else tells that ONE is done
    count(other, 9)
    joined = asyncio.ensure_future(scrapes.scrape(LONG))
    await asyncio.sleep(0)
    slow.gate.set()
    await first
    return of(await joined, ONE)


def test_a_scrape_that_shares_an_older_result_shows_what_was_counted_since(
    ledger: Ledger, other: Ledger
) -> None:
    slow = used(1)
    scrapes = scraper(ledger, used(5).target(ONE), slow.target(TWO))
    with closing(scrapes):
        assert shown(asyncio.run(shared(scrapes, slow, other))) == 9


def test_an_answer_that_is_kept_shows_what_was_counted_since(ledger: Ledger, other: Ledger) -> None:
    provider = used(5)
    with closing(scraper(ledger, provider.target(ONE), min_interval=LONG)) as scrapes:
        assert shown(of(asyncio.run(scrapes.scrape(LONG)), ONE)) == 5
        count(other, 9)
        assert shown(of(asyncio.run(scrapes.scrape(LONG)), ONE)) == 9
        assert len(provider.windows) == 1


def test_an_account_that_fails_shows_what_was_counted_since(ledger: Ledger, other: Ledger) -> None:
    count(other, 5)
    with closing(scraper(ledger, Provider(UnreachableError("gone")).target(ONE))) as scrapes:
        assert shown(of(asyncio.run(scrapes.scrape(LONG)), ONE)) == 5
        count(other, 9)
        assert shown(of(asyncio.run(scrapes.scrape(LONG)), ONE)) == 9


def test_while_the_ledger_cannot_be_read_totals_are_absent_and_all_else_is_there(
    cluster: Cluster, ledger: Ledger
) -> None:
    with closing(
        scraper(ledger, used(5).target(ONE), Provider(UnreachableError("gone")).target(TWO))
    ) as scrapes:
        before = of(asyncio.run(scrapes.scrape(LONG)), ONE)
        with cluster.stopped():
            result = asyncio.run(scrapes.scrape(LONG))
        one = of(result, ONE)
        assert (shown(one), one.error, one.complete, one.rows) == (None, "ledger", True, 1)
        assert one.listing == before.listing
        assert of(result, TWO).error == "unreachable"
        assert shown(of(asyncio.run(scrapes.scrape(LONG)), ONE)) == 5
