"""What providers answer that nobody expects, through the installed command: what counts, and what does not.

An account of each test is read at the times that the test sets: seconds of the provider's clock.
"""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.support.misbehaviour import Reply, answer, reset
from tests.support.pages import Page
from tests.support.processes import KEYS, exporter
from tests.support.provider_servers import BOTH, MEGABYTE
from tests.support.providers import BROWSER_USE, BROWSERBASE
from tests.support.scripted_apis import (
    BASE,
    LIST_GAUGES,
    SETTLE,
    Row,
    ScriptedApi,
    SharedExporter,
    configured,
    counters,
    scripted,
    shared_exporter,
    stamp,
)

HOUR = 3600
ORDERS = pytest.mark.parametrize("reverse", [False, True], ids=["ended-first", "open-first"])
# What is negative, empty or null where a figure belongs, at each provider.
ODD_FIGURES: list[tuple[str, Row]] = [
    (BROWSERBASE, {"proxyBytes": -1}),
    (BROWSERBASE, {"proxyBytes": None}),
    (BROWSERBASE, {"proxyBytes": ""}),
    *[
        (BROWSER_USE, {"proxyUsedMb": odd, "proxyCost": odd, "browserCost": odd})
        for odd in ("-0.02", "", None)
    ],
]
# Fields that nothing but a gauge needs, in forms that nobody expects; whether the row is open.
ODD_FIELDS: list[tuple[str, Row]] = [
    (BROWSERBASE, {"expiresAt": ""}),
    (BROWSERBASE, {"keepAlive": 0}),
    (BROWSERBASE, {"updatedAt": "n/a"}),
    (BROWSER_USE, {"timeoutAt": ""}),
    (BROWSER_USE, {"timeoutAt": 0}),
]


def bare(*fields: str) -> dict[str, str]:
    """Times of a session from 0 to 100 that name no zone."""
    *starts, end = fields
    return {name: stamp(0).removesuffix("Z") for name in starts} | {end: stamp(100).removesuffix("Z")}


# Other forms of the same values.
OTHER_FORMS: list[tuple[str, Row]] = [
    (BROWSERBASE, {"proxyBytes": float(MEGABYTE)}),
    (BROWSERBASE, bare("createdAt", "startedAt", "endedAt")),
    (BROWSER_USE, bare("startedAt", "finishedAt")),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedExporter]:
    with shared_exporter(tmp_path_factory.mktemp("exporter")) as process:
        yield process


@pytest.fixture(params=BOTH)
def api(request: pytest.FixtureRequest, shared: SharedExporter) -> Iterator[ScriptedApi]:
    """An account of a provider: of each, where the test does not name one."""
    with shared.account(request.param) as one:
        yield one


def at(provider: str) -> pytest.MarkDecorator:
    """The test is of one provider's answers."""
    return pytest.mark.parametrize("api", [provider], indirect=True)


def each(cases: list[tuple[str, Row]]) -> pytest.MarkDecorator:
    """A test of each case: a provider, and the odd fields of a row."""
    names = [f"{provider}-{fields}" for provider, fields in cases]
    return pytest.mark.parametrize(("api", "odd"), cases, indirect=["api"], ids=names)


def scraped(shared: SharedExporter, api: ScriptedApi, now: float, *rows: Row) -> Page:
    """A good scrape at a time, while the provider lists these."""
    api.now, api.rows = now, list(rows)
    page = shared.scrape()
    assert api.up(page) == 1
    return page


def while_open(api: ScriptedApi, usd: float) -> float:
    """What an open session's time counts for, in dollars: nothing where the provider charges upfront."""
    return usd if api.provider == BROWSERBASE else 0


def rejected(api: ScriptedApi, page: Page) -> dict[str, float]:
    return api.shows(page, "exporter_rejected_sessions_total", "reason")


def errors(api: ScriptedApi, page: Page) -> dict[str, float]:
    return api.shows(page, "exporter_errors_total", "reason")


def statuses(api: ScriptedApi, page: Page) -> dict[str, float]:
    return api.shows(page, "sessions", "status")


def backwards(api: ScriptedApi, name: str, by: float, **fields: object) -> Row:
    """A session that ended so many seconds before it began, at 100, with figures."""
    own: Row = {"proxyBytes": 2_000_000, "status": "ERROR"}
    if api.provider == BROWSER_USE:
        own = {"proxyUsedMb": "2", "proxyCost": "0.0075", "browserCost": "0.001"}
    return api.session(name, 100, 100 - by, **{**own, **fields})


def of_backwards(api: ScriptedApi) -> dict[str, float]:
    if api.provider == BROWSERBASE:
        return counters(1, ended={"error": 1}, megabytes=2_000_000 / MEGABYTE, proxy=2000)
    return counters(1, ended={"stopped": 1}, megabytes=2, browser=0.001, proxy=0.0075)


# 1, 2: ends before starts


@pytest.mark.parametrize("by", [0.04, 59])
def test_an_end_less_than_a_minute_before_the_start_counts_with_a_duration_of_0(
    shared: SharedExporter, api: ScriptedApi, by: float
) -> None:
    page = scraped(shared, api, 200, backwards(api, "a", by))
    assert api.counters(page) == of_backwards(api)
    assert rejected(api, page) == {}


def test_an_end_over_a_minute_before_the_start_counts_once_it_is_sound(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    good = api.session("good", 50, 60)
    page = scraped(shared, api, 200, backwards(api, "a", 61), good)
    assert api.counters(page) == counters(1, ended={api.ended: 1}, seconds=10, duration=10, browser=10)
    assert rejected(api, page) == {"times": 1}
    page = scraped(shared, api, 300, api.session("a", 100, 160, megabytes=3), good)
    sound = counters(2, ended={api.ended: 2}, seconds=70, duration=70, megabytes=3, browser=70)
    assert api.counters(page) == sound


def test_a_session_that_was_counted_while_it_ran_ends_before_its_start(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    api.now = 100
    page = scraped(shared, api, 100, api.session("a", 100, proxyBytes=20_000, proxyCost="0.0001"))
    assert api.counters(page)["started"] == 1
    assert api.counters(scraped(shared, api, 200, backwards(api, "a", 0.04))) == of_backwards(api)
    later = 200 + SETTLE
    scraped(shared, api, later, backwards(api, "a", 0.04))
    page = scraped(shared, api, later + HOUR)
    assert api.counters(page) == of_backwards(api)
    assert api.read(page, "exporter_ledger_sessions") == 0


# 3, 19: rows that are senseless, for good or for a while


def senseless(api: ScriptedApi, name: str) -> Row:
    """An end two hours before the start, and a negative figure."""
    odd = {"browserCost": "-0.02"} if api.provider == BROWSER_USE else {"proxyBytes": -2}
    return api.session(name, 0, -2 * HOUR, **odd)


def test_what_is_senseless_for_good_is_closed_like_one_that_left_and_is_not_sought(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    good = api.session("good", 0, 10)
    api.now = 60
    scraped(shared, api, 60, api.session("a", 0, megabytes=1), good)
    rows, step = [senseless(api, "a"), good], 60
    scraped(shared, api, 120, *rows)
    for begun in range(120, 120 + 3000 * step, 300 * step):
        new = [api.session(f"s{t}", t, t + 10) for t in range(begun, begun + 300 * step, step)]
        rows = [*reversed(new), *rows]
        scraped(shared, api, begun + 300 * step, *rows)
    before = len(api.requests)
    page = scraped(shared, api, api.now + step, *rows)
    requests = len(api.requests) - before
    assert requests == (1 if api.provider == BROWSERBASE else 2)
    # Of the session that was seen open, what was seen last counts: a minute, and its cost.
    seconds = 3001 * 10 + 60
    ended = {api.ended: 3001, "unknown": 1}
    expected = counters(3002, ended=ended, seconds=seconds, duration=seconds, megabytes=1, browser=seconds)
    assert api.counters(page) == expected


@each(ODD_FIGURES)
def test_a_figure_that_is_none_is_0_for_now_and_the_rest_of_the_row_counts(
    shared: SharedExporter, api: ScriptedApi, odd: Row
) -> None:
    page = scraped(shared, api, 100, api.session("a", 0, 60, megabytes=5, **odd))
    browser = while_open(api, 60)
    assert api.counters(page) == counters(1, ended={api.ended: 1}, seconds=60, duration=60, browser=browser)


@pytest.mark.parametrize("odd_at", [(100,), (100, 60 + SETTLE + 1, 60 + SETTLE + 400)], ids=["once", "late"])
@each(ODD_FIGURES)
def test_a_figure_that_is_sound_only_after_its_session_should_have_settled_counts(
    shared: SharedExporter, api: ScriptedApi, odd: Row, odd_at: tuple[int, ...]
) -> None:
    others = [api.session(f"s{i}", 0, 60, megabytes=1) for i in range(7)]
    for now in odd_at:
        scraped(shared, api, now, api.session("a", 0, 60, megabytes=5, **odd), *others)
    page = scraped(shared, api, 60 + SETTLE + 800, api.session("a", 0, 60, megabytes=5), *others)
    expected = counters(8, ended={api.ended: 8}, seconds=480, duration=480, megabytes=12, browser=480)
    assert api.counters(page) == expected


@pytest.mark.parametrize("provider", [BROWSERBASE, pytest.param(BROWSER_USE, marks=pytest.mark.slow)])
def test_a_row_that_was_left_out_counts_when_it_is_sound_however_late_and_after_kill_9(
    tmp_path: Path, provider: str
) -> None:
    with scripted(provider, "ours") as api:
        flags = configured(tmp_path, api)
        good = api.session("good", 100, 110)
        with exporter(*flags) as first:
            for api.now in (200, 200 + 2 * SETTLE):
                api.rows = [good, senseless(api, "a")]
                page = Page(first.get())
            assert api.counters(page)["started"] == 1
            first.kill()
        with exporter(*flags) as second:
            api.now, api.rows = 9 * HOUR, [good, senseless(api, "a")]
            assert api.counters(Page(second.get()))["started"] == 1
            api.now, api.rows = 10 * HOUR, [good, api.session("a", 0, 60, megabytes=5)]
            page = Page(second.get())
    expected = counters(2, ended={api.ended: 2}, seconds=70, duration=70, megabytes=5, browser=70)
    assert api.counters(page) == expected


def test_rows_that_are_remembered_are_shown_until_they_are_sound(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    good = api.session("good", 100, 110)
    held = "exporter_rejected_sessions_held"
    assert api.read(scraped(shared, api, 200, good, senseless(api, "a")), held) == 1
    assert api.read(scraped(shared, api, 200 + 2 * SETTLE, good, senseless(api, "a")), held) == 1
    assert api.read(scraped(shared, api, 300 + 2 * SETTLE, good, api.session("a", 0, 60)), held) == 0


# 4, 9: fields of another type


def of_another_type(api: ScriptedApi, row: Row) -> Row:
    """A field that is needed, in a form that no row may have."""
    return row | ({"proxyBytes": "1000"} if api.provider == BROWSERBASE else {"startedAt": BASE})


def test_lists_of_which_no_row_can_be_used_are_a_failure(shared: SharedExporter, api: ScriptedApi) -> None:
    api.now = 200
    rows = [api.session(f"o{i}", 0) for i in range(3)] + [api.session(f"e{i}", 0, 60) for i in range(5)]
    good = scraped(shared, api, 200, *rows)
    api.now, api.rows = 300, [of_another_type(api, row) for row in rows]
    page = shared.scrape()
    assert api.up(page) == 0
    assert errors(api, page) == {"bad_payload": 1}
    assert [name for name in LIST_GAUGES if api.read(page, name) is not None] == []
    assert api.counters(page) == api.counters(good)
    last = "last_success_timestamp_seconds"
    assert api.read(page, last) == api.read(good, last)


def test_of_lists_with_one_row_that_can_be_used_the_others_are_left_out(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    api.now = 200
    rows = [of_another_type(api, api.session(f"e{i}", 0, 60)) for i in range(5)]
    page = scraped(shared, api, 200, api.session("a", 0, 50), *rows)
    assert api.counters(page) == counters(1, ended={api.ended: 1}, seconds=50, duration=50, browser=50)
    assert rejected(api, page) == {"malformed": 5}
    assert errors(api, page) == {}


@each(ODD_FIELDS)
def test_a_row_counts_without_a_needless_field_that_is_odd(
    shared: SharedExporter, api: ScriptedApi, odd: Row
) -> None:
    page = scraped(shared, api, 200, api.session("a", 0, 100, megabytes=1, **odd))
    expected = counters(1, ended={api.ended: 1}, seconds=100, duration=100, megabytes=1, browser=100)
    assert api.counters(page) == expected
    assert rejected(api, page) == {"field": 1}


@each(ODD_FIELDS)
def test_an_open_session_is_shown_without_a_needless_field_that_is_odd(
    shared: SharedExporter, api: ScriptedApi, odd: Row
) -> None:
    page = scraped(shared, api, 200, api.session("a", 0, **odd))
    assert statuses(api, page) == {api.open: 1}
    expiry = api.read(page, "next_session_expiry_timestamp_seconds")
    assert expiry == (None if {"expiresAt", "timeoutAt"} & odd.keys() else BASE + 7200)
    assert rejected(api, page) == {"field": 1}


@each(OTHER_FORMS)
def test_other_forms_of_the_same_value_are_not_odd(
    shared: SharedExporter, api: ScriptedApi, odd: Row
) -> None:
    page = scraped(shared, api, 200, api.session("a", 0, 100, megabytes=1, **odd))
    expected = counters(1, ended={api.ended: 1}, seconds=100, duration=100, megabytes=1, browser=100)
    assert api.counters(page) == expected
    assert rejected(api, page) == {}


# 5 to 7, 20 to 22: statuses and times that contradict


def test_an_ended_session_stays_ended(shared: SharedExporter, api: ScriptedApi) -> None:
    expected = counters(1, ended={api.ended: 1}, seconds=60, duration=60, megabytes=1, browser=60)
    ended = api.session("a", 0, 60, megabytes=1)
    assert api.counters(scraped(shared, api, 100, ended)) == expected
    api.now = 700
    page = scraped(shared, api, 700, api.session("a", 0, megabytes=1, browserCost="30"))
    assert api.counters(page) == expected
    assert api.counters(scraped(shared, api, 710, ended)) == expected


@pytest.mark.parametrize("early", [-0.04, 60])
def test_an_end_that_moves_back_and_forth_counts_its_session_once(
    shared: SharedExporter, api: ScriptedApi, early: float
) -> None:
    """It has not settled at the earlier end, which is longer ago than `settle_after`."""
    expected = counters(1, ended={api.ended: 1}, seconds=1000, duration=1000, megabytes=1, browser=1000)
    for now, end in ((1100, 1000), (1200, early), (1300, 1000)):
        page = scraped(shared, api, now, api.session("a", 0, end, megabytes=1, browserCost="1000"))
        assert api.counters(page) == expected


def without_end(api: ScriptedApi, megabytes: int) -> Row:
    """A session that is over, with late traffic, and no word of when it ended; it expires at 300."""
    if api.provider == BROWSER_USE:
        late = {"finishedAt": None, "timeoutAt": stamp(300)}
    else:
        late = {"endedAt": None, "updatedAt": stamp(api.now), "expiresAt": stamp(300)}
    return api.session("a", 0, 100, megabytes=megabytes, **late)


@pytest.mark.parametrize(("first", "ran"), [(100, 100), (600, 300)])
def test_an_end_that_is_not_told_is_when_it_was_first_seen_at_most_the_expiry(
    shared: SharedExporter, api: ScriptedApi, first: int, ran: int
) -> None:
    for megabytes, now in enumerate((first, first + 100, first + 500), start=1):
        api.now = now
        page = scraped(shared, api, now, without_end(api, megabytes))
        shown = api.counters(page)
        assert (shown["seconds"], shown["duration"], shown["durations"]) == (ran, ran, 1)
        assert shown["bytes"] == megabytes * MEGABYTE
    assert shown["browser usd"] == (ran if api.provider == BROWSERBASE else 100)


def test_an_open_session_runs_a_minute_past_its_expiry_at_most(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    for now, seconds in ((100, 100), (2 * HOUR + 30, 2 * HOUR + 30), (9 * HOUR, 2 * HOUR + 60)):
        api.now = now
        page = scraped(shared, api, now, api.session("a", 0))
        assert api.counters(page) == counters(1, seconds=seconds, browser=while_open(api, seconds))
        assert statuses(api, page) == {api.open: 1}
    ran = 9 * HOUR + 10
    page = scraped(shared, api, ran + 10, api.session("a", 0, ran))
    ending = "timed_out" if api.provider == BROWSER_USE else "completed"
    assert api.counters(page) == counters(1, ended={ending: 1}, seconds=ran, duration=ran, browser=ran)


@pytest.mark.parametrize("never", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_an_end_at_the_beginning_of_time_is_none(
    shared: SharedExporter, api: ScriptedApi, never: str
) -> None:
    field = "endedAt" if api.provider == BROWSERBASE else "finishedAt"
    api.now = 100
    page = scraped(shared, api, 100, api.session("a", 0) | {field: never})
    assert api.counters(page) == counters(1, seconds=100, browser=while_open(api, 100))
    assert statuses(api, page) == {api.open: 1}
    page = scraped(shared, api, 200, api.session("a", 0, 200) | {field: never})
    assert api.counters(page) == counters(1, ended={api.ended: 1}, seconds=200, duration=200, browser=200)


@at(BROWSERBASE)
@pytest.mark.parametrize("never", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_a_pending_session_whose_start_is_at_the_beginning_of_time_is_pending(
    shared: SharedExporter, api: ScriptedApi, never: str
) -> None:
    page = scraped(shared, api, 10, api.session("a", 0, status="PENDING", startedAt=never))
    assert statuses(api, page) == {"pending": 1}
    assert api.counters(page) == counters(1)


@ORDERS
@pytest.mark.parametrize("filters", [True, False], ids=["two-lists", "one-list"])
def test_one_that_is_shown_ended_and_open_at_once_has_ended(
    shared: SharedExporter, api: ScriptedApi, *, reverse: bool, filters: bool
) -> None:
    api.now, api.filters = 600, filters
    rows = [api.session("a", 0, 100), api.session("a", 0, browserCost="100")]
    page = scraped(shared, api, 600, *rows[:: -1 if reverse else 1])
    assert api.counters(page) == counters(1, ended={api.ended: 1}, seconds=100, duration=100, browser=100)
    assert statuses(api, page) == {api.ended: 1}


def test_of_an_unknown_status_no_end_is_counted_until_a_known_one_comes(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    api.filters = False
    page = scraped(shared, api, 150, api.session("a", 0, 100, status="RELEASING"))
    assert statuses(api, page) == {"releasing": 1}
    assert api.shows(page, "sessions_ended_total", "status") == {}
    page = scraped(shared, api, 200, api.session("a", 0, 100))
    assert api.counters(page) == counters(1, ended={api.ended: 1}, seconds=100, duration=100, browser=100)


def test_of_an_unknown_status_the_end_is_counted_when_the_session_settles(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    api.filters = False
    for now in (150, 100 + SETTLE + 10):
        page = scraped(shared, api, now, api.session("a", 0, 100, status="RELEASING"))
    assert api.counters(page) == counters(1, ended={"releasing": 1}, seconds=100, duration=100, browser=100)


# 8: charged upfront


def upfront(api: ScriptedApi, usd: str, ended: float | None = None) -> Row:
    return api.session("a", 0, ended, browserCost=usd)


def revisions(api: ScriptedApi, page: Page) -> float | None:
    return api.read(page, "exporter_downward_revisions_total")


@at(BROWSER_USE)
def test_what_is_charged_upfront_counts_when_the_session_has_ended(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    for now, usd in ((10, "0.08"), (20, "0.06")):
        page = scraped(shared, api, now, upfront(api, usd))
        assert api.counters(page) == counters(1, seconds=now)
        assert api.read(page, "cost_usd_total", kind="browser") == 0  # it is there, for `increase`
    page = scraped(shared, api, 110, upfront(api, "0.0017", 100))
    expected = counters(1, ended={"stopped": 1}, seconds=100, duration=100, browser=0.0017)
    assert api.counters(page) == expected
    assert revisions(api, page) == 0
    assert api.counters(scraped(shared, api, 120, upfront(api, "0.0016", 100))) == expected


@at(BROWSER_USE)
def test_what_is_charged_for_open_sessions_is_shown(shared: SharedExporter, api: ScriptedApi) -> None:
    def shown(now: float, *rows: Row) -> tuple[float | None, float | None]:
        page, name = scraped(shared, api, now, *rows), "open_sessions_cost_usd"
        return api.read(page, name, kind="browser"), api.read(page, name, kind="proxy")

    traffic = {"proxyUsedMb": "1", "proxyCost": "0.005"}
    assert shown(10, upfront(api, "0.08") | traffic, api.session("b", 0, browserCost="0.02")) == (0.1, 0.005)
    assert shown(20, upfront(api, "0.06") | traffic, api.session("b", 0, 15)) == (0.06, 0.005)
    assert shown(110, upfront(api, "0.0017", 100) | traffic, api.session("b", 0, 15)) in (
        (0, 0),
        (None, None),
    )


@at(BROWSER_USE)
def test_what_one_that_leaves_while_open_cost_last_counts_when_it_is_closed(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    other = api.session("other", 0, 5)
    for now, usd in ((10, "0.08"), (20, "0.05")):
        scraped(shared, api, now, upfront(api, usd), other)
    page = scraped(shared, api, 30, other)
    assert api.counters(page) == counters(2, ended={"stopped": 1}, seconds=25, duration=5, browser=5)
    page = scraped(shared, api, 30 + SETTLE + 10, other)
    ended = {"stopped": 1, "unknown": 1}
    assert api.counters(page) == counters(2, ended=ended, seconds=25, duration=25, browser=5.05)
    assert revisions(api, page) == 0


# 17, 26, 27: what stands in the place of an answer


def instead(api: ScriptedApi, reply: Reply) -> None:
    api.instead = lambda _head: reply


def refused(shared: SharedExporter, api: ScriptedApi, reply: Reply) -> tuple[dict[str, float], int]:
    """A scrape that gets this: the errors that it shows, and how many requests it made."""
    before = len(api.requests)
    instead(api, reply)
    page = shared.scrape()
    assert api.up(page) == 0
    return errors(api, page), len(api.requests) - before


def test_a_challenge_page_is_told_from_the_apis_answer(shared: SharedExporter, api: ScriptedApi) -> None:
    page = answer(
        b"<!DOCTYPE html><title>Just a moment...</title>", "403 Forbidden", Content_Type="text/html"
    )
    shown, _ = refused(shared, api, page)
    assert shown == {"auth": 1}
    assert "HTML" in next(line for line in shared.log.splitlines() if f"account={api.name}" in line)


@pytest.mark.parametrize("value", ["30 ", "5.5"])
def test_retry_after_holds_with_blanks_and_fractions(
    shared: SharedExporter, api: ScriptedApi, value: str
) -> None:
    limited = answer(b"{}", "429 Too Many Requests", Retry_After=value)
    assert refused(shared, api, limited) == ({"rate_limited": 1}, 1)
    assert refused(shared, api, limited) == ({"rate_limited": 2}, 0)


def test_without_retry_after_a_429_is_asked_again_at_the_next_scrape(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    limited = answer(b"{}", "429 Too Many Requests")
    assert refused(shared, api, limited) == ({"rate_limited": 1}, 1)
    assert refused(shared, api, limited) == ({"rate_limited": 2}, 1)
    api.instead = None
    assert api.up(shared.scrape()) == 1


def test_the_rate_limit_is_not_shown_while_the_provider_is_down(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    def remaining() -> float | None:
        return api.read(shared.scrape(1), "exporter_api_rate_limit_remaining")

    api.headers["X-RateLimit-Remaining"] = "7"
    assert remaining() == 7
    instead(api, reset)
    assert remaining() is None
    api.instead = None
    assert remaining() == 7


# 18: filters


@at(BROWSER_USE)
def test_what_a_third_status_hides_from_both_filters_is_found(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    others = [api.session("open", 0), api.session("ended", 0, 10)]
    scraped(shared, api, 50, api.session("a", 0), *others)
    hidden = api.session("a", 0, 90, megabytes=3, status="archived")
    for now in (100, 110, 90 + SETTLE + 10):
        api.now = now
        page = scraped(shared, api, now, hidden, *others)
    ended = {"stopped": 1, "archived": 1}
    assert api.counters(page) == counters(
        3, ended=ended, seconds=100 + api.now, duration=100, megabytes=3, browser=100
    )
    assert statuses(api, page) == {"active": 1, "stopped": 1, "archived": 1}


@at(BROWSER_USE)
@pytest.mark.parametrize("ended", [3, 250])
def test_filters_without_effect_count_nothing_twice_and_lose_nothing(
    shared: SharedExporter, api: ScriptedApi, ended: int
) -> None:
    api.filters = False
    rows = [api.session(f"e{i}", 0, 10) for i in range(ended)]
    for api.now in (100, 200):
        page = scraped(shared, api, api.now, *[api.session(f"o{i}", 50) for i in range(2)], *rows)
        seconds = 10 * ended + 2 * (api.now - 50)
        assert statuses(api, page) == {"active": 2, "stopped": ended}
        assert api.counters(page) == counters(
            2 + ended, ended={"stopped": ended}, seconds=seconds, duration=10 * ended, browser=10 * ended
        )


@at(BROWSER_USE)
@pytest.mark.parametrize("ended", [3, 250])
def test_a_total_that_is_not_filtered_brings_nobody_down(
    shared: SharedExporter, api: ScriptedApi, ended: int
) -> None:
    api.total = ended + 2
    rows = [api.session(f"e{i}", 0, 10) for i in range(ended)]
    for api.now in (100, 200):
        page = scraped(shared, api, api.now, *[api.session(f"o{i}", 50) for i in range(2)], *rows)
        assert statuses(api, page) == {"active": 2, "stopped": ended}
        assert api.counters(page) == counters(
            2 + ended,
            ended={"stopped": ended},
            seconds=10 * ended + 2 * (api.now - 50),
            duration=10 * ended,
            browser=10 * ended,
        )


# 30: lists that lag

LONG = 1200  # seconds, longer than `SETTLE`
LATE = counters(2, ended={"ended": 2}, seconds=10 + LONG, duration=10 + LONG, megabytes=2, browser=10 + LONG)


def late(api: ScriptedApi) -> dict[str, float]:
    return {name.replace("ended ended", f"ended {api.ended}"): value for name, value in LATE.items()}


def test_one_that_is_first_listed_when_it_has_long_been_created_and_has_just_ended_counts(
    shared: SharedExporter, api: ScriptedApi
) -> None:
    other = api.session("other", 0, 10)
    for now in (20, LONG + 5):
        scraped(shared, api, now, other)
    page = scraped(shared, api, LONG + 100, api.session("a", 0, LONG, megabytes=2), other)
    assert api.counters(page) == late(api)


@pytest.mark.slow
@pytest.mark.parametrize("provider", BOTH)
def test_it_counts_too_when_another_exporter_has_overtaken_the_list_that_shows_it(
    tmp_path: Path, provider: str
) -> None:
    asked, let_go = Event(), Event()

    def hold(head: bytes) -> Reply:
        if b"slow-key" not in head:
            return api.list(head)
        asked.set()
        assert let_go.wait(60)
        return early.list(head)

    with scripted(provider, "ours") as api:
        early = ScriptedApi(provider, "ours")
        flags = configured(tmp_path, api)
        other = api.session("other", 0, 10)
        slow_keys = dict.fromkeys(KEYS, "slow-key")
        with exporter(*flags) as fast, exporter(*flags, environ=slow_keys) as slow:
            api.now, api.rows = 20, [other]
            assert api.up(Page(fast.get())) == 1
            early.now, early.rows = LONG + 100, [api.session("a", 0, LONG, megabytes=2), other]
            api.instead = hold
            pages: list[Any] = []
            reading = Thread(target=lambda: pages.append(slow.get()))
            reading.start()
            assert asked.wait(60)
            api.now, api.rows = LONG + 120, [other]
            assert api.up(Page(fast.get())) == 1
            let_go.set()
            reading.join()
            assert api.up(Page(pages[0])) == 1
            page = Page(fast.get())
    assert api.counters(page) == late(api)
