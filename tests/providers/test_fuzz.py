"""Ten thousand random and mutated inputs each: only documented errors are raised, no odd value passes."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.client.api import Answer, Api
from exporter.client.errors import AnswerTimeoutError, PayloadError
from exporter.client.server_time import resolve_time
from exporter.config import settings as config
from exporter.model import HOUR, REJECTIONS, Listing, ReadWindow, Session
from exporter.providers import PROVIDERS
from exporter.providers.base import AccountReading
from exporter.providers.browser_use.account import BrowserUseAccount
from exporter.providers.browser_use.reader import BrowserUse
from exporter.providers.browserbase.account import BrowserbaseAccount
from exporter.providers.browserbase.reader import BrowserbaseReader
from exporter.providers.decoding import MAX_BYTES, MAX_DURATION, MAX_NANO_USD

T = TypeVar("T")

MANY = settings(max_examples=10_000)
SLOW = pytest.mark.slow
NOW = 1_777_644_000_000_000  # 2026-05-01T14:00:00Z
CLOCKS = [NOW, None, NOW + 6 * HOUR, NOW - 6 * HOUR, 0, 2**60]
ALL = ReadWindow()
HORIZONS = [ALL, ReadWindow(NOW - HOUR, {"one": NOW - 5 * HOUR, "gone": NOW}), ReadWindow(2**62)]

CONFIGURATIONS = (
    {"accounts": [{"name": "a", "provider": "browserbase", "api_key_env": "K", "base_url": "http://[::1]:80/x"}]},
    {"accounts": [{"name": "a", "provider": "browserbase", "api_key_file": "api.key", "query": "q:'x'"}]},
    {
        "accounts": [{"name": "a", "provider": "browserbase", "api_key_env": "K", "pricing": {
            "browser_usd_per_hour": "0.12", "proxy_usd_per_gb": "12", "minimum_seconds": "60"}}],
    },
    {"accounts": [{"name": "a", "provider": "browser_use", "api_key_env": "K"}], "scrape": {
        "timeout": "10s", "timeout_offset": "500ms", "min_interval": "1m", "max_response_bytes": "1000"}},
    {"accounts": [{"name": "a", "provider": "browser_use", "api_key_env": "K"}] * 2, "ledger": {
        "url": "sqlite:///x", "history": "skip", "settle_after": "1h30m"}},
)  # fmt: skip

ENVIRON = {"K": "key", "TWO": "a\nb", "HOME": "/"}

SESSION = {
    "id": "one",
    "createdAt": "2026-05-01T12:00:00.000Z",
    "updatedAt": "2026-05-01T12:01:20.000Z",
    "startedAt": "2026-05-01T12:00:10.000Z",
    "endedAt": "2026-05-01T12:01:10.000Z",
    "expiresAt": "2026-05-01T13:00:00.000Z",
    "projectId": "project",
    "status": "COMPLETED",
    "proxyBytes": 1234,
    "keepAlive": False,
    "region": "us-west-2",
    "userMetadata": {"team": "a"},
}
BROWSER = {
    "id": "one",
    "status": "stopped",
    "startedAt": "2026-05-01T12:00:10.123456Z",
    "timeoutAt": "2026-05-01T13:00:00Z",
    "finishedAt": "2026-05-01T12:01:10.123456Z",
    "proxyUsedMb": "5.8607378005981443438",
    "proxyCost": "0.02",
    "browserCost": "0.001",
    "liveUrl": "https://live/",
}
LIST = [SESSION, SESSION | {"id": "two", "status": "RUNNING", "endedAt": None}]
PAGE: dict[str, object] = {
    "items": [BROWSER, BROWSER | {"id": "two", "status": "active", "finishedAt": None}],
    "totalItems": 2,
    "pageNumber": 1,
    "pageSize": 100,
}
PROJECTS = [
    {"id": "p1", "name": "one", "concurrency": 25, "defaultTimeout": 900},
    {"id": "p2", "name": "two", "concurrency": None},
]
USAGE = {"browserMinutes": 90, "proxyBytes": 1234}
BILLING = {
    "totalCreditsBalanceUsd": 12.5,
    "monthlyCreditsBalanceUsd": 10,
    "additionalCreditsBalanceUsd": 2.5,
    "concurrentSessionLimit": 250,
    "activeSessionCount": 7,
    "planInfo": {"planName": "Business"},
    "projectId": "p1",
}
# What stands in place of a value, as it is written.
TIMES = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "0000-01-01T00:00:00Z", "2026-05-01T24:00:00Z",
    "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-23:59", "10000-01-01T00:00:00Z",
    "2016-12-31T23:59:60Z", "2026-05-01T12:00:10", "2026-05-01 12:00:10+00:00", "2026-05-01",
    "1969-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "2026-05-01T12:00:10.123456789012345Z",
    "2026-05-01T12:00:10+24:00", "2026-05-01T12:00:10+05:30:15",
)  # fmt: skip
FIGURES = (
    "-1", "-0", "0", "1", "2.5", "1e400", "-1e400", "1e-400", "1E+999999999", "9" * 400, "0." + "1" * 400,
    "1" * 5000, "NaN", "sNaN", "Infinity", "-Infinity", "5.", ".5", "+5", "1_0", " 5 ", "٣", "0x10", "1e",
)  # fmt: skip
WORDS = (
    "", " ", "STOPPED", "active", "RUNNING", "x" * 5000, "\n", 'a"b\\c', "\x00", "\x1b[31m", "é",
    "\u202eevil", "\u2028", "two", "unknown",
)  # fmt: skip
RAW = (
    "null", "true", "[]", "{}", "[" * 200 + "]" * 200, "\\", "'",
    '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"',
    *(json.dumps(text) for text in (*TIMES, *WORDS, *FIGURES)), *FIGURES, "1777644000", "1777644000000",
)  # fmt: skip
PIECES = (b"", b"\xff", b"\x00", b'"', b"\\", b"{", b"]", b",", b":", b"\n", b"\xed\xa0\x80")

YAML = (
    "~", "no", "!!int x", "!x y", "*a", "&a [*a]", "|", "? a", "- a", "<<: {a: b}", "%YAML 9", "---", "...",
    '"\\UFFFFFFFF"', "0s", "1y1y", "99999999999999999999y", "101y", "1e3", "sqlite:///:memory:", "postgresql://u:p@h/d",
    "http://h:65536", "http://u@h", "file:///x", "../../x", "/", "K", "TWO", "browser_use",
    "{name: a}", "[[a]]", *(raw for raw in RAW if len(raw) < 60),
)  # fmt: skip

# Bytes that say what to do with a good input: ten thousand leave time for one draw of hypothesis's each.
RECIPES = st.binary(max_size=16)


def places(value: Any) -> Iterable[tuple[Any, Any]]:
    """Every container in a JSON value, with a key or an index of its own."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from places(inner)


def edited(document: object, edits: Iterable[tuple[int, int]], values: tuple[str, ...] = RAW) -> bytes:
    """The document as JSON, with something else in some places, whatever that is worth."""
    copy, raws = json.loads(json.dumps(document)), list[str]()
    for place, what in edits:
        if found := list(places(copy)):
            container, key = found[place % len(found)]
            container[key] = f"<{len(raws)}>"
            raws.append(values[what % len(values)])
    text = json.dumps(copy)
    for index, raw in enumerate(raws):
        text = text.replace(f'"<{index}>"', raw)
    return text.encode()


def mutated(
    write: Callable[[Iterable[tuple[int, int]]], bytes], recipe: bytes, nested: int = 100_000
) -> bytes:
    """What a recipe makes of the input that `write` writes, given edits; or, after a 0, the recipe itself."""
    if recipe[:1] == b"\0":
        return recipe[1:]
    pieces = (*PIECES, b"[" * nested)
    steps = list(zip(*[iter(recipe)] * 3, strict=False))
    body = write([(place, what) for kind, place, what in steps if kind % 4])
    for kind, place, what in steps:
        if kind % 4 == 0:
            start = place * len(body) // 256
            body = body[:start] + pieces[what % len(pieces)] + body[start + kind // 4 :]
    return body


class Scripted(Api):
    """Answers with bodies, one after the other and the last again and again, at one time."""

    def __init__(self, bodies: list[bytes], date: int | None) -> None:
        self._bodies, self._time, self._base = bodies, resolve_time(date, NOW), ""
        self.clock = lambda: 0.0

    def get(self, *_: Any, **__: Any) -> Answer:
        return Answer(self._bodies.pop(0) if len(self._bodies) > 1 else self._bodies[0], self._time)


def check(listing: Listing) -> None:
    """What may come out of any input at all."""
    assert set(listing.rejected) <= set(REJECTIONS)
    assert all(count > 0 for count in (*listing.listed.values(), *listing.rejected.values()))
    assert max([listing.remaining, *listing.listed.values()], default=0) < 2**53  # what a float can tell
    ids = {one.id for one in listing.sessions}
    assert not ids & set(listing.missing)
    assert not listing.rejected_ids & (ids | set(listing.missing))
    for series, status in listing.listed:
        check_words(series.project, series.region, status)
    for session in listing.sessions:
        check_session(session)
        check_words(session.series.project, session.series.region, session.status)


def check_session(session: Session) -> None:
    usage = session.usage
    assert 1 <= len(session.id) <= 100
    assert 0 <= usage.time <= MAX_DURATION + 1
    assert 0 <= usage.proxy_bytes <= MAX_BYTES
    assert 0 <= usage.browser_cost <= MAX_NANO_USD
    assert 0 <= usage.proxy_cost <= MAX_NANO_USD
    assert session.ended is None or session.started is None or session.ended >= session.started
    assert session.ended is not None or (session.ending is None and session.end_is_known)
    for time in (session.created, session.started, session.ended, session.expires):
        assert time is None or abs(time) < 2**62


def check_words(project: str, *words: str) -> None:
    assert project.isprintable()
    assert len(project) <= 100
    assert all(re.fullmatch("[a-z0-9_-]{1,40}", word) for word in words)


def of(choices: Sequence[T], recipe: bytes) -> T:
    return choices[sum(recipe) % len(choices)]


def read_browserbase(bodies: list[bytes], date: int | None, window: ReadWindow) -> Listing:
    return BrowserbaseReader(Scripted(bodies, date), None).read(window, 1.0)


def read_browser_use(bodies: list[bytes], date: int | None, window: ReadWindow) -> Listing:
    return BrowserUse(Scripted(bodies, date)).read(window, 1.0)


def read_account(bodies: list[bytes]) -> AccountReading:
    return BrowserbaseAccount(Scripted(bodies, NOW)).read(1.0)


def read_billing(bodies: list[bytes]) -> AccountReading:
    return BrowserUseAccount(Scripted(bodies, NOW)).read(1.0)


def check_report(reading: AccountReading) -> None:
    """What may come out of any answer beside the sessions: each sample once, bounded, and a known failure."""
    report, failure = reading.report, reading.failure
    assert failure is None or isinstance(failure, PayloadError)
    for of_project in (report.quotas, report.usage):
        names = [one.project for one in of_project]
        assert len(names) == len(set(names)) <= 100
        for name in names:
            check_words(name)
    figures = [(one.limit, one.used) for one in report.quotas]
    figures += [(one.browser_seconds, one.proxy_bytes) for one in report.usage]
    for figure in (one for pair in figures for one in pair):
        assert figure is None or (type(figure) is int and 0 <= figure <= 2**60)
    assert all(type(one) is float and abs(one) <= 2**53 for one in report.credit.values())
    for name in (*report.projects.values(), *([] if report.plan is None else [report.plan])):
        check_words(name)
        assert name.strip()


@pytest.mark.parametrize(("read", "whole"), [(read_browserbase, LIST), (read_browser_use, PAGE)])
def test_what_is_not_mutated_is_read(
    read: Callable[[list[bytes], int | None, ReadWindow], Listing], whole: object
) -> None:
    listing = read([edited(whole, [])], NOW, ALL)
    check(listing)
    assert ({one.id for one in listing.sessions}, listing.rejected) == ({"one", "two"}, {})


def test_a_total_that_no_gauge_can_show_is_refused() -> None:
    """Found by fuzzing: all of /metrics failed."""
    nonsense = {"items": [None], "totalItems": 10**400}
    with pytest.raises(PayloadError):
        read_browser_use([edited(PAGE | {"items": [], "totalItems": 0}, []), edited(nonsense, [])], NOW, ALL)


def test_no_session_ends_before_it_starts_however_late_our_clock_is() -> None:
    """Found by fuzzing: one that has stopped and says no end."""
    page = PAGE | {"items": [BROWSER | {"finishedAt": None}], "totalItems": 1}
    listing = read_browser_use([edited(page, [])], NOW - 6 * HOUR, ALL)
    assert {one.ended for one in listing.sessions} == {one.started for one in listing.sessions}


@SLOW
@MANY
@given(RECIPES)
def test_any_list_of_browserbase_is_read_or_refused(recipe: bytes) -> None:
    body = mutated(partial(edited, LIST), recipe)
    with suppress(PayloadError):
        check(read_browserbase([body], of(CLOCKS, recipe), of(HORIZONS, recipe)))


@SLOW
@MANY
@given(RECIPES, RECIPES)
def test_any_pages_of_browser_use_are_read_or_refused(recipe: bytes, later: bytes) -> None:
    bodies = [mutated(partial(edited, PAGE), one) for one in (recipe, later)]
    with suppress(PayloadError, AnswerTimeoutError):
        check(read_browser_use(bodies, of(CLOCKS, recipe), of(HORIZONS, later)))


def test_what_is_not_mutated_beside_the_sessions_is_read() -> None:
    projects = read_account([edited(PROJECTS, []), edited(USAGE, [])])
    billing = read_billing([edited(BILLING, [])])
    for reading in (projects, billing):
        check_report(reading)
        assert reading.failure is None
    assert (projects.report.quotas[0].limit, projects.report.usage[1].proxy_bytes) == (25, 1234)
    assert (billing.report.plan, billing.report.credit["total"]) == ("Business", 12.5)


@SLOW
@MANY
@given(RECIPES, RECIPES)
def test_any_projects_and_usage_are_read_or_refused(recipe: bytes, later: bytes) -> None:
    bodies = [mutated(partial(edited, PROJECTS), recipe), mutated(partial(edited, USAGE), later)]
    check_report(read_account(bodies))


@SLOW
@MANY
@given(RECIPES)
def test_any_billing_account_is_read_or_refused(recipe: bytes) -> None:
    check_report(read_billing([mutated(partial(edited, BILLING), recipe)]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz")
    (path / "api.key").write_text("key")
    return path


@pytest.mark.parametrize("document", CONFIGURATIONS[:-1])
def test_a_configuration_that_is_not_mutated_is_valid(folder: Path, document: object) -> None:
    path = folder / "good.yml"
    path.write_bytes(edited(document, []))
    check_config(config.load(path, PROVIDERS, ENVIRON))


@SLOW
@MANY
@given(RECIPES)
def test_any_configuration_is_read_or_refused(folder: Path, recipe: bytes) -> None:
    path = folder / "fuzz.yml"
    write = partial(edited, of(CONFIGURATIONS, recipe), values=YAML)
    path.write_bytes(mutated(write, recipe, nested=50))  # with more, YAML takes a second
    try:
        check_config(config.load(path, PROVIDERS, ENVIRON))
    except config.ConfigError as error:
        check_faults(error.faults, path)


def check_faults(faults: tuple[str, ...], path: Path) -> None:
    assert faults
    for fault in faults:
        assert fault.startswith((f"{path}: ", "--ledger.url: ", "ledger.url: "))
        assert fault.isprintable()
        assert len(fault) < 500


def check_config(made: config.Config) -> None:
    assert made.accounts
    for account in made.accounts:
        assert re.fullmatch(r"https?://[^@\s?#]+[^/]", account.base_url, re.IGNORECASE)
        assert account.name.isprintable()
        assert bool(account.api_key_env) != bool(account.api_key_file)
        assert account.key(ENVIRON).reveal()
    assert made.ledger.url.startswith("sqlite:///")
    assert 0 <= made.ledger.settle_after < 2**62
    assert 0 < made.scrape.timeout <= 86_400
    assert min(made.scrape.timeout_offset, made.scrape.min_interval) >= 0
    assert made.scrape.max_response_bytes > 0
