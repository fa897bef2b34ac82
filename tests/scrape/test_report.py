"""The account collector: beside the sessions, in a thread that it keeps, and never in their way."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import msgspec
import pytest

from exporter.clocks import boottime
from exporter.ledger.store import Ledger
from exporter.model import AccountReport
from exporter.providers.base import AccountReading
from exporter.scrape.account import AccountScraper
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import AccountTarget, ScrapePlan
from exporter.scrape.report import ReportScraper
from exporter.scrape.scraper import Scraper
from tests.support.listings import listing, session
from tests.support.scripted_provider import (
    LONG,
    ONE,
    HistoryProvider,
    Provider,
    Tally,
    Threads,
    of,
)

BOTH = ("sessions", "account")


class Reader:
    """Tells of a plan; it waits at a gate. asked: set by each call."""

    def __init__(self, plan: str = "plan", error: Exception | None = None) -> None:
        self.plan, self.error = plan, error
        self.deadlines: list[float] = []
        self.asked, self.gate = Event(), Event()
        self.gate.set()

    def read(self, deadline: float) -> AccountReading:
        self.deadlines.append(deadline)
        self.asked.set()
        assert self.gate.wait(LONG)
        if self.error is not None:
            raise self.error
        return AccountReading(AccountReport(plan=self.plan))


class Starts(Threads):
    """Counts the threads it starts."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __call__(self, name: str, run: Callable[[], None]) -> None:
        super().__call__(name, run)
        self.names.append(name)


@pytest.fixture
def threads() -> Starts:
    return Starts()


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def reports(threads: Starts, tally: Tally) -> ReportScraper:
    return ReportScraper(ONE, tally, boottime, threads)


def read(reports: ReportScraper, reader: Reader, seconds: float = LONG) -> tuple[str | None, str | None]:
    """Begin and finish; the plan and the reason of a failure."""
    begun = boottime()
    reports.begin(reader, begun + LONG)
    result = reports.finish(reader, begun, begun + seconds)
    return result.report.plan, result.error


def test_one_thread_reads_again_and_again(reports: ReportScraper, threads: Starts) -> None:
    assert [read(reports, Reader()) for _ in range(5)] == [("plan", None)] * 5
    assert threads.names == [f"{ONE.provider}/{ONE.name} account"]


def test_a_reading_that_hangs_is_a_timeout_and_joined_by_no_other(
    reports: ReportScraper, tally: Tally
) -> None:
    reader = Reader()
    reader.gate.clear()
    assert [read(reports, reader, seconds=0) for _ in range(3)] == [(None, "timeout")] * 3
    assert tally.account_failures == {(ONE, "timeout"): 3}
    assert reader.asked.wait(LONG)
    assert len(reader.deadlines) == 1
    reader.gate.set()
    assert read(reports, reader) == ("plan", None)


def test_what_hangs_from_before_a_reload_is_not_shown_after_it(reports: ReportScraper) -> None:
    before, after = Reader("old"), Reader("new")
    before.gate.clear()
    read(reports, before, seconds=0)
    reports.begin(after, LONG)
    before.gate.set()
    now = boottime()
    assert reports.finish(after, now, now + LONG).error == "timeout"
    assert read(reports, after) == ("new", None)


def test_a_bug_in_a_reader_is_internal_and_the_next_reading_may_succeed(
    reports: ReportScraper, tally: Tally
) -> None:
    assert read(reports, Reader(error=KeyError("x"))) == (None, "internal")
    assert read(reports, Reader()) == ("plan", None)
    assert tally.account_failures == {(ONE, "internal"): 1}


def test_without_a_thread_it_fails_and_the_next_reading_may_succeed(
    reports: ReportScraper, threads: Starts, tally: Tally
) -> None:
    threads.none_left = True
    assert read(reports, Reader()) == (None, "internal")
    threads.none_left = False
    assert read(reports, Reader()) == ("plan", None)
    assert tally.account_failures == {(ONE, "internal"): 1}


@pytest.fixture
def account(tmp_path: Path, tally: Tally) -> Iterator[AccountScraper]:
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        yield AccountScraper(ONE, ledger, tally)


def test_once_sessions_are_not_collected_nothing_is_told_of_them(account: AccountScraper) -> None:
    """A reload has switched them off: what was known does not change any more, and no import goes on."""
    provider = HistoryProvider(listing(covers=None, remaining=7), history=[ValueError()])
    account.turn.allow_import()
    before = account.scrape(target(Reader(), provider), boottime() + LONG)
    alone = target(Reader(), provider, "account")
    results = account.scrape(alone, boottime() + LONG), account.timed_out(alone, 1)
    account.go_on_importing()
    assert (before.complete, before.last_success is not None) == (False, True)
    for one in results:
        assert (one.listing, one.totals, one.complete, one.rows, one.last_success) == (None,) * 5
    assert provider.read_on_windows == []


def target(reader: Reader, provider: Provider, *collectors: str) -> AccountTarget:
    made = provider.target(ONE)
    described = msgspec.structs.replace(made.description, collectors=collectors or BOTH)
    return msgspec.structs.replace(made, description=described, account_reader=reader)


def test_its_failure_changes_nothing_of_the_sessions(account: AccountScraper, tally: Tally) -> None:
    provider, reader = Provider(listing(session())), Reader(error=ValueError())
    failed = account.scrape(target(reader, provider), boottime() + LONG)
    assert (failed.error, failed.listing, failed.complete) == (None, provider.answers[0], True)
    assert failed.reported is not None
    assert failed.reported.error == "internal"
    assert (tally.failures, tally.account_failures) == ({}, {(ONE, "internal"): 1})


def test_a_reading_that_hangs_keeps_the_sessions_no_longer_than_the_scrape(tmp_path: Path) -> None:
    """By a clock that stands still, so that nothing else can be late."""
    provider, reader = Provider(listing(session())), Reader()
    reader.gate.clear()
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        scraper = AccountScraper(ONE, ledger, Tally(), clock=lambda: 1000)
        result = scraper.scrape(target(reader, provider), 1000.5)
    reader.gate.set()
    assert (result.error, result.listing) == (None, provider.answers[0]), "in time"
    assert result.reported is not None
    assert result.reported.error == "timeout"


def test_who_cannot_wait_for_what_hangs_gets_the_sessions(tmp_path: Path, tally: Tally) -> None:
    """A client that shares the scrape with a shorter timeout, and everybody when the exporter stops."""
    provider, reader = Provider(listing(session())), Reader()
    reader.gate.clear()
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        scraper = Scraper(ScrapePlan((target(reader, provider),)), ledger, tally)

        async def course() -> list[ScrapeResult]:
            patient = asyncio.ensure_future(scraper.scrape(LONG))
            await asyncio.to_thread(reader.asked.wait)
            hasty = await scraper.scrape(0.05)
            for _ in range(1000):
                if of(hasty, ONE).listing is None:  # not recorded yet
                    hasty = await scraper.scrape(0.05)
            scraper.cancel_waiters()
            return [hasty, await patient]

        results = [of(one, ONE) for one in asyncio.run(course())]
        reader.gate.set()
        scraper.close()
    for result in results:
        assert (result.error, result.listing) == (None, provider.answers[0])
        assert result.reported is not None
        assert result.reported.error == "timeout"
    assert (len(provider.windows), tally.failures) == (1, {})


def test_its_deadline_leaves_time_to_show_what_was_read_by_then(tmp_path: Path) -> None:
    reader = Reader()
    with closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        scraper = AccountScraper(ONE, ledger, Tally(), clock=lambda: 1000)
        scraper.scrape(target(reader, Provider(listing(session()))), 1100)
    assert reader.deadlines == [1090]


@pytest.mark.parametrize("collectors", [BOTH, ("account",), ("sessions",)])
def test_without_a_thread_for_the_account_each_of_its_collectors_fails(
    account: AccountScraper, tally: Tally, collectors: tuple[str, ...]
) -> None:
    made = target(Reader(), Provider(), *collectors)
    if "account" not in collectors:
        made = msgspec.structs.replace(made, account_reader=None)
    result = account.not_started(made, RuntimeError("can't start new thread"))
    assert (result.reported is not None) == ("account" in collectors)
    assert tally.failures == ({(ONE, "internal"): 1} if "sessions" in collectors else {})
    assert tally.account_failures == ({(ONE, "internal"): 1} if "account" in collectors else {})
