"""Browser Use's rows as they must and must not be; and the figures that come of them."""

import json
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.errors import PayloadError
from exporter.model import HOUR, REJECTIONS, SECOND, Session, Usage
from exporter.providers.browser_use.wire import (
    MAX_FIELDS,
    MAX_PAGE_BYTES,
    MEGABYTE,
    BrowserRow,
    Rows,
    decode_page,
    to_session,
)
from exporter.providers.decoding import MAX_DURATION
from exporter.providers.rows import RowError
from tests.support.browser_use_rows import NOW, STARTED, at, row


def decoded(**fields: Any) -> tuple[BrowserRow, bool]:
    return Rows().decode(json.dumps(row(**fields)).encode())


def only(**fields: Any) -> Session:
    return to_session(decoded(**fields)[0], NOW)


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
        ["abc", ".", "+", "1,5", "0x1", "1 2", "1e99999999999999999999", True, {}],
    ),
    ("out_of_range", "proxyUsedMb", ["NaN", "sNaN", "Infinity", "-Infinity", "1e9", 1e9]),
    ("out_of_range", "proxyCost", ["1e999999", "9" * 5000, "1000001"]),
    ("out_of_range", "browserCost", ["1000001"]),
    ("times", "finishedAt", [at(-50), at(-7200), at(11 + MAX_DURATION // SECOND), "2010-01-01T00:00:00Z"]),
    ("malformed", "finishedAt", [1_777_636_870, "yesterday"]),
    ("malformed", "startedAt", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]),
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
    assert (session.ended is not None) is ended
    assert session.ending == ("stopped" if status == "Stopped" else None)


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
    session = only(finishedAt=None, timeoutAt=timeout)
    assert (session.ended, session.ending, session.usage.time) == (ended, "stopped", ended - STARTED)
    assert not session.end_is_known
    assert only().end_is_known


@pytest.mark.parametrize("early", [0.04, 59.999])
def test_an_end_less_than_a_minute_before_the_start_is_a_duration_of_0(early: float) -> None:
    """Two clocks of one provider; what it used counts whole."""
    session = only(finishedAt=at(10 - early), proxyCost="0.0075", browserCost="0.001")
    assert (session.ended, session.ending, session.end_is_known) == (STARTED, "stopped", True)
    assert session.usage == Usage(0, MEGABYTE, 1_000_000, 7_500_000)


@pytest.mark.parametrize("name", ["proxyUsedMb", "proxyCost", "browserCost"])
@pytest.mark.parametrize("figure", ["-0.02", "-1", -1, "-1e400", "", None, ...])
def test_a_figure_that_is_negative_or_empty_counts_as_0_and_the_rest_of_the_row_counts(
    name: str, figure: object
) -> None:
    partial = figure is not None and figure is not ...
    assert decoded(**{name: figure})[1] is partial
    assert only(**{name: figure}) == msgspec.structs.replace(only(**{name: "0"}), is_incomplete=True)


@pytest.mark.parametrize("value", ["", "n/a", 0, 1_777_640_400, True, [], {}, "2026-02-30T00:00:00Z"])
def test_a_timeout_that_makes_no_sense_is_as_if_absent(value: object) -> None:
    assert decoded(timeoutAt=value)[1]
    assert only(timeoutAt=value) == only(timeoutAt=None)


@pytest.mark.parametrize("zero", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00", ""])
@pytest.mark.parametrize("status", ["active", "stopped", "new"])
@pytest.mark.parametrize("name", ["finishedAt", "timeoutAt"])
def test_a_zero_time_is_as_if_absent(zero: str, status: str, name: str) -> None:
    assert only(status=status, **{name: zero}) == only(status=status, **{name: None})
    assert decoded(status=status, **{name: zero})[1]


ODD: st.SearchStrategy[object] = st.sampled_from(
    ["", "n/a", 7, None, True, [], "0001-01-01T00:00:00Z", at(3600)]
)


@given(ODD, ODD, ODD)
def test_whatever_needless_fields_hold_the_figures_count(timeout: object, url: object, agent: object) -> None:
    session = only(timeoutAt=timeout, liveUrl=url, agentSessionId=agent)
    assert (session.usage, session.ended) == (only().usage, only().ended)


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert not decoded(startedAt="2026-05-01T12:00:10")[1]
    assert only(startedAt="2026-05-01T12:00:10") == only(startedAt="2026-05-01T14:00:10+02:00") == only()


def test_a_session_open_for_years_makes_no_sense() -> None:
    """It would add them to a sum for ever."""
    with pytest.raises(RowError, match="times"):
        only(status="active", finishedAt=None, startedAt="2010-01-01T00:00:00Z")


def test_a_session_that_starts_after_the_providers_clock_has_not_run() -> None:
    assert only(status="active", finishedAt=None, startedAt=at(7200.9)).usage.time == 0


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
