"""Browserbase's array of sessions, read as the API documents it and as it must not be."""

import json
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.api import Answer, Api
from exporter.client.errors import PayloadError
from exporter.model import (
    HOUR,
    REJECTIONS,
    SECOND,
    Listing,
    ReadWindow,
    Series,
    Session,
    Usage,
    micros,
)
from exporter.providers.browserbase.reader import BrowserbaseReader
from exporter.providers.browserbase.wire import MAX_FIELDS, MAX_MALFORMED
from exporter.providers.decoding import MAX_BYTES, MAX_DURATION
from tests.support.misbehaviour import answer, serving

T0 = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = micros(T0) + 2 * HOUR
ALL = ReadWindow()


class Meter:
    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        pass

    def rate_limit(self, remaining: int | None) -> None:
        pass


class Canned(Api):
    """Answers with one body at one time; the API itself is tested in its own place."""

    def __init__(self, body: bytes, time: int = NOW) -> None:
        self.body, self.time = body, time

    def get(self, *_: Any, **__: Any) -> Answer:
        return Answer(self.body, self.time)


def at(seconds: float) -> str:
    """A moment of the API's, so long after T0."""
    return (T0 + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def row(**fields: Any) -> dict[str, Any]:
    """A session that ran from 10 s to 70 s; a field given as ... is left out."""
    session = {
        "id": "one",
        "createdAt": at(0),
        "updatedAt": at(80),
        "projectId": "project",
        "startedAt": at(10),
        "endedAt": at(70),
        "expiresAt": at(3600),
        "status": "COMPLETED",
        "proxyBytes": 1234,
        "keepAlive": False,
        "region": "us-west-2",
    }
    return {name: value for name, value in (session | fields).items() if value is not ...}


def read(*rows: object, window: ReadWindow = ALL, now: int = NOW) -> Listing:
    return read_body(json.dumps(rows).encode(), window, now)


def read_body(body: bytes, window: ReadWindow = ALL, now: int = NOW) -> Listing:
    return BrowserbaseReader(Canned(body, now), None).read(window, 0)


def only(**fields: Any) -> Session:
    """The one session, which can be used whole."""
    listing = read(row(**fields))
    assert (listing.rejected, len(listing.rejected_ids)) == ({}, 0)
    (session,) = listing.sessions
    return session


def partly(**fields: Any) -> Session:
    """The one session, which is used but for a field."""
    listing = read(row(**fields))
    assert (listing.rejected, len(listing.rejected_ids)) == ({"field": 1}, 0)
    (session,) = listing.sessions
    return session


def test_every_field_of_the_api_is_read() -> None:
    """As its OpenAPI page has them; what is of no use here may be anything."""
    session = only(contextId="context", userMetadata={"team": "a", "deep": [{}]}, keepAlive=True)
    assert session == Session(
        id="one",
        series=Series("project", "us-west-2"),
        status="completed",
        created=micros(T0),
        usage=Usage(time=60 * SECOND, proxy_bytes=1234),
        started=micros(T0) + 10 * SECOND,
        ended=micros(T0) + 70 * SECOND,
        ending="completed",
        expires=micros(T0) + 3600 * SECOND,
        keep_alive=True,
        start_latency=10 * SECOND,
    )


def test_unknown_fields_are_ignored() -> None:
    assert only(avgCpuUsage=3, memoryUsage=None, new={"a": [1, "b"]}) == only()


def test_a_listing_says_when_it_was_read_and_that_it_is_whole() -> None:
    listing = read()
    assert (listing.time, listing.covers, listing.remaining, listing.sessions) == (NOW, NOW, 0, ())


@pytest.mark.parametrize("missing", [None, ...])
@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("updatedAt", {}),
        ("contextId", {}),
        ("userMetadata", {}),
        ("expiresAt", {"expires": None}),
        ("projectId", {"series": Series("", "us-west-2")}),
        ("region", {"series": Series("project", "unknown")}),
        ("proxyBytes", {"usage": Usage(60 * SECOND), "is_incomplete": True}),
        ("keepAlive", {"keep_alive": False}),
        ("startedAt", {"started": micros(T0), "usage": Usage(70 * SECOND, 1234), "start_latency": None}),
        (
            "endedAt",
            {"ended": micros(T0) + 80 * SECOND, "usage": Usage(70 * SECOND, 1234), "end_is_known": False},
        ),
    ],
)
def test_fields_that_are_not_needed_may_be_null_or_missing(
    name: str, missing: object, changed: dict[str, object]
) -> None:
    session, usual = only(**{name: missing}), only()
    assert {field: getattr(session, field) for field in session.__struct_fields__} == {
        field: getattr(usual, field) for field in usual.__struct_fields__
    } | changed


@pytest.mark.parametrize("status", ["COMPLETED", "ERROR", "TIMED_OUT"])
@pytest.mark.parametrize("updated", [at(5), None, ...])
def test_an_end_of_which_nothing_is_said_is_no_earlier_than_the_start(status: str, updated: object) -> None:
    session = only(status=status, endedAt=None, updatedAt=updated)
    assert (session.ended, session.usage.time) == (session.started, 0)
    assert session.ending == status.lower()


@pytest.mark.parametrize("ended", [None, ..., at(70)])
def test_a_running_session_has_run_until_now(ended: object) -> None:
    session = only(status="RUNNING", endedAt=ended)
    assert (session.ended, session.ending, session.status) == (None, None, "running")
    assert session.usage.time == 2 * HOUR - 10 * SECOND


@pytest.mark.parametrize("started", [None, ..., at(10)])
def test_a_pending_session_has_not_run(started: object) -> None:
    session = only(status="PENDING", startedAt=started, endedAt=None)
    assert (session.ended, session.ending, session.started, session.usage.time) == (None, None, None, 0)


def test_a_session_that_starts_in_our_future_has_run_no_time() -> None:
    assert only(status="RUNNING", startedAt=at(9000), endedAt=...).usage.time == 0


@pytest.mark.parametrize(("ended", "over"), [(at(70), True), (None, False), (..., False)])
def test_an_unknown_status_is_over_when_there_is_an_end_to_it(ended: object, over: bool) -> None:  # noqa: FBT001
    session = only(status="Half Open", endedAt=ended)
    assert session.status == "half_open"
    assert (session.ended is not None, session.ending) == (over, None)


@pytest.mark.parametrize("status", ["running", "Completed", "TIMED_OUT"])
def test_a_known_status_is_known_however_it_is_spelled(status: str) -> None:
    session = only(status=status, endedAt=None)
    assert session.status == status.lower()
    assert (session.ended is None) == (status == "running")


def test_an_unknown_region_is_shown_as_a_label_can() -> None:
    assert only(region="EU West\n1").series.region == "eu_west_1"


def test_what_is_listed_is_counted_by_series_and_status() -> None:
    rows = [row(id=str(n), status=status) for n, status in enumerate(["COMPLETED", "COMPLETED", "RUNNING"])]
    listing = read(*rows, row(id="b", projectId="p2"), row(id="c", region=None), row(id="d", region=""))
    assert listing.listed == {
        (Series("project", "us-west-2"), "completed"): 2,
        (Series("project", "us-west-2"), "running"): 1,
        (Series("p2", "us-west-2"), "completed"): 1,
        (Series("project", "unknown"), "completed"): 2,
    }


def test_a_held_session_whose_row_makes_no_sense_is_not_missing() -> None:
    """It would be closed, and what it uses when its row is whole again would be lost."""
    for fault in ({"proxyBytes": "1"}, {"createdAt": None}, {"endedAt": at(-100)}):
        listing = read(row(**fault), row(id="sound"), window=ReadWindow(None, {"one": 0, "z": 0}))
        assert (listing.missing, set(listing.rejected_ids)) == (("z",), {"one"})
    assert read(row(), window=ReadWindow(None, {"one": 0, "z": 0})).missing == ("z",)


def test_a_session_that_is_listed_twice_is_listed_once_and_both_its_readings_count() -> None:
    listing = read(row(), row(id="other"), row(proxyBytes=1))
    assert [session.id for session in listing.sessions] == ["one", "other", "one"]
    assert sum(listing.listed.values()) == 2


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "COMPLETED", "ERROR", "TIMED_OUT", "NEW"])
@pytest.mark.parametrize("ended", [None, at(70)])
@pytest.mark.parametrize("created", [0, 30])
@pytest.mark.parametrize("held", [False, True])
def test_a_horizon_asks_for_the_open_the_recent_and_the_held(
    status: str,
    ended: str | None,
    created: int,
    held: bool,  # noqa: FBT001
) -> None:
    since = micros(T0) + 30 * SECOND
    window = ReadWindow(since, {"one": micros(T0)} if held else {})
    listing = read(row(status=status, endedAt=ended, createdAt=at(created)), window=window)
    is_open = status in {"PENDING", "RUNNING"} or (status == "NEW" and ended is None)
    assert len(listing.sessions) == (is_open or created == 30 or held)
    assert sum(listing.listed.values()) == 1


def test_what_was_held_and_is_listed_no_more_is_missing() -> None:
    held = {"gone": 1, "one": 2, "also gone": 3}
    assert read(row(), row(id="new"), window=ReadWindow(NOW, held)).missing == ("gone", "also gone")


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("malformed", {"id": ...}),
        ("malformed", {"id": None}),
        ("malformed", {"id": ""}),
        ("malformed", {"id": "x" * 101}),
        ("malformed", {"id": 5}),
        ("malformed", {"status": ...}),
        ("malformed", {"status": None}),
        ("malformed", {"status": ""}),
        ("malformed", {"createdAt": ...}),
        ("malformed", {"createdAt": None}),
        ("malformed", {"createdAt": "yesterday"}),
        ("malformed", {"createdAt": ""}),
        ("malformed", {"createdAt": 1777636800}),
        ("malformed", {"createdAt": "0001-01-01T00:00:00+14:00", "startedAt": None, "status": "PENDING"}),
        ("malformed", {"startedAt": 1777636800}),
        ("malformed", {"endedAt": "yesterday"}),
        ("malformed", {"proxyBytes": "5"}),
        ("malformed", {"proxyBytes": 1.5}),
        ("malformed", {"proxyBytes": True}),
        ("malformed", {"proxyBytes": []}),
        ("out_of_range", {"proxyBytes": MAX_BYTES + 1}),
        ("out_of_range", {"proxyBytes": 10**40}),
        ("out_of_range", {"proxyBytes": 1e40}),
        ("times", {"endedAt": at(-50)}),
        ("times", {"endedAt": at(-60), "startedAt": None}),
        ("times", {"startedAt": "2010-01-01T00:00:00Z"}),
        ("times", {"startedAt": "2010-01-01T00:00:00Z", "endedAt": None}),
        ("times", {"startedAt": "2010-01-01T00:00:00Z", "endedAt": None, "status": "RUNNING"}),
        ("times", {"startedAt": "2010-01-01T00:00:00Z", "endedAt": None, "status": "NEW"}),
    ],
)
def test_a_row_that_makes_no_sense_is_counted_and_left_out(reason: str, fields: dict[str, object]) -> None:
    listing = read(row(id="before"), row(**fields), row(id="after"), window=ReadWindow(None, {"one": 1}))
    assert [session.id for session in listing.sessions] == ["before", "after"]
    assert sum(listing.listed.values()) == 2
    assert listing.rejected == {reason: 1}
    id_is_readable = "id" not in fields
    assert listing.rejected_ids == ({"one"} if id_is_readable else set())
    assert listing.missing == (() if id_is_readable else ("one",))


@pytest.mark.parametrize("nonsense", [None, 1, "x", [], {}, [[]], True])
def test_a_row_that_is_none_is_malformed(nonsense: object) -> None:
    assert read(nonsense, row(), nonsense).rejected == {"malformed": 2}


def test_each_reason_is_counted_apart() -> None:
    absurd = {"id": "absurd", "proxyBytes": MAX_BYTES + 1}
    listing = read(
        row(**absurd), 5, row(id="t", endedAt=at(-99)), row(proxyBytes=-1), row(**absurd, endedAt=at(-99))
    )
    assert listing.rejected == {"malformed": 1, "out_of_range": 2, "times": 1, "field": 1}
    assert listing.rejected_ids == {"absurd", "t"}
    assert set(listing.rejected) == set(REJECTIONS)


@pytest.mark.parametrize("early", [0.04, 59.999])
@pytest.mark.parametrize("status", ["ERROR", "COMPLETED", "NEW"])
def test_an_end_less_than_a_minute_before_the_start_is_a_duration_of_0(early: float, status: str) -> None:
    """Two clocks of one provider; what it used counts whole."""
    session = only(status=status, endedAt=at(10 - early), proxyBytes=2_000_000)
    assert (session.ended, session.usage) == (session.started, Usage(0, 2_000_000))
    assert session.end_is_known


@pytest.mark.parametrize(
    ("figure", "partial"), [(-1, True), ("", True), (-1.0, True), (None, False), (..., False), (0.0, False)]
)
def test_a_figure_that_is_negative_or_empty_counts_as_0_and_the_rest_of_the_row_counts(
    figure: object, *, partial: bool
) -> None:
    expected = msgspec.structs.replace(only(proxyBytes=0), is_incomplete=figure != 0.0)
    assert (partly if partial else only)(proxyBytes=figure) == expected


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        *(("expiresAt", odd) for odd in ["", "n/a", 0, 1777640400, [], "0001-01-01T00:00:00Z"]),
        *(("keepAlive", odd) for odd in [0, 1, "", "yes", {}]),
        *(("updatedAt", odd) for odd in ["", "n/a", 7]),
        *(("region", odd) for odd in [1, {}, True]),
        *(("projectId", odd) for odd in [1, [], False]),
    ],
)
@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED"])
def test_a_needless_field_that_makes_no_sense_is_as_if_absent(name: str, odd: object, status: str) -> None:
    """Its row counts, and so do those beside it."""
    assert partly(**{name: odd}, status=status) == only(**{name: None}, status=status)
    listing = read(row(id="a"), row(**{name: odd}), row(id="b"))
    assert ([one.id for one in listing.sessions], listing.rejected) == (["a", "one", "b"], {"field": 1})


def test_a_whole_float_is_a_number_and_a_time_without_a_zone_is_in_utc() -> None:
    """Neither is counted as odd."""
    assert only(proxyBytes=1234.0) == only()
    times = {"createdAt": 0, "updatedAt": 80, "startedAt": 10, "endedAt": 70, "expiresAt": 3600}
    assert only(**{name: at(seconds).removesuffix("Z") for name, seconds in times.items()}) == only()


@pytest.mark.parametrize("zero", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00", ""])
@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "COMPLETED", "NEW"])
@pytest.mark.parametrize("name", ["startedAt", "endedAt"])
def test_a_zero_time_is_as_if_absent(zero: str, status: str, name: str) -> None:
    listing = read(row(status=status, **{name: zero}))
    assert listing.sessions == (only(status=status, **{name: None}),)
    assert (sum(listing.listed.values()), set(listing.rejected) - {"field"}) == (1, set())


@pytest.mark.parametrize(
    ("updated", "expires", "ran"),
    [(110, 310, 100), (110, None, 100), (900, 310, 300), (900, None, 890), (5, 310, 0), (900, 5, 0)],
)
def test_an_end_that_is_not_named_is_the_last_update_and_at_most_the_expiry(
    updated: int, expires: int | None, ran: int
) -> None:
    expires_at = None if expires is None else at(expires)
    session = only(endedAt=None, updatedAt=at(updated), expiresAt=expires_at)
    assert (session.usage.time, session.end_is_known, session.ending) == (ran * SECOND, False, "completed")
    assert session.ended == micros(T0) + (10 + ran) * SECOND


@pytest.mark.parametrize("odd", [{"proxyBytes": "1234"}, {"createdAt": 7}, {"endedAt": at(-100)}])
def test_a_list_of_which_no_row_can_be_used_is_refused(odd: dict[str, object]) -> None:
    """It must not pass for an empty one: that would be a false zero."""
    rows = [row(id=str(n), **odd) for n in range(8)]
    with pytest.raises(PayloadError, match="the list holds no session that can be used"):
        read(*rows)
    assert len(read(*rows, row()).sessions) == 1


@pytest.mark.parametrize("known", [ReadWindow(NOW, rejected=frozenset({"one"})), ReadWindow(NOW, {"one": 0})])
def test_what_was_rejected_is_read_when_it_is_sound_however_late(known: ReadWindow) -> None:
    assert [one.id for one in read(row(), row(id="old"), window=known).sessions] == ["one"]


@pytest.mark.parametrize(("ended_after", "included"), [(69, True), (70, False), (None, False)])
def test_an_ended_session_that_cannot_have_settled_is_read_whenever_it_was_created(
    ended_after: int | None, *, included: bool
) -> None:
    since = None if ended_after is None else micros(T0) + ended_after * SECOND
    assert bool(read(row(), window=ReadWindow(NOW, ended_after=since)).sessions) is included
    assert not read(row(endedAt=None), window=ReadWindow(NOW, ended_after=0)).sessions, "its end is not known"


@pytest.mark.parametrize("order", [1, -1])
def test_a_session_that_is_shown_open_and_ended_in_one_answer_has_ended(order: int) -> None:
    rows = [row(), row(id="other", status="RUNNING"), row(status="RUNNING", endedAt=None, proxyBytes=9)]
    listing = read(*rows[::order])
    assert listing.listed == {
        (Series("project", "us-west-2"), "completed"): 1,
        (Series("project", "us-west-2"), "running"): 1,
    }
    assert [one for one in listing.sessions if one.id == "one"] == [only()]


@pytest.mark.parametrize("count", [9_999, 10_001])
def test_so_many_rejected_ids_are_reported_and_the_known_ones_first(count: int) -> None:
    rows = [row(id=f"a{n}", proxyBytes="1") for n in range(count)]
    listing = read(row(), *rows, row(id="z", createdAt=7), window=ReadWindow(NOW, rejected=frozenset("z")))
    assert (len(listing.rejected_ids), "z" in listing.rejected_ids) == (min(10_000, count + 1), True)


@pytest.mark.parametrize("figure", [0, 1, MAX_BYTES])
def test_the_most_that_makes_sense_is_used(figure: int) -> None:
    assert only(proxyBytes=figure).usage.proxy_bytes == figure


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"{}",
        b'{"sessions": []}',
        b"5",
        b'"[]"',
        b"<!doctype html><title>502</title>",
        b"[] []",
        b"[",
        b"[{",
        b"[1, {",
        b"[1, \xff]",
        b'[{"id": "\xff"}]',
        b"\xef\xbb\xbf[]",
        "[]".encode("utf-16"),
        b"[NaN]",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"[1, " + b"[" * 100_000 + b"]" * 100_000 + b"]",
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_no_array_of_json_is_bad_payload(body: bytes) -> None:
    with pytest.raises(PayloadError, match=r"^the list of sessions is not (JSON|an array); check base_url$"):
        read_body(body)


def test_rows_from_the_future_of_the_server_time_are_used_and_their_time_counts_late() -> None:
    """As they are where the local clock, or the provider's, is hours behind."""
    rows = [row(id="open", status="RUNNING", endedAt=None), row(id="ended"), row(id="unsaid", endedAt=None)]
    listing = read(*rows, now=NOW - 5 * HOUR)
    assert (listing.time, listing.covers, listing.rejected) == (NOW - 5 * HOUR, NOW - 5 * HOUR, {})
    assert sum(listing.listed.values()) == 3
    assert {one.id: one.usage.time // SECOND for one in listing.sessions} == {
        "open": 0,
        "ended": 60,
        "unsaid": 70,
    }


@given(behind=st.integers(0, 400 * HOUR), status=st.sampled_from(["PENDING", "RUNNING", "COMPLETED"]))
def test_an_earlier_clock_never_makes_a_session_run_longer(behind: int, status: str) -> None:
    (late,), (usual,) = (read(row(status=status), now=now).sessions for now in (NOW - behind, NOW))
    assert late.usage.time <= usual.usage.time
    assert late.ended == usual.ended


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" + b"1," * MAX_FIELDS + b"1,1]", "has over 4000000 fields"),
        (b"[" + b"1," * MAX_MALFORMED + b"1]", "malformed rows"),
    ],
)
def test_a_list_of_nothing_but_nonsense_costs_little_time_and_memory(body: bytes, words: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError, match=words):
            read_body(body)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


@given(st.binary() | st.binary().map(lambda tail: json.dumps([row(), 1]).encode()[:-1] + tail))
def test_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(PayloadError):
        read_body(body)


VALUES = st.none() | st.just(...) | st.booleans() | st.integers() | st.floats(-9, 9) | st.text(max_size=5)
MOMENTS = st.none() | st.sampled_from([-1e10, -4e7, -5, 0, 5, 4e7, 2e11]).map(at)
KNOWN = ["PENDING", "RUNNING", "ERROR", "TIMED_OUT", "COMPLETED"]
FIELDS = st.fixed_dictionaries(
    {"id": st.sampled_from("abcdef"), "status": st.sampled_from([*KNOWN, "NEW", "new"])},
    optional={
        **dict.fromkeys(["createdAt", "updatedAt", "startedAt", "endedAt", "expiresAt"], MOMENTS),
        **dict.fromkeys(["proxyBytes", "region", "projectId", "keepAlive", "updatedAt"], VALUES),
    },
)


@given(st.lists(FIELDS, max_size=5), st.none() | st.integers(0, NOW), st.sampled_from([0, NOW, 8 * NOW]))
def test_whatever_the_rows_say_a_listing_makes_sense(
    fields: list[dict[str, Any]], since: int | None, now: int
) -> None:
    rows = [row(**one) for one in fields]
    try:
        listing = read(*rows, window=ReadWindow(since, {"a": 1, "z": 2}), now=now)
    except PayloadError:  # not one row can be used
        assert rows
        return
    ids = [session.id for session in listing.sessions]
    assert len(set(ids)) <= sum(listing.listed.values())
    rejected = sum(n for reason, n in listing.rejected.items() if reason != "field")
    assert rejected + sum(listing.listed.values()) <= len(rows)
    assert set(listing.rejected) <= set(REJECTIONS)
    assert set(listing.missing) <= {"a", "z"} - set(ids)
    for session in listing.sessions:
        assert 0 <= session.usage.time <= MAX_DURATION
        assert session.ended is not None or session.ending is None
        assert session.ended is None or session.started is None or session.started <= session.ended


@pytest.mark.parametrize(
    ("query", "target"),
    [
        (None, "/v1/sessions"),
        ("", "/v1/sessions"),
        ("user_metadata['env']:'a b&c'", "/v1/sessions?q=user_metadata%5B%27env%27%5D%3A%27a+b%26c%27"),
    ],
)
def test_one_request_brings_the_list_and_carries_the_query(query: str | None, target: str) -> None:
    body = answer(json.dumps([row()]).encode(), Date="Fri, 01 May 2026 14:00:00 GMT")
    with serving(body) as server:
        api = Api(server.url, "X-BB-API-Key", lambda: "key", max_bytes=1 << 20, telemetry=Meter())
        listing = BrowserbaseReader(api, query).read(ALL, api.clock() + 30)
    assert [head.split(b" ")[1].decode() for head in server.requests] == [target]
    assert (listing.time, len(listing.sessions)) == (NOW, 1)


@pytest.mark.parametrize("body", [b"[null]", b'[{"error": "maintenance"}]', b"[1, 2, 3]", b'["\xe9\xff"]'])
def test_a_list_without_any_session_is_none(body: bytes) -> None:
    """It must not pass for an empty one: open sessions would be counted as ended, and gauges be 0."""
    with pytest.raises(PayloadError, match="the list holds no session that can be used"):
        read_body(body)
