"""The page at `/`: what it says of accounts and sessions, and that nothing in it is taken for HTML."""

from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from exporter.metrics.results import AccountResult, ReportResult
from exporter.model import SECOND, Account, AccountReport, Listing, Quota
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import ScrapePlan
from exporter.web.failures import FailedSession
from exporter.web.landing import duration, html
from tests.support.listings import EAST, MINUTE, T0, WEST, listing, session
from tests.support.scripted_provider import Provider

ONE, TWO, NEW = Account("browserbase", "one"), Account("browser_use", "two"), Account("browserbase", "new")
LISTED = listing(listed={(WEST, "running"): 2, (EAST, "running"): 1, (EAST, "completed"): 40})
LINKS = {"/metrics": "Metrics"}
NOW = 1_767_225_700.0
AT = 1_767_225_600.9


class Reader(HTMLParser):
    """The tags of a page, its links, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str | None] = []
        self.texts: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name == "href" and tag == "a"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def plan(*accounts: Account) -> ScrapePlan:
    return ScrapePlan(tuple(Provider().target(account) for account in accounts))


def result(account: Account, shown: Listing | None, error: str | None = None, **more: Any) -> AccountResult:
    plain = AccountResult(account, shown, {}, complete=True, rows=1, last_success=1, error=error, seconds=1)
    return msgspec.structs.replace(plain, **more)


def page(
    *results: AccountResult, accounts: tuple[Account, ...] = (), now: float = NOW, **more: Any
) -> Reader:
    """The page of a scrape of these results at `AT`."""
    shown = plan(*(accounts or tuple(one.account for one in results)))
    return Reader(html(shown, ScrapeResult(shown, results, AT), more.get("failures", ()), LINKS, now))


def test_when_all_accounts_are_read_it_says_so() -> None:
    shown = page(result(ONE, LISTED), result(TWO, LISTED))
    assert "✓ All is well: every account is read" in shown.text
    assert "Last scrape: 2026-01-01 00:00:00 UTC, 1 min 39 s ago" in shown.text
    assert "Open sessions: 3" in shown.text
    assert shown.links == ["/metrics"]


def test_a_failure_comes_first_with_what_to_do() -> None:
    shown = page(
        result(ONE, LISTED),
        result(TWO, None, "auth", detail="HTTP status 401: check the key", last_success=AT - 60),
    )
    assert "✗ 1 of 2 accounts cannot be read" in shown.text
    assert (
        "browser_use/ two ✗ down auth: HTTP status 401: check the key Last read: 2025-12-31 23:59:00"
        in shown.text
    )
    assert shown.text.index("browser_use/ two") < shown.text.index("browserbase/ one")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (result(ONE, None, "auth", last_success=None), "✗ down, and never read yet auth"),
        (
            result(ONE, listing(remaining=7), complete=False),
            "… importing its history: 7 sessions to read",
        ),
        (result(ONE, listing(rejected={"malformed": 2, "field": 5})), "2 sessions are left out"),
        (
            result(
                ONE,
                LISTED,
                reported=ReportResult(AccountReport(), "auth", 1, "HTTP status 403: check the key"),
            ),
            "✓ up quota and credit: auth: HTTP status 403: check the key",
        ),
    ],
)
def test_what_is_not_well_is_said(given: AccountResult, said: str) -> None:
    shown = page(given)
    assert said in shown.text
    assert "All is well" not in shown.text


def test_before_the_first_scrape_nothing_is_claimed() -> None:
    shown = Reader(html(plan(ONE), None, (), LINKS, NOW))
    assert "No scrape yet: check that Prometheus scrapes this exporter" in shown.text
    assert "Last scrape: none yet" in shown.text
    assert "not scraped yet" in shown.text


def test_that_nobody_scrapes_any_more_is_said() -> None:
    assert "No scrape for 2 h 0 min" in page(result(ONE, LISTED), now=AT + 7200).text.replace(
        "2 h:", "2 h 0 min:"
    )


def test_an_account_that_was_not_scraped_yet_is_shown_so() -> None:
    shown = page(result(ONE, LISTED), accounts=(ONE, NEW))
    assert "not scraped yet" in shown.text
    assert "not all are complete" in shown.text


def test_an_account_that_a_reload_took_away_is_not_shown() -> None:
    assert "two" not in page(result(ONE, LISTED), result(TWO, LISTED), accounts=(ONE,)).text.split()


def test_quota_and_credit_are_shown_by_the_projects_names() -> None:
    quotas = Quota("p1", limit=50, used=7), Quota("p2", limit=25), Quota("p3")
    report = AccountReport(quotas, {"total": 12.5}, projects={"p1": "crawlers"})
    shown = page(result(ONE, LISTED, reported=ReportResult(report, None, 1)))
    assert "Quota of crawlers : 7 used of 50 sessions" in shown.text
    assert "Quota of p2 : at most 25 sessions" in shown.text
    assert "p3" not in shown.text
    assert "Credit: 12.50 USD total" in shown.text


def test_the_ten_oldest_open_sessions_are_listed_with_links_where_there_is_a_page() -> None:
    many = [session(id=f"s{minute}", started=T0 - minute * MINUTE) for minute in range(12)]
    ended = session(id="over", started=T0 - 99 * MINUTE, ended=T0, status="completed", ending="completed")
    shown = page(result(ONE, listing(*many, ended, many[0])), result(TWO, listing(session(id="u"), time=T0)))
    assert [one for one in shown.texts if one.startswith("s") and one[1:].isdigit()] == [
        f"s{minute}" for minute in range(11, 1, -1)
    ]
    assert shown.links[1:] == [f"https://www.browserbase.com/sessions/s{n}" for n in range(11, 1, -1)]
    assert "12 min" in shown.text
    assert "over" not in shown.texts


def test_the_last_failures_are_listed() -> None:
    failure = FailedSession(TWO, "f1", "unknown", "timed_out", int(NOW - 65) * SECOND)
    shown = page(result(TWO, LISTED), failures=(failure,))
    assert "f1 browser_use/ two unknown timed_out 1 min 5 s ago" in shown.text


def test_nothing_is_taken_for_html() -> None:
    bad = "<script>'\"&/../"
    odd = Account("browserbase", bad)
    running = listing(session(id=bad), listed={(WEST, "running"): 1})
    plain = page(result(ONE, msgspec.structs.replace(running, sessions=(session(),)), "auth"))
    shown = page(result(odd, running, bad))
    assert shown.tags == plain.tags
    assert shown.texts.count(bad) == 4
    assert shown.links[1] == "https://www.browserbase.com/sessions/%3Cscript%3E%27%22%26%2F..%2F"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (90_061, "1 d 1 h")],
)
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
