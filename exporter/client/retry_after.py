"""The wait that a provider asks for, and the silence that an account keeps until it has passed."""

from threading import Lock

from exporter.client.errors import StatusError
from exporter.client.server_time import http_date
from exporter.model import SECOND

LONGEST = 3600  # seconds: one bad header must not blind a monitor for years
RETRY_AFTER_STATUSES = (429, 503)  # the statuses whose Retry-After is heeded


def asked(header: str | None, now: int) -> float | None:
    """The seconds that a `Retry-After` asks to wait, as a number or as a date.

    None where it is absent, no wait, in the past, or beyond belief.

    Args:
        header: as it came.
        now: microseconds since 1970 by the clock that a date in it was taken from.
    """
    text = header or ""
    if text.isascii() and text.isdecimal():
        seconds = float(text[:9])
    elif (until := http_date(text)) is not None:
        seconds = (until - now) / SECOND
    else:
        return None
    return seconds if 0 < seconds <= LONGEST else None


class RetryAfterGate:
    """An account's, over as many scrapes as it takes. Its times are of the monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until = 0.0
        self._reason: StatusError | None = None

    def begin(self, error: StatusError, now: float) -> None:
        """Keep silent for as long as an answer asked, if it did, and no shorter than was asked before."""
        with self._lock:
            if error.wait is not None and now + error.wait > self._until:
                self._until, self._reason = now + error.wait, error

    def check(self, now: float) -> None:
        """Do nothing when nothing was asked, or when it has passed.

        Raises:
            StatusError: of the kind that asked, and how long it is still.
        """
        with self._lock:
            reason, left = self._reason, self._until - now
        if reason is not None and left > 0:
            raise type(reason)(reason.status, left, silent=True)
