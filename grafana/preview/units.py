"""Values as Grafana writes them: three digits that matter, scaled, with their unit.

After `packages/grafana-data/src/valueFormats` of Grafana; only the units that the dashboards use.
"""

import math
from collections.abc import Callable, Mapping, Sequence

Writer = Callable[[float, int | None], str]

# From how many seconds on each word is used, and how many seconds it is.
_DURATIONS = (
    (31_536_000, 31_556_900, " years"),
    (604_800, 604_800, " weeks"),
    (86_400, 86_400, " days"),
    (3600, 3600, " hours"),
    (60, 60, " mins"),
    (1, 1, " s"),
    (1e-3, 1e-3, " ms"),
    (1e-6, 1e-6, " µs"),
    (0, 1e-9, " ns"),
)


def write(value: float, unit: str, decimals: int | None = None) -> str:
    """The text of a value; without decimals given, as many as make three digits. KeyError: unknown unit."""
    return UNITS[unit](value, decimals)


def fixed(value: float, decimals: int | None = None) -> str:
    """A number with so many decimals; halves are rounded up."""
    places = _decimals(value) if decimals is None else max(0, decimals)
    return f"{math.floor(abs(value) * 10**places + 0.5) / 10**places * (-1 if value < 0 else 1):.{places}f}"


def _decimals(value: float) -> int:
    return 0 if value % 1 == 0 else max(0, 2 - math.floor(math.log10(abs(value))))


def _duration(value: float, decimals: int | None) -> str:
    if value == 0:
        return "0 s"
    size, word = next((size, word) for least, size, word in _DURATIONS if abs(value) >= least)
    return fixed(value / size, decimals) + word


def _scaled(step: int, prefixes: Sequence[str], before: str = "", after: str = "") -> Writer:
    """Divided by a step until it is below it, or the prefixes are used up."""

    def written(value: float, decimals: int | None) -> str:
        power = 0 if value == 0 else math.floor(math.log(abs(value), step) + 1e-12)
        power = min(max(power, 0), len(prefixes) - 1)
        return f"{before}{fixed(value / step**power, decimals)}{prefixes[power]}{after}"

    return written


_SI = ("", "k", "M", "G", "T")

UNITS: Mapping[str, Writer] = {
    "none": fixed,
    "percentunit": lambda value, decimals: fixed(100 * value, decimals) + "%",
    "currencyUSD": _scaled(1000, ("", "K", "M", "B", "T"), before="$"),
    "s": _duration,
    "cpm": _scaled(1000, ("", "K", "M", "B", "T"), after=" c/m"),
    "bytes": _scaled(1024, (" B", " KiB", " MiB", " GiB", " TiB")),
    "decbytes": _scaled(1000, tuple(f" {prefix}B" for prefix in _SI)),
    "Bps": _scaled(1000, tuple(f" {prefix}B/s" for prefix in _SI)),
    "bool_yes_no": lambda value, _: "Yes" if value else "No",
}
