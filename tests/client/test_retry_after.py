"""The wait that an answer asks for, and the gate that follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.errors import RateLimitedError, ServerError, StatusError
from exporter.client.retry_after import MAX_WAIT, RetryAfterGate, parse_retry_after
from exporter.model import SECOND

NOW = 784_111_777 * SECOND  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("1", 1),
        ("007", 7),
        (" 30 ", 30),
        ("5.5", 6),
        ("0.1", 1),
        ("3600", MAX_WAIT),
        ("Sun, 06 Nov 1994 08:49:38 GMT", 1),
        ("Sun, 06 Nov 1994 09:49:37 GMT", MAX_WAIT),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
    ],
)
def test_a_wait_is_asked_for_in_seconds_or_as_a_date(header: str, seconds: float) -> None:
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    "header",
    [
        None, "", "0", "-5", "+5", "1.5.5", "1e3", "5, 5", "5 s", "soon", "\xb2", "\u0663", "0x10", "inf",
        "nan", "3601", "9" * 5000,
        "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 09:49:38 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT", "Sun, 32 Nov 1994 08:49:38 GMT", "Thu, 01 Jan 1970 00:00:00 GMT",
    ],
)  # fmt: skip
def test_what_makes_no_sense_asks_for_nothing(header: str | None) -> None:
    """Least of all a wait of years: one bad header would blind a monitor."""
    assert parse_retry_after(header, NOW) is None


@given(st.text(alphabet="SunNov,: GMT+-0123456789") | st.text())
def test_no_header_is_too_odd(header: str) -> None:
    wait = parse_retry_after(header, NOW)
    assert wait is None or 0 < wait <= MAX_WAIT


def heard(gate: RetryAfterGate, now: float) -> StatusError | None:
    try:
        gate.check(now)
    except StatusError as error:
        return error
    return None


def test_gate_lasts_as_long_as_was_asked_and_says_who_asked() -> None:
    gate = RetryAfterGate()
    assert heard(gate, 0) is None
    gate.close(RateLimitedError(429, 30.0), 100.0)
    error = heard(gate, 108.5)
    assert (type(error), error and error.wait) == (RateLimitedError, 21.5)
    assert str(error).endswith("Retry-After in force: no request for another 22 s")
    assert heard(gate, 130.0) is None


def test_an_answer_that_asks_for_nothing_or_for_less_shortens_no_gate() -> None:
    gate = RetryAfterGate()
    gate.close(ServerError(503, 30.0), 100.0)
    gate.close(RateLimitedError(429), 101.0)
    gate.close(RateLimitedError(429, 5.0), 101.0)
    assert isinstance(heard(gate, 129.0), ServerError)
    gate.close(RateLimitedError(429, 5.0), 128.0)
    assert isinstance(heard(gate, 132.0), RateLimitedError)
    assert heard(gate, 133.0) is None
