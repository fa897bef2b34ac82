"""Scrapes of all accounts: at once, shared, in time, and durable before they are shown."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from structlog.testing import capture_logs

from exporter.client.errors import AnswerTimeoutError, AuthError, UnreachableError
from exporter.ledger.queries import FAR_FUTURE
from exporter.ledger.store import Ledger
from exporter.metrics.counters import PROXY_BYTES, STARTED, CounterKey
from exporter.model import OTHER, SECOND, ReadWindow, Series, Usage
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import AccountTarget, ScrapePlan
from exporter.scrape.scraper import Scraper
from tests.support.listings import T0, WEST, listing, session
from tests.support.scripted_provider import (
    LONG,
    ONE,
    TWO,
    Make,
    Provider,
    SkippingLoop,
    Tally,
    Threads,
    of,
)


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as opened:
        yield opened


@pytest.fixture
def scraper(ledger: Ledger, tally: Tally) -> Iterator[Make]:
    made = []

    def make(*targets: AccountTarget, min_interval: float = 0) -> Scraper:
        made.append(Scraper(ScrapePlan(targets, min_interval=min_interval), ledger, tally))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_good_scrape_shows_what_the_ledger_holds(scraper: Make, ledger: Ledger) -> None:
    provider = Provider(listing(session(usage=Usage(SECOND, 7))))
    result = of(asyncio.run(scraper(provider.target(ONE)).scrape(LONG)), ONE)
    assert result.totals == ledger.state(ONE).totals
    assert result.totals[CounterKey(WEST, PROXY_BYTES)] == 7
    assert (result.error, result.complete, result.rows, provider.commits) == (None, True, 1, 1)


def test_the_second_scrape_reads_what_is_recent(scraper: Make) -> None:
    provider = Provider(listing(session()))
    scrapes = scraper(provider.target(ONE))
    asyncio.run(scrapes.scrape(LONG))
    asyncio.run(scrapes.scrape(LONG))
    assert provider.windows[0] == ReadWindow(None)
    assert provider.windows[1].unsettled == {"s1": T0}


def test_an_account_that_fails_keeps_its_counters_and_changes_nothing_for_another(
    scraper: Make, tally: Tally
) -> None:
    bad = Provider(listing(session()), AuthError(401, None))
    good = Provider(listing(session()))
    scrapes = scraper(bad.target(ONE), good.target(TWO))
    before = asyncio.run(scrapes.scrape(LONG))
    after = asyncio.run(scrapes.scrape(LONG))
    assert of(after, ONE).listing is None
    assert of(after, ONE).totals == of(before, ONE).totals
    assert of(after, ONE).error == "auth"
    assert of(after, TWO).listing is not None
    assert tally.failures == {(ONE, "auth"): 1}


def test_after_a_restart_a_failing_account_shows_what_the_ledger_knew(scraper: Make) -> None:
    asyncio.run(scraper(Provider(listing(session())).target(ONE)).scrape(LONG))
    later = scraper(Provider(UnreachableError("gone")).target(ONE))
    result = of(asyncio.run(later.scrape(LONG)), ONE)
    assert result.totals is not None
    assert result.totals[CounterKey(WEST, STARTED)] == 1


def test_counters_are_absent_while_the_history_is_incomplete(scraper: Make) -> None:
    part = listing(session(), covers=None, remaining=5)
    scrapes = scraper(Provider(part, listing(session())).target(TWO))
    first = of(asyncio.run(scrapes.scrape(LONG)), TWO)
    second = of(asyncio.run(scrapes.scrape(LONG)), TWO)
    assert (first.totals, first.complete) == (None, False)
    assert second.totals is not None
    assert second.complete


def test_a_fault_of_ours_is_counted_as_internal_and_stays_with_its_account(
    scraper: Make, tally: Tally
) -> None:
    scrapes = scraper(Provider(ZeroDivisionError()).target(ONE), Provider(listing()).target(TWO))
    result = asyncio.run(scrapes.scrape(LONG))
    assert tally.failures == {(ONE, "internal"): 1}
    assert of(result, TWO).error is None


def test_concurrent_scrapes_ask_once_and_share_one_result(scraper: Make) -> None:
    provider = Provider(listing())
    provider.gate.clear()
    scrapes = scraper(provider.target(ONE))

    async def meet() -> list[ScrapeResult]:
        both = asyncio.gather(scrapes.scrape(LONG), scrapes.scrape(LONG))
        await asyncio.to_thread(provider.asked.wait)
        late = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.sleep(0)  # lets it join before the gate opens
        provider.gate.set()
        return [*await both, await late]

    results = asyncio.run(meet())
    assert len(provider.windows) == 1
    assert results[0] is results[1] is results[2]


def test_a_fast_account_is_not_asked_again_while_a_slow_one_is_waited_for(scraper: Make) -> None:
    fast, slow = Provider(listing()), Provider(listing())
    slow.gate.clear()
    scrapes = scraper(fast.target(ONE), slow.target(TWO))

    async def meet() -> None:
        first = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(slow.asked.wait)
        await asyncio.to_thread(fast.asked.wait)
        second = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.sleep(0)
        slow.gate.set()
        assert await first is await second

    asyncio.run(meet())
    assert len(fast.windows) == len(slow.windows) == 1


def test_a_scrape_ends_at_its_deadline_with_the_accounts_that_are_done(ledger: Ledger, tally: Tally) -> None:
    fast, stuck, threads = Provider(listing()), Provider(listing()), Threads()

    async def one_scrape(loop: SkippingLoop) -> ScrapeResult:
        running = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.sleep(0)  # lets it begin
        await asyncio.to_thread(threads.join, ONE)
        loop.skip(LONG)
        return await running

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SkippingLoop)
        plan = ScrapePlan((fast.target(ONE), stuck.target(TWO)))
        scrapes = Scraper(plan, ledger, tally, clock=loop.time, start=threads)
        runner.run(scrapes.scrape(LONG))
        stuck.gate.clear()
        first, second = runner.run(one_scrape(loop)), runner.run(one_scrape(loop))
        stuck.gate.set()
        threads.join(TWO)
        third = runner.run(scrapes.scrape(LONG))
    assert of(first, ONE).error is None
    assert (of(first, TWO).error, of(first, TWO).listing) == ("timeout", None)
    assert of(first, TWO).totals is not None, "counters stay"
    assert of(second, TWO).error == "timeout"
    assert of(third, TWO).error is None
    assert (len(fast.windows), len(stuck.windows)) == (4, 3), "what hangs is not asked again"
    assert tally.failures == {(TWO, "timeout"): 1}


def test_scrapes_in_flight_can_be_answered_at_once(scraper: Make) -> None:
    fast, stuck = Provider(listing()), Provider(listing())
    stuck.gate.clear()
    scrapes = scraper(fast.target(ONE), stuck.target(TWO))

    async def shut_down() -> ScrapeResult:
        running = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(stuck.asked.wait)
        scrapes.cancel_waiters()
        return await running

    assert of(asyncio.run(shut_down()), TWO).error == "timeout"
    scrapes.close(0)
    stuck.gate.set()


def test_a_scrape_of_one_account_asks_no_other_and_shares_what_is_in_flight(scraper: Make) -> None:
    mine, other = Provider(listing()), Provider(listing())
    scrapes = scraper(mine.target(ONE), other.target(TWO))
    alone = asyncio.run(scrapes.scrape_account(ONE, LONG))
    assert [one.account for one in alone.results] == [ONE]
    assert (len(mine.windows), len(other.windows)) == (1, 0)
    mine.gate.clear()

    async def meet() -> tuple[ScrapeResult, ...]:
        whole = asyncio.ensure_future(scrapes.scrape(LONG))
        probes = [asyncio.ensure_future(scrapes.scrape_account(ONE, LONG)) for _ in range(2)]
        await asyncio.sleep(0)  # lets them begin before the gate opens
        mine.gate.set()
        return await whole, *await asyncio.gather(*probes)

    whole, *probes = asyncio.run(meet())
    assert (len(mine.windows), len(other.windows)) == (2, 1)
    assert {of(one, ONE).seconds for one in probes} == {of(whole, ONE).seconds}


def test_a_scrape_of_one_account_is_read_anew_while_another_account_hangs(scraper: Make) -> None:
    mine, stuck = Provider(listing()), Provider(listing())
    stuck.gate.clear()
    scrapes = scraper(mine.target(ONE), stuck.target(TWO))

    async def course() -> None:
        whole = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(stuck.asked.wait)
        await scrapes.scrape_account(ONE, LONG)
        before = len(mine.windows)
        for _ in range(2):
            await scrapes.scrape_account(ONE, LONG)
        assert len(mine.windows) == before + 2
        late = await scrapes.scrape_account(TWO, 0.01)
        assert of(late, TWO).error == "timeout"
        stuck.gate.set()
        await whole

    asyncio.run(course())
    assert len(stuck.windows) == 1


def test_within_min_interval_a_scrape_of_one_account_gets_the_result_before(
    ledger: Ledger, tally: Tally
) -> None:
    provider, now = Provider(listing()), 1000.0
    plan = ScrapePlan((provider.target(ONE),), min_interval=30)
    scrapes = Scraper(plan, ledger, tally, clock=lambda: now)
    for wait in (0, 29, 8):
        now += wait
        asyncio.run(scrapes.scrape_account(ONE, LONG))
    assert len(provider.windows) == 2


def test_the_last_results_are_those_of_all_scrapes(scraper: Make) -> None:
    scrapes = scraper(Provider(listing()).target(ONE), Provider(listing()).target(TWO))
    for account in (ONE, TWO, ONE):
        asyncio.run(scrapes.scrape_account(account, LONG))
    assert scrapes.last is not None
    assert {one.account for one in scrapes.last.results} == {ONE, TWO}


def test_within_min_interval_a_scrape_gets_the_result_before(ledger: Ledger, tally: Tally) -> None:
    provider, now = Provider(listing()), 1000.0
    plan = ScrapePlan((provider.target(ONE),), min_interval=30)
    scrapes = Scraper(plan, ledger, tally, clock=lambda: now)
    first = asyncio.run(scrapes.scrape(LONG))
    now += 29
    assert asyncio.run(scrapes.scrape(LONG)) is first
    now += 8 * 3600  # a night in which the machine slept
    assert asyncio.run(scrapes.scrape(LONG)) is not first
    assert len(provider.windows) == 2


def test_a_scrape_with_a_much_longer_timeout_reads_again_what_a_shorter_one_cut_off(scraper: Make) -> None:
    fast, slow = Provider(listing()), Provider(AnswerTimeoutError("cut off"), listing())
    slow.gate.clear()
    scrapes = scraper(fast.target(ONE), slow.target(TWO))

    async def meet() -> tuple[ScrapeResult, ScrapeResult]:
        short = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(slow.asked.wait)
        long = asyncio.ensure_future(scrapes.scrape(3 * LONG))
        await asyncio.sleep(0)  # lets it begin before the gate opens
        slow.gate.set()
        return await short, await long

    short, long = asyncio.run(meet())
    assert (of(short, TWO).error, of(long, TWO).error) == ("timeout", None)
    assert (len(fast.windows), len(slow.windows)) == (1, 2)


def test_while_the_ledger_cannot_be_written_gauges_go_on_and_nothing_is_lost(
    tmp_path: Path, tally: Tally
) -> None:
    folder = tmp_path / "state"
    provider = Provider(listing(session(), listed={(WEST, "running"): 1}))
    with closing(Ledger(f"sqlite:///{folder}/ledger.db")) as ledger:
        scrapes = Scraper(ScrapePlan((provider.target(ONE),)), ledger, tally)
        first = of(asyncio.run(scrapes.scrape(LONG)), ONE)
        folder.mkdir()
        asyncio.run(scrapes.scrape(LONG))
        third = of(asyncio.run(scrapes.scrape(LONG)), ONE)
        scrapes.close()
    assert first.listing is not None
    assert (first.error, first.totals, first.rows) == ("ledger", None, None)
    assert provider.windows[0] == ReadWindow(FAR_FUTURE), "no history is read that cannot be counted"
    assert third.totals is not None
    assert third.totals[CounterKey(WEST, STARTED)] == 1


def test_a_listing_that_was_not_recorded_is_not_confirmed(tmp_path: Path, tally: Tally) -> None:
    provider = Provider(listing(session()))
    path = tmp_path / "ledger.db"
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        scrapes = Scraper(ScrapePlan((provider.target(ONE),)), ledger, tally)
        good = of(asyncio.run(scrapes.scrape(LONG)), ONE)
        provider.answers = [listing(session(usage=Usage(SECOND, 10**15 * 10**4)))]
        after = of(asyncio.run(scrapes.scrape(LONG)), ONE)
        scrapes.close()
    assert provider.commits == 1
    assert after.totals == good.totals


def test_rejected_rows_are_counted_and_label_values_limited(scraper: Make, tally: Tally) -> None:
    odd = {(Series("p", f"r{n:02}"), "running"): 1 for n in range(60)}
    provider = Provider(listing(listed=odd, rejected={"malformed": 2}))
    result = of(asyncio.run(scraper(provider.target(ONE)).scrape(LONG)), ONE)
    assert result.listing is not None
    assert result.listing.listed[Series("p", OTHER), "running"] == 10
    assert tally.rejections == {(ONE, "malformed"): 2}


def test_closing_waits_until_a_running_account_is_recorded(scraper: Make, ledger: Ledger) -> None:
    provider = Provider(listing(session()))
    provider.gate.clear()
    scrapes = scraper(provider.target(ONE))
    asyncio.run(scrapes.scrape(0.01))
    closer = Thread(target=scrapes.close)
    closer.start()
    provider.gate.set()
    closer.join()
    assert ledger.state(ONE).totals[CounterKey(WEST, STARTED)] == 1


def test_an_account_without_a_thread_fails_alone_and_says_so_once(ledger: Ledger, tally: Tally) -> None:
    threads, provider = Threads(), Provider(listing(session()))
    scrapes = Scraper(ScrapePlan((provider.target(ONE),)), ledger, tally, start=threads)
    with capture_logs() as lines:
        before = of(asyncio.run(scrapes.scrape(LONG)), ONE)
        threads.none_left = True
        failed = [of(asyncio.run(scrapes.scrape(LONG)), ONE) for _ in range(3)]
        threads.none_left = False
        after = of(asyncio.run(scrapes.scrape(LONG)), ONE)
    assert {(one.listing, one.error) for one in failed} == {(None, "internal")}
    assert [one.totals for one in failed] == [before.totals] * 3
    assert (after.error, len(provider.windows)) == (None, 2)
    assert tally.failures == {(ONE, "internal"): 3}
    told = [(line["log_level"], line["event"]) for line in lines if line["log_level"] != "debug"]
    assert told == [("warning", "account failed"), ("info", "account is read")]


def test_a_scrape_without_a_thread_leaves_the_one_that_is_running(ledger: Ledger, tally: Tally) -> None:
    threads, provider = Threads(), Provider(listing())
    provider.gate.clear()
    scrapes = Scraper(ScrapePlan((provider.target(ONE),)), ledger, tally, start=threads)

    async def meet() -> list[ScrapeResult]:
        first = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(provider.asked.wait)
        threads.none_left = True
        second = await scrapes.scrape(3 * LONG)
        threads.none_left = False
        third = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.sleep(0)  # lets it join before the gate opens
        provider.gate.set()
        return [await first, second, await third]

    results = asyncio.run(meet())
    assert [of(result, ONE).error for result in results] == [None, "internal", None]
    assert len(provider.windows) == 1
