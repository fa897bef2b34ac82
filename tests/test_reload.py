"""Reloads: a valid configuration is taken by the scrapes that begin, an invalid one not at all."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from exporter.client.errors import AuthError
from exporter.config.loader import ConfigError
from exporter.ledger.accounting import AccountingPolicy
from exporter.ledger.store import Ledger
from exporter.metrics.telemetry import Telemetry
from exporter.model import SECOND
from exporter.reload import Reload
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import AccountTarget, ScrapePlan
from exporter.scrape.scraper import Scraper
from tests.support.listings import T0, listing, session
from tests.support.own_metrics import own_value
from tests.support.scripted_provider import LONG, ONE, TWO, Make, Provider, of

VALID = "cloud_browser_exporter_config_last_reload_successful"
VALID_AT = "cloud_browser_exporter_config_last_reload_success_timestamp_seconds"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as opened:
        yield opened


@pytest.fixture
def scraper(ledger: Ledger) -> Iterator[Make]:
    made = []

    def make(*targets: AccountTarget, min_interval: float = 0) -> Scraper:
        made.append(Scraper(ScrapePlan(targets, min_interval=min_interval), ledger, Telemetry()))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_scrape_in_flight_keeps_its_plan_and_the_next_has_the_new_one(scraper: Make) -> None:
    old, new = Provider(listing()), Provider(listing())
    old.gate.clear()
    scrapes = scraper(old.target(ONE))

    async def reload() -> tuple[ScrapeResult, ScrapeResult]:
        first = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(old.asked.wait)
        scrapes.plan = ScrapePlan((new.target(TWO),))
        second = await scrapes.scrape(LONG)
        old.gate.set()
        return await first, second

    first, second = asyncio.run(reload())
    assert [result.account for result in first.results] == [ONE]
    assert [result.account for result in second.results] == [TWO]
    assert of(first, ONE).error is None


def test_an_account_that_goes_and_comes_back_while_it_is_read_is_read_once(scraper: Make) -> None:
    provider, other = Provider(listing()), Provider(listing())
    provider.gate.clear()
    scrapes = scraper(provider.target(ONE))

    async def away_and_back() -> tuple[ScrapeResult, ScrapeResult]:
        first = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(provider.asked.wait)
        scrapes.plan = ScrapePlan((other.target(TWO),))
        await scrapes.scrape(LONG)
        scrapes.plan = ScrapePlan((provider.target(ONE), other.target(TWO)))
        third = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.sleep(0)  # lets it join before the gate opens
        provider.gate.set()
        return await first, await third

    first, third = asyncio.run(away_and_back())
    assert of(first, ONE) is of(third, ONE)
    assert len(provider.windows) == 1


def test_an_account_that_goes_and_comes_back_goes_on_with_its_reader_and_its_counters(scraper: Make) -> None:
    first, again, other = Provider(listing(session()), AuthError(401, None)), Provider(), Provider(listing())
    scrapes = scraper(first.target(ONE, fetch_key="same"))
    before = of(asyncio.run(scrapes.scrape(LONG)), ONE)
    scrapes.plan = ScrapePlan((other.target(TWO),))
    asyncio.run(scrapes.scrape(LONG))
    scrapes.plan = ScrapePlan((again.target(ONE, fetch_key="same"),))
    after = of(asyncio.run(scrapes.scrape(LONG)), ONE)
    assert (after.error, after.totals) == ("auth", before.totals)
    assert (len(first.windows), len(again.windows)) == (2, 0)


def test_an_account_whose_requests_change_is_read_when_the_thread_before_has_ended(
    scraper: Make,
) -> None:
    old, new, other = Provider(listing(session())), Provider(listing(session())), Provider(listing())
    old.gate.clear()
    scrapes = scraper(old.target(ONE))

    async def change() -> ScrapeResult:
        first = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(old.asked.wait)
        scrapes.plan = ScrapePlan((new.target(ONE), other.target(TWO)))
        second = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(other.asked.wait)
        assert not new.asked.is_set()
        old.gate.set()
        await first
        return await second

    assert of(asyncio.run(change()), ONE).error is None
    assert new.windows[0].unsettled == {"s1": T0}, "what the scrape before brought is in the ledger"


def test_an_account_whose_prices_alone_change_is_not_read_again_for_that(scraper: Make) -> None:
    provider = Provider(listing())
    provider.gate.clear()
    scrapes = scraper(provider.target(ONE))

    async def change() -> None:
        first = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.to_thread(provider.asked.wait)
        scrapes.plan = ScrapePlan(
            (provider.target(ONE, AccountingPolicy(settle_after=SECOND, browser_per_hour=1)),)
        )
        second = asyncio.ensure_future(scrapes.scrape(LONG))
        await asyncio.sleep(0)  # lets it join before the gate opens
        provider.gate.set()
        await asyncio.gather(first, second)

    asyncio.run(change())
    assert len(provider.windows) == 1


def test_after_a_reload_min_interval_goes_on_for_the_accounts_that_stay(scraper: Make) -> None:
    stays, comes = Provider(listing()), Provider(listing())
    scrapes = scraper(stays.target(ONE), min_interval=3600.0)

    async def reload() -> None:
        await scrapes.scrape(LONG)
        scrapes.plan = ScrapePlan((stays.target(ONE), comes.target(TWO)), min_interval=3600.0)
        await scrapes.scrape(LONG)

    asyncio.run(reload())
    assert (len(stays.windows), len(comes.windows)) == (1, 1)


def test_reloads_do_not_keep_a_result_beyond_min_interval(ledger: Ledger) -> None:
    provider, now = Provider(listing()), 0.0
    scrapes = Scraper(ScrapePlan(()), ledger, Telemetry(), clock=lambda: now)
    for now in (0, 20, 40, 60):  # noqa: B007 - the clock shows it
        scrapes.plan = ScrapePlan((provider.target(ONE),), min_interval=30)
        asyncio.run(scrapes.scrape(LONG))
    assert len(provider.windows) == 2, "at 0 and at 40; at 20 and 60 there is an answer"


class Loader:
    """Loads the plans that a test gives, or raises; it waits at a gate, and counts concurrent calls."""

    def __init__(self, *results: ScrapePlan | Exception) -> None:
        self.results = list(results)
        self.inside, self.most = 0, 0
        self.entered, self.gate = Event(), Event()
        self.gate.set()

    def __call__(self) -> ScrapePlan:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        assert self.gate.wait(LONG)
        self.inside -= 1
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def test_a_valid_configuration_is_taken_and_a_bad_one_changes_nothing(scraper: Make) -> None:
    scrapes, telemetry = scraper(Provider(listing()).target(ONE)), Telemetry()
    old, new = scrapes.plan, ScrapePlan((Provider(listing()).target(TWO),))
    reload = Reload(Loader(ConfigError("a: one", "b: two"), ZeroDivisionError(), new), scrapes, telemetry)
    begun = own_value(telemetry, VALID_AT)
    assert begun is not None
    assert asyncio.run(reload()) == ("a: one", "b: two")
    assert (scrapes.plan, own_value(telemetry, VALID)) == (old, 0)
    assert asyncio.run(reload()) == ("a fault of the exporter, please report it, with the log",)
    assert (scrapes.plan, own_value(telemetry, VALID)) == (old, 0)
    assert own_value(telemetry, VALID_AT) == begun
    assert asyncio.run(reload()) == ()
    assert (scrapes.plan, own_value(telemetry, VALID)) == (new, 1)
    assert (own_value(telemetry, VALID_AT) or 0) > begun


def test_a_configuration_that_says_the_same_does_not_replace_the_plan(scraper: Make) -> None:
    scrapes = scraper(Provider(listing()).target(ONE))
    old = scrapes.plan
    assert asyncio.run(Reload(Loader(ScrapePlan(old.targets)), scrapes, Telemetry())()) == ()
    assert scrapes.plan is old


def test_scrapes_go_on_while_a_configuration_is_read(scraper: Make) -> None:
    scrapes = scraper(Provider(listing()).target(ONE))
    load = Loader(ScrapePlan((Provider(listing()).target(TWO),)))
    load.gate.clear()

    async def both() -> ScrapeResult:
        reload = Reload(load, scrapes, Telemetry())
        reload.begin()
        await asyncio.to_thread(load.entered.wait)
        result = await scrapes.scrape(LONG)
        load.gate.set()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        return result

    assert of(asyncio.run(both()), ONE).error is None
    assert [target.account for target in scrapes.plan.targets] == [TWO]


def test_concurrent_reloads_run_one_after_the_other(scraper: Make) -> None:
    scrapes = scraper(Provider(listing()).target(ONE))
    plans = [ScrapePlan((Provider(listing()).target(TWO),), min_interval=n) for n in range(3)]
    load = Loader(*plans)
    load.gate.clear()

    async def three() -> None:
        reload = Reload(load, scrapes, Telemetry())
        all_three = asyncio.gather(*(reload() for _ in plans))
        await asyncio.to_thread(load.entered.wait)
        await asyncio.sleep(0)  # lets the others come
        load.gate.set()
        await all_three

    asyncio.run(three())
    assert (load.most, scrapes.plan) == (1, plans[-1])
