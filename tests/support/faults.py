"""Everything that a provider may do wrong, as data: its name in docs/faults.md, and what is to come of it."""

import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import msgspec
import trustme

from tests.support.misbehaviour import Reply, answer, broken_off, deaf, dripping, replying, reset, silent
from tests.support.provider_servers import (
    AFTER,
    BEFORE,
    BOTH,
    MEANWHILE,
    MEGABYTE,
    Place,
    Row,
    Stand,
    page,
    rows,
    truthful,
)
from tests.support.providers import BROWSER_USE, BROWSERBASE

HOURS = 6 * 3600
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NESTED = b"[" * 100_000
LONG_PAST = datetime(2020, 1, 1, tzinfo=UTC)


class Fault(msgspec.Struct, frozen=True):
    """What a provider does, and what is to come of it.

    reason: under which each scrape is counted as failed; None: the scrape is good all the same.
    stand: what stands in the provider's place. of: the providers that can do so. secure: TLS is wanted.
    course: which it runs in: what ends by a scrape's timeout, or asks for silence, runs with its like.
    host: where it is configured to be meanwhile. rejected: rows left out at each scrape, by reason.
    listed: gauges that show something else meanwhile. counted: counters that rise, and by how much.
    """

    name: str
    reason: str | None
    stand: Stand
    of: tuple[str, ...] = BOTH
    secure: bool = False
    course: str = "quick"
    host: str = "localhost"
    rejected: Mapping[str, int] = {}
    listed: Mapping[str, float] = {}
    counted: Mapping[str, float] = {}


def always(reply: Reply) -> Stand:
    """The same reply to each request."""
    return lambda place: place.serve(lambda _: reply)


def status(line: str, **headers: str) -> Stand:
    return always(answer(b'{"message": "no"}', line, **headers))


def body(text: bytes, **headers: str) -> Stand:
    return always(answer(text, **headers))


def bodies(browserbase: bytes, browser_use: bytes) -> Stand:
    return lambda place: place.serve(lambda _: answer(place.pick(browserbase, browser_use)))


def pages(make: Callable[[Place], list[Any]] | None = None, **about: Any) -> Stand:
    """The list, made otherwise or told with something else about it."""

    def stand(place: Place) -> AbstractContextManager[Any]:
        shown = make(place) if make else rows(place, BEFORE)
        return place.serve(lambda head: page(place, head, shown, **about))

    return stand


def with_row(browserbase: Row, browser_use: Row) -> Stand:
    """The list, and a row like its last but for some fields."""

    def make(place: Place) -> list[Row]:
        shown = rows(place, BEFORE)
        return [*shown, {**shown[-1], "id": "x", **place.pick(browserbase, browser_use)}]

    return pages(make)


def no_sessions(place: Place) -> AbstractContextManager[Any]:
    """A list of something else."""
    made = [None, {"error": "maintenance"}]
    stand = place.pick(body(json.dumps(made).encode()), pages(items=made, totalItems=2))
    return stand(place)


def early(place: Place) -> AbstractContextManager[Any]:
    """A session that is to begin is listed already, as if it did so in hours."""
    later, begun = rows(place, AFTER)[-1]["id"], place.stamp(HOURS)
    browserbase = {
        "createdAt": begun,
        "startedAt": begun,
        "updatedAt": begun,
        "proxyBytes": 0,
        "keepAlive": False,
    }
    browser_use = {"startedAt": begun, "proxyUsedMb": "0", "proxyCost": "0", "browserCost": "0"}
    return with_row({"id": later, **browserbase}, {"id": later, **browser_use})(place)


def plain(place: Place) -> AbstractContextManager[Any]:
    """Without TLS, whatever is wanted."""
    return replying(lambda _: answer(status="400 Bad Request"), port=place.port)


def tls(name: str = "localhost", ca: trustme.CA | None = None, **terms: Any) -> Stand:
    return lambda place: replying(lambda _: answer(b"[]"), place.tls(name, ca, **terms), place.port)


def redirect(place: Place) -> AbstractContextManager[Any]:
    return place.serve(lambda _: answer(b"", "302 Found", Location=f"{place.elsewhere}/v1/sessions"))


def dated(place: Place) -> AbstractContextManager[Any]:
    """The end of the wait as a date, by this machine's clock."""
    return place.serve(
        lambda _: answer(b"", "429 Slow", Retry_After=formatdate(time.time() + SOON, usegmt=True))
    )


def endless(place: Place) -> AbstractContextManager[Any]:
    """A body that never ends, as fast as it is read."""
    chunk = b"10000\r\n" + b"[" + b" " * 0xFFFF + b"\r\n"

    def reply(connection: socket.socket) -> None:
        connection.sendall(CHUNKED)
        while True:
            connection.sendall(chunk)

    return place.serve(lambda _: reply)


def same_page(place: Place) -> AbstractContextManager[Any]:
    """A hundred sessions, whichever page is asked for, of ten thousand."""
    items = [rows(place, BEFORE)[-1] | {"id": str(index)} for index in range(100)]
    return body(json.dumps({"items": items, "totalItems": 10_000, "pageSize": 100}).encode())(place)


def endless_pages(place: Place) -> AbstractContextManager[Any]:
    """Every page is full of open sessions that no page before had."""
    row = rows(place, BEFORE)[-1]

    def reply(head: bytes) -> bytes:
        number = int(head.split(b"pageNumber=")[1].split(b"&")[0].split()[0])
        items = [row | {"id": f"{number}-{index}"} for index in range(100)]
        return answer(json.dumps({"items": items, "totalItems": number * 100 + 1, "pageSize": 100}).encode())

    return place.serve(reply)


def bomb(inflated: int) -> bytes:
    """So many bytes of nothing in a thousandth of them, as gzip."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(b"[") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(16 * MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (inflated // (16 * MEGABYTE))


TWO_OPEN = {"sessions p us-west-2 running": 2.0, "sessions unknown active": 2.0}
ONE_MORE = {"sessions_started_total p us-west-2": 1.0, "sessions_started_total unknown": 1.0}
GZIP = {"Content_Encoding": "gzip"}
SOON = 6  # seconds: longer than a silent scrape may take, and not long to wait for

FAULTS = (
    Fault("401", "auth", status("401 Unauthorized")),
    Fault("402", "payment", status("402 Payment Required")),
    Fault("403", "auth", status("403 Forbidden")),
    Fault("404", "client", status("404 Not Found")),
    Fault("408", "client", status("408 Request Timeout")),
    Fault("429 without Retry-After", "rate_limited", status("429 Too Many Requests")),
    Fault("429 with an absurd Retry-After", "rate_limited", status("429 Slow", Retry_After="99999999")),
    Fault("500", "server", status("500 Internal Server Error")),
    Fault("502", "server", status("502 Bad Gateway")),
    Fault("503", "server", status("503 Service Unavailable")),
    Fault("a redirect", "redirect", redirect),
    Fault("a name that is not found", "unreachable", truthful(MEANWHILE), host="no-such-host.invalid"),
    Fault("connections refused", "unreachable", lambda _: nullcontext()),
    Fault("a reset", "unreachable", always(reset)),
    Fault("closed without an answer", "unreachable", always(broken_off())),
    Fault("closed within the status line", "unreachable", always(broken_off(b"HTTP/1.1 20"))),
    Fault(
        "closed within the headers", "unreachable", always(broken_off(b"HTTP/1.1 200 OK\r\nServer: a\r\n"))
    ),
    Fault("a body cut short", "unreachable", always(broken_off(answer(b'[{"id": "a"}]')[:-4]))),
    Fault("something that is not HTTP", "unreachable", always(broken_off(b"220 ready\r\n"))),
    Fault("a certificate of an unknown authority", "tls", tls(ca=trustme.CA()), secure=True),
    Fault("a certificate of another name", "tls", tls("elsewhere.example"), secure=True),
    Fault("an expired certificate", "tls", tls(not_after=LONG_PAST), secure=True),
    Fault("plain text where TLS is wanted", "tls", plain, secure=True),
    Fault("no answer", "timeout", always(silent), course="slow"),
    Fault("no answer over TLS", "timeout", always(silent), course="slow", secure=True),
    Fault("connections neither taken nor refused", "timeout", lambda place: deaf(place.port), course="slow"),
    Fault("a head byte by byte", "timeout", always(dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x")), course="slow"),
    Fault("a body byte by byte", "timeout", always(dripping(CHUNKED, b"1\r\n \r\n")), course="slow"),
    Fault("pages without end", "timeout", endless_pages, (BROWSER_USE,)),
    Fault("HTML", "bad_payload", body(b"<!doctype html><title>Sign in</title>", Content_Type="text/html")),
    Fault("an empty body", "bad_payload", body(b"")),
    Fault("what is not JSON", "bad_payload", body(b'[{"id": ')),
    Fault("a string", "bad_payload", body(b'"sessions"')),
    Fault("a number", "bad_payload", body(b"7")),
    Fault("null", "bad_payload", body(b"null")),
    Fault("an object for an array, or an array for an object", "bad_payload", bodies(b"{}", b"[]")),
    Fault("items that are no array", "bad_payload", pages(items={"0": None}), (BROWSER_USE,)),
    Fault("items that are null", "bad_payload", pages(items=None), (BROWSER_USE,)),
    Fault("100,000 nested brackets", "bad_payload", bodies(NESTED, b'{"totalItems": 1, "items": ' + NESTED)),
    Fault("another encoding", "bad_payload", bodies("[]".encode("utf-16"), '{"items": []}'.encode("utf-16"))),
    Fault("broken gzip", "bad_payload", body(gzip.compress(b"[]")[:-9] + b"?" * 9, **GZIP)),
    Fault("a body that is no gzip", "bad_payload", body(b"[]", **GZIP)),
    Fault("totalItems below zero", "bad_payload", pages(totalItems=-1), (BROWSER_USE,)),
    Fault("totalItems of a billion", "bad_payload", pages(totalItems=10**9), (BROWSER_USE,)),
    Fault(
        "an empty page of a list that is not", "bad_payload", pages(items=[], totalItems=2), (BROWSER_USE,)
    ),
    Fault("rows that are no sessions", "bad_payload", no_sessions),
    Fault("the same page again and again", "bad_payload", same_page, (BROWSER_USE,)),
    Fault(
        "page after page of invalid rows",
        "bad_payload",
        pages(items=[7] * 100, totalItems=10**6),
        (BROWSER_USE,),
    ),
    Fault("a gzip bomb", "too_large", body(bomb(4096 * MEGABYTE), **GZIP), course="greedy"),
    Fault(
        "a gzip bomb in gzip",
        "too_large",
        body(gzip.compress(bomb(4096 * MEGABYTE)), Content_Encoding="gzip, gzip"),
        course="greedy",
    ),
    Fault(
        "a body over max_response_bytes",
        "too_large",
        body(b"[" + b" " * 16 * MEGABYTE + b"]"),
        course="greedy",
    ),
    Fault("a body without end", "too_large", endless, course="greedy"),
    Fault(
        "429 with Retry-After in seconds",
        "rate_limited",
        status("429 Slow", Retry_After=str(SOON)),
        course="silent",
    ),
    Fault("429 with Retry-After as a date", "rate_limited", dated, course="silent"),
    Fault(
        "503 with Retry-After in seconds",
        "server",
        status("503 Busy", Retry_After=str(SOON)),
        course="silent",
    ),
    Fault(
        "the same row again and again", None, pages(lambda place: rows(place, BEFORE) * 50), (BROWSERBASE,)
    ),
    Fault("an invalid row", None, with_row({"createdAt": 7}, {"startedAt": 7}), rejected={"malformed": 1}),
    Fault("a clock hours ahead", None, pages(clock=HOURS), course="clocks"),
    Fault("a clock hours behind", None, pages(clock=-HOURS), course="clocks"),
    Fault("a session from the future", None, early, course="clocks", listed=TWO_OPEN, counted=ONE_MORE),
)
