"""Label values: sanitised, and limited in number."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from exporter.model import OTHER, UNKNOWN, Listing, ProviderTraits, Series

VALUES_PER_LABEL = 50
PROJECTS = 100  # of an account; regions and statuses multiply them

_UNCLEAN = re.compile(r"[^a-z0-9_-]")


def sanitize_label(text: str | None) -> str:
    """Returns a status or region as a label value: lower case, `[a-z0-9_-]`, at most 40 characters."""
    return _UNCLEAN.sub("_", (text or "").strip().lower()[:40]) or UNKNOWN


def sanitize_project_id(text: str | None) -> str:
    """Returns a project's id as a label value: its printable characters, at most 100.

    Control characters, such as those that change the direction of writing, could make it look like another.
    """
    text = text or ""
    return (text if text.isprintable() else "".join(filter(str.isprintable, text)))[:100]


def limit_values(
    values: Iterable[str], seen: Iterable[str], known: Iterable[str], limit: int = VALUES_PER_LABEL
) -> dict[str, str]:
    """Returns what to show for each value: itself, or `other` beyond the limit of an account.

    Values known in advance do not count towards the limit; those `seen` before keep their place.
    """
    known = {*known, UNKNOWN, OTHER}
    shown = {value: value for value in known | set(seen)}
    free = limit - len(shown.keys() - known)
    for value in sorted(set(values) - shown.keys()):
        shown[value] = value if free > 0 else OTHER
        free -= 1
    return shown


class SeenLabelValues(msgspec.Struct, frozen=True):
    """The values that an account has shown and that were not known in advance."""

    statuses: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()


def limit_cardinality(
    listing: Listing, traits: ProviderTraits, seen: SeenLabelValues
) -> tuple[Listing, SeenLabelValues]:
    """Returns the listing with a limited number of label values, and the values shown so far."""
    rows = listing.sessions
    series = {series for series, _ in listing.listed} | {row.series for row in rows}
    statuses = {status for _, status in listing.listed} | {row.status for row in rows}
    statuses |= {row.ending for row in rows if row.ending is not None}
    known = {*traits.open_statuses, *traits.ended_statuses, *traits.endings}
    status = limit_values(statuses, seen.statuses, known)
    region = limit_values({one.region for one in series}, seen.regions, traits.regions)
    project = limit_values({one.project for one in series}, seen.projects, [""], PROJECTS)
    shown = SeenLabelValues(_new(status, known), _new(region, traits.regions), _new(project, [""]))
    if all(name == to for names in (status, region, project) for name, to in names.items()):
        return listing, shown
    return _with_shown_values(listing, status, region, project), shown


def _new(shown: Mapping[str, str], known: Iterable[str]) -> frozenset[str]:
    """Returns the values that are shown as they are and count towards the limit."""
    return frozenset(value for value, to in shown.items() if value == to) - {*known, UNKNOWN, OTHER}


def _with_shown_values(
    listing: Listing, status: Mapping[str, str], region: Mapping[str, str], project: Mapping[str, str]
) -> Listing:
    """Returns the listing with each label value replaced by the one to show, and their counts added up."""

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
