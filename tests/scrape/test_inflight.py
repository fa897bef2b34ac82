"""Which scrapes may share one that is in flight, or its result."""

from concurrent.futures import Future

import pytest

from exporter.metrics.results import AccountResult
from exporter.model import Account
from exporter.scrape.inflight import AccountScrape, InFlightScrape
from exporter.scrape.plan import AccountTarget, ScrapePlan
from exporter.scrape.report import TIMEOUT
from tests.support.listings import RULES, listing
from tests.support.providers import description
from tests.support.scripted_provider import Provider

ONE = Account("browserbase", "one")


def target(requests: str = "these") -> AccountTarget:
    return AccountTarget(ONE, RULES, description(ONE), Provider(), fetch_key=requests)


def account_scrape(error: str | None = None, *, begun: float = 100, done: bool = True) -> AccountScrape:
    """Of a scrape with ten seconds."""
    future: Future[AccountResult] = Future()
    if done:
        future.set_result(AccountResult(ONE, listing(), {}, None, None, None, error, 1))
    return AccountScrape(target(), begun, 10, future)


def test_a_running_account_scrape_serves_the_same_requests_with_about_its_timeout() -> None:
    assert account_scrape(done=False).can_serve(target(), 20)
    assert not account_scrape(done=False).can_serve(target("others"), 10)
    assert not account_scrape(done=False).can_serve(target(), 21)


def test_a_result_serves_whatever_the_timeout_unless_it_is_a_timeout_itself() -> None:
    assert account_scrape().can_serve(target(), 1000)
    assert account_scrape("auth").can_serve(target(), 1000)
    assert not account_scrape(TIMEOUT).can_serve(target(), 1000)
    assert account_scrape(TIMEOUT).can_serve(target(), 20)


@pytest.mark.parametrize(
    ("now", "seconds", "done", "shared"),
    [
        (109, 10, False, True), (109, 10, True, False), (109, 21, False, False),
        (110, 10, False, False), (110, 10, True, False),
    ],
)  # fmt: skip
def test_a_scrape_is_shared_until_it_is_answered(
    now: float,
    seconds: float,
    done: bool,  # noqa: FBT001 - pytest gives it by name
    shared: bool,  # noqa: FBT001 - the same
) -> None:
    plan = ScrapePlan((target(),))
    in_flight = InFlightScrape(plan, 100, 10, {ONE: account_scrape(done=done)})
    assert in_flight.can_serve(plan, now, seconds) == shared
    assert not in_flight.can_serve(ScrapePlan((target(),)), now, seconds), "another plan's is another scrape"


def test_a_result_is_shared_for_min_interval() -> None:
    plan = ScrapePlan((target(),), min_interval=30)
    in_flight = InFlightScrape(plan, 100, 10, {ONE: account_scrape()})
    assert in_flight.can_serve(plan, 129, 1000)
    assert not in_flight.can_serve(plan, 130, 10)
    kept = InFlightScrape(plan, 120, 10, {ONE: account_scrape()})
    assert not kept.can_serve(plan, 130, 10), "the account was read for a scrape before it"
