"""Browser Use's rows: what the API writes of browser sessions, in exact figures.

    page(body)               # an Answer; raises PayloadError
    decode(raw)              # a Browser, of one of its items; raises RowError
    session(browser, now)    # what it is at a time of the provider's; raises RowError

Facts are from the OpenAPI page of List Browser Sessions and, where that is silent, from clients in the
wild: an MB is 2^20 bytes; decimals have up to 28 digits and may be null; `liveUrl`, `cdpUrl` and
`recordingUrl` open a user's browser to whoever has them, and are never read.
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
MAX_PAGE_BYTES = 1 << 22  # of a hundred sessions: forty KiB for each
MAX_FIELDS = 200_000  # on a page: ten times as many as a hundred sessions have with all their metadata
MAX_ROWS = 1000  # on a page: ten times as many as are asked for
MAX_SESSIONS = 10**12  # in a list: a float, and so a gauge, tells each number up to there
MEGABYTE = 1 << 20
SERIES = Series("", UNKNOWN)
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TEXT = re.compile(rb'"(?=([^"\\]{1,400})")')  # an id of a hundred characters, and what may stand for one


class Row(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A session as the API writes it, as far as it is needed."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]
    status: Annotated[str, Meta(min_length=1)]
    started_at: datetime
    timeout_at: datetime | None = None
    finished_at: datetime | None = None
    proxy_used_mb: Decimal | None = None
    proxy_cost: Decimal | None = None
    browser_cost: Decimal | None = None


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """A page as the API writes it."""

    items: Annotated[list[msgspec.Raw], Meta(max_length=MAX_ROWS)]
    total_items: Annotated[int, Meta(ge=0, le=MAX_SESSIONS)]
    page_size: Annotated[int, Meta(ge=1)] | None = None


class Browser(msgspec.Struct, frozen=True, gc=False):
    """What a row says, whatever time it is: small, however long the row.

    Times are microseconds since 1970; that of `usage` is 0.
    """

    id: str
    status: str
    started: int
    finished: int | None
    timeout: int | None
    usage: Usage


class RowError(Exception):
    """A row that makes no sense, and why: one of `REJECTIONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_ANSWER = msgspec.json.Decoder(Answer)
_ROW = msgspec.json.Decoder(Row)


def page(body: bytes) -> Answer:
    """A page, its items not yet looked at.

    Raises:
        PayloadError: for anything else, and for one that is too long to be looked at.
    """
    if len(body) > MAX_PAGE_BYTES or body.count(b",") > MAX_FIELDS:
        raise PayloadError("a page of browsers is far longer than any; check base_url")
    try:
        return repair_lone_surrogates(_ANSWER.decode, body)
    except _UNREADABLE as error:
        raise PayloadError("a page of browsers is not what the API describes; check base_url") from error


def decode(raw: bytes | msgspec.Raw) -> Browser:
    """What a row says.

    Raises:
        RowError: for a row that makes no sense at any time.
    """
    try:
        row = _ROW.decode(raw)
    except _UNREADABLE as error:
        raise RowError("malformed") from error
    return Browser(
        id=row.id,
        status=sanitize_label(row.status),
        started=micros(row.started_at),
        finished=None if row.finished_at is None else micros(row.finished_at),
        timeout=None if row.timeout_at is None else micros(row.timeout_at),
        usage=Usage(
            proxy_bytes=_whole(row.proxy_used_mb, MEGABYTE, MAX_BYTES),
            browser_cost=_whole(row.browser_cost, NANO_USD, MAX_NANO_USD),
            proxy_cost=_whole(row.proxy_cost, NANO_USD, MAX_NANO_USD),
        ),
    )


def named(raw: bytes | msgspec.Raw, sought: Container[str]) -> set[str]:
    """Which of the ids sought stand in a row, also in one that makes no sense."""
    texts = (match[1].decode(errors="replace") for match in _TEXT.finditer(raw))
    return {text for text in texts if text in sought}


def session(browser: Browser, now: int) -> Session:
    """What a browser session is, by a time of the provider's.

    Raises:
        RowError: for one that ends before it starts, or runs for many years.
    """
    status, started, finished = browser.status, browser.started, browser.finished
    is_open = status == OPEN or (status != STOPPED and finished is None)
    lasted = max(0, now - started) if is_open else (started if finished is None else finished) - started
    if not 0 <= lasted <= MAX_DURATION:
        raise RowError("times")
    return Session(
        id=browser.id,
        series=SERIES,
        status=status,
        created=started,
        usage=msgspec.structs.replace(browser.usage, time=lasted),
        started=started,
        ended=None if is_open else _end(browser, now),
        ending=None if is_open else _ending(browser),
        expires=browser.timeout,
    )


def _whole(figure: Decimal | None, units: int, most: int) -> int:
    """A decimal in whole units, rounded half to even; no float on the way.

    Raises:
        RowError: for a figure that is negative, absurd or no number.
    """
    if figure is None:
        return 0
    if not figure.is_finite() or not 0 <= figure <= most // units:
        raise RowError("out_of_range")
    return int(_EXACT.to_integral_value(_EXACT.multiply(figure, Decimal(units))))


def _end(browser: Browser, now: int) -> int:
    """When it ended. A stopped session without `finishedAt` had by now, and by its timeout if it has one."""
    if browser.finished is not None:
        return browser.finished
    return max(browser.started, min(now, browser.timeout or browser.started))


def _ending(browser: Browser) -> str:
    """The API says `stopped` of every end; one at the timeout, but for a second, was the timeout's."""
    finished, timeout = browser.finished, browser.timeout
    timed_out = finished is not None and timeout is not None and finished >= timeout - SECOND
    return TIMED_OUT if browser.status == STOPPED and timed_out else browser.status
