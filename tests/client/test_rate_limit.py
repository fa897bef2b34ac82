"""How many requests may be sent: in any second, and by what the provider's headers say."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.errors import ThrottledError
from exporter.client.rate_limit import MAX_RESET, RateLimiter

FAR = 10.0**6


@dataclass
class Clock:
    """Moves only when somebody sleeps."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@given(
    per_second=st.integers(1, 30),
    durations=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1), st.floats(0, 1)), max_size=100),
)
def test_no_second_sees_more_requests_than_the_limit(
    per_second: int, durations: list[tuple[float, float, float]]
) -> None:
    """Each is received at some time between its beginning and its end, and followed by a pause."""
    clock, received = Clock(), []
    limiter = RateLimiter(per_second, clock, clock.sleep)
    for seconds, share, pause in durations:
        with limiter.request(FAR):
            received.append(clock.now + share * seconds)
            clock.now += seconds
        clock.now += pause
    for first, later in zip(received, received[per_second:], strict=False):
        assert later - first >= 1 - 1e-6


def test_as_many_requests_as_the_limit_are_sent_at_once_and_the_next_a_second_later() -> None:
    clock = Clock()
    limiter = RateLimiter(25, clock, clock.sleep)
    for _ in range(51):
        with limiter.request(FAR):
            pass
    assert clock.slept == [1, 1]


def test_requests_in_the_background_are_spread_so_that_a_scrape_waits_for_a_fraction_of_a_second() -> None:
    clock = Clock()
    limiter = RateLimiter(25, clock, clock.sleep)
    for _ in range(60):
        with limiter.request(FAR, background=True):
            pass
    begun = clock.now
    with limiter.request(begun + 0.3):
        pass
    assert clock.now - begun <= 0.25
    assert begun - 100 <= 2.3, "no slower than the limit"


def test_a_request_that_a_scrape_waits_for_goes_before_those_in_the_background() -> None:
    clock = Clock()
    sent: list[str] = []

    def sleep(seconds: float) -> None:
        """While the scrape's request waits, one in the background comes."""
        clock.sleep(seconds)
        if not sent:
            sent.append("tried")
            with pytest.raises(ThrottledError):
                limiter.request(clock.now + 0.5, background=True).__enter__()

    limiter = RateLimiter(1, clock, sleep)
    with limiter.request(FAR):
        pass
    with limiter.request(FAR):
        assert sent == ["tried"]


def test_requests_that_are_not_answered_yet_count() -> None:
    clock = Clock()
    limiter = RateLimiter(2, clock, clock.sleep)
    with limiter.request(FAR), limiter.request(FAR):
        clock.now += 10
        late = limiter.request(clock.now + 0.9)
        with pytest.raises(ThrottledError):
            late.__enter__()


def test_without_a_limit_nothing_is_held_back() -> None:
    clock = Clock()
    limiter = RateLimiter(None, clock, clock.sleep)
    for _ in range(1000):
        with limiter.request(FAR):
            pass
    assert clock.slept == []


def test_a_request_that_would_be_sent_after_its_deadline_is_not_waited_for() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock, clock.sleep)
    with limiter.request(FAR):
        pass
    with pytest.raises(ThrottledError, match="no request for another 1 s"):
        limiter.request(clock.now + 1).__enter__()
    assert clock.slept == []


def test_when_the_headers_say_that_none_is_left_the_next_waits_for_the_reset() -> None:
    clock = Clock()
    limiter = RateLimiter(None, clock, clock.sleep)
    assert limiter.read_headers({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4"}) == 0
    assert limiter.read_headers({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"}) == 0
    with limiter.request(FAR):
        pass
    assert clock.slept == [4]


@pytest.mark.parametrize(
    ("remaining", "reset", "left"),
    [("1", "4", 1), ("0", "soon", 0), ("0", "-1", 0), ("0", str(MAX_RESET + 1), 0), ("none", "4", None),
     ("", "", None), ("0", "1767225600", 0), ("9" * 5000, "1", 999_999_999)],
)  # fmt: skip
def test_headers_that_ask_for_no_wait_or_for_an_absurd_one_hold_nothing_back(
    remaining: str, reset: str, left: int | None
) -> None:
    clock = Clock()
    limiter = RateLimiter(None, clock, clock.sleep)
    assert limiter.read_headers({"x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset}) == left
    with limiter.request(FAR):
        pass
    assert clock.slept == []
