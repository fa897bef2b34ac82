"""Imports accounts' histories into a ledger, one thread for each account."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Event

import msgspec

from exporter.clocks import boottime
from exporter.commands.progress import Progress
from exporter.ledger.store import Ledger, LedgerError
from exporter.metrics.definitions import SESSIONS_COLLECTOR
from exporter.metrics.telemetry import Telemetry
from exporter.model import Account, Listing, ReadWindow
from exporter.providers.base import HistoryReader, SessionReader
from exporter.scrape.account import AccountScraper
from exporter.scrape.plan import MAX_SCRAPE_SECONDS, AccountTarget, ScrapePlan
from exporter.threads import in_thread

TRANSIENT = frozenset({"timeout", "unreachable", "rate_limited", "server", "ledger"})
ATTEMPTS = 4  # in a row that bring nothing
FIRST_SECONDS = 5.0  # for a reader that goes on between scrapes, which is quicker
PAUSE_SECONDS = 1.0  # after the first of them; each is followed by one of twice the length


class Outcome(msgspec.Struct, frozen=True):
    """How an account's import ended: sessions counted so far, and the reason of its failure, if any.

    Both are None for an account whose sessions are not collected.
    """

    account: Account
    counted: int | None = None
    error: str | None = None


class _Watched:
    """A reader that tells how many sessions are still to be read, once each listing is in the ledger."""

    def __init__(self, reader: SessionReader, tell: Callable[[int], None]) -> None:
        self._reader, self._tell, self._remaining = reader, tell, 0

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        listing = self._reader.read(window, deadline)
        self._remaining = listing.remaining
        return listing

    def committed(self) -> None:
        self._reader.committed()
        self._tell(self._remaining)


class _WatchedHistory(_Watched):
    def __init__(self, reader: HistoryReader, tell: Callable[[int], None]) -> None:
        super().__init__(reader, tell)
        self._history = reader

    def read_on(self, window: ReadWindow, stop: Future[None]) -> Iterator[Listing]:
        for listing in self._history.read_on(window, stop):
            self._remaining = listing.remaining
            yield listing


class Import:
    """The imports of a plan's accounts. `run` may be called once; `stop` by another thread.

    Args:
        plan: the accounts.
        ledger: where their sessions are recorded; other processes may record the same accounts.
        telemetry: counts failures.
        shown: told of each account as its listings are recorded.
        pause: waits for so many seconds after a failure.
    """

    def __init__(
        self,
        plan: ScrapePlan,
        ledger: Ledger,
        telemetry: Telemetry,
        shown: Progress,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._plan, self._ledger, self._shown, self._stopped = plan, ledger, shown, Event()
        self._pause = self._stopped.wait if pause is None else pause
        self._scrapers = {
            target.account: AccountScraper(target.account, ledger, telemetry) for target in plan.targets
        }

    def run(self) -> Sequence[Outcome]:
        """Return how each account's import ended, once all have."""
        running = [in_thread("import", partial(self._import, target)) for target in self._plan.targets]
        return [one.result() for one in running]

    def stop(self, seconds: float) -> None:
        """Have all imports end with the listings that they record now; wait so long for them."""
        self._stopped.set()
        ends = boottime() + seconds
        for scraper in self._scrapers.values():
            scraper.turn.stop_import()
        for scraper in self._scrapers.values():
            scraper.turn.join(ends - boottime())

    def _import(self, target: AccountTarget) -> Outcome:
        if SESSIONS_COLLECTOR not in target.description.collectors:
            return Outcome(target.account)
        scraper, name = self._scrapers[target.account], f"{target.account.provider}/{target.account.name}"

        def tell(remaining: int) -> None:
            counted, complete = scraper.imported
            self._shown.show(name, counted, counted if complete else counted + max(1, remaining))

        self._shown.show(name, self._counted(target.account), None)
        error = self._read_all(scraper, _watched(target, tell))
        return Outcome(target.account, scraper.imported[0], error)

    def _counted(self, account: Account) -> int:
        """Returns how many sessions an import before this one has counted."""
        try:
            return self._ledger.state(account).started
        except LedgerError:  # reported when it is written
            return 0

    def _read_all(self, scraper: AccountScraper, target: AccountTarget) -> str | None:
        """Read until the history is complete. Returns the reason of a failure that does not pass."""
        seconds, failures, before = self._plan.timeouts.timeout, 0, 0
        if isinstance(target.reader, HistoryReader):
            seconds = min(seconds, FIRST_SECONDS)
        while not self._stopped.is_set():
            scraper.turn.allow_import()
            error = scraper.scrape(target, boottime() + seconds).error
            if error is None:
                scraper.go_on_importing()
                if scraper.imported[1]:
                    return None
            failures = failures + 1 if scraper.imported[0] == before else 0
            before = scraper.imported[0]
            if error not in {None, *TRANSIENT} or failures == ATTEMPTS:
                return error or "internal"
            if error == "timeout":
                seconds = min(2 * seconds, MAX_SCRAPE_SECONDS)
            if error is not None:
                self._pause(PAUSE_SECONDS * 2**failures)
        return "stopped"


def _watched(target: AccountTarget, tell: Callable[[int], None]) -> AccountTarget:
    reader = target.reader
    made = _WatchedHistory(reader, tell) if isinstance(reader, HistoryReader) else _Watched(reader, tell)
    return msgspec.structs.replace(target, reader=made, account_reader=None)
