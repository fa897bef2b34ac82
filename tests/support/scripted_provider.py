"""A provider whose answers a test chooses, and holds back."""

from collections import Counter
from collections.abc import Callable, Mapping
from threading import Event

from exporter.ledger.accounting import AccountingPolicy
from exporter.metrics.families import AccountResult
from exporter.model import Account, Listing, ReadWindow
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import AccountTarget
from exporter.scrape.scraper import Scraper
from tests.support.listings import RULES
from tests.support.providers import description

ONE, TWO = Account("browserbase", "one"), Account("browser_use", "two")

LONG = 60.0  # seconds; never waited for


class Tally:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.failures: Counter[tuple[Account, str]] = Counter()
        self.rejections: Counter[tuple[Account, str]] = Counter()
        self.writes = 0

    def scrape_failed(self, account: Account, reason: str) -> None:
        self.failures[account, reason] += 1

    def rejected(self, account: Account, rows: Mapping[str, int]) -> None:
        self.rejections.update({(account, reason): n for reason, n in rows.items()})

    def ledger_failed(self) -> None:
        self.writes += 1


class Provider:
    """A provider whose answers the test gives; waits at a gate, and counts."""

    def __init__(self, *answers: Listing | Exception) -> None:
        self.answers = list(answers)
        self.horizons: list[ReadWindow] = []
        self.deadlines: list[float] = []
        self.commits = 0
        self.asked, self.gate = Event(), Event()
        self.gate.set()

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        self.horizons.append(window)
        self.deadlines.append(deadline)
        self.asked.set()
        self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def committed(self) -> None:
        self.commits += 1

    def target(
        self, account: Account, policy: AccountingPolicy = RULES, *, cost: bool = False
    ) -> AccountTarget:
        return AccountTarget(account, policy, description(account, cost=cost), self, fetch_key=id(self))


Make = Callable[..., Scraper]


def of(scrape_result: ScrapeResult, account: Account) -> AccountResult:
    return next(result for result in scrape_result.results if result.account == account)
