"""The last sessions that failed, as scrapes showed them."""

from exporter.metrics.results import AccountResult
from exporter.model import Account, Listing, Session
from exporter.web.failures import RecentFailures
from tests.support.listings import MINUTE, T0, listing, session

ONE, TWO = Account("browserbase", "one"), Account("browser_use", "two")


def result(account: Account, shown: Listing | None) -> AccountResult:
    return AccountResult(account, shown, {}, complete=True, rows=1, last_success=1, error=None, seconds=1)


def failed(name: str, minute: int, ending: str = "error") -> Session:
    return session(id=name, status=ending, ending=ending, ended=T0 + minute * MINUTE)


def newest(failures: RecentFailures, *accounts: Account) -> list[str]:
    return [one.id for one in failures.newest(accounts)]


def test_errors_and_timeouts_are_kept_the_newest_first_over_scrapes_that_do_not_show_them() -> None:
    failures = RecentFailures()
    failures.add([result(ONE, listing(failed("a", 1), failed("b", 3, "timed_out")))])
    failures.add([result(TWO, listing(failed("c", 2), failed("good", 9, "completed"), session(id="open")))])
    failures.add([result(ONE, listing()), result(TWO, None)])
    assert newest(failures, ONE, TWO) == ["b", "c", "a"]
    assert newest(failures, ONE) == ["b", "a"]


def test_a_session_stands_once_as_it_was_last_shown() -> None:
    failures = RecentFailures()
    failures.add([result(ONE, listing(failed("a", 1)))])
    failures.add([result(ONE, listing(failed("a", 2, "timed_out")))])
    assert [(one.id, one.ending) for one in failures.newest([ONE])] == [("a", "timed_out")]


def test_no_more_than_ten_are_kept() -> None:
    failures = RecentFailures()
    failures.add([result(ONE, listing(*(failed(str(number), number) for number in range(30))))])
    assert newest(failures, ONE) == [str(number) for number in range(29, 19, -1)]
