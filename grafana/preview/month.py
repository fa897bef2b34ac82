"""What the pictures show: Friday the 6th of a month, 18:00, after a day on which something happened."""

from datetime import UTC, datetime

from exporter.fleet import DAY, HOUR, MINUTE, SECOND, Fleet, Wave
from grafana.preview.recording import Course, Outage, Stage

ORIGIN = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * SECOND
TODAY = ORIGIN + 5 * DAY


def _at(hour: int, minute: int) -> int:
    """That time of the last day."""
    return TODAY + hour * HOUR + minute * MINUTE


def _fleet(seed: int, rate: float, *waves: Wave) -> Fleet:
    return Fleet(
        origin=ORIGIN,
        seed=seed,
        rate=rate,
        history=500,
        retention=4 * HOUR,
        error_ratio=0.03,
        timeout_ratio=0.02,
        waves=waves,
    )


# As fine as it is drawn, and a little more for the first rates: the month as a sum, a day each five minutes,
# six hours minute by minute.
COURSE = Course(
    origin=ORIGIN,
    stages=(
        Stage(4 * DAY + 16 * HOUR, 2 * HOUR),
        Stage(19 * HOUR + 40 * MINUTE, 5 * MINUTE),
        Stage(6 * HOUR + 20 * MINUTE, MINUTE, latency=0.03),
    ),
    fleets={
        "production": _fleet(1, 200, Wave("error", 0.6, _at(15, 0) - ORIGIN, _at(15, 50) - ORIGIN)),
        "staging": _fleet(2, 50),
    },
    outages=(
        Outage("production", "browserbase", "502", _at(13, 10), _at(13, 30)),
        Outage("staging", "browser_use", "401", _at(16, 40), _at(16, 55)),
    ),
)

# As their owner would set them for fleets of this size: US dollars.
THRESHOLDS = {
    "cloud_browser:cost_usd_hour:threshold": 250,
    "cloud_browser:cost_usd_month:threshold": 100_000,
}
