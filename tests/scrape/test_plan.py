"""What a configuration makes of a pull."""

import pytest

from exporter.scrape.plan import Times


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 10), ("5", 4.5), ("0.6", 0.3), ("1e1", 9.5), ("", 10), ("ten", 10),
        ("nan", 10), ("inf", 10), ("-3", 10), ("0", 10), ("1e300", 119.5),
    ],
)  # fmt: skip
def test_the_time_for_a_pull(header: str | None, seconds: float) -> None:
    assert Times(10, 0.5).budget(header) == pytest.approx(seconds)
