"""The rate of requests: a sliding window of a second, and what the provider's rate-limit headers say."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from exporter.client.errors import ThrottledError

WINDOW = 1.0  # seconds
RESERVED = 1  # requests in any second that are not for the background
MAX_RESET = 3600  # seconds: one bad header must not blind a monitor for years


class RateLimiter:
    """Holds back an account's requests; several threads may use it.

    A request takes its place in the window until a second after it has ended. So the provider, who receives
    it at some time in between, receives no more than `per_second` in any second, whatever the network does.
    Requests in the background leave a place, so that one that a scrape waits for need not queue behind them.

    Args:
        per_second: requests in any second; None for no limit but that of the headers.
        clock, sleep: seconds of one clock, and how to wait on it.
    """

    def __init__(
        self, per_second: int | None, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._per_second, self._clock, self._sleep = per_second, clock, sleep
        self._lock = Lock()
        self._running = 0
        self._ended: deque[float] = deque()
        self._closed_until = 0.0

    @contextmanager
    def request(self, deadline: float, *, background: bool = False) -> Iterator[None]:
        """One request: waits until it may be sent.

        Raises:
            ThrottledError: if that would be after the deadline.
        """
        while (wait := self._try_begin(background=background)) > 0:
            if self._clock() + wait >= deadline:
                raise ThrottledError(wait)
            self._sleep(wait)
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._ended.append(self._clock())

    def read_headers(self, headers: Mapping[str, str]) -> int | None:
        """Returns how many requests an answer says are left; where none is, waits for the reset it names."""
        remaining = _whole(headers.get("x-ratelimit-remaining", ""))
        reset = _whole(headers.get("x-ratelimit-reset", ""))
        if remaining == 0 and reset is not None and reset <= MAX_RESET:
            with self._lock:
                self._closed_until = max(self._closed_until, self._clock() + reset)
        return remaining

    def _try_begin(self, *, background: bool) -> float:
        """Take a place in the window. Returns 0, or the seconds after which to try again."""
        with self._lock:
            now = self._clock()
            while self._ended and self._ended[0] <= now - WINDOW:
                self._ended.popleft()
            if self._closed_until > now:
                return self._closed_until - now
            if self._running + len(self._ended) >= self._most(background=background):
                return self._ended[0] + WINDOW - now if self._ended else WINDOW
            self._running += 1
            return 0

    def _most(self, *, background: bool) -> float:
        if self._per_second is None:
            return math.inf
        return max(1, self._per_second - RESERVED) if background else self._per_second


def _whole(header: str) -> int | None:
    """Returns a header's whole number; None where it is none."""
    return int(header[:9]) if header.isdecimal() else None
