"""Links from a cell or a line to the dashboards that tell more of it, filtered by its labels."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Links: TypeAlias = list[dict[str, str]]

ERRORS, SPEND, EXPORTER = "cloud-browser-errors", "cloud-browser-spend", "cloud-browser-exporter"
_TITLES = {ERRORS: "Errors and timeouts", SPEND: "Spend", EXPORTER: "Reading the provider"}


def of_rows(columns: Mapping[str, str], *uids: str) -> Links:
    """Links of a table's cells. columns: the labels to filter by, with their columns' titles."""
    return _links(
        {label: f'${{__data.fields["{title}"]:percentencode}}' for label, title in columns.items()}, uids
    )


def of_series(labels: Sequence[str], *uids: str) -> Links:
    """Links of a line. labels: those to filter by."""
    return _links({label: f"${{__field.labels.{label}:percentencode}}" for label in labels}, uids)


def _links(fields: Mapping[str, str], uids: Sequence[str]) -> Links:
    chosen = "&".join(f"var-{label}={value}" for label, value in fields.items())
    what = list(fields)[-1]
    return [
        {
            "title": f"{_TITLES[uid]} of this {what}",
            "url": f"/d/{uid}?var-datasource=${{datasource:percentencode}}&{chosen}&${{__url_time_range}}",
        }
        for uid in uids
    ]
