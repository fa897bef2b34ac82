"""Label values: what a provider says, made clean and kept to a bounded number of different words."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from exporter.session import (
    ENDED_STATUSES,
    ENDINGS,
    OPEN_STATUSES,
    OTHER,
    REGIONS,
    UNKNOWN,
    Listing,
    Series,
)

VALUES_PER_LABEL = 50

_UNCLEAN = re.compile(r"[^a-z0-9_-]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def word(text: str | None) -> str:
    """A status or region as a label value: lower case, `[a-z0-9_-]`, at most 40 characters."""
    return _UNCLEAN.sub("_", (text or "").strip().lower()[:40]) or UNKNOWN


def line(text: str | None) -> str:
    """A project's id as a label value: one printable line of at most 100 characters."""
    return _CONTROL.sub("", text or "")[:100]


def bound(values: Iterable[str], admitted: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """What to show for each value: itself, or `other` once an account has shown enough different ones.

    Those known in advance cost nothing; of the rest, those `admitted` before keep their place.
    """
    known = {*known, UNKNOWN, OTHER}
    shown = {value: value for value in known | set(admitted)}
    free = VALUES_PER_LABEL - len(shown.keys() - known)
    for value in sorted(set(values) - shown.keys()):
        shown[value] = value if free > 0 else OTHER
        free -= 1
    return shown


class Words(msgspec.Struct, frozen=True):
    """The statuses and regions that an account has shown and nobody knew in advance."""

    statuses: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()


def bounded(listing: Listing, provider: str, words: Words) -> tuple[Listing, Words]:
    """The listing with no more different statuses and regions than an account may show, and what it shows."""
    rows = listing.sessions
    statuses = {status for _, status in listing.listed} | {row.status for row in rows}
    statuses |= {row.ending for row in rows if row.ending is not None}
    regions = {series.region for series, _ in listing.listed} | {row.series.region for row in rows}
    known = {*OPEN_STATUSES[provider], *ENDED_STATUSES[provider], *ENDINGS[provider]}
    status = bound(statuses, words.statuses, known)
    region = bound(regions, words.regions, REGIONS[provider])
    if statuses <= known and regions <= set(REGIONS[provider]):
        return listing, words
    shown = Words(
        words.statuses | {one for one in statuses - known if status[one] == one},
        words.regions | {one for one in regions - {*REGIONS[provider]} if region[one] == one},
    )
    return _renamed(listing, status, region), shown


def _renamed(listing: Listing, status: Mapping[str, str], region: Mapping[str, str]) -> Listing:
    def moved(series: Series) -> Series:
        return Series(series.project, region[series.region])

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
