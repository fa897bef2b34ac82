"""What time it was at a provider when it answered, should its clock and ours be hours apart.

The provider's is believed, as its `Date` header tells it. Where ours says another time, one of the two is
wrong, and the sessions tell which: none was made in the future, so a clock that is behind one is not to be
believed. While both are possible, the earlier one counts: so time can be counted late, but never too much.
Expiries lie in the future and tell nothing, nor does what is ahead of both clocks.

Times are microseconds.
"""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime

import msgspec

from exporter.model import HOUR, SECOND, micros

AGREEMENT = 600 * SECOND  # clocks no further apart are the same
SLACK = AGREEMENT // 2  # by which one that is right may differ from the sessions' times


class Reading(msgspec.Struct, frozen=True):
    """What the clocks showed as an answer came.

    date: the provider's, since 1970; None where it named none. wall: ours. steady: our monotonic one.
    """

    date: int | None
    wall: int
    steady: int

    @property
    def apart(self) -> bool:
        """Whether the clocks say different times."""
        return self.date is not None and abs(self.date - self.wall) > AGREEMENT


class Proof(msgspec.Struct, frozen=True):
    """It was `time` at least, when the monotonic clock showed `steady`."""

    time: int
    steady: int


class Clocks:
    """What the answers of one account have proven of the time, since the process began."""

    def __init__(self) -> None:
        self._proof: Proof | None = None

    def learn(self, reading: Reading, stamps: Iterable[int]) -> None:
        """Take note of an answer, and of the latest time that each of its sessions names of its past."""
        self._proof = proven(reading, stamps, self._proof)

    def time(self, reading: Reading) -> int:
        """The provider's time at an answer, by all that is known until now."""
        return judged(reading, self._proof)


def judged(reading: Reading, proof: Proof | None) -> int:
    """The time at which an answer was sent: that of the provider's clock, or of ours."""
    date, wall = reading.date, reading.wall
    if date is None:
        return wall
    if not reading.apart:
        return date
    if proof is None:
        return min(date, wall)
    least = proof.time + reading.steady - proof.steady
    if wall < date:
        return date if wall + SLACK < least else wall
    # The provider's may stand still, as a simulator's does, and is not held to the time that has passed. And
    # ours, when it is the later one, is not believed far beyond what is proven: it may be years off.
    return wall if date + SLACK < proof.time and wall <= least + HOUR else date


def proven(reading: Reading, stamps: Iterable[int], proof: Proof | None) -> Proof | None:
    """What is proven of the time after an answer: by clocks that agree, or by its sessions."""
    if reading.date is None:
        return proof
    if not reading.apart:
        return Proof(min(reading.date, reading.wall), reading.steady)
    later = max(reading.date, reading.wall)
    newest = max((stamp for stamp in stamps if stamp <= later + SLACK), default=None)
    if newest is None or (proof is not None and newest < proof.time + reading.steady - proof.steady):
        return proof
    return Proof(newest, reading.steady)


def http_date(text: str) -> int | None:
    """The time that a header names in any of HTTP's three forms; None for anything else."""
    try:
        stamp = micros(parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        return None
    return stamp if stamp >= 0 else None
