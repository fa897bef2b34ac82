"""Browserbase: `GET /v1/sessions`, one array of all sessions, without pages or a stated order."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from operator import attrgetter

from exporter.client.api import Api
from exporter.client.errors import PayloadError
from exporter.labels import sanitize_label, sanitize_project_id
from exporter.model import Listing, ReadWindow, Series, moment
from exporter.providers.browserbase.wire import Rows, SessionRow, end_of, to_session
from exporter.providers.metadata import MetadataLabels
from exporter.providers.rows import Rejections

PATH = "/v1/sessions"
_PLACE = attrgetter("project_id", "region", "status")
_NEVER = datetime.max.replace(tzinfo=UTC)
NO_SESSION = "the list holds no session that can be used; check base_url, and for a newer exporter"


class BrowserbaseReader:
    """Reads an account's sessions, in one request.

    Args:
        api: where they are requested.
        query: sent as `q`; empty or None for all sessions.
        labels: which of their metadata are labels.
    """

    def __init__(self, api: Api, query: str | None, labels: MetadataLabels | None = None) -> None:
        self._api, self._query = api, query
        self._labels = labels or MetadataLabels()
        self._rows = Rows(self._labels)

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        """Reads the whole list; `sessions` are those that the window includes.

        Raises:
            ApiError: if the account could not be read.
        """
        rejections = Rejections()
        answer = self._api.get(PATH, {"q": self._query} if self._query else {}, deadline)
        rows = self._rows.usable(self._rows.decode(answer.body, rejections), answer.time, rejections)
        if rejections.rows and not rows:
            raise PayloadError(NO_SESSION)
        ids = {row.id for row in rows}
        if len(ids) < len(rows):
            rows = _without_stale(rows)
        unique = rows if len(ids) == len(rows) else {row.id: row for row in rows}.values()
        return Listing(
            time=answer.time,
            sessions=tuple(
                to_session(row, answer.time, self._labels.of(row)) for row in _included(rows, window)
            ),
            listed=self._listed(unique),
            covers=answer.time,
            missing=tuple(one for one in window.unsettled if one not in ids and one not in rejections.ids),
            rejected=dict(rejections.counts),
            rejected_ids=rejections.bounded_ids(window.unsettled.keys() | window.rejected) - ids,
        )

    def committed(self) -> None:
        """Nothing is kept between readings."""

    def _listed(self, rows: Iterable[SessionRow]) -> dict[tuple[Series, str], int]:
        """Returns how many sessions there are by series and status."""
        listed: Counter[tuple[Series, str]] = Counter()
        labels = self._labels
        key = (lambda row: (*_PLACE(row), *labels.of(row))) if labels.names else _PLACE
        for (project, region, status, *metadata), count in Counter(map(key, rows)).items():
            series = Series(sanitize_project_id(project), sanitize_label(region), tuple(metadata))
            listed[series, sanitize_label(status)] += count
        return listed


def _without_stale(rows: list[SessionRow]) -> list[SessionRow]:
    """Returns the rows without those that show a session as open which another row shows as ended."""
    ended = {row.id for row in rows if end_of(row) is not None}
    return [row for row in rows if row.id not in ended or end_of(row) is not None]


def _included(rows: list[SessionRow], window: ReadWindow) -> list[SessionRow]:
    """Returns the rows that the window includes."""
    if window.watermark is None:
        return rows
    since, known = moment(window.watermark), window.unsettled.keys() | window.departed | window.rejected
    unsettled_since = _NEVER if window.ended_after is None else moment(window.ended_after)
    return [
        row
        for row in rows
        if row.created_at >= since
        or row.id in known
        or (row.ended_at is not None and row.ended_at > unsettled_since)
        or end_of(row) is None
    ]
