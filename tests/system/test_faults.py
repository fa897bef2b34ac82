"""Every fault of a provider, at both, held to one rule; and docs/faults.md, held against the faults."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from exporter.metrics.telemetry import REASONS
from exporter.model import Account
from tests.support.faults import FAULTS, HOURS, Fault
from tests.support.outage import LIMIT, SCRAPES, WELL, Course, Page, course
from tests.support.processes import TIMEOUT
from tests.support.provider_servers import (
    AFTER,
    BEFORE,
    BOTH,
    MEANWHILE,
    SOURCES,
    expected,
    listed,
    sample,
    series,
    told,
)
from tests.support.providers import BROWSERBASE

# Seconds that the scrapes under the faults say they wait.
COURSES = {"quick": TIMEOUT, "greedy": TIMEOUT, "clocks": TIMEOUT, "slow": 5.0, "silent": 5.0}
COUNTERS = {name.split()[0] for provider in BOTH for name in expected(provider, AFTER)}
GAUGES = {name.split()[0] for provider in BOTH for name in listed(provider, BEFORE, 0)}
BUCKETS = ("session_duration_seconds_bucket",)
SUCCESS, LAST = ("collector_success",), ("last_success_timestamp_seconds",)
ERRORS, REJECTED = ("exporter_errors_total",), ("exporter_rejected_sessions_total",)
DOCS = Path(__file__).parents[2] / "docs" / "faults.md"
SECTIONS = "Provider faults", "Ledger faults", "Exporter faults"
ALOUD = "info", "warning", "error", "critical"


def through(name: str) -> Any:
    """The fixture of a course, which runs once."""

    @pytest.fixture(scope="module", name=name)
    def run(tmp_path_factory: pytest.TempPathFactory) -> Course:
        faults = [fault for fault in FAULTS if fault.course == name]
        return course(tmp_path_factory.mktemp(name), faults, COURSES[name])

    return run


quick, greedy, clocks, slow, silent = map(through, COURSES)


@pytest.mark.parametrize(
    ("fault", "provider"),
    [pytest.param(fault, one, id=f"{fault.name}-{one}") for fault in FAULTS for one in fault.of],
)
@pytest.mark.slow
def test_a_fault_is_told_once_and_costs_nothing(
    fault: Fault, provider: str, request: pytest.FixtureRequest
) -> None:
    done: Course = request.getfixturevalue(fault.course)
    account, good = Account(provider, fault.name), done.good
    assert_read(done, good, account, BEFORE)
    for scrapes, page in enumerate(done.failed, start=1):
        assert page.of(account, "up", *SUCCESS, *GAUGES) == shown(fault, good, account)
        assert page.of(account, *COUNTERS, *BUCKETS) == counted(fault, good, account)
        assert page.above(account, *ERRORS) == errors(fault, scrapes)
        assert page.above(account, *REJECTED) == rejected(fault, scrapes)
        assert fault.reason is None or page.of(account, *LAST) == good.of(account, *LAST)
    for page in done.recovered:
        assert_read(done, page, account, AFTER)
        if fault.course != "silent":  # which was asked, in vain, until it had passed
            assert page.above(account, *ERRORS) == errors(fault, SCRAPES)
    assert_told_once(done, account, fault.reason)


def assert_read(done: Course, page: Page, account: Account, moment: int) -> None:
    """The page shows the account as it was at this moment, all of it and no more."""
    assert set(page.of(account, "up", *SUCCESS).values()) == {1}
    assert page.above(account, *GAUGES) == listed(account.provider, moment, done.base)
    assert page.above(account, *COUNTERS) == expected(account.provider, moment)


def assert_told_once(done: Course, account: Account, reason: str | None) -> None:
    """That it fails is said aloud once, with what to do; that it does no longer, too."""
    aloud = done.said(account, *ALOUD)
    told = [] if reason is None else [("warning", reason), ("info", None)]
    assert [(line["level"], line.get("reason")) for line in aloud] == told
    assert all(line["error"] for line in aloud if line["level"] == "warning")
    repeated = [line for line in done.said(account, "debug") if line.get("reason") == reason]
    assert len(repeated) >= SCRAPES - 1


def shown(fault: Fault, good: Page, account: Account) -> dict[str, float]:
    """The gauges under a fault: none of the list's where that could not be read."""
    if fault.reason is not None:
        return dict.fromkeys(good.of(account, "up", *SUCCESS), 0)
    gauges = good.of(account, "up", *SUCCESS, *GAUGES)
    return {name: fault.listed.get(name, value) for name, value in gauges.items()}


def counted(fault: Fault, good: Page, account: Account) -> dict[str, float]:
    """The counters under a fault: as they were in the last good scrape, but for what is known to rise."""
    counters = good.of(account, *COUNTERS, *BUCKETS)
    return {name: value + fault.counted.get(name, 0) for name, value in counters.items()}


def errors(fault: Fault, scrapes: int) -> dict[str, float]:
    name = sample(*ERRORS, collector="sessions", reason=fault.reason or "")
    return {} if fault.reason is None else {name: scrapes}


def rejected(fault: Fault, scrapes: int) -> dict[str, float]:
    return {sample(*REJECTED, reason=reason): rows * scrapes for reason, rows in fault.rejected.items()}


def assert_well(done: Course, account: Account) -> None:
    assert_read(done, done.good, account, BEFORE)
    for page in done.failed:
        assert_read(done, page, account, MEANWHILE)
    for page in done.recovered:
        assert_read(done, page, account, AFTER)
        assert page.above(account, *ERRORS, *REJECTED) == {}
    assert_told_once(done, account, None)


@pytest.mark.parametrize("account", WELL, ids=lambda account: account.provider)
@pytest.mark.parametrize("name", COURSES)
@pytest.mark.slow
def test_whoever_is_well_beside_all_that_fail_is_read_as_ever(
    name: str, account: Account, request: pytest.FixtureRequest
) -> None:
    assert_well(request.getfixturevalue(name), account)


@pytest.mark.slow
def test_a_machine_whose_own_clock_is_hours_ahead_shows_the_same(tmp_path: Path) -> None:
    done = course(tmp_path, (), TIMEOUT, -HOURS)
    for account in WELL:
        assert_well(done, account)


@pytest.mark.slow
def test_a_machine_whose_own_clock_is_hours_behind_counts_time_late_and_never_too_high(
    tmp_path: Path,
) -> None:
    """Open sessions have not begun by its clock: their time counts when they end."""
    done = course(tmp_path, (), TIMEOUT, HOURS)
    for account in WELL:
        for page, moment in zip(done.pages, [BEFORE, *[MEANWHILE] * SCRAPES, AFTER, AFTER], strict=True):
            assert set(page.of(account, "up", *SUCCESS).values()) == {1}
            assert page.above(account, *GAUGES) == listed(account.provider, moment, done.base)
            assert page.above(account, *COUNTERS) == counted_late(account.provider, moment)
            assert page.above(account, *ERRORS, *REJECTED) == {}


def counted_late(provider: str, moment: int) -> dict[str, float]:
    """The counters where no open session has run yet, and cost estimated from time is 0 for it too."""
    still_open = [life for life in told(moment) if life.ended > moment]
    ran, at = sum(life.ran(moment) for life in still_open), series(provider)
    late = {at("session_seconds_total")}
    if SOURCES[provider] == "estimated":
        late.add(at("cost_usd_total", kind="browser", source="estimated"))
    return {name: value - (ran if name in late else 0) for name, value in expected(provider, moment).items()}


@pytest.mark.slow
def test_who_fails_is_asked_three_times_a_scrape_at_most(quick: Course) -> None:
    for account, asked in quick.asked.items():
        scrapes = [after - before for before, after in pairwise([0, *asked])]
        assert account.provider != BROWSERBASE or max(scrapes) <= 3, account


@pytest.mark.slow
def test_nobody_goes_where_a_redirect_leads(quick: Course) -> None:
    assert quick.elsewhere == 0


@pytest.mark.slow
def test_who_asks_for_silence_has_it_over_as_many_scrapes_as_that_takes(silent: Course) -> None:
    assert {account: asked for account, asked in silent.asked.items() if asked != [1] * SCRAPES}.keys() == {
        *WELL
    }


@pytest.mark.slow
def test_an_answer_of_any_size_costs_little_more_memory_than_is_read_of_it(greedy: Course) -> None:
    before, after = greedy.peaks
    at_once = sum(len(fault.of) for fault in FAULTS if fault.course == "greedy")
    assert after - before < 3 * at_once * LIMIT


def documented(heading: str) -> list[list[str]]:
    """The rows of all tables of a section of docs/faults.md, cell by cell."""
    section = DOCS.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    return [row.split(" | ") for row in rows if not row.startswith(("reason |", "what the provider"))]


def test_every_fault_stands_in_the_docs_with_its_reason() -> None:
    found: dict[str, str | None] = {}
    for cells in documented("Provider faults"):
        reason, faults = (cells[0].strip("`"), cells[1]) if len(cells) > 2 else (None, cells[0])
        found |= dict.fromkeys(faults.split("; "), reason)
    assert found == {fault.name: fault.reason for fault in FAULTS}


def test_the_reasons_of_the_docs_are_those_of_the_code() -> None:
    rows = [row for heading in SECTIONS for row in documented(heading)]
    assert {word for row in rows for word in re.findall("^`(.*)`$", row[0])} == set(REASONS)
    assert all(re.fullmatch("`.*`|none|exit [12]", row[0]) for row in rows if len(row) == 4)


def test_the_readme_leads_to_the_docs() -> None:
    assert "(docs/faults.md)" in (DOCS.parent.parent / "README.md").read_text()
