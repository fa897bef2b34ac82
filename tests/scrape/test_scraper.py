"""One pull: side by side, shared, in time, and durable before it is shown."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from exporter.client.errors import AnswerTimeoutError, AuthError, UnreachableError
from exporter.ledger.queries import NEVER
from exporter.ledger.store import Ledger
from exporter.model import (
    OTHER,
    PROXY_BYTES,
    SECOND,
    STARTED,
    Entry,
    Horizon,
    Series,
    Usage,
)
from exporter.scrape.inflight import Report
from exporter.scrape.plan import Plan, Target
from exporter.scrape.scraper import Puller
from tests.support.listings import T0, WEST, listing, session
from tests.support.scripted_provider import LONG, ONE, TWO, Make, Provider, Tally, of


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as opened:
        yield opened


@pytest.fixture
def puller(ledger: Ledger, tally: Tally) -> Iterator[Make]:
    made = []

    def make(*targets: Target, min_interval: float = 0) -> Puller:
        made.append(Puller(Plan(targets, min_interval=min_interval), ledger, tally))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_good_pull_shows_what_the_ledger_holds(puller: Make, ledger: Ledger) -> None:
    provider = Provider(listing(session(usage=Usage(SECOND, 7))))
    outcome = of(asyncio.run(puller(provider.target(ONE)).pull(LONG)), ONE)
    assert outcome.totals == ledger.state(ONE).totals
    assert outcome.totals[Entry(WEST, PROXY_BYTES)] == 7
    assert (outcome.error, outcome.complete, outcome.rows, provider.recorded) == (None, True, 1, 1)


def test_the_second_pull_asks_for_what_is_recent(puller: Make) -> None:
    provider = Provider(listing(session()))
    pulls = puller(provider.target(ONE))
    asyncio.run(pulls.pull(LONG))
    asyncio.run(pulls.pull(LONG))
    assert provider.horizons[0] == Horizon(None)
    assert provider.horizons[1].held == {"s1": T0}


def test_an_account_that_fails_keeps_its_counters_and_changes_nothing_for_another(
    puller: Make, tally: Tally
) -> None:
    bad = Provider(listing(session()), AuthError(401, None))
    good = Provider(listing(session()))
    pulls = puller(bad.target(ONE), good.target(TWO))
    before = asyncio.run(pulls.pull(LONG))
    after = asyncio.run(pulls.pull(LONG))
    assert of(after, ONE).listing is None
    assert of(after, ONE).totals == of(before, ONE).totals
    assert of(after, ONE).error == "auth"
    assert of(after, TWO).listing is not None
    assert tally.failures == {(ONE, "auth"): 1}


def test_after_a_restart_a_failing_account_shows_what_the_ledger_knew(puller: Make) -> None:
    asyncio.run(puller(Provider(listing(session())).target(ONE)).pull(LONG))
    later = puller(Provider(UnreachableError("gone")).target(ONE))
    outcome = of(asyncio.run(later.pull(LONG)), ONE)
    assert outcome.totals is not None
    assert outcome.totals[Entry(WEST, STARTED)] == 1


def test_counters_are_absent_while_the_history_is_incomplete(puller: Make) -> None:
    part = listing(session(), covers=None, remaining=5)
    pulls = puller(Provider(part, listing(session())).target(TWO))
    first = of(asyncio.run(pulls.pull(LONG)), TWO)
    second = of(asyncio.run(pulls.pull(LONG)), TWO)
    assert (first.totals, first.complete) == (None, False)
    assert second.totals is not None
    assert second.complete


def test_a_fault_of_ours_is_counted_as_internal_and_stays_with_its_account(
    puller: Make, tally: Tally
) -> None:
    pulls = puller(Provider(ZeroDivisionError()).target(ONE), Provider(listing()).target(TWO))
    report = asyncio.run(pulls.pull(LONG))
    assert tally.failures == {(ONE, "internal"): 1}
    assert of(report, TWO).error is None


def test_pulls_that_meet_ask_once_and_share_one_report(puller: Make) -> None:
    provider = Provider(listing())
    provider.gate.clear()
    pulls = puller(provider.target(ONE))

    async def meet() -> list[Report]:
        both = asyncio.gather(pulls.pull(LONG), pulls.pull(LONG))
        await asyncio.to_thread(provider.asked.wait)
        late = asyncio.ensure_future(pulls.pull(LONG))
        await asyncio.sleep(0)  # lets it join before the gate opens
        provider.gate.set()
        return [*await both, await late]

    reports = asyncio.run(meet())
    assert len(provider.horizons) == 1
    assert reports[0] is reports[1] is reports[2]


def test_a_fast_account_is_not_asked_again_while_a_slow_one_is_waited_for(puller: Make) -> None:
    fast, slow = Provider(listing()), Provider(listing())
    slow.gate.clear()
    pulls = puller(fast.target(ONE), slow.target(TWO))

    async def meet() -> None:
        first = asyncio.ensure_future(pulls.pull(LONG))
        await asyncio.to_thread(slow.asked.wait)
        await asyncio.to_thread(fast.asked.wait)
        second = asyncio.ensure_future(pulls.pull(LONG))
        await asyncio.sleep(0)
        slow.gate.set()
        assert await first is await second

    asyncio.run(meet())
    assert len(fast.horizons) == len(slow.horizons) == 1


def test_the_answer_is_there_at_the_deadline_with_what_is_done(puller: Make, tally: Tally) -> None:
    fast, stuck = Provider(listing()), Provider(listing())
    pulls = puller(fast.target(ONE), stuck.target(TWO))

    async def two_pulls() -> tuple[Report, Report]:
        await pulls.pull(LONG)
        stuck.gate.clear()
        return await pulls.pull(0.2), await pulls.pull(0.2)

    first, second = asyncio.run(two_pulls())
    assert of(first, ONE).error is None
    assert (of(first, TWO).error, of(first, TWO).listing) == ("timeout", None)
    assert of(second, TWO).error == "timeout"
    assert (len(fast.horizons), len(stuck.horizons)) == (3, 2), "what hangs is not asked again"
    stuck.gate.set()
    pulls.close()
    assert tally.failures == {(TWO, "timeout"): 1}


def test_pulls_under_way_can_be_hurried(puller: Make) -> None:
    fast, stuck = Provider(listing()), Provider(listing())
    stuck.gate.clear()
    pulls = puller(fast.target(ONE), stuck.target(TWO))

    async def leave() -> Report:
        under_way = asyncio.ensure_future(pulls.pull(LONG))
        await asyncio.to_thread(stuck.asked.wait)
        pulls.hurry()
        return await under_way

    assert of(asyncio.run(leave()), TWO).error == "timeout"
    pulls.close(0)
    stuck.gate.set()


def test_a_pull_soon_after_the_last_gets_its_answer(puller: Make) -> None:
    provider = Provider(listing())
    pulls = puller(provider.target(ONE), min_interval=3600.0)

    async def twice() -> bool:
        return await pulls.pull(LONG) is await pulls.pull(LONG)

    assert asyncio.run(twice())
    assert len(provider.horizons) == 1


def test_a_pull_with_much_more_time_asks_again_what_a_shorter_one_cut_off(puller: Make) -> None:
    fast, slow = Provider(listing()), Provider(AnswerTimeoutError("cut off"), listing())
    slow.gate.clear()
    pulls = puller(fast.target(ONE), slow.target(TWO))

    async def meet() -> tuple[Report, Report]:
        short = asyncio.ensure_future(pulls.pull(LONG))
        await asyncio.to_thread(slow.asked.wait)
        long = asyncio.ensure_future(pulls.pull(3 * LONG))
        await asyncio.sleep(0)  # lets it begin before the gate opens
        slow.gate.set()
        return await short, await long

    short, long = asyncio.run(meet())
    assert (of(short, TWO).error, of(long, TWO).error) == ("timeout", None)
    assert (len(fast.horizons), len(slow.horizons)) == (1, 2)


def test_while_the_ledger_cannot_be_written_gauges_go_on_and_nothing_is_lost(
    tmp_path: Path, tally: Tally
) -> None:
    folder = tmp_path / "state"
    provider = Provider(listing(session(), listed={(WEST, "running"): 1}))
    with closing(Ledger(f"sqlite:///{folder}/ledger.db")) as ledger:
        pulls = Puller(Plan((provider.target(ONE),)), ledger, tally)
        first = of(asyncio.run(pulls.pull(LONG)), ONE)
        folder.mkdir()
        asyncio.run(pulls.pull(LONG))
        third = of(asyncio.run(pulls.pull(LONG)), ONE)
        pulls.close()
    assert first.listing is not None
    assert (first.error, first.totals, first.rows) == ("ledger", None, None)
    assert provider.horizons[0] == Horizon(NEVER), "no history is read that cannot be counted"
    assert third.totals is not None
    assert third.totals[Entry(WEST, STARTED)] == 1


def test_a_listing_that_was_not_recorded_is_not_confirmed(tmp_path: Path, tally: Tally) -> None:
    provider = Provider(listing(session()))
    path = tmp_path / "ledger.db"
    with closing(Ledger(f"sqlite:///{path}")) as ledger:
        pulls = Puller(Plan((provider.target(ONE),)), ledger, tally)
        good = of(asyncio.run(pulls.pull(LONG)), ONE)
        provider.answers = [listing(session(usage=Usage(SECOND, 10**15 * 10**4)))]
        pulls_after = of(asyncio.run(pulls.pull(LONG)), ONE)
        pulls.close()
    assert provider.recorded == 1
    assert pulls_after.totals == good.totals


def test_rejected_rows_are_told_and_words_bounded(puller: Make, tally: Tally) -> None:
    odd = {(Series("p", f"r{n:02}"), "running"): 1 for n in range(60)}
    provider = Provider(listing(listed=odd, rejected={"malformed": 2}))
    outcome = of(asyncio.run(puller(provider.target(ONE)).pull(LONG)), ONE)
    assert outcome.listing is not None
    assert outcome.listing.listed[Series("p", OTHER), "running"] == 10
    assert tally.rejections == {(ONE, "malformed"): 2}


def test_closing_waits_for_what_is_being_asked(puller: Make, ledger: Ledger) -> None:
    provider = Provider(listing(session()))
    provider.gate.clear()
    pulls = puller(provider.target(ONE))
    asyncio.run(pulls.pull(0.01))
    closer = Thread(target=pulls.close)
    closer.start()
    provider.gate.set()
    closer.join()
    assert ledger.state(ONE).totals[Entry(WEST, STARTED)] == 1
