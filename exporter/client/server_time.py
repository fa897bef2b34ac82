"""Server time: what time it was at the provider when it answered. Times are microseconds since 1970."""

from email.utils import parsedate_to_datetime

from exporter.model import SECOND, micros

MAX_SKEW = 600 * SECOND  # clocks no further apart than this are taken to agree


def resolve_time(date: int | None, wall: int) -> int:
    """Returns the provider's `Date`, or the earlier clock if it and the local one differ by over `MAX_SKEW`.

    Without a `Date`, returns the local clock. The earlier of two clocks may count an open session's time
    late, but never too high while one of them is right.

    Args:
        date: the answer's `Date` header; None if it has none.
        wall: the local clock when the answer arrived.
    """
    if date is None:
        return wall
    return date if abs(date - wall) <= MAX_SKEW else min(date, wall)


def http_date(text: str) -> int | None:
    """Parses a date in any of HTTP's three forms; None for anything else and for dates before 1970."""
    try:
        stamp = micros(parsedate_to_datetime(text))
    except (ValueError, OverflowError):
        return None
    return stamp if stamp >= 0 else None
