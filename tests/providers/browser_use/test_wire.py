"""Browser Use's rows as they must and must not be; and the figures that come of them."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.errors import PayloadError
from exporter.model import HOUR, REJECTIONS, SECOND, Session
from exporter.providers.browser_use.wire import (
    MAX_FIELDS,
    MAX_PAGE_BYTES,
    RowError,
    decode_page,
    decode_row,
    find_ids,
    to_session,
)
from exporter.providers.decoding import MAX_DURATION
from tests.support.browser_use_rows import NOW, STARTED, at, row


def only(**fields: Any) -> Session:
    return to_session(decode_row(json.dumps(row(**fields)).encode()), NOW)


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
    ("times", "finishedAt", [at(9), at(11 + MAX_DURATION // SECOND), "1970-01-01T00:00:00Z"]),
]


@pytest.mark.parametrize(
    ("reason", "name", "value"), [(why, name, v) for why, name, vs in NONSENSE for v in vs]
)
def test_a_row_that_makes_no_sense_is_rejected_with_its_reason(reason: str, name: str, value: object) -> None:
    with pytest.raises(RowError) as caught:
        only(**{name: value})
    assert caught.value.reason == reason
    assert reason in REJECTIONS


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


def test_what_a_row_names_is_found_however_little_sense_it_makes() -> None:
    sought = {"one", "\u00e9t\u00e9", "s3cret", "on", "id", "x" * 100}
    text = json.dumps(row(id="\u00e9t\u00e9", metadata=[["x" * 100, 7], "a\\"]), ensure_ascii=False)
    assert find_ids(text.encode(), sought) == {"\u00e9t\u00e9", "id", "x" * 100}
    assert find_ids(b'"one"', sought) == {"one"}
    assert find_ids(b'["\xff", "\\"", "one"]', sought) == {"one"}
    assert find_ids(b"7", sought) == set()


@pytest.mark.parametrize(
    "body",
    [
        b'{"totalItems":1,"items":[' + b"1," * MAX_FIELDS + b"1]}",
        b'{"totalItems":1,"items":["' + b"x" * MAX_PAGE_BYTES + b'"]}',
    ],
)
def test_a_page_far_too_long_is_refused_before_it_is_looked_at(body: bytes) -> None:
    with pytest.raises(PayloadError, match="far longer than any"):
        decode_page(body)
