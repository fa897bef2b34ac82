"""Which clock is believed where they differ: never one that counts too much while the other is right."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exporter.client.server_time import AGREEMENT, SLACK, Clocks, Proof, Reading, http_date, judged, proven
from exporter.model import HOUR, SECOND

NOW = 1_777_636_800 * SECOND
DAY, YEAR = 24 * HOUR, 365 * 24 * HOUR
OFFSETS = st.one_of(
    st.integers(-YEAR, YEAR),
    st.integers(-10 * HOUR, 10 * HOUR),
    st.integers(-2 * AGREEMENT, 2 * AGREEMENT),
)
PASTS = st.integers(0, 30 * DAY) | st.integers(0, 2 * HOUR)


def reading(date: int | None, wall: int, steady: int = 0) -> Reading:
    """The clocks, so much ahead of the truth; the monotonic one shows how much time has passed."""
    return Reading(None if date is None else NOW + steady + date, NOW + steady + wall, steady)


def judge(date: int | None, wall: int, *past: int) -> int:
    """How far ahead of the truth the verdict is, on sessions that are so old and these clocks."""
    clocks, at = Clocks(), reading(date, wall)
    clocks.learn(at, [NOW - age for age in past])
    return clocks.time(at) - NOW


@pytest.mark.parametrize(
    ("date", "wall", "past", "verdict"),
    [
        (0, 0, [], 0),
        (7 * SECOND, AGREEMENT, [], 7 * SECOND),
        (None, 5 * HOUR, [0, 0, 0], 5 * HOUR),  # nothing else is known
        # Ours is wrong.
        (0, 3 * HOUR, [], 0),
        (0, 40 * YEAR, [0, 0], 0),
        (0, -3 * HOUR, [HOUR, 2 * HOUR], 0),
        (0, -50 * YEAR, [9 * DAY, 9 * DAY], 0),
        (0, -3 * HOUR, [HOUR], 0),
        (0, -3 * HOUR, [4 * HOUR, 5 * HOUR], -3 * HOUR),  # nobody can tell: late, not too much
        # The provider's is wrong.
        (3 * HOUR, 0, [], 0),
        (3 * HOUR, 0, [0, 0, 0], 0),
        (9 * YEAR, 0, [0, 0, 0], 0),
        (-3 * HOUR, 0, [HOUR // 2, HOUR // 2], 0),
        (-3 * HOUR, 0, [HOUR // 2, 9 * DAY], 0),
        (-3 * HOUR, 0, [2 * HOUR, 2 * HOUR], -3 * HOUR),  # ours lies too far beyond what is proven
        # Both are.
        (-3 * HOUR, 9 * YEAR, [0, 0], -3 * HOUR),
        (3 * HOUR, 0, [-4 * HOUR, -4 * HOUR], 0),  # what is ahead of both proves nothing
        (3 * HOUR, 0, [-HOUR, DAY], 3 * HOUR),  # but the provider's own times are believed together
    ],
)
def test_the_clock_that_sessions_prove_wrong_is_not_believed(
    date: int | None, wall: int, past: list[int], verdict: int
) -> None:
    assert judge(date, wall, *past) == verdict


@given(wrong=OFFSETS, right=st.sampled_from(["date", "wall"]), past=st.lists(PASTS))
def test_nothing_is_counted_too_much_while_one_clock_is_right(
    wrong: int, right: str, past: list[int]
) -> None:
    """Whatever the other says, but for what passes for agreement."""
    date, wall = (0, wrong) if right == "date" else (wrong, 0)
    assert judge(date, wall, *past) <= (AGREEMENT if abs(wrong) <= AGREEMENT else 0)


def test_a_clock_that_is_minutes_off_is_not_proven_wrong() -> None:
    """Ours is slow, but the provider's is hours ahead: it is still the better one."""
    slow = 240 * SECOND
    assert judge(3 * HOUR, -slow, 0, 0, 0) == -slow


@given(date=OFFSETS, drift=st.integers(-AGREEMENT, AGREEMENT), past=st.lists(OFFSETS))
def test_the_providers_clock_is_believed_while_ours_agrees(date: int, drift: int, past: list[int]) -> None:
    assert judge(date, date + drift, *past) == date


@given(behind=st.integers(AGREEMENT + 1, YEAR), age=PASTS, past=st.lists(PASTS))
def test_the_providers_clock_is_believed_when_a_session_proves_ours_to_be_behind(
    behind: int, age: int, past: list[int]
) -> None:
    assume(age < behind - SLACK)
    assert judge(0, -behind, age, *past) == 0


@given(behind=st.integers(AGREEMENT + 1, YEAR), age=PASTS, past=st.lists(PASTS))
def test_ours_is_believed_when_a_session_proves_the_providers_to_be_behind(
    behind: int, age: int, past: list[int]
) -> None:
    assume(age < min(behind - SLACK, HOUR))
    assert judge(-behind, 0, age, *past) == 0


@given(
    jump=st.integers(AGREEMENT + SLACK + 1, YEAR) | st.integers(-YEAR, -AGREEMENT - SLACK - 1),
    whose=st.sampled_from(["date", "wall"]),
    later=st.integers(0, YEAR),
)
def test_a_clock_that_jumps_is_found_out_without_any_session_if_both_had_agreed(
    jump: int, whose: str, later: int
) -> None:
    clocks = Clocks()
    clocks.learn(reading(0, 0), [])
    date, wall = (jump, 0) if whose == "date" else (0, jump)
    # A provider's clock may stand still: only its falling behind the last agreement proves it wrong.
    assume(whose == "wall" or later + jump + SLACK < 0 or jump > 0)
    at = reading(date, wall, later)
    clocks.learn(at, [])
    assert clocks.time(at) == NOW + later


def test_what_was_proven_holds_on_when_no_session_comes_any_more() -> None:
    """Ours is three hours behind; a day later the sessions that proved it lie before what it shows."""
    clocks = Clocks()
    clocks.learn(reading(0, -3 * HOUR), [NOW - HOUR, NOW - HOUR])
    at = reading(0, -3 * HOUR, DAY)
    clocks.learn(at, [NOW - HOUR, NOW - HOUR])
    assert clocks.time(at) == NOW + DAY


def test_what_was_proven_is_forgotten_when_the_clocks_agree_again() -> None:
    proof = proven(reading(3 * HOUR, 0), [NOW + HOUR, NOW + HOUR], None)
    assert proof == Proof(NOW + HOUR, 0)
    assert judged(reading(3 * HOUR, 0, 5), proof) == NOW + 3 * HOUR + 5
    proof = proven(reading(0, 1, 6), [], proof)
    assert proof == Proof(NOW + 6, 6)
    assert judged(reading(3 * HOUR, 0, 7), proof) == NOW + 7


def test_an_answer_without_a_date_proves_nothing() -> None:
    assert proven(reading(None, 0), [NOW, NOW], None) is None


def test_a_simulator_at_any_speed_is_believed() -> None:
    """Its clock leaves ours behind, and sessions come with it; or it stands still, in the past or not."""
    clocks = Clocks()
    for seconds in range(3600):
        date = NOW + 600 * seconds * SECOND
        at = Reading(date, NOW + seconds * SECOND, seconds * SECOND)
        clocks.learn(at, [date, date - 240 * SECOND, date - 240 * SECOND])
        assert clocks.time(at) == date
    for wall in (NOW - 9 * YEAR, NOW, NOW + 9 * YEAR):
        clocks = Clocks()
        for passed in (0, HOUR, YEAR):
            at = Reading(NOW, wall + passed, passed)
            clocks.learn(at, [NOW, NOW, NOW])
            assert clocks.time(at) == NOW


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
