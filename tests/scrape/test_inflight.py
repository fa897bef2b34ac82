"""Who may share a pull, and threads that nobody has to wait for."""

from concurrent.futures import Future
from threading import Event, current_thread

import pytest

from exporter.model import Account, Listing, Outcome
from exporter.scrape.inflight import TIMEOUT, Asked, Flight, in_thread
from exporter.scrape.plan import Plan, Target
from tests.support.listings import RULES, listing

ONE = Account("browserbase", "one")


def never(*_: object) -> Listing:
    raise AssertionError


def target(asks: str = "this") -> Target:
    return Target(ONE, RULES, never, asks=asks)


def asked(error: str | None = None, *, begun: float = 100, done: bool = True) -> Asked:
    """For a pull of ten seconds."""
    future: Future[Outcome] = Future()
    if done:
        future.set_result(Outcome(ONE, listing(), {}, None, None, None, error, 1))
    return Asked(target(), begun, 10, future)


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
def test_a_pull_is_shared_until_it_is_answered(now: float, seconds: float, done: bool, shared: bool) -> None:  # noqa: FBT001 - pytest passes them by name
    plan = Plan((target(),))
    flight = Flight(plan, 100, 10, {ONE: asked(done=done)})
    assert flight.serves(plan, now, seconds) == shared
    assert not flight.serves(Plan((target(),)), now, seconds), "another plan's is another pull"


def test_an_answer_is_shared_for_min_interval() -> None:
    plan = Plan((target(),), min_interval=30)
    flight = Flight(plan, 100, 10, {ONE: asked()})
    assert flight.serves(plan, 129, 1000)
    assert not flight.serves(plan, 130, 10)
    kept = Flight(plan, 120, 10, {ONE: asked()})
    assert not kept.serves(plan, 130, 10), "what it has is of a pull before it"


def test_a_thread_gives_its_result_or_its_error_and_does_not_hold_up_the_end() -> None:
    gate = Event()
    waiting = in_thread("waits", lambda: (gate.wait(), current_thread().daemon, current_thread().name))
    assert not waiting.done()
    gate.set()
    assert waiting.result() == (True, True, "waits")
    with pytest.raises(ZeroDivisionError):
        in_thread("fails", lambda: 1 // 0).result()
