"""The rate of requests: a sliding window of a second, and what the provider's rate-limit headers say."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from exporter.client.errors import ThrottledError

WINDOW = 1.0  # seconds
SPREAD = 0.8  # of a window, over which requests in the background are sent at least
MAX_RESET = 3600  # seconds: one bad header must not blind a monitor for years


class RateLimiter:
    """Holds back an account's requests; several threads may use it.

    A request takes its place in the window until a second after it has ended. So the provider, who receives
    it at some time in between, receives no more than `per_second` in any second, whatever the network does.
    Requests in the background are spread over the window, and let one go first that a scrape waits for. So it
    waits for a fraction of a second at most.

    Args:
        per_second: requests in any second; None for no limit but that of the headers.
        clock, sleep: seconds of one clock, and how to wait on it.
    """

    def __init__(
        self, per_second: int | None, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._per_second, self._clock, self._sleep = per_second, clock, sleep
        self._lock = Lock()
        self._running = self._waiting = 0
        self._ended: deque[float] = deque()
        self._closed_until = self._paced_until = 0.0

    @contextmanager
    def request(self, deadline: float, *, background: bool = False) -> Iterator[None]:
        """One request: waits until it may be sent.

        Raises:
            ThrottledError: if that would be after the deadline.
        """
        wait = self._try_begin(background=background)
        if wait > 0:
            with self._queue(background=background):
                while wait > 0:
                    if self._clock() + wait >= deadline:
                        raise ThrottledError(wait)
                    self._sleep(wait)
                    wait = self._try_begin(background=background)
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._ended.append(self._clock())

    @contextmanager
    def _queue(self, *, background: bool) -> Iterator[None]:
        """Wait in front of the requests in the background, unless this is one."""
        places = 0 if background else 1
        with self._lock:
            self._waiting += places
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= places

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
            free_at = max(self._closed_until, self._free_at(now, background=background))
            if free_at > now:
                return free_at - now
            self._running += 1
            if self._per_second is not None and background:
                self._paced_until = now + SPREAD * WINDOW / self._per_second
            return 0

    def _free_at(self, now: float, *, background: bool) -> float:
        """Returns when there may be a place in the window; now or earlier if there is one."""
        if self._per_second is None:
            return now
        taken = self._running + len(self._ended) + (self._waiting if background else 0)
        if taken >= self._per_second:
            return self._ended[0] + WINDOW if self._ended else now + WINDOW
        return self._paced_until if background else now


def _whole(header: str) -> int | None:
    """Returns a header's whole number; None where it is none."""
    return int(header[:9]) if header.isdecimal() else None
