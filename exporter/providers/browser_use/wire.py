"""The rows of Browser Use's API, decoded to exact figures.

    decode_page(body)       # a RawPage; raises PayloadError
    decode_row(raw)         # a BrowserRow, of one of its items; raises RowError
    to_session(row, now)    # the session at a server time; raises RowError

Facts are from the OpenAPI page of List Browser Sessions and, where that is silent, from clients in the wild:
an MB is 2^20 bytes; decimals have up to 28 digits and may be null. `liveUrl`, `cdpUrl` and `recordingUrl` are
credentials for a user's browser, and are never decoded.
"""

import re
from collections.abc import Container
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from exporter.client.errors import PayloadError
from exporter.labels import sanitize_label
from exporter.model import NANO_USD, SECOND, UNKNOWN, Series, Session, Usage, micros
from exporter.providers.decoding import MAX_BYTES, MAX_DURATION, MAX_NANO_USD, repair_lone_surrogates

OPEN, STOPPED, TIMED_OUT = "active", "stopped", "timed_out"
MAX_PAGE_BYTES = 1 << 22  # for a page of 100 sessions: 40 KiB for each
MAX_FIELDS = 200_000  # on a page: ten times as many as 100 sessions have with all their metadata
MAX_ROWS = 1000  # on a page: ten times as many as are requested
MAX_SESSIONS = 10**12  # in a list: a gauge's float is exact up to there
MEGABYTE = 1 << 20
SERIES = Series("", UNKNOWN)
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_STRING = re.compile(rb'"(?=([^"\\]{1,400})")')  # an id has up to 100 characters of up to four bytes


class BrowserRow(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The fields of a session in the API that are used."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]
    status: Annotated[str, Meta(min_length=1)]
    started_at: datetime
    timeout_at: datetime | None = None
    finished_at: datetime | None = None
    proxy_used_mb: Decimal | None = None
    proxy_cost: Decimal | None = None
    browser_cost: Decimal | None = None


class RawPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of the API, its items not decoded yet."""

    items: Annotated[list[msgspec.Raw], Meta(max_length=MAX_ROWS)]
    total_items: Annotated[int, Meta(ge=0, le=MAX_SESSIONS)]
    page_size: Annotated[int, Meta(ge=1)] | None = None


class RowError(Exception):
    """A row cannot be used; `reason` is one of `REJECTIONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_PAGE = msgspec.json.Decoder(RawPage)
_ROW = msgspec.json.Decoder(BrowserRow)


def decode_page(body: bytes) -> RawPage:
    """Decodes the envelope of a page.

    Raises:
        PayloadError: if the body is anything else, or too large to be decoded.
    """
    if len(body) > MAX_PAGE_BYTES or body.count(b",") > MAX_FIELDS:
        raise PayloadError("a page of browsers is far longer than any; check base_url")
    try:
        return repair_lone_surrogates(_PAGE.decode, body)
    except _UNREADABLE as error:
        raise PayloadError("a page of browsers is not what the API describes; check base_url") from error


def decode_row(raw: bytes | msgspec.Raw) -> BrowserRow:
    """Decodes one item of a page.

    Raises:
        RowError: if a field is missing or of another type.
    """
    try:
        return _ROW.decode(raw)
    except _UNREADABLE as error:
        raise RowError("malformed") from error


def find_ids(raw: bytes | msgspec.Raw, ids: Container[str]) -> set[str]:
    """Returns which of the ids stand as a string in a row, even in one that cannot be used."""
    texts = (match[1].decode(errors="replace") for match in _STRING.finditer(raw))
    return {text for text in texts if text in ids}


def to_session(row: BrowserRow, now: int) -> Session:
    """Returns the session as of a server time.

    Raises:
        RowError: if a figure is out of range, or the session ends before it starts or runs for years.
    """
    status, started = sanitize_label(row.status), micros(row.started_at)
    finished, timeout = _optional_micros(row.finished_at), _optional_micros(row.timeout_at)
    is_open = status == OPEN or (status != STOPPED and finished is None)
    lasted = max(0, now - started) if is_open else (started if finished is None else finished) - started
    usage = Usage(
        time=lasted,
        proxy_bytes=_whole(row.proxy_used_mb, MEGABYTE, MAX_BYTES),
        browser_cost=_whole(row.browser_cost, NANO_USD, MAX_NANO_USD),
        proxy_cost=_whole(row.proxy_cost, NANO_USD, MAX_NANO_USD),
    )
    if not 0 <= lasted <= MAX_DURATION:
        raise RowError("times")
    return Session(
        id=row.id,
        series=SERIES,
        status=status,
        created=started,
        usage=usage,
        started=started,
        ended=None if is_open else _end(started, finished, timeout, now),
        ending=None if is_open else _ending(status, finished, timeout),
        expires=timeout,
    )


def _optional_micros(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)


def _whole(figure: Decimal | None, units: int, most: int) -> int:
    """Returns a decimal times `units` as an integer, rounded half to even, without going through floats.

    Raises:
        RowError: if the figure is negative, above `most` or not a number.
    """
    if figure is None:
        return 0
    if not figure.is_finite() or not 0 <= figure <= most // units:
        raise RowError("out_of_range")
    return int(_EXACT.to_integral_value(_EXACT.multiply(figure, Decimal(units))))


def _end(started: int, finished: int | None, timeout: int | None, now: int) -> int:
    """Returns the end. A stopped session without `finishedAt` has ended by now, and by its timeout."""
    return finished if finished is not None else max(started, min(now, timeout or started))


def _ending(status: str, finished: int | None, timeout: int | None) -> str:
    """Returns the ending. The API says `stopped` of a timeout too: of an end 1 s before it or later."""
    timed_out = finished is not None and timeout is not None and finished >= timeout - SECOND
    return TIMED_OUT if status == STOPPED and timed_out else status
