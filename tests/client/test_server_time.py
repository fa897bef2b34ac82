"""Server time: the provider's `Date`, or the earlier clock where the two are far apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.server_time import MAX_SKEW, http_date, resolve_time
from exporter.model import HOUR, SECOND

NOW = 1_777_636_800 * SECOND
YEAR = 365 * 24 * HOUR
OFFSETS = st.one_of(
    st.integers(-YEAR, YEAR),
    st.integers(-10 * HOUR, 10 * HOUR),
    st.integers(-2 * MAX_SKEW, 2 * MAX_SKEW),
)


@pytest.mark.parametrize(
    ("date", "wall", "resolved"),
    [
        (0, 0, 0),
        (7 * SECOND, MAX_SKEW, 7 * SECOND),
        (MAX_SKEW, 0, MAX_SKEW),
        (0, MAX_SKEW, 0),
        (MAX_SKEW + 1, 0, 0),
        (0, MAX_SKEW + 1, 0),
        (0, 3 * HOUR, 0),
        (0, -3 * HOUR, -3 * HOUR),
        (3 * HOUR, 0, 0),
        (-3 * HOUR, 0, -3 * HOUR),
        (9 * YEAR, -50 * YEAR, -50 * YEAR),
        (None, 5 * HOUR, 5 * HOUR),
    ],
)
def test_the_earlier_clock_counts_where_the_two_are_more_than_ten_minutes_apart(
    date: int | None, wall: int, resolved: int
) -> None:
    assert resolve_time(None if date is None else NOW + date, NOW + wall) == NOW + resolved


@given(wrong=OFFSETS, right=st.sampled_from(["date", "wall"]))
def test_time_is_never_counted_too_high_while_one_clock_is_right(wrong: int, right: str) -> None:
    date, wall = (0, wrong) if right == "date" else (wrong, 0)
    assert resolve_time(NOW + date, NOW + wall) - NOW <= (MAX_SKEW if abs(wrong) <= MAX_SKEW else 0)


@given(date=OFFSETS, drift=st.integers(-MAX_SKEW, MAX_SKEW))
def test_the_date_counts_while_the_local_clock_agrees(date: int, drift: int) -> None:
    assert resolve_time(NOW + date, NOW + date + drift) == NOW + date


@pytest.mark.parametrize(
    "header",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 09:49:37 +0100",
    ],
)
def test_a_date_is_read_in_every_form_that_http_allows(header: str) -> None:
    assert http_date(header) == 784_111_777 * SECOND


@pytest.mark.parametrize(
    "header",
    [
        "",
        "0",
        "yesterday",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 99999999999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +999999999999999999",
        "Sun, 06 Nov 1994 08:49:37 +9999",
        "Mon, 01 Jan 1900 00:00:00 GMT",
    ],
)
def test_what_is_no_date_is_none(header: str) -> None:
    assert http_date(header) is None


@given(st.text(alphabet="MonJa,: GT+-0123456789") | st.text())
def test_no_date_is_too_odd(header: str) -> None:
    assert (http_date(header) or 0) >= 0
