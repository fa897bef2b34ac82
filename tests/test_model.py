"""Moments as whole microseconds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import micros, moment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "stamp"),
    [
        (EPOCH, 0),
        (datetime(2026, 5, 1, 12, 0, 0, 1, tzinfo=UTC), 1_777_636_800_000_001),
        (datetime(2026, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))), 1_777_636_800_000_000),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
    ],
)
def test_a_moment_is_whole_microseconds_since_1970(when: datetime, stamp: int) -> None:
    assert micros(when) == stamp
    assert moment(stamp) == when


def test_a_moment_without_a_time_zone_is_utc() -> None:
    assert micros(datetime(1970, 1, 1, 0, 0, 1)) == 1_000_000  # noqa: DTZ001 - the point of it


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_come_back_to_the_microsecond(when: datetime) -> None:
    assert moment(micros(when)) == when


@given(st.integers(min_value=micros(LAST)))
def test_a_moment_that_cannot_be_told_is_the_last_that_can(stamp: int) -> None:
    assert moment(stamp) == LAST


def test_or_the_first() -> None:
    first = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
    assert moment(micros(first)) == datetime.min.replace(tzinfo=UTC)
