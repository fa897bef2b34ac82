"""Label values: sanitised, and limited in number."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from exporter.model import OTHER, UNKNOWN, Listing, MetadataPairs, ProviderTraits, Series

VALUES_PER_LABEL = 50
PROJECTS = 100  # of an account; regions and statuses multiply them
METADATA_VALUES = 100  # of a label of sessions' metadata

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
    return _limited(set(values), set(seen), {*known, UNKNOWN, OTHER}, limit)


def _limited(values: set[str], seen: set[str], known: set[str], limit: int) -> dict[str, str]:
    shown = {value: value for value in known | seen}
    free = limit - len(shown.keys() - known)
    for value in sorted(values - shown.keys()):
        shown[value] = value if free > 0 else OTHER
        free -= 1
    return shown


class SeenLabelValues(msgspec.Struct, frozen=True):
    """The values that an account has shown and that were not known in advance.

    metadata: those of the labels of sessions' metadata, each with its label's name before it.
    """

    statuses: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()
    metadata: frozenset[tuple[str, str]] = frozenset()


class _Shown(msgspec.Struct, frozen=True):
    """What to show for each value of each label; `metadata` by the label's name."""

    status: Mapping[str, str]
    region: Mapping[str, str]
    project: Mapping[str, str]
    metadata: Mapping[str, Mapping[str, str]]

    def limited(self) -> dict[str, int]:
        """Returns how many values are shown as `other`, by label; labels without such values are left out."""
        labels = {"status": self.status, "region": self.region, "project": self.project, **self.metadata}
        counts = {
            name: sum(to == OTHER != value for value, to in values.items()) for name, values in labels.items()
        }
        return {name: count for name, count in counts.items() if count}

    def series(self, series: Series) -> Series:
        """Returns the series under its values to show."""
        pairs = tuple((name, self.metadata[name][value]) for name, value in series.metadata)
        return Series(self.project[series.project], self.region[series.region], pairs)


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
    metadata = _limit_metadata({one.metadata for one in series}, seen.metadata)
    values = SeenLabelValues(
        _new(status, known),
        _new(region, traits.regions),
        _new(project, [""]),
        seen.metadata
        | {(name, to) for name, shown in metadata.items() for to in shown.values() if to != OTHER},
    )
    shown = _Shown(status, region, project, metadata)
    limited = shown.limited()
    return (_with_shown_values(listing, shown, limited) if limited else listing), values


def _limit_metadata(
    found: Iterable[MetadataPairs], seen: Iterable[tuple[str, str]]
) -> dict[str, dict[str, str]]:
    """Returns what to show for each value of each label of sessions' metadata."""
    pairs = {pair for metadata in found for pair in metadata}
    return {
        name: _limited(
            {value for one, value in pairs if one == name},
            {value for one, value in seen if one == name},
            {OTHER},
            METADATA_VALUES,
        )
        for name in {name for name, _ in pairs}
    }


def _new(shown: Mapping[str, str], known: Iterable[str]) -> frozenset[str]:
    """Returns the values that are shown as they are and count towards the limit."""
    return frozenset(value for value, to in shown.items() if value == to) - {*known, UNKNOWN, OTHER}


def _with_shown_values(listing: Listing, shown: _Shown, limited: Mapping[str, int]) -> Listing:
    """Returns the listing with each label value replaced by the one to show, and their counts added up."""
    listed: Counter[tuple[Series, str]] = Counter()
    for (series, name), count in listing.listed.items():
        listed[shown.series(series), shown.status[name]] += count
    sessions = (
        msgspec.structs.replace(
            row,
            series=shown.series(row.series),
            status=shown.status[row.status],
            ending=row.ending and shown.status[row.ending],
        )
        for row in listing.sessions
    )
    return msgspec.structs.replace(listing, sessions=tuple(sessions), listed=listed, limited=limited)
