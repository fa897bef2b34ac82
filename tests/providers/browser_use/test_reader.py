"""Browser Use's pages, over real HTTP: which are read, what is kept of them, and how far a scrape gets."""

import json
import tracemalloc
from typing import Any

import pytest

from exporter.client.api import Api
from exporter.client.errors import AnswerTimeoutError, PayloadError
from exporter.model import HOUR, SECOND, ReadWindow, Series, Session, Usage, micros
from exporter.providers.browser_use.pages import MAX_INVALID_PAGES, PAGES_PER_SCRAPE
from exporter.providers.browser_use.reader import BrowserUse
from exporter.providers.browser_use.wire import MAX_ROWS, SERIES
from exporter.providers.metadata import MetadataLabels
from exporter.simulator.browser_use import FACTS
from exporter.simulator.fleet import ORDERS, Fleet, session_at
from exporter.simulator.server import Server, create_app
from tests.support.browser_use_cloud import ALL, DEADLINE, Cloud, Meter, history, ids
from tests.support.browser_use_rows import NOW, T0, at, row, running

MEGABYTE = 1 << 20
HEADER = "X-Browser-Use-API-Key"


def test_every_field_of_the_api_is_read(cloud: Cloud) -> None:
    cloud.active = [running(proxyUsedMb="0", proxyCost="0", browserCost="0.001")]
    cloud.stopped = [row(agentSessionId="agent", metadata={"team": "a"}, extensions=[])]
    listing = cloud.read()
    start, expiry = micros(T0) + 10 * SECOND, micros(T0) + 3600 * SECOND
    assert listing.sessions == (
        Session("open", SERIES, "active", start, Usage(NOW - start, 0, 1_000_000, 0), start, expires=expiry),
        Session("one", SERIES, "stopped", start, Usage(60 * SECOND, 1 << 20, 2_000_000, 4_000_000), start,
                micros(T0) + 70 * SECOND, "stopped", expiry),
    )  # fmt: skip
    assert (listing.time, listing.covers, listing.remaining) == (NOW, NOW, 0)
    assert listing.listed == {(SERIES, "active"): 1, (SERIES, "stopped"): 1}
    assert sorted(cloud.asked()) == [("active", 1), ("all count", 1), ("stopped", 1), ("stopped count", 1)]
    cloud.read()
    assert cloud.asked() == [("active", 1), ("stopped", 1)]


def test_what_opens_a_browser_is_never_kept(cloud: Cloud) -> None:
    cloud.active, cloud.stopped = [running(), running(id=1)], [row(), row(proxyCost="s3cret")]
    listing = cloud.read()
    assert len(listing.sessions) == 2
    assert "s3cret" not in repr(listing) + repr(vars(cloud.account))


def test_the_rows_beside_one_that_makes_no_sense_are_used(cloud: Cloud) -> None:
    cloud.active = [running(), running("bad", startedAt=None)]
    cloud.stopped = [7, None, [], row(id="b2", proxyCost="NaN"), row(), row(id="b3", finishedAt=at(-50))]
    listing = cloud.read()
    assert ids(listing) == {"open", "one"}
    assert listing.rejected == {"malformed": 4, "out_of_range": 1, "times": 1}
    assert listing.rejected_ids == {"bad", "b2", "b3"}
    assert listing.covers == NOW


def test_ended_sessions_that_nobody_asks_for_are_left_out(cloud: Cloud) -> None:
    """And in the steady state one page of each is enough, however long the history."""
    cloud.active, cloud.stopped = [running(startedAt=at(1))], history(1000)
    cloud.read()
    cloud.account.committed()
    cloud.asked()
    listing = cloud.read(ReadWindow(micros(T0) + 950 * SECOND, {"s940": micros(T0) + 940 * SECOND}))
    assert ids(listing) == {"open", "s940", *(f"s{i}" for i in range(950, 1000))}
    assert listing.covers == NOW
    assert listing.listed == {(SERIES, "active"): 1, (SERIES, "stopped"): 1000}
    assert cloud.asked() == [("active", 1), ("stopped", 1)]


def test_only_what_stands_on_neither_list_is_missing(cloud: Cloud) -> None:
    cloud.active, cloud.stopped = [running(startedAt=at(5))], history(300)
    held = {"open": micros(T0) + 5 * SECOND, "s150": micros(T0) + 150 * SECOND, "gone": micros(T0) + HOUR}
    assert cloud.read(ReadWindow(NOW, held)).missing == ("gone",)
    cloud.active = [running(startedAt=at(5), proxyCost="NaN")]
    assert cloud.read(ReadWindow(NOW, held)).missing == ("gone",), "a row that makes no sense is listed too"


def test_a_row_that_makes_no_sense_is_listed_in_whichever_scrape_it_was_met(cloud: Cloud) -> None:
    """Of two scrapes that share a walk, the second does not see the row."""
    held = {"s250": micros(T0) + 250 * SECOND, "s50": micros(T0) + 50 * SECOND, "gone": micros(T0)}
    cloud.stopped, cloud.seconds = history(300), 30.0
    cloud.stopped[49] = row(id="s250", startedAt=None)
    assert cloud.read(ReadWindow(0, held)).covers is None
    cloud.account.committed()
    cloud.stopped[249] = row(id="s50", browserCost="NaN")
    listing = cloud.read(ReadWindow(0, held), seconds=10 * DEADLINE)
    assert (listing.covers, listing.missing) == (NOW, ("gone",))


def test_an_open_session_whose_row_makes_no_sense_is_not_looked_for_among_the_ended(cloud: Cloud) -> None:
    cloud.active, cloud.stopped = [running("old", startedAt=None)], history(1000)
    cloud.read()
    cloud.account.committed()
    cloud.asked()
    listing = cloud.read(ReadWindow(micros(T0) + 950 * SECOND, {"old": micros(T0)}))
    assert (listing.covers, listing.missing) == (NOW, ())
    assert cloud.asked() == [("active", 1), ("stopped", 1)]


@pytest.mark.parametrize(
    ("fields", "usable"), [({"startedAt": None}, 760), ({}, 800), ({"status": "x" * MEGABYTE}, 800)]
)
def test_many_pages_of_long_rows_take_the_memory_of_a_few(
    cloud: Cloud, fields: dict[str, Any], usable: int
) -> None:
    cloud.stopped, cloud.largest = history(800), 20
    for one in cloud.stopped[::20]:
        one |= {"metadata": "x" * MEGABYTE, **fields}
    held = dict.fromkeys(("s799", "s779", "s19", "gone"), 0)
    tracemalloc.start()
    try:
        listing = cloud.read(ReadWindow(0, held))
        assert tracemalloc.get_traced_memory()[1] < 24 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert (listing.covers, listing.missing) == (listing.time, ("gone",))
    assert len(ids(listing)) == usable


def test_a_session_on_both_lists_has_ended(cloud: Cloud) -> None:
    cloud.active, cloud.stopped = [running("one"), running()], [row()]
    listing = cloud.read()
    assert {(one.id, one.status) for one in listing.sessions} == {("one", "stopped"), ("open", "active")}
    assert listing.listed == {(SERIES, "active"): 1, (SERIES, "stopped"): 1}


def test_open_sessions_that_slip_from_page_to_page_are_found(cloud: Cloud) -> None:
    """With every page, four end at the list's beginning and four begin at its end: its length stays."""
    cloud.active = [running(f"s{i}") for i in range(350)]

    def happen() -> None:
        cloud.stopped += [row(id=one["id"]) for one in cloud.active[:4]]
        cloud.active = cloud.active[4:] + [running(f"new{cloud.active[0]['id']}-{i}") for i in range(4)]

    cloud.happen = happen
    listing = cloud.read()
    assert {f"s{i}" for i in range(350)} <= ids(listing)
    assert listing.covers == NOW


@pytest.mark.parametrize("total", [1, 4, 90])
def test_a_total_that_is_not_true_does_not_keep_a_listing_from_being_whole(cloud: Cloud, total: int) -> None:
    cloud.active, cloud.total = [running("a"), running("b"), running("c")], total
    listing = cloud.read()
    assert (ids(listing), listing.covers) == ({"a", "b", "c"}, NOW)


@pytest.mark.parametrize("status", ["active", "stopped"])
@pytest.mark.parametrize(("there", "total"), [(0, 1), (3, 10**9), (100, 500), (250, 500)])
@pytest.mark.parametrize("lies", ["its own", "everything"])
def test_a_list_that_ends_far_from_where_it_says_is_not_taken_for_whole(
    cloud: Cloud, status: str, there: int, total: int, lies: str
) -> None:
    """What is not listed would pass for ended, or be missing for good after a first import.

    If only the filtered list does so, the one without a filter is read.
    """
    cloud.total, cloud.lies = total, status if lies == "its own" else lies
    if status == "active":
        cloud.active = [running(f"r{i}") for i in range(there)]
    else:
        cloud.stopped = history(there)
    if lies == "its own":
        listing = cloud.read()
        assert (len(ids(listing)), listing.covers, sum(listing.listed.values())) == (there, NOW, there)
        return
    with pytest.raises(PayloadError, match="a page of all browsers is empty"):
        cloud.read()


@pytest.mark.parametrize("items", [[None], [{"error": "maintenance"}], [1, 2, 3]])
def test_a_page_of_something_else_is_not_taken_for_an_empty_one(cloud: Cloud, items: list[object]) -> None:
    cloud.active = items
    with pytest.raises(PayloadError, match="without a row that makes sense"):
        cloud.read()


def test_open_sessions_that_never_are_as_many_as_is_said_cover_nothing(cloud: Cloud) -> None:
    cloud.active = [running()]
    cloud.read()
    cloud.total = 9

    def happen() -> None:
        cloud.active = [running(f"s{len(cloud.requests)}")]

    cloud.happen = happen
    listing = cloud.read(ReadWindow(0, {"gone": 1}))
    assert (listing.covers, listing.missing) == (None, ())


@pytest.mark.parametrize("kept", [True, False])
def test_a_history_too_long_for_a_scrape_goes_on_in_the_next_if_it_was_recorded(
    cloud: Cloud, *, kept: bool
) -> None:
    cloud.stopped, cloud.seconds = history(1000), 10.0  # sixty seconds are for reading
    first = cloud.read()
    assert (first.covers, len(cloud.asked())) == (None, 6)
    assert 0 < first.remaining == 1000 - len(ids(first))
    if kept:
        cloud.account.committed()
    cloud.stopped[:0] = [row(id=f"new{i}", startedAt=at(7000), finishedAt=at(7200)) for i in range(300)]
    second = cloud.read()
    assert (("stopped", 1) in cloud.asked()) is not kept
    while second.covers is None:
        cloud.account.committed()
        first, second = second, cloud.read(seconds=3 * DEADLINE)
    assert "s0" in ids(second)
    assert second.listed == {(SERIES, "stopped"): 1300}


def test_a_scrape_asks_for_so_many_pages_and_no_more(cloud: Cloud) -> None:
    cloud.stopped, cloud.largest = history(5000), 20
    listing = cloud.read()
    assert (len(cloud.asked()), listing.covers) == (PAGES_PER_SCRAPE, None)


def test_open_sessions_that_the_time_is_too_short_for_fail_the_scrape(cloud: Cloud) -> None:
    cloud.active, cloud.seconds = [running(f"s{i}") for i in range(1000)], 30.0
    with pytest.raises(AnswerTimeoutError, match="open sessions"):
        cloud.read()


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b"null", b"oops", b"\xff", b'{"items":1,"totalItems":1}', b'{"items":[],"totalItems":-1}',
     b'{"items":[],"totalItems":1e30}', b'{"items":[],"totalItems":0,"pageSize":0}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_page_of_browsers_is_refused(cloud: Cloud, body: bytes) -> None:
    cloud.body = body
    with pytest.raises(PayloadError, match="not what the API describes"):
        cloud.read()


def test_page_after_page_on_which_nothing_makes_sense_is_refused(cloud: Cloud) -> None:
    """A provider that has changed its rows is not asked for all its pages at each scrape."""
    cloud.stopped = [row(id=f"s{i}", startedAt=i) for i in range(30 * 100)]
    cloud.active = [running()]
    with pytest.raises(PayloadError, match="makes sense"):
        cloud.read()
    assert len(cloud.asked()) == 3 + MAX_INVALID_PAGES
    cloud.stopped[::350] = history(9)
    listing = cloud.read()
    assert (len(ids(listing)), listing.covers) == (10, NOW)


def test_a_page_far_longer_than_asked_for_counts_as_many(cloud: Cloud) -> None:
    """It is not for a provider to say how much is held in memory."""
    items = [running()] * MAX_ROWS

    def happen() -> None:
        fresh = [one | {"id": f"{len(cloud.requests)}-{i}"} for i, one in enumerate(items)]
        cloud.body = json.dumps({"items": fresh, "totalItems": 10**6}).encode()

    cloud.happen = happen
    with pytest.raises(AnswerTimeoutError):
        cloud.read()
    assert len(cloud.asked()) == PAGES_PER_SCRAPE // 10
    items.append(running())
    with pytest.raises(PayloadError, match="not what the API describes"):
        cloud.read()


def test_the_same_page_again_and_again_is_refused(cloud: Cloud) -> None:
    cloud.body = json.dumps({"items": [row()], "totalItems": 1000}).encode()
    with pytest.raises(PayloadError, match="repeat each other"):
        cloud.read()
    assert len(cloud.asked()) < 8


HOURS = 3 * 3600


@pytest.mark.parametrize(("ahead", "wall"), [(0, 0), (HOURS, 0), (0, HOURS), (0, -HOURS), (-HOURS, 0)])
def test_a_clock_that_is_hours_off_counts_time_late_but_never_too_high(
    cloud: Cloud, ahead: int, wall: int
) -> None:
    """The earlier clock counts; sessions that begin or end after it are used all the same."""
    cloud.ahead, cloud.wall = ahead, wall
    cloud.active = [running(startedAt=at(-7000)), running("new", status="new", startedAt=at(7100))]
    cloud.stopped = [row(id="ended", startedAt=at(-5000), finishedAt=at(7000))]
    cloud.stopped.append(row(id="unsaid", startedAt=at(5000), finishedAt=None, timeoutAt=at(99_999)))
    late = -min(0, ahead, wall)
    listing = cloud.read()
    assert (listing.time, listing.covers, listing.rejected) == (NOW - late * SECOND,) * 2 + ({},)
    assert {one.id: one.usage.time // SECOND for one in listing.sessions} == {
        "open": 14_200 - late,
        "new": max(0, 100 - late),
        "unsaid": max(0, 2200 - late),
        "ended": 12_000,
    }
    ends = {one.id: one.ended for one in listing.sessions}
    assert ends["unsaid"] == max(micros(T0) + 5000 * SECOND, NOW - late * SECOND)
    assert listing.listed == {(SERIES, "active"): 1, (SERIES, "new"): 1, (SERIES, "stopped"): 2}


@pytest.mark.parametrize("order", ORDERS)
def test_the_simulated_provider_is_read_whole_in_every_order(order: str) -> None:
    origin = NOW - NOW % SECOND
    simulated = Fleet(origin=origin, history=700, order=order)
    with Server(create_app(simulated, lambda: origin)) as server:
        api = Api(f"{server.url}/api/v3", HEADER, lambda: "key", max_bytes=1 << 24, telemetry=Meter())
        listing = BrowserUse(api).read(ALL, api.clock() + DEADLINE)
    lives = [session_at(simulated, FACTS, index) for index in simulated.listed(FACTS, origin)]
    assert ids(listing) == {life.id for life in lives}
    usage = {session.id: session.usage for session in listing.sessions}
    assert all(usage[life.id].proxy_bytes == life.proxy_bytes(origin) for life in lives)
    assert listing.covers == origin


def test_a_query_lists_the_sessions_whose_metadata_match_alone() -> None:
    origin = NOW - NOW % SECOND
    simulated = Fleet(origin=origin, history=300)
    with Server(create_app(simulated, lambda: origin)) as server:
        api = Api(f"{server.url}/api/v3", HEADER, lambda: "key", max_bytes=1 << 24, telemetry=Meter())
        reader = BrowserUse(api, "team=research")
        listings = [reader.read(ALL, api.clock() + DEADLINE) for _ in range(2)]
    lives = [session_at(simulated, FACTS, index) for index in simulated.listed(FACTS, origin)]
    wanted = {life.id for life in lives if life.metadata["team"] == "research"}
    assert 0 < len(wanted) < len(lives)
    for listing in listings:
        assert ids(listing) == wanted
        assert sum(listing.listed.values()) == len(wanted)


def test_open_sessions_are_listed_by_their_labels_and_ended_ones_without(cloud: Cloud) -> None:
    cloud.account = BrowserUse(cloud.api, labels=MetadataLabels((("team", "team"),)))
    cloud.active = [
        row(id=f"a{n}", status="active", finishedAt=None, metadata={"team": "ab"[n % 2]}) for n in range(3)
    ]
    cloud.stopped = [row(id="s", metadata={"team": "a"}), row(id="t", metadata=None)]
    listing = cloud.read()
    of_a, of_b = (Series("", "unknown", (("team", team),)) for team in "ab")
    assert listing.listed == {(of_a, "active"): 2, (of_b, "active"): 1, (SERIES, "stopped"): 2}
    assert {one.id: one.series for one in listing.sessions} == {
        "a0": of_a,
        "a1": of_b,
        "a2": of_a,
        "s": of_a,
        "t": SERIES,
    }
