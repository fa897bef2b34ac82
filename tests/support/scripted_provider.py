"""A provider whose answers a test chooses and holds back, and what a scraper is given beside it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from threading import Event, Thread

from exporter.ledger.accounting import AccountingPolicy
from exporter.metrics.results import AccountResult
from exporter.model import Account, Listing, ReadWindow
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import AccountTarget
from exporter.scrape.scraper import Scraper
from tests.support.listings import RULES
from tests.support.providers import description

ONE, TWO = Account("browserbase", "one"), Account("browser_use", "two")

LONG = 60.0  # seconds; never waited for


class Tally:
    """Telemetry that remembers."""

    def __init__(self) -> None:
        self.failures: Counter[tuple[Account, str]] = Counter()
        self.account_failures: Counter[tuple[Account, str]] = Counter()
        self.rejections: Counter[tuple[Account, str]] = Counter()
        self.writes = 0

    def scrape_failed(self, account: Account, reason: str, collector: str = "sessions") -> None:
        (self.failures if collector == "sessions" else self.account_failures)[account, reason] += 1

    def rejected(self, account: Account, rows: Mapping[str, int]) -> None:
        self.rejections.update({(account, reason): n for reason, n in rows.items()})

    def ledger_failed(self) -> None:
        self.writes += 1


class Provider:
    """A reader that gives the test's answers, the last again and again; it waits at a gate, and counts.

    asked: set by the first call. crowded: set when two threads read at once.
    """

    def __init__(self, *answers: Listing | Exception) -> None:
        self.answers = list(answers)
        self.windows: list[ReadWindow] = []
        self.deadlines: list[float] = []
        self.commits, self.inside = 0, 0
        self.asked, self.crowded, self.gate = Event(), Event(), Event()
        self.gate.set()

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        self.windows.append(window)
        self.deadlines.append(deadline)
        self.inside += 1
        self.asked.set()
        if self.inside > 1:
            self.crowded.set()
        self.gate.wait()
        self.inside -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def committed(self) -> None:
        self.commits += 1

    def target(
        self,
        account: Account,
        policy: AccountingPolicy = RULES,
        *,
        cost: bool = False,
        fetch_key: str | None = None,
    ) -> AccountTarget:
        """The account, read by this provider; its requests are like no other's but for the key."""
        described = description(account, cost=cost)
        return AccountTarget(account, policy, described, self, fetch_key=fetch_key or id(self))


class HistoryProvider(Provider):
    """A provider that can be read on between scrapes: its listings, or what it raises, one after the other.

    At the end it waits until it is told to stop. waiting: set then.
    """

    def __init__(self, *answers: Listing | Exception, history: Sequence[Listing | Exception]) -> None:
        super().__init__(*answers)
        self.history, self.waiting = list(history), Event()
        self.read_on_windows: list[ReadWindow] = []

    def read_on(self, window: ReadWindow, stop: Future[None]) -> Iterator[Listing]:
        self.read_on_windows.append(window)
        while self.history:
            answer = self.history.pop(0)
            if isinstance(answer, Exception):
                raise answer
            yield answer
        self.waiting.set()
        stop.result()


class Threads:
    """Starts threads, unless told that there is none left, and keeps them."""

    def __init__(self) -> None:
        self.none_left = False
        self._threads: dict[str, Thread] = {}

    def __call__(self, name: str, run: Callable[[], None]) -> None:
        if self.none_left:
            raise RuntimeError("can't start new thread")
        self._threads[name] = Thread(target=run, name=name, daemon=True)
        self._threads[name].start()

    def join(self, account: Account) -> None:
        """Wait for the end of an account's last thread."""
        self._threads[f"{account.provider}/{account.name}"].join()


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop on whose clock time can be skipped: what is due by then happens at once."""

    _skipped = 0.0

    def time(self) -> float:
        return super().time() + self._skipped

    def skip(self, seconds: float) -> None:
        self._skipped += seconds


Make = Callable[..., Scraper]


def of(scrape_result: ScrapeResult, account: Account) -> AccountResult:
    return next(result for result in scrape_result.results if result.account == account)
