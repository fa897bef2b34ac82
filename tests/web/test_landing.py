"""The page at `/`: what it shows, and that nothing in it is taken for HTML."""

from html.parser import HTMLParser

from exporter.metrics.results import AccountResult
from exporter.model import Account, Listing
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import ScrapePlan
from exporter.web.landing import html
from tests.support.listings import EAST, WEST, listing
from tests.support.scripted_provider import Provider

ONE, TWO, NEW = Account("browserbase", "one"), Account("browser_use", "two"), Account("browserbase", "new")
LISTED = listing(listed={(WEST, "running"): 2, (EAST, "running"): 1, (EAST, "completed"): 40})
LINKS = {"/metrics": "Metrics"}


class Reader(HTMLParser):
    """The tags of a page, its links, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str | None] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def plan(*accounts: Account) -> ScrapePlan:
    return ScrapePlan(tuple(Provider().target(account) for account in accounts))


def result(account: Account, shown: Listing | None, error: str | None = None) -> AccountResult:
    return AccountResult(account, shown, {}, complete=True, rows=1, last_success=1, error=error, seconds=1)


def test_accounts_are_shown_as_the_last_scrape_found_them() -> None:
    last = ScrapeResult(plan(ONE, TWO), (result(ONE, LISTED), result(TWO, None, "auth")), 1_767_225_600.9)
    texts = Reader(html(plan(ONE, TWO, NEW), last, LINKS)).texts
    assert "Last scrape: 2026-01-01 00:00:00 UTC" in texts
    assert texts[texts.index("one") :][:3] == ["one", "yes", "40 completed, 3 running"]
    assert texts[texts.index("two") :][:3] == ["two", "no", "auth"]
    assert texts[texts.index("new") :][:2] == ["new", "not scraped yet"]


def test_before_the_first_scrape_nothing_is_claimed() -> None:
    page = Reader(html(plan(ONE), None, LINKS))
    assert "Last scrape: none yet" in page.texts
    assert "not scraped yet" in page.texts
    assert page.links == ["/metrics"]


def test_an_account_that_a_reload_took_away_is_not_shown() -> None:
    last = ScrapeResult(plan(ONE, TWO), (result(ONE, LISTED), result(TWO, LISTED)), 0)
    assert "two" not in Reader(html(plan(ONE), last, LINKS)).texts


def test_nothing_is_taken_for_html() -> None:
    bad = "<script>'\"&"
    odd = Account("browserbase", bad)
    last = ScrapeResult(plan(odd), (result(odd, listing(listed={(WEST, bad): 1}), bad),), 0)
    plain = Reader(html(plan(ONE), ScrapeResult(plan(ONE), (result(ONE, LISTED, "auth"),), 0), LINKS))
    page = Reader(html(plan(odd), last, {f"/{bad}": bad}))
    assert page.tags == plain.tags
    assert page.links == [f"/{bad}"]
    assert page.texts.count(bad) == 3
    assert f"1 {bad}" in page.texts
