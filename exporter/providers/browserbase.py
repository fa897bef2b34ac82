"""Browserbase: `GET /v1/sessions`, one array of all sessions, without pages or a stated order.

Facts are from the OpenAPI page of List Sessions and, where that is silent, from clients in the wild,
which meet null or missing `startedAt` and `endedAt`. Fields that are not needed are not required.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Annotated

import msgspec
from msgspec import Meta

from exporter.client.api import Answer, Api
from exporter.client.errors import PayloadError
from exporter.config.loader import parsed_by, printable
from exporter.config.settings import Pricing
from exporter.labels import sanitize_label, sanitize_project_id
from exporter.model import (
    UNKNOWN,
    Listing,
    ProviderTraits,
    ReadWindow,
    Series,
    Session,
    Usage,
    micros,
    moment,
)
from exporter.providers.base import Provider
from exporter.providers.decoding import MAX_BYTES, MAX_DURATION, repair_lone_surrogates

PATH = "/v1/sessions"
# For a list with a malformed row: its rows are decoded one by one, which takes 30 times a number's memory.
MAX_FIELDS, MAX_MALFORMED = 4_000_000, 100_000
_OPEN, _ENDED = ("pending", "running"), ("error", "timed_out", "completed")
_ENDED_WORDS = frozenset(status.upper() for status in _ENDED)
_LONGEST = timedelta(microseconds=MAX_DURATION)
ZERO = timedelta()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Moment = Annotated[datetime, Meta(tz=True)]


class SessionRow(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The fields of a session in the API that are used."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]
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


_ROWS = msgspec.json.Decoder(list[SessionRow])
_ROW = msgspec.json.Decoder(SessionRow)
_RAW = msgspec.json.Decoder(list[msgspec.Raw])


class BrowserbaseReader:
    """Reads an account's sessions, in one request.

    Args:
        api: where they are requested.
        query: sent as `q`; empty or None for all sessions.
    """

    def __init__(self, api: Api, query: str | None) -> None:
        self._api, self._query = api, query

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        """Reads the whole list; `sessions` are those that the window includes.

        Raises:
            ApiError: if the account could not be read.
        """
        answer = self._api.get(PATH, {"q": self._query} if self._query else {}, deadline)
        rows, malformed = decode(answer.body)
        if malformed and not rows and b'"id"' not in answer.body:
            raise PayloadError("the list holds no session, but something else; check base_url")
        rows, rejected = validate_rows(rows, answer.time)
        return _listing(rows, rejected | malformed, answer, window)

    def committed(self) -> None:
        """Nothing is kept between readings."""


def _listing(
    rows: list[SessionRow], rejected: Mapping[str, int], answer: Answer, window: ReadWindow
) -> Listing:
    ids = {row.id for row in rows}
    unique = rows if len(ids) == len(rows) else {row.id: row for row in rows}.values()
    return Listing(
        time=answer.time,
        sessions=tuple(_session(row, answer.time) for row in _relevant_rows(rows, window)),
        listed=_listed(unique),
        covers=answer.time,
        # A session whose row was rejected is listed all the same: its id stands in the body.
        missing=tuple(
            held
            for held in window.unsettled
            if held not in ids and not (rejected and held.encode() in answer.body)
        ),
        rejected=rejected,
    )


def decode(body: bytes) -> tuple[list[SessionRow], dict[str, int]]:
    """Returns the well-formed rows, and how many are malformed, by reason.

    Raises:
        PayloadError: if the body is anything but an array.
    """
    malformed: Counter[str] = Counter()
    try:
        return repair_lone_surrogates(lambda text: _rows(text, malformed), body), malformed
    except msgspec.ValidationError as error:
        raise PayloadError("the list of sessions is not an array; check base_url") from error
    except _UNREADABLE as error:
        raise PayloadError("the list of sessions is not JSON; check base_url") from error


def validate_rows(rows: list[SessionRow], now: int) -> tuple[list[SessionRow], dict[str, int]]:
    """Returns the rows whose values are plausible at a server time, and how many are rejected, by reason."""
    at = moment(now)
    sound = [row for row in rows if _in_range(row) and _in_time(row, at)]
    out_of_range = 0 if len(sound) == len(rows) else sum(not _in_range(row) for row in rows)
    rejected = Counter(out_of_range=out_of_range, times=len(rows) - len(sound) - out_of_range)
    return sound, dict(+rejected)


def _rows(body: bytes, rejected: Counter[str]) -> list[SessionRow]:
    """Decodes all rows at once, or one by one where one is malformed."""
    try:
        return _ROWS.decode(body)
    except msgspec.ValidationError:
        if body.count(b",") > MAX_FIELDS:
            raise PayloadError(f"the list of sessions has over {MAX_FIELDS} fields; check base_url") from None
        return list(_one_by_one(_RAW.decode(body), rejected))


def _one_by_one(raws: Iterable[msgspec.Raw], rejected: Counter[str]) -> Iterator[SessionRow]:
    for raw in raws:
        try:
            yield _ROW.decode(raw)
        except _UNREADABLE as error:
            rejected["malformed"] += 1
            if rejected["malformed"] > MAX_MALFORMED:
                raise PayloadError("the list of sessions has hardly any; check base_url") from error


def _in_range(row: SessionRow) -> bool:
    return not row.proxy_bytes or 0 < row.proxy_bytes <= MAX_BYTES


def _in_time(row: SessionRow, now: datetime) -> bool:
    begun, ended = row.started_at or row.created_at, _end(row)
    if ended is None:
        return now - begun <= _LONGEST
    return ZERO <= ended - begun <= _LONGEST


def _listed(rows: Iterable[SessionRow]) -> dict[tuple[Series, str], int]:
    listed: Counter[tuple[Series, str]] = Counter()
    for (project, region, status), count in Counter(
        map(attrgetter("project_id", "region", "status"), rows)
    ).items():
        listed[Series(sanitize_project_id(project), sanitize_label(region)), sanitize_label(status)] += count
    return listed


def _relevant_rows(rows: Iterable[SessionRow], window: ReadWindow) -> Iterable[SessionRow]:
    """Returns the rows that the window includes."""
    if window.watermark is None:
        return rows
    since, named = moment(window.watermark), window.unsettled.keys() | window.departed
    return [row for row in rows if row.created_at >= since or row.id in named or _end(row) is None]


def _session(row: SessionRow, now: int) -> Session:
    status, end = sanitize_label(row.status), _end(row)
    ended = None if end is None else micros(end)
    begun = micros(row.started_at or row.created_at)
    time = max(0, (now if ended is None else ended) - begun)
    return Session(
        id=row.id,
        series=Series(sanitize_project_id(row.project_id), sanitize_label(row.region)),
        status=status,
        created=micros(row.created_at),
        # A pending session does not run yet, whatever its startedAt says.
        usage=Usage(0 if status == "pending" else time, row.proxy_bytes or 0),
        started=None if status == "pending" else begun,
        ended=ended,
        ending=None if ended is None else status,
        expires=None if row.expires_at is None else micros(row.expires_at),
        keep_alive=bool(row.keep_alive),
    )


def _end(row: SessionRow) -> datetime | None:
    """Returns when the session ended; None while it is open. With an unknown status, `endedAt` decides."""
    if row.status in _ENDED_WORDS and row.ended_at is not None:
        return row.ended_at  # nearly all rows
    status = sanitize_label(row.status)
    if status in _OPEN:
        return None
    if status in _ENDED and row.ended_at is None:
        return max(row.updated_at or row.created_at, row.started_at or row.created_at)
    return row.ended_at


class Options(msgspec.Struct, frozen=True):
    """The configuration keys that only Browserbase takes.

    query: sent as `q`. pricing: what estimates the cost, which the API does not report.
    """

    query: Annotated[str | None, printable(2000)] = None
    pricing: Annotated[Pricing | None, parsed_by(Pricing)] = None


PROVIDER = Provider(
    traits=ProviderTraits(
        name="browserbase",
        open_statuses=_OPEN,
        ended_statuses=_ENDED,
        endings=(*_ENDED, UNKNOWN),
        regions=("us-west-2", "us-east-1", "eu-central-1", "ap-southeast-1"),
        cost_source="estimated",
        keep_alive=True,
    ),
    title="Browserbase",
    base_url="https://api.browserbase.com",
    key_header="X-BB-API-Key",
    endpoints=(PATH,),
    open=lambda api, options: BrowserbaseReader(api, options.query),
    options=Options,
)
