"""What a configuration makes of a scrape."""

import pytest

from exporter.scrape.plan import TimeoutPolicy


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 10), ("5", 4.5), ("0.6", 0.3), ("1e1", 9.5), ("", 10), ("ten", 10),
        ("nan", 10), ("inf", 10), ("-3", 10), ("0", 10), ("1e300", 119.5),
    ],
)  # fmt: skip
def test_the_time_for_a_scrape(header: str | None, seconds: float) -> None:
    assert TimeoutPolicy(10, 0.5).budget(header) == pytest.approx(seconds)
