"""Browser Use's `filterBy` and `totalItems`, verified on what comes back: nothing lost or counted twice."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.client.errors import PayloadError
from exporter.model import HOUR, SECOND, ReadWindow, micros
from exporter.providers.browser_use.reader import MAX_MISMATCHES, BrowserUse
from exporter.providers.browser_use.wire import SERIES
from tests.support.browser_use_cloud import Cloud, history, ids
from tests.support.browser_use_rows import NOW, T0, at, row, running

FILTERED = [("active", 1), ("stopped", 1)]
RECENT = micros(T0) + 950 * SECOND


def failed(name: str, **fields: Any) -> dict[str, Any]:
    """A session of a status that neither filter shows."""
    return row(**{"id": name, "status": "failed"} | fields)


def counts(**sessions: int) -> dict[Any, int]:
    return {(SERIES, status): count for status, count in sessions.items()}


@pytest.mark.parametrize("how", ["filters are ignored", "totals are not filtered", "both"])
def test_where_filters_do_not_hold_each_session_is_read_and_counted_once(cloud: Cloud, how: str) -> None:
    cloud.is_filtered, cloud.counts_filtered = how.startswith("totals"), how.startswith("filters")
    cloud.active = [running(f"r{i}", startedAt=at(2000 + i)) for i in range(3)]
    cloud.stopped = history(5)
    for _ in range(MAX_MISMATCHES + 1):
        listing = cloud.read()
        cloud.account.committed()
        assert (ids(listing), len(listing.sessions)) == ({"r0", "r1", "r2", *(f"s{i}" for i in range(5))}, 8)
        assert (listing.listed, listing.covers) == (counts(active=3, stopped=5), NOW)
    cloud.asked()
    cloud.read(ReadWindow(RECENT, {"r0": micros(T0) + 2000 * SECOND}))
    assert cloud.asked() == [("all", 1)]


def test_where_filters_do_not_hold_open_sessions_are_found_however_old(cloud: Cloud) -> None:
    cloud.is_filtered = False
    cloud.active, cloud.stopped = [running("old", startedAt=at(100.5))], history(1000)
    cloud.read()
    cloud.account.committed()
    listing = cloud.read(ReadWindow(RECENT, {"old": micros(T0) + 100_500_000}))
    assert (listing.listed, listing.missing) == (counts(active=1, stopped=1000), ())
    assert ids(listing) == {"old", *(f"s{i}" for i in range(950, 1000))}


def test_a_status_that_neither_filter_shows_is_read_from_the_first_scrape_on(cloud: Cloud) -> None:
    cloud.active, cloud.stopped = [running()], history(300)
    cloud.others = [failed("f1", startedAt=at(7.5)), failed("f2", finishedAt=None, status="paused")]
    listing = cloud.read()
    cloud.account.committed()
    assert {"open", "f1", "f2", "s0"} <= ids(listing)
    assert len(ids(listing)) == 303
    assert listing.listed == counts(active=1, stopped=300, failed=1, paused=1)
    cloud.asked()
    cloud.read(ReadWindow(RECENT))
    assert {status for status, _ in cloud.asked()} == {"all"}


@pytest.mark.parametrize("age", [10, 5000])
def test_the_last_usage_of_a_session_that_ends_in_such_a_status_is_read(cloud: Cloud, age: int) -> None:
    cloud.active, cloud.stopped = [running(startedAt=at(age))], history(1000)
    cloud.read()
    cloud.account.committed()
    cloud.active = []
    cloud.others = [failed("open", startedAt=at(age), finishedAt=at(age + 60), browserCost="7")]
    window = ReadWindow(RECENT, {"open": micros(T0) + age * SECOND})
    for _ in range(2):  # in the scrape that misses it, and in the next one, which reads without filters
        listing = cloud.read(window)
        cloud.account.committed()
        (session,) = (one for one in listing.sessions if one.id == "open")
        assert (session.status, session.usage.browser_cost, session.usage.time) == (
            "failed",
            7 * 10**9,
            60 * SECOND,
        )
        assert (listing.missing, listing.covers) == ((), NOW)
        assert listing.listed[SERIES, "failed"] == 1


def test_a_session_that_left_the_list_is_sought_once_without_a_filter(cloud: Cloud) -> None:
    cloud.stopped = history(1000)
    cloud.read()
    cloud.account.committed()
    window = ReadWindow(RECENT, {"gone": micros(T0) + 970 * SECOND})
    cloud.asked()
    requests = []
    for _ in range(3):
        assert cloud.read(window).missing == ("gone",)
        cloud.account.committed()
        requests.append([status for status, _ in cloud.asked()])
    assert [one.count("all") for one in requests] == [2, 0, 0]


def test_sessions_that_begin_between_two_requests_are_no_reason_to_give_filters_up(cloud: Cloud) -> None:
    cloud.active, cloud.stopped = [running()], history(300)

    def happen() -> None:
        name = f"new{len(cloud.requests)}"
        cloud.active.insert(0, running(name, startedAt=at(7000 + len(cloud.requests))))

    cloud.happen = happen
    assert {"open", "s0"} <= ids(cloud.read())
    cloud.account.committed()
    cloud.happen = lambda: None
    cloud.read()
    cloud.account.committed()
    cloud.asked()
    cloud.read(ReadWindow(RECENT))
    assert cloud.asked() == FILTERED


def test_where_reading_without_a_filter_fails_the_filters_are_tried_again(cloud: Cloud) -> None:
    cloud.active, cloud.stopped = [running()], history(3)
    cloud.total, cloud.lies = 500, "everything"
    with pytest.raises(PayloadError):
        cloud.read()
    cloud.total = 0
    cloud.asked()
    assert len(ids(cloud.read())) == 4
    assert ("active", 1) in cloud.asked()


@pytest.mark.parametrize("odd", [{"startedAt": 1_777_640_400}, {"proxyUsedMb": True}, {"status": 5}])
def test_lists_of_which_no_row_can_be_used_are_refused(cloud: Cloud, odd: dict[str, object]) -> None:
    """They must not pass for empty ones: that would be false zeros."""
    cloud.active = [running(f"r{i}", **odd) for i in range(3)]
    cloud.stopped = [one | odd for one in history(5)]
    for _ in range(2):
        with pytest.raises(PayloadError, match="without a row that makes sense"):
            cloud.read()
    cloud.stopped.append(row(id="sound"))
    assert ids(cloud.read()) == {"sound"}


@pytest.mark.parametrize("odd", [{"finishedAt": at(-7000)}, {"proxyCost": "NaN"}, {"startedAt": None}])
@pytest.mark.parametrize("state", ["rejected", "departed"])
def test_what_cannot_be_read_any_more_is_not_sought(cloud: Cloud, odd: dict[str, object], state: str) -> None:
    """A row that makes no sense for good, and three thousand sessions since: two requests."""
    cloud.stopped = [*history(3000), row(id="bad", startedAt=at(0.5)) | odd]
    cloud.read()
    cloud.account.committed()
    cloud.asked()
    since = micros(T0) + 2950 * SECOND
    window = {
        "rejected": ReadWindow(since, {"bad": micros(T0)}, rejected=frozenset({"bad"})),
        "departed": ReadWindow(since, departed=frozenset({"bad"})),
    }[state]
    for _ in range(3):
        listing = cloud.read(window)
        cloud.account.committed()
        assert (listing.covers, listing.missing, cloud.asked()) == (NOW, (), FILTERED)


def test_a_row_that_was_rejected_is_read_when_a_page_shows_it_sound_however_late(cloud: Cloud) -> None:
    cloud.stopped = history(90)
    cloud.stopped[-1]["proxyUsedMb"] = "many"
    window = ReadWindow(NOW - HOUR // 60)
    listing = cloud.read(window)
    assert (ids(listing), set(listing.rejected_ids)) == (set(), {"s0"})
    cloud.stopped[-1]["proxyUsedMb"] = "1"
    remembered = ReadWindow(window.watermark, rejected=frozenset({"s0"}))
    assert ids(cloud.read(remembered)) == {"s0"}
    cloud.stopped[-1]["proxyUsedMb"] = ""
    listing = cloud.read(remembered)
    assert (ids(listing), listing.rejected, len(listing.rejected_ids)) == ({"s0"}, {"field": 1}, 0)


def test_an_ended_session_that_cannot_have_settled_is_read_whenever_it_was_created(cloud: Cloud) -> None:
    cloud.stopped = [row(id="late", startedAt=at(5), finishedAt=at(7100)), *history(5)]
    window = ReadWindow(NOW, ended_after=micros(T0) + 7000 * SECOND)
    assert ids(cloud.read(window)) == {"late"}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("where", ["active", "stopped"])
def test_a_session_that_is_shown_open_and_ended_in_one_answer_has_ended(
    cloud: Cloud, order: int, where: str
) -> None:
    rows = [row(), running("one", browserCost="9")][::order]
    if where == "active":
        cloud.active = rows
    else:
        cloud.stopped = rows
    listing = cloud.read()
    assert {(one.status, one.usage.time) for one in listing.sessions} == {("stopped", 60 * SECOND)}
    assert listing.listed == counts(stopped=1)


STATUSES = st.sampled_from(["active", "stopped", "failed", "paused"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    some=st.lists(STATUSES, max_size=12),
    times=st.sampled_from([1, 1, 11]),
    truth=st.tuples(st.booleans(), st.booleans()),
    largest=st.sampled_from([100, 20]),
)
def test_whatever_the_filters_do_each_session_is_read_and_counted_once(
    cloud: Cloud, some: list[str], times: int, truth: tuple[bool, bool], largest: int
) -> None:
    statuses = some * times
    (cloud.is_filtered, cloud.counts_filtered), cloud.largest = truth, largest
    rows = [
        row(
            id=f"s{i}",
            status=status,
            startedAt=at(i),
            finishedAt=None if status in {"active", "paused"} else at(i + 1),
        )
        for i, status in enumerate(statuses)
    ][::-1]
    cloud.active = [one for one in rows if one["status"] == "active"]
    cloud.stopped = [one for one in rows if one["status"] == "stopped"]
    cloud.others = [one for one in rows if one["status"] in {"failed", "paused"}]
    cloud.account = BrowserUse(cloud.api)
    for _ in range(2):
        listing = cloud.read()
        cloud.account.committed()
        assert ids(listing) == {one["id"] for one in rows}
        assert listing.listed == counts(**Counter(statuses))
        assert listing.covers == NOW
