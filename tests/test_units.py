"""Values are written as Grafana writes them."""

import pytest

from grafana.build import FOLDER
from grafana.preview.layout import load
from grafana.preview.units import UNITS, write


@pytest.mark.parametrize(
    ("unit", "value", "decimals", "text"),
    [
        ("none", 0, None, "0"),
        ("none", 36, None, "36"),
        ("none", 1234, None, "1234"),
        ("none", 100.5, None, "101"),
        ("none", 12.345, None, "12.3"),
        ("none", 0.01234, None, "0.0123"),
        ("none", -2.5, 0, "-3"),
        ("none", 186.123, -2, "186"),
        ("percentunit", 0.0123, None, "1.23%"),
        ("percentunit", 1, None, "100%"),
        ("percentunit", 0.04567, 1, "4.6%"),
        ("currencyUSD", 1532.82, 2, "$1.53K"),
        ("currencyUSD", 0.35, 2, "$0.35"),
        ("currencyUSD", 999.99, 2, "$999.99"),
        ("currencyUSD", 1000, 2, "$1.00K"),
        ("currencyUSD", 1_250_000, 2, "$1.25M"),
        ("s", 0, None, "0 s"),
        ("s", 0.0000025, None, "2.50 µs"),
        ("s", 0.25, None, "250 ms"),
        ("s", 59, None, "59 s"),
        ("s", 3000, None, "50 mins"),
        ("s", 4000, None, "1.11 hours"),
        ("s", 90_000, None, "1.04 days"),
        ("s", 1_706_400, None, "2.82 weeks"),
        ("s", 31_556_900, None, "1 years"),
        ("cpm", 3.5, None, "3.50 c/m"),
        ("cpm", 1500, None, "1.50K c/m"),
        ("bytes", 0, None, "0 B"),
        ("bytes", 64 * 2**20, None, "64 MiB"),
        ("bytes", 1000, None, "1000 B"),
        ("decbytes", 113_600_000_000, None, "114 GB"),
        ("Bps", 1_250_000, None, "1.25 MB/s"),
        ("bool_yes_no", 1, None, "Yes"),
        ("bool_yes_no", 0, None, "No"),
    ],
)
def test_a_value_is_written_as_grafana_writes_it(
    unit: str, value: float, decimals: int | None, text: str
) -> None:
    assert write(value, unit, decimals) == text


def test_every_unit_that_is_used_is_known() -> None:
    used = {
        panel.defaults.unit
        for path in sorted(FOLDER.glob("*.json"))
        for panel in load(path).panels
        if panel.field_config is not None
    }
    assert used == set(UNITS)
