"""Label values: what a provider says, made clean and kept to a limited number of different values."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from exporter.model import ENDED_STATUSES, ENDINGS, OPEN_STATUSES, OTHER, REGIONS, UNKNOWN, Listing, Series

VALUES_PER_LABEL = 50
PROJECTS = 100  # of an account; regions and statuses multiply them

_UNCLEAN = re.compile(r"[^a-z0-9_-]")


def sanitize_label(text: str | None) -> str:
    """A status or region as a label value: lower case, `[a-z0-9_-]`, at most 40 characters."""
    return _UNCLEAN.sub("_", (text or "").strip().lower()[:40]) or UNKNOWN


def sanitize_project_id(text: str | None) -> str:
    """A project's id as a label value: at most 100 characters, each of which can be seen, or a space.

    What turns the direction of writing, or hides, would make it look like another.
    """
    text = text or ""
    return (text if text.isprintable() else "".join(filter(str.isprintable, text)))[:100]


def limit_values(
    values: Iterable[str], admitted: Iterable[str], known: Iterable[str], most: int = VALUES_PER_LABEL
) -> dict[str, str]:
    """What to show for each value: itself, or `other` once an account has shown enough different ones.

    Those known in advance cost nothing; of the rest, those `admitted` before keep their place.
    """
    known = {*known, UNKNOWN, OTHER}
    shown = {value: value for value in known | set(admitted)}
    free = most - len(shown.keys() - known)
    for value in sorted(set(values) - shown.keys()):
        shown[value] = value if free > 0 else OTHER
        free -= 1
    return shown


class SeenLabelValues(msgspec.Struct, frozen=True):
    """The words that an account has shown and nobody knew in advance."""

    statuses: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()


def limit_cardinality(
    listing: Listing, provider: str, words: SeenLabelValues
) -> tuple[Listing, SeenLabelValues]:
    """The listing with no more different words than an account may show, and those that it has shown."""
    rows = listing.sessions
    series = {series for series, _ in listing.listed} | {row.series for row in rows}
    statuses = {status for _, status in listing.listed} | {row.status for row in rows}
    statuses |= {row.ending for row in rows if row.ending is not None}
    known = {*OPEN_STATUSES[provider], *ENDED_STATUSES[provider], *ENDINGS[provider]}
    status = limit_values(statuses, words.statuses, known)
    region = limit_values({one.region for one in series}, words.regions, REGIONS[provider])
    project = limit_values({one.project for one in series}, words.projects, [""], PROJECTS)
    shown = SeenLabelValues(_new(status, known), _new(region, REGIONS[provider]), _new(project, [""]))
    if all(name == to for names in (status, region, project) for name, to in names.items()):
        return listing, shown
    return _renamed(listing, status, region, project), shown


def _new(shown: Mapping[str, str], known: Iterable[str]) -> frozenset[str]:
    """The words that are shown as they are, but for those that cost nothing."""
    return frozenset(value for value, to in shown.items() if value == to) - {*known, UNKNOWN, OTHER}


def _renamed(
    listing: Listing, status: Mapping[str, str], region: Mapping[str, str], project: Mapping[str, str]
) -> Listing:
    def moved(series: Series) -> Series:
        return Series(project[series.project], region[series.region])

    listed: Counter[tuple[Series, str]] = Counter()
    for (series, name), count in listing.listed.items():
        listed[moved(series), status[name]] += count
    sessions = (
        msgspec.structs.replace(
            row, series=moved(row.series), status=status[row.status], ending=row.ending and status[row.ending]
        )
        for row in listing.sessions
    )
    return msgspec.structs.replace(listing, sessions=tuple(sessions), listed=listed)
