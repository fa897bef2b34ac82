"""The rows of Browser Use's API, decoded to exact figures.

    decode_page(body)               # a RawPage; raises PayloadError
    Rows(labels).session(raw, now)  # an item's session at a server time; raises RowError

Facts are from the OpenAPI page of List Browser Sessions and, where that is silent, from clients in the wild:
an MB is 2^20 bytes; decimals have up to 28 digits and may be null. `liveUrl`, `cdpUrl` and `recordingUrl` are
credentials for a user's browser, and are never decoded.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from exporter.client.errors import PayloadError
from exporter.labels import sanitize_label
from exporter.model import NANO_USD, SECOND, UNKNOWN, MetadataPairs, Series, Session, Usage, micros
from exporter.providers.decoding import (
    MAX_BYTES,
    MAX_CLOCK_NOISE,
    MAX_DURATION,
    MAX_NANO_USD,
    repair_lone_surrogates,
)
from exporter.providers.metadata import MetadataLabels
from exporter.providers.rows import UNREADABLE, Id, Moment, RowDecoder, RowError

OPEN, STOPPED, TIMED_OUT = "active", "stopped", "timed_out"
MAX_PAGE_BYTES = 1 << 22  # for a page of 100 sessions: 40 KiB for each
MAX_FIELDS = 200_000  # on a page: ten times as many as 100 sessions have with all their metadata
MAX_ROWS = 1000  # on a page: ten times as many as are requested
MAX_SESSIONS = 10**12  # in a list: a gauge's float is exact up to there
MEGABYTE = 1 << 20
SERIES = Series("", UNKNOWN)
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)


class BrowserRow(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The fields of a session in the API that are used."""

    id: Id
    status: Annotated[str, Meta(min_length=1)]
    started_at: Moment
    timeout_at: Moment | None = None
    finished_at: Moment | None = None
    proxy_used_mb: Decimal | None = None
    proxy_cost: Decimal | None = None
    browser_cost: Decimal | None = None


class RawPage(msgspec.Struct, frozen=True, rename="camel"):
    """A page of the API, its items not decoded yet."""

    items: Annotated[list[msgspec.Raw], Meta(max_length=MAX_ROWS)]
    total_items: Annotated[int, Meta(ge=0, le=MAX_SESSIONS)]
    page_size: Annotated[int, Meta(ge=1)] | None = None


_PAGE = msgspec.json.Decoder(RawPage)


class Rows:
    """Decodes the items of a page to sessions, with the metadata that is shown in labels.

    Args:
        labels: which that is.
    """

    def __init__(self, labels: MetadataLabels | None = None) -> None:
        self._labels = labels or MetadataLabels()
        row = self._labels.added_to(BrowserRow, "metadata")
        self._row = RowDecoder(row, needed={"finished_at", "proxy_used_mb", "proxy_cost", "browser_cost"})

    def decode(self, raw: bytes | msgspec.Raw) -> tuple[BrowserRow, bool]:
        """Decodes one item. Returns it, and whether a field of it was taken as absent.

        Raises:
            RowError: if a needed field is missing or of another type.
        """
        return self._row.decode(raw)

    def session(self, raw: bytes | msgspec.Raw, now: int) -> tuple[Session, bool]:
        """Returns an item's session as of a server time, and whether a field was taken as absent.

        Raises:
            RowError: if the item cannot be used.
        """
        row, is_partial = self._row.decode(raw)
        return to_session(row, now, self._labels.of(row)), is_partial


def decode_page(body: bytes) -> RawPage:
    """Decodes the envelope of a page.

    Raises:
        PayloadError: if the body is anything else, or too large to be decoded.
    """
    if len(body) > MAX_PAGE_BYTES or body.count(b",") > MAX_FIELDS:
        raise PayloadError("a page of browsers is far longer than any; check base_url")
    try:
        return repair_lone_surrogates(_PAGE.decode, body)
    except UNREADABLE as error:
        raise PayloadError("a page of browsers is not what the API describes; check base_url") from error


def to_session(row: BrowserRow, now: int, metadata: MetadataPairs = ()) -> Session:
    """Returns the session as of a server time; `metadata` are its labels.

    Raises:
        RowError: if a figure is out of range, or the session ends before it starts or runs for years.
    """
    status, started = sanitize_label(row.status), micros(row.started_at)
    finished = None if row.finished_at is None else micros(row.finished_at)
    timeout = None if row.timeout_at is None else micros(row.timeout_at)
    is_open = status == OPEN or (status != STOPPED and finished is None)
    # An end without `finishedAt` has happened by now, and by the timeout.
    ended = finished if finished is not None else max(started, min(now, timeout or started))
    lasted = max(0, now - started) if is_open else ended - started
    if not -MAX_CLOCK_NOISE < lasted <= MAX_DURATION:
        raise RowError("times", row.id)
    return Session(
        id=row.id,
        series=Series(SERIES.project, SERIES.region, metadata) if metadata else SERIES,
        status=status,
        created=started,
        usage=Usage(
            time=max(0, lasted),
            proxy_bytes=_whole(row, row.proxy_used_mb, MEGABYTE, MAX_BYTES),
            browser_cost=_whole(row, row.browser_cost, NANO_USD, MAX_NANO_USD),
            proxy_cost=_whole(row, row.proxy_cost, NANO_USD, MAX_NANO_USD),
        ),
        started=started,
        ended=None if is_open else max(started, ended),
        ending=_ending(finished, timeout) if status == STOPPED else None,
        expires=timeout,
        end_is_known=is_open or finished is not None,
        is_incomplete=None in (row.proxy_used_mb, row.browser_cost, row.proxy_cost),
    )


def _whole(row: BrowserRow, figure: Decimal | None, units: int, most: int) -> int:
    """Returns a decimal times `units` as an integer, rounded half to even, without going through floats.

    Raises:
        RowError: if the figure is above `most` or not a number.
    """
    if figure is None:
        return 0
    if not figure.is_finite() or figure > most // units:
        raise RowError("out_of_range", row.id)
    return int(_EXACT.to_integral_value(_EXACT.multiply(figure, Decimal(units))))


def _ending(finished: int | None, timeout: int | None) -> str:
    """Returns the ending. The API says `stopped` of a timeout too: of an end 1 s before it or later."""
    timed_out = finished is not None and timeout is not None and finished >= timeout - SECOND
    return TIMED_OUT if timed_out else STOPPED
