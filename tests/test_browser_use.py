"""Browser Use's pages, over real HTTP: rows as they must and must not be, and how far a pull gets."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exporter import fleet
from exporter.api import Api
from exporter.browser_use import MOST_FIELDS, PAGES_PER_PULL, SERIES, BrowserUse, RowError, decode
from exporter.errors import AnswerTimeoutError, PayloadError
from exporter.session import HOUR, MOST_TIME, REJECTIONS, SECOND, Horizon, Listing, Session, Usage, micros
from exporter.simulator import Server, create_app

T0 = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = micros(T0) + 2 * HOUR
STARTED = 1_777_636_810_000_000
HEADER = "X-Browser-Use-API-Key"
DEADLINE = 100.0  # seconds on the clock that only the provider moves
URLS = {"liveUrl": "https://live/s3cret", "cdpUrl": "wss://cdp/s3cret", "recordingUrl": "https://rec/s3cret"}
ALL = Horizon()


class Meter:
    def sent(self, endpoint: str, code: str, seconds: float) -> None:
        assert (endpoint, code, seconds >= 0) == ("/browsers", "200", True)

    def rate_limit(self, remaining: int) -> None:
        pass


class Cloud:
    """The provider: rows in the order of its lists, what is to happen after each request, and its reader."""

    account: BrowserUse

    def __init__(self) -> None:
        self.active: list[Any] = []
        self.stopped: list[Any] = []
        self.requests: list[tuple[str, int]] = []
        self.largest, self.total, self.body = 100, 0, b""
        self.clock, self.seconds = 0.0, 0.0
        self.ahead, self.wall = 0, 0.0  # seconds that its clock and ours are wrong by
        self.happen: Callable[[], None] = lambda: None

    async def answer(self, request: Request) -> Response:
        status, number = request.query_params["filterBy"], int(request.query_params["pageNumber"])
        size = min(int(request.query_params["pageSize"]), self.largest)
        self.requests.append((status, number))
        rows = self.active if status == "active" else self.stopped
        items, total = rows[(number - 1) * size : number * size], self.total or len(rows)
        page = {"items": items, "totalItems": total, "pageNumber": number, "pageSize": size, "new": 1}
        self.clock += self.seconds
        self.happen()
        date = format_datetime(T0 + timedelta(hours=2, seconds=self.ahead), usegmt=True)
        return Response(self.body or json.dumps(page), headers={"Date": date})

    def read(self, horizon: Horizon = ALL, seconds: float = DEADLINE) -> Listing:
        return self.account.read(horizon, self.clock + seconds)

    def asked(self) -> list[tuple[str, int]]:
        """What was asked for since the last time."""
        asked, self.requests = self.requests, []
        return asked


@pytest.fixture(scope="module")
def door() -> Iterator[tuple[str, list[Cloud]]]:
    """One server for all; behind it stands the cloud that was put there last."""
    clouds = [Cloud()]

    async def answer(request: Request) -> Response:
        return await clouds[-1].answer(request)

    with Server(Starlette(routes=[Route("/api/v3/browsers", answer)])) as server:
        yield f"{server.url}/api/v3", clouds


@pytest.fixture
def api(door: tuple[str, list[Cloud]]) -> Iterator[Api]:
    base, clouds = door
    clouds.append(Cloud())
    api = Api(
        base,
        HEADER,
        lambda: "key",
        max_bytes=1 << 24,
        meter=Meter(),
        wall=lambda: NOW / SECOND + clouds[-1].wall,
        clock=lambda: clouds[-1].clock,
    )
    with closing(api):
        yield api


@pytest.fixture
def cloud(door: tuple[str, list[Cloud]], api: Api) -> Cloud:
    cloud = door[1][-1]
    cloud.account = BrowserUse(api)
    return cloud


def at(seconds: float) -> str:
    """A moment of the API's, so long after T0."""
    return (T0 + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def row(**fields: Any) -> dict[str, Any]:
    """A session that ran from 10 s to 70 s; a field given as ... is left out."""
    session = {
        "id": "one",
        "status": "stopped",
        "timeoutAt": at(3600),
        "startedAt": at(10),
        "finishedAt": at(70),
        "proxyUsedMb": "1",
        "proxyCost": "0.004",
        "browserCost": "0.002",
        "agentSessionId": None,
        **URLS,
    }
    return {name: value for name, value in (session | fields).items() if value is not ...}


def running(name: str = "open", **fields: Any) -> dict[str, Any]:
    return row(**{"id": name, "status": "active", "finishedAt": None} | fields)


def history(count: int) -> list[dict[str, Any]]:
    """Sessions of a second each, newest first; the newest is the last whole second's."""
    return [row(id=f"s{i}", startedAt=at(i), finishedAt=at(i + 1)) for i in reversed(range(count))]


def only(**fields: Any) -> Session:
    return decode(json.dumps(row(**fields)).encode(), NOW)


def ids(listing: Listing) -> set[str]:
    return {session.id for session in listing.sessions}


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
    assert cloud.asked() == [("active", 1), ("stopped", 1)]


def test_what_opens_a_browser_is_never_kept(cloud: Cloud) -> None:
    cloud.active, cloud.stopped = [running(), running(id=1)], [row(), row(proxyCost="s3cret")]
    listing = cloud.read()
    assert len(listing.sessions) == 2
    assert "s3cret" not in repr(listing) + repr(vars(cloud.account))


@pytest.mark.parametrize(
    ("mb", "size"),
    [("5.8607378005981443438", 6_145_429), ("0.9999999999999999999999999999", 1 << 20),
     ("12345678.12345678901234567890", 12_945_381_783_982), ("0007.50", 7_864_320), (".5", 1 << 19),
     ("5.", 5 << 20), ("+1", 1 << 20), ("-0", 0), (None, 0), (..., 0), (0.5, 1 << 19), (2, 2 << 20)],
)  # fmt: skip
def test_traffic_is_counted_in_whole_bytes(mb: object, size: int) -> None:
    assert only(proxyUsedMb=mb).usage.proxy_bytes == size


@given(figure=st.decimals(0, 900_000, places=20).map(lambda one: f"{one:f}"))
def test_figures_lose_nothing_to_floats(figure: str) -> None:
    """Whole bytes and nano-dollars, rounded half to even, as fractions have them."""
    usage = only(proxyUsedMb=figure, proxyCost=figure, browserCost=figure).usage
    assert usage.proxy_bytes == round(Fraction(figure) * 2**20)
    assert usage.proxy_cost == usage.browser_cost == round(Fraction(figure) * 10**9)


@pytest.mark.parametrize(("cost", "nano"), [("0.0000000005", 0), ("0.0000000015", 2), (None, 0), (..., 0)])
def test_money_is_counted_in_whole_nano_dollars(cost: object, nano: int) -> None:
    usage = only(proxyCost=cost, browserCost=cost).usage
    assert (usage.proxy_cost, usage.browser_cost) == (nano, nano)


NONSENSE: list[tuple[str, str, list[Any]]] = [
    *(("malformed", name, [..., None, "", []]) for name in ("id", "status", "startedAt")),
    ("malformed", "id", ["x" * 101, 7]),
    ("malformed", "startedAt", ["yesterday", 1_767_225_600, "2026-01-01", "2026-13-01T00:00:00Z"]),
    (
        "malformed",
        "proxyUsedMb",
        ["", "abc", ".", "+", "1,5", "0x1", "1 2", "1e99999999999999999999", True, {}],
    ),
    ("out_of_range", "proxyUsedMb", ["-1", "-.5", "NaN", "sNaN", "Infinity", "-Infinity", "1e9", -1]),
    ("out_of_range", "proxyCost", ["-0.01", "1e999999", "9" * 5000, "1000001"]),
    ("out_of_range", "browserCost", ["-0.01", "1000001"]),
    ("times", "finishedAt", [at(9), at(11 + MOST_TIME // SECOND)]),
]


@pytest.mark.parametrize(
    ("reason", "name", "value"), [(why, name, v) for why, name, vs in NONSENSE for v in vs]
)
def test_a_row_that_makes_no_sense_is_rejected_with_its_reason(reason: str, name: str, value: object) -> None:
    with pytest.raises(RowError) as caught:
        only(**{name: value})
    assert caught.value.reason == reason
    assert reason in REJECTIONS


def test_the_rows_beside_one_that_makes_no_sense_are_used(cloud: Cloud) -> None:
    cloud.active = [running(), running("bad", startedAt=None)]
    cloud.stopped = [7, None, [], row(id="bad", proxyCost="-1"), row(), row(id="bad", finishedAt=at(0))]
    listing = cloud.read()
    assert ids(listing) == {"open", "one"}
    assert listing.rejected == {"malformed": 4, "out_of_range": 1, "times": 1}
    assert listing.covers == NOW


@pytest.mark.parametrize(
    ("status", "finished", "shown", "ended"),
    [("ACTIVE", None, "active", False), ("active", at(70), "active", False), ("new", None, "new", False),
     ("Stopped", at(70), "stopped", True), ("failed!", at(70), "failed_", True)],
)  # fmt: skip
def test_an_unknown_status_is_an_end_where_there_is_one(
    status: str, finished: str | None, shown: str, *, ended: bool
) -> None:
    session = only(status=status, finishedAt=finished)
    assert session.status == shown
    assert (session.ended is not None, session.ending is not None) == (ended, ended)


@pytest.mark.parametrize(
    ("finished", "ending"),
    [(at(3598.999999), "stopped"), (at(3599), "timed_out"), (at(3600), "timed_out"), (at(3700), "timed_out")],
)
def test_an_end_within_a_second_of_the_timeout_or_later_is_the_timeouts(finished: str, ending: str) -> None:
    session = only(finishedAt=finished)
    assert (session.status, session.ending) == ("stopped", ending)
    assert only(finishedAt=finished, timeoutAt=None).ending == "stopped"


@pytest.mark.parametrize(
    ("timeout", "ended"), [(at(3600), NOW - HOUR), (at(9999), NOW), (None, STARTED), (..., STARTED)]
)
def test_a_stopped_session_without_its_end_had_ended_by_now_and_by_its_timeout(
    timeout: object, ended: int
) -> None:
    """How long it ran nobody says; what was seen of it while it was open stays."""
    session = only(finishedAt=None, timeoutAt=timeout)
    assert (session.ended, session.ending, session.usage.time) == (ended, "stopped", 0)


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert only(startedAt="2026-05-01T12:00:10") == only(startedAt="2026-05-01T14:00:10+02:00") == only()


def test_a_session_open_for_years_makes_no_sense() -> None:
    """It would add them to a sum for ever."""
    with pytest.raises(RowError, match="times"):
        only(status="active", finishedAt=None, startedAt="1970-01-01T00:00:00Z")


def test_a_session_that_starts_after_the_providers_clock_has_not_run() -> None:
    assert only(status="active", finishedAt=None, startedAt=at(7200.9)).usage.time == 0


def test_ended_sessions_that_nobody_asks_for_are_left_out(cloud: Cloud) -> None:
    """And in the steady state one page of each is enough, however long the history."""
    cloud.active, cloud.stopped = [running(startedAt=at(1))], history(1000)
    cloud.read()
    cloud.account.recorded()
    cloud.asked()
    listing = cloud.read(Horizon(micros(T0) + 950 * SECOND, {"s940": micros(T0) + 940 * SECOND}))
    assert ids(listing) == {"open", "s940", *(f"s{i}" for i in range(950, 1000))}
    assert listing.covers == NOW
    assert listing.listed == {(SERIES, "active"): 1, (SERIES, "stopped"): 1000}
    assert cloud.asked() == [("active", 1), ("stopped", 1)]


def test_only_what_stands_on_neither_list_is_missing(cloud: Cloud) -> None:
    cloud.active, cloud.stopped = [running(startedAt=at(5))], history(300)
    held = {"open": micros(T0) + 5 * SECOND, "s150": micros(T0) + 150 * SECOND, "gone": micros(T0) + HOUR}
    assert cloud.read(Horizon(NOW, held)).missing == ("gone",)
    cloud.active = [running(startedAt=at(5), proxyCost="-1")]
    assert cloud.read(Horizon(NOW, held)).missing == ("gone",), "a row that makes no sense is listed too"


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


@pytest.mark.parametrize("total", [1, 4, 10**9])
def test_a_total_that_is_not_true_does_not_keep_a_listing_from_being_whole(cloud: Cloud, total: int) -> None:
    cloud.active, cloud.total = [running("a"), running("b"), running("c")], total
    listing = cloud.read()
    assert (ids(listing), listing.covers) == ({"a", "b", "c"}, NOW)


def test_open_sessions_that_never_are_as_many_as_is_said_cover_nothing(cloud: Cloud) -> None:
    cloud.active, cloud.total = [running()], 9

    def happen() -> None:
        cloud.active = [running(f"s{len(cloud.requests)}")]

    cloud.happen = happen
    listing = cloud.read(Horizon(0, {"gone": 1}))
    assert (listing.covers, listing.missing) == (None, ())


@pytest.mark.parametrize("kept", [True, False])
def test_a_history_too_long_for_a_pull_goes_on_in_the_next_if_it_was_recorded(
    cloud: Cloud, *, kept: bool
) -> None:
    cloud.stopped, cloud.seconds = history(1000), 10.0  # sixty seconds are for reading
    first = cloud.read()
    assert (first.covers, len(cloud.asked())) == (None, 6)
    assert 0 < first.remaining == 1000 - len(ids(first))
    if kept:
        cloud.account.recorded()
    cloud.stopped[:0] = [row(id=f"new{i}", startedAt=at(7000), finishedAt=at(7200)) for i in range(300)]
    second = cloud.read()
    assert (("stopped", 1) in cloud.asked()) is not kept
    while second.covers is None:
        cloud.account.recorded()
        first, second = second, cloud.read(seconds=3 * DEADLINE)
    assert "s0" in ids(second)
    assert second.listed == {(SERIES, "stopped"): 1300}


def test_a_pull_asks_for_so_many_pages_and_no_more(cloud: Cloud) -> None:
    cloud.stopped, cloud.largest = history(5000), 20
    listing = cloud.read()
    assert (len(cloud.asked()), listing.covers) == (PAGES_PER_PULL, None)


def test_open_sessions_that_the_time_is_too_short_for_fail_the_pull(cloud: Cloud) -> None:
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


def test_a_page_of_nothing_but_nonsense_is_refused_before_it_is_looked_at(cloud: Cloud) -> None:
    cloud.body = b'{"totalItems":1,"items":[' + b"1," * MOST_FIELDS + b"1]}"
    with pytest.raises(PayloadError, match="far longer than any"):
        cloud.read()


def test_the_same_page_again_and_again_is_refused(cloud: Cloud) -> None:
    cloud.body = json.dumps({"items": [row()], "totalItems": 1000}).encode()
    with pytest.raises(PayloadError, match="repeat each other"):
        cloud.read()
    assert len(cloud.asked()) < 6


HOURS = 3 * 3600


@pytest.mark.parametrize(("ahead", "wall"), [(0, 0), (HOURS, 0), (0, HOURS), (0, -HOURS), (-HOURS, 0)])
def test_a_clock_that_is_hours_off_changes_nothing_where_sessions_tell(
    cloud: Cloud, ahead: int, wall: int
) -> None:
    """Already at the first pull, although only its second page tells; and when they tell no more."""
    cloud.ahead, cloud.wall = ahead, wall
    cloud.active = [running(startedAt=at(-7000)), running("new", status="new", startedAt=at(-7000))]
    cloud.stopped = [row(id=name, startedAt=at(-5000), finishedAt=at(7000)) for name in "abc"]
    cloud.stopped.append(row(id="unsaid", startedAt=at(5000), finishedAt=None, timeoutAt=at(99_999)))
    for told in ("a", "b", "c"), ():
        listing = cloud.read()
        assert (listing.time, listing.rejected) == (NOW, {})
        assert {one.id: one.usage.time // SECOND for one in listing.sessions} == {
            "open": 14_200,
            "new": 14_200,
            "unsaid": 0,
            **dict.fromkeys(told, 12_000),
        }
        assert {one.ended for one in listing.sessions if one.id == "unsaid"} == {NOW}
        cloud.stopped = cloud.stopped[3:]


@pytest.mark.parametrize(("ahead", "wall"), [(HOURS, 0), (0, HOURS), (0, -HOURS), (-HOURS, 0)])
def test_where_no_session_tells_the_earlier_clock_counts(cloud: Cloud, ahead: int, wall: int) -> None:
    cloud.ahead, cloud.wall = ahead, wall
    cloud.active = [running(startedAt=at(-7000))]
    listing = cloud.read()
    assert (listing.time, listing.covers) == (NOW + min(0, ahead, wall) * SECOND,) * 2


@pytest.mark.parametrize("order", fleet.ORDERS)
def test_the_simulated_provider_is_read_whole_in_every_order(order: str) -> None:
    origin = NOW - NOW % SECOND
    simulated = fleet.Fleet(origin=origin, history=700, order=order)
    with Server(create_app(simulated, lambda: origin)) as server:
        api = Api(f"{server.url}/api/v3", HEADER, lambda: "key", max_bytes=1 << 24, meter=Meter())
        listing = BrowserUse(api).read(ALL, api.clock() + DEADLINE)
        api.close()
    lives = [fleet.life_of(simulated, "browser_use", i) for i in simulated.listed("browser_use", origin)]
    assert ids(listing) == {life.id for life in lives}
    usage = {session.id: session.usage for session in listing.sessions}
    assert all(usage[life.id].proxy_bytes == life.proxy_bytes(origin) for life in lives)
    assert listing.covers == origin
