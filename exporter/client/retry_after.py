"""Retry-After: the wait that a provider asks for, and a gate that holds back requests until it is over."""

import math
import re
from threading import Lock

from exporter.client.errors import StatusError
from exporter.client.server_time import http_date
from exporter.model import SECOND

MAX_WAIT = 3600  # seconds: one bad header must not blind a monitor for years
RETRY_AFTER_STATUSES = (429, 503)  # the statuses whose Retry-After is heeded

_SECONDS = re.compile(r"([0-9]+)(?:\.[0-9]+)?", re.ASCII)


def parse_retry_after(header: str | None, now: int) -> float | None:
    """Returns the seconds that a `Retry-After` asks to wait; a fraction is rounded up.

    Returns None for a header that is absent, names the past, or asks for more than `MAX_WAIT`.

    Args:
        header: the header's value: seconds, or a date.
        now: microseconds since 1970 by the clock that a date in it was taken from.
    """
    text = (header or "").strip(" \t")
    if _SECONDS.fullmatch(text):
        seconds = float(math.ceil(float(text[:20])))
    elif (until := http_date(text)) is not None:
        seconds = (until - now) / SECOND
    else:
        return None
    return seconds if 0 < seconds <= MAX_WAIT else None


class RetryAfterGate:
    """Holds back an account's requests while a Retry-After is in force; several threads may use it.

    Its times are of one clock, in seconds. That clock must run on while the machine is suspended: a wait that
    has passed meanwhile is over.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._open_from = 0.0
        self._reason: StatusError | None = None

    def close(self, error: StatusError, now: float) -> None:
        """Hold back requests for as long as the answer asked, if it did; a longer wait stays in force."""
        with self._lock:
            if error.wait is not None and now + error.wait > self._open_from:
                self._open_from, self._reason = now + error.wait, error

    def check(self, now: float) -> None:
        """Return if requests may be sent.

        Raises:
            StatusError: the answer that asked to wait, with the seconds that are left.
        """
        with self._lock:
            reason, left = self._reason, self._open_from - now
        if reason is not None and left > 0:
            raise type(reason)(reason.status, left, suppressed=True)
