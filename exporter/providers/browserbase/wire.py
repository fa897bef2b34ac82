"""The rows of Browserbase's API.

    rows = Rows(MetadataLabels())
    rows.decode(body, rejections)           # all rows that can be used; raises PayloadError
    rows.usable(decoded, now, rejections)   # those whose values are plausible at a server time
    to_session(row, now)                    # the session

Facts are from the OpenAPI page of List Sessions and, where that is silent, from clients in the wild, which
meet null or missing `startedAt` and `endedAt`. Fields that are not needed are not required.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from exporter.client.errors import PayloadError
from exporter.labels import sanitize_label, sanitize_project_id
from exporter.model import MetadataPairs, Series, Session, Usage, micros, moment
from exporter.providers.decoding import MAX_BYTES, MAX_CLOCK_NOISE, MAX_DURATION, repair_lone_surrogates
from exporter.providers.metadata import MetadataLabels
from exporter.providers.rows import EARLIEST, UNREADABLE, Id, Moment, Rejections, RowDecoder, RowError

OPEN, ENDED = ("pending", "running"), ("error", "timed_out", "completed")
# For a list with a malformed row: its rows are decoded one by one, which takes 30 times a number's memory.
MAX_FIELDS, MAX_MALFORMED = 4_000_000, 100_000
_ENDED_UPPER = frozenset(status.upper() for status in ENDED)
MALFORMED = f"the list of sessions has over {MAX_MALFORMED} malformed rows; check base_url"
_LONGEST, _NOISE = timedelta(microseconds=MAX_DURATION), timedelta(microseconds=MAX_CLOCK_NOISE)


class SessionRow(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The fields of a session in the API that are used."""

    id: Id
    status: Annotated[str, Meta(min_length=1)]
    created_at: Moment
    updated_at: Moment | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    expires_at: Moment | None = None
    project_id: str | None = None
    region: str | None = None
    proxy_bytes: int | None = None
    keep_alive: bool | None = None

    @property
    def begun(self) -> datetime:
        """When the session started; when it was created where that is not known."""
        return self.started_at or self.created_at


_RAW = msgspec.json.Decoder(list[msgspec.Raw])


class Rows:
    """Decodes lists of sessions, with the metadata that is shown in labels.

    Args:
        labels: which that is.
    """

    def __init__(self, labels: MetadataLabels) -> None:
        row = labels.added_to(SessionRow, "user_metadata")
        self._rows: msgspec.json.Decoder[list[SessionRow]] = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]  # made by the configuration
        self._row = RowDecoder(row, needed={"started_at", "ended_at", "proxy_bytes"})

    def decode(self, body: bytes, rejections: Rejections) -> list[SessionRow]:
        """Returns the well-formed rows.

        Raises:
            PayloadError: if the body is anything but an array.
        """
        try:
            return repair_lone_surrogates(lambda text: self._decoded(text, rejections), body)
        except msgspec.ValidationError as error:
            raise PayloadError("the list of sessions is not an array; check base_url") from error
        except UNREADABLE as error:
            raise PayloadError("the list of sessions is not JSON; check base_url") from error

    def usable(self, rows: list[SessionRow], now: int, rejections: Rejections) -> list[SessionRow]:
        """Returns the rows that are plausible at a server time, implausible optional values left out."""
        at = moment(now)
        usable = [row for row in rows if _is_plausible(row, at)]
        if len(usable) == len(rows):
            return usable
        return list(self._repaired(rows, at, rejections))

    def _decoded(self, body: bytes, rejections: Rejections) -> list[SessionRow]:
        """Decodes all rows at once, or one by one where one is malformed."""
        try:
            return self._rows.decode(body)
        except msgspec.ValidationError:
            if body.count(b",") > MAX_FIELDS:
                raise PayloadError(
                    f"the list of sessions has over {MAX_FIELDS} fields; check base_url"
                ) from None
            return list(self._one_by_one(_RAW.decode(body), rejections))

    def _one_by_one(self, raws: Iterable[msgspec.Raw], rejections: Rejections) -> Iterator[SessionRow]:
        for raw in raws:
            try:
                row, is_partial = self._row.decode(raw)
            except RowError as error:
                rejections.add(error)
                if rejections.rows > MAX_MALFORMED:
                    raise PayloadError(MALFORMED) from error
            else:
                rejections.add_partial(is_partial=is_partial)
                yield row

    def _repaired(
        self, rows: list[SessionRow], now: datetime, rejections: Rejections
    ) -> Iterator[SessionRow]:
        for row in rows:
            if _is_plausible(row, now):
                yield row
                continue
            try:
                repaired, is_partial = self._row.tidy(row)
                _check(repaired, now)
            except RowError as error:
                rejections.add(error)
            else:
                rejections.add_partial(is_partial=is_partial)
                yield repaired


def _is_plausible(row: SessionRow, now: datetime) -> bool:
    """Returns whether a row can be used as it is, as nearly all can.

    An end before 2000 fails as one before the start; for an open session it means nothing.
    """
    begun = row.started_at or row.created_at
    if row.proxy_bytes and not 0 < row.proxy_bytes <= MAX_BYTES:
        return False
    if begun < EARLIEST or row.created_at < EARLIEST or (row.expires_at or begun) < EARLIEST:
        return False
    return -_NOISE < (end_of(row) or max(now, begun)) - begun <= _LONGEST


def _check(row: SessionRow, now: datetime) -> None:
    """Checks the figures and times of a row.

    Raises:
        RowError: if its traffic is absurd, or it ends before it starts or runs for years.
    """
    if (row.proxy_bytes or 0) > MAX_BYTES:
        raise RowError("out_of_range", row.id)
    if not -_NOISE < (end_of(row) or max(now, row.begun)) - row.begun <= _LONGEST:
        raise RowError("times", row.id)


def end_of(row: SessionRow) -> datetime | None:
    """Returns when the session ended; None while it is open. With an unknown status, `endedAt` decides."""
    if row.status in _ENDED_UPPER and row.ended_at is not None:
        return row.ended_at  # nearly all rows
    status = sanitize_label(row.status)
    if status in OPEN:
        return None
    if status in ENDED and row.ended_at is None:
        return _estimated_end(row)
    return row.ended_at


def _estimated_end(row: SessionRow) -> datetime:
    """Returns the end of a session that names none: its last update, at most its expiry."""
    end = row.updated_at or row.begun
    return max(row.begun, end if row.expires_at is None else min(end, row.expires_at))


def to_session(row: SessionRow, now: int, metadata: MetadataPairs = ()) -> Session:
    """Returns the session as of a server time; `metadata` are its labels."""
    status, end, begun = sanitize_label(row.status), end_of(row), micros(row.begun)
    is_pending = status == "pending"  # it does not run yet, whatever its startedAt says
    ended = None if end is None else max(begun, micros(end))
    time = max(0, (now if ended is None else ended) - begun)
    return Session(
        id=row.id,
        series=Series(sanitize_project_id(row.project_id), sanitize_label(row.region), metadata),
        status=status,
        created=micros(row.created_at),
        usage=Usage(0 if is_pending else time, row.proxy_bytes or 0),
        started=None if is_pending else begun,
        ended=ended,
        ending=status if ended is not None and status in ENDED else None,
        expires=None if row.expires_at is None else micros(row.expires_at),
        keep_alive=bool(row.keep_alive),
        end_is_known=ended is None or row.ended_at is not None,
        is_incomplete=row.proxy_bytes is None,
        start_latency=None if is_pending else _start_latency(row),
    )


def _start_latency(row: SessionRow) -> int | None:
    """Returns how long a session that runs, or ran, took to start: at least 0, whatever two clocks say."""
    if row.started_at is None:
        return None
    return max(0, micros(row.started_at) - micros(row.created_at))
