"""A simulator's clock that a test moves, and the scrapes that saw it."""

import time

from exporter.simulator.fleet import SECOND
from tests.support.expected_totals import PROVIDERS, Key, key
from tests.support.processes import Prometheus, wait_until

SPEED = 60
WINDOW = "10m"  # of real time: all samples that there are

Samples = list[tuple[float, float]]


class Clock:
    """The fleet's time in microseconds: stands still until told to run, and again at the last."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self._begun: float | None = None

    def __call__(self) -> int:
        ran = 0.0 if self._begun is None else time.monotonic() - self._begun
        return min(self._first + int(ran * SPEED * SECOND), self._last)

    def run(self) -> None:
        self._begun = time.monotonic()

    def pass_by(self, moment: int) -> None:
        """Wait until it shows this moment."""
        wait_until(lambda: self() >= moment, "the clock")


def good_scrapes(monitor: Prometheus, after: float = 0) -> set[float]:
    """The times of scrapes for which both providers were read."""
    up = samples(monitor, "cloud_browser_up", time.time()).values()
    good = [{at for at, value in series if value == 1 and at > after} for series in up]
    return set.intersection(*good) if len(good) == len(PROVIDERS) else set()


def extrapolated(monitor: Prometheus, at: float) -> float:
    """By what share `increase` may exceed what its samples tell.

    It adds half an interval at the beginning, and up to 1.1 at the end where the last sample is older.
    """
    counts = monitor.query(f"count_over_time(cloud_browser_up[{WINDOW}])", at)
    return 1.6 / (min(float(one["value"][1]) for one in counts) - 1)


def samples(monitor: Prometheus, selector: str, at: float) -> dict[Key, Samples]:
    """Every sample up to a time, as scraped."""
    return {
        key(series["metric"]): [(stamp, float(value)) for stamp, value in series["values"]]
        for series in monitor.query(f"{selector}[{WINDOW}]", at)
    }
