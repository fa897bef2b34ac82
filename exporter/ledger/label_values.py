"""Label values that an account has shown, as pairs of a label and a value. Pure."""

from collections.abc import Iterable

from exporter.labels import SeenLabelValues

LABELS = (
    "status",
    "region",
    "project",
)  # of SeenLabelValues' first fields, in their order
METADATA = "metadata "  # before the name of a label of sessions' metadata


def to_pairs(seen: SeenLabelValues) -> list[tuple[str, str]]:
    """Returns the pairs that the ledger keeps."""
    labels = zip(LABELS, (seen.statuses, seen.regions, seen.projects), strict=True)
    pairs = [(label, value) for label, values in labels for value in values]
    return pairs + [(METADATA + name, value) for name, value in seen.metadata]


def from_pairs(found: Iterable[tuple[str, str]]) -> SeenLabelValues:
    """Returns what the ledger's pairs say."""
    pairs = list(found)
    statuses, regions, projects = (
        frozenset(value for label, value in pairs if label == kind) for kind in LABELS
    )
    metadata = ((label.removeprefix(METADATA), value) for label, value in pairs if label.startswith(METADATA))
    return SeenLabelValues(statuses, regions, projects, frozenset(metadata))
