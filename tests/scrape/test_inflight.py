"""Who may share a scrape, and threads that nobody has to wait for."""

from concurrent.futures import Future
from threading import Event, current_thread

import pytest

from exporter.metrics.families import AccountResult
from exporter.model import Account
from exporter.scrape.inflight import TIMEOUT, AccountScrape, InFlightScrape, in_thread
from exporter.scrape.plan import AccountTarget, ScrapePlan
from tests.support.listings import RULES, listing
from tests.support.providers import description
from tests.support.scripted_provider import Provider

ONE = Account("browserbase", "one")


def target(asks: str = "this") -> AccountTarget:
    return AccountTarget(ONE, RULES, description(ONE), Provider(), fetch_key=asks)


def asked(error: str | None = None, *, begun: float = 100, done: bool = True) -> AccountScrape:
    """For a scrape of ten seconds."""
    future: Future[AccountResult] = Future()
    if done:
        future.set_result(AccountResult(ONE, listing(), {}, None, None, None, error, 1))
    return AccountScrape(target(), begun, 10, future)


def test_what_is_asked_serves_who_asks_the_same_in_about_that_time() -> None:
    assert asked(done=False).serves(target(), 20)
    assert not asked(done=False).serves(target("that"), 10)
    assert not asked(done=False).serves(target(), 21)


def test_what_was_read_serves_for_any_time_and_what_was_cut_off_does_not() -> None:
    assert asked().serves(target(), 1000)
    assert asked("auth").serves(target(), 1000)
    assert not asked(TIMEOUT).serves(target(), 1000)
    assert asked(TIMEOUT).serves(target(), 20)


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
    in_flight = InFlightScrape(plan, 100, 10, {ONE: asked(done=done)})
    assert in_flight.serves(plan, now, seconds) == shared
    assert not in_flight.serves(ScrapePlan((target(),)), now, seconds), "another plan's is another scrape"


def test_an_answer_is_shared_for_min_interval() -> None:
    plan = ScrapePlan((target(),), min_interval=30)
    in_flight = InFlightScrape(plan, 100, 10, {ONE: asked()})
    assert in_flight.serves(plan, 129, 1000)
    assert not in_flight.serves(plan, 130, 10)
    kept = InFlightScrape(plan, 120, 10, {ONE: asked()})
    assert not kept.serves(plan, 130, 10), "what it has is of a scrape before it"


def test_a_thread_gives_its_result_or_its_error_and_does_not_hold_up_the_end() -> None:
    gate = Event()
    waiting = in_thread("waits", lambda: (gate.wait(), current_thread().daemon, current_thread().name))
    assert not waiting.done()
    gate.set()
    assert waiting.result() == (True, True, "waits")
    with pytest.raises(ZeroDivisionError):
        in_thread("fails", lambda: 1 // 0).result()
