"""What `backfill` writes, read back."""

import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support.expected_totals import Key, key

Points = list[tuple[int, float]]

SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+) (\d+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)",?')
HISTOGRAM = re.compile(r"session_(?:duration|start)_seconds")
ENDS = re.compile("_(bucket|count|sum)$")


def _samples(path: Path) -> Iterator[re.Match[str]]:
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            yield match


def read_history(path: Path) -> dict[Key, Points]:
    """Returns the points of each series: seconds since 1970, and values."""
    names: dict[tuple[str, str], Key] = {}
    series: dict[Key, Points] = {}
    for match in _samples(path):
        name, labels, value, at = match.groups()
        if (name, labels) not in names:
            names[name, labels] = key({"__name__": name, **dict(LABEL.findall(labels))})
        series.setdefault(names[name, labels], []).append((int(at), float(value)))
    return series


def lasts(series: dict[Key, Points], prefix: str = "") -> dict[Key, float]:
    """The value with which each series ends, of names that begin so; but for zeros."""
    return {
        name: points[-1][1]
        for name, points in series.items()
        if dict(name)["__name__"].startswith(prefix) and points[-1][1]
    }


def names_in_order(path: Path) -> list[str]:
    """The metrics' names in the order in which they stand, as often as they begin anew."""
    return [name for name, _ in groupby(ENDS.sub("", match[1]) for match in _samples(path))]


def strictly_parsed(path: Path) -> list[Metric]:
    """Returns the families as the strict parser of OpenMetrics has them.

    Of histograms it is shown one time after the other: it takes the second sample of a point for a repeated
    one of the point before.
    """
    lines = path.read_text().splitlines(keepends=True)
    plain = "".join(line for line in lines if not HISTOGRAM.search(line))
    points: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if HISTOGRAM.search(line) and not line.startswith("#"):
            points.setdefault((HISTOGRAM.findall(line)[0], line.rpartition(" ")[2]), []).append(line)
    texts = [plain, *(_head(lines, name) + "".join(each) + "# EOF\n" for (name, _), each in points.items())]
    return [family for text in texts for family in text_string_to_metric_families(text)]  # type: ignore[no-untyped-call]  # the library's


def _head(lines: list[str], name: str) -> str:
    return "".join(line for line in lines if line.startswith("# ") and name in line)


def pauses(points: Points) -> list[int]:
    """The seconds between a series' points."""
    return [later - earlier for (earlier, _), (later, _) in pairwise(points)]
