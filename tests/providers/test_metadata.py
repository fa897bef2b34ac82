"""Labels of sessions' metadata, as both providers' lists have it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.api import Answer, Api
from exporter.model import Listing, MetadataPairs, ReadWindow
from exporter.providers import PROVIDERS
from exporter.providers.metadata import MAX_CACHED_BYTES, label_value

NOW = 1_777_640_400_000_000
BEGUN, ENDED = "2026-05-01T12:00:00Z", "2026-05-01T12:05:00Z"
LABELS = (("customer", "Customer Id"), ("squad", "team"), ("team", "team"))
Row = Callable[[str, object, str], dict[str, Any]]


class Canned(Api):
    """Answers with the same rows to every request."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def clock(self) -> float:
        return 0.0

    def get(self, *_: Any, **__: Any) -> Answer:
        return Answer(self.body, NOW)


def browserbase(name: str, metadata: object, status: str = "COMPLETED") -> dict[str, Any]:
    times = {"createdAt": BEGUN, "startedAt": BEGUN, **({} if status == "RUNNING" else {"endedAt": ENDED})}
    row = {"id": name, "status": status, "userMetadata": metadata, "proxyBytes": 7, **times}
    return {key: value for key, value in row.items() if value is not ...}


def browser_use(name: str, metadata: object, status: str = "stopped") -> dict[str, Any]:
    row = {"id": name, "status": status, "metadata": metadata, "startedAt": BEGUN, "finishedAt": ENDED}
    figures = dict.fromkeys(("proxyUsedMb", "proxyCost", "browserCost"), "1.5")
    return {key: value for key, value in {**row, **figures}.items() if value is not ...}


def bodies(provider: str, rows: list[str]) -> bytes:
    text = ",".join(rows)
    if provider == "browserbase":
        return f"[{text}]".encode()
    return f'{{"items": [{text}], "totalItems": {len(rows)}, "pageSize": 100}}'.encode()


def read(
    provider: str, rows: list[str], labels: tuple[tuple[str, str], ...] = LABELS, options: object = None
) -> Listing:
    described = PROVIDERS[provider]
    reader = described.open(Canned(bodies(provider, rows)), options or described.options(), labels)
    return reader.read(ReadWindow(), 30.0)


ROWS: dict[str, Row] = {"browserbase": browserbase, "browser_use": browser_use}
each_provider = pytest.mark.parametrize("provider", ROWS)


def metadata_of(provider: str, metadata: object, json_text: str | None = None) -> MetadataPairs:
    """The labels of the only session, whose row can be used whole."""
    row = ROWS[provider]
    ended = {"browserbase": "COMPLETED", "browser_use": "stopped"}[provider]
    text = json.dumps(row("one", metadata, ended))
    if json_text is not None:
        text = text.replace('"HERE"', json_text)
    listing = read(provider, [text])
    assert listing.rejected == {}
    if provider == "browserbase":  # Browser Use's ended sessions are not all read, and listed without labels
        assert {one.series for one in listing.sessions} == {series for series, _ in listing.listed}
    (pairs,) = {one.series.metadata for one in listing.sessions}
    return pairs


@each_provider
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('"Checkout"', "Checkout"),
        ('""', ""),
        ('" "', " "),
        ("null", "null"),
        ("true", "true"),
        ("false", "false"),
        ("7", "7"),
        ("-1.50", "-1.50"),
        ("1e400", "1e400"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('[1, "b"]', '[1,"b"]'),
        ('{"a": {"b":  null}}', '{"a":{"b":null}}'),
        ("[]", "[]"),
        ('"\\u0043afé\\n\\u202e\\u0000 \\"x\\" \\\\"', 'Café "x" \\'),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\ud83d"', "\ufffd"),
        ('["\\ud83d"]', '["\\ufffd"]'),
        (f'"{"x" * 101}"', "x" * 100),
        (f'"{chr(0x4E16) * 300}"', chr(0x4E16) * 100),
        (f'"{"y" * MAX_CACHED_BYTES}"', "y" * 100),
    ],
)
def test_a_value_of_any_json_type_is_a_label_value(provider: str, value: str, shown: str) -> None:
    expected = (("squad", shown), ("team", shown)) if shown else ()
    assert metadata_of(provider, {"team": "HERE"}, value) == expected


@each_provider
@pytest.mark.parametrize("metadata", [..., None, {}, {"other": "x", "Team": "y"}])
def test_what_is_missing_is_empty(provider: str, metadata: object) -> None:
    assert metadata_of(provider, metadata) == ()


@each_provider
@pytest.mark.parametrize("metadata", [[], ["team"], "team", 7, True])
def test_metadata_that_is_no_object_costs_its_labels_not_the_row(provider: str, metadata: object) -> None:
    row, ended = ROWS[provider], {"browserbase": "COMPLETED", "browser_use": "stopped"}[provider]
    listing = read(provider, [json.dumps(row("one", metadata, ended))])
    assert {one.series.metadata for one in listing.sessions} == {()}
    assert listing.rejected["field"] >= 1


@each_provider
def test_keys_are_told_apart_and_labels_are_in_their_order(provider: str) -> None:
    metadata = {"Customer Id": "ACME", "team": "a", "customer id": "no"}
    assert metadata_of(provider, metadata) == (("customer", "ACME"), ("squad", "a"), ("team", "a"))


@each_provider
def test_without_labels_metadata_is_not_read_at_all(provider: str) -> None:
    ended = {"browserbase": "COMPLETED", "browser_use": "stopped"}[provider]
    rows = [json.dumps(ROWS[provider](f"s{n}", value, ended)) for n, value in enumerate([{"team": "a"}, 7])]
    listing = read(provider, rows, ())
    assert listing.rejected == {}
    assert {series.metadata for series, _ in listing.listed} == {()}


def test_the_list_is_counted_by_its_labels() -> None:
    teams = ["a", "b", "a", ..., "a"]
    rows = [
        json.dumps(browserbase(f"s{n}", {"team": team} if team is not ... else ..., "RUNNING"))
        for n, team in enumerate(teams)
    ]
    listing = read("browserbase", rows, (("team", "team"),))
    assert {series.metadata: n for (series, _), n in listing.listed.items()} == {
        (("team", "a"),): 3,
        (("team", "b"),): 1,
        (): 1,
    }


@given(st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_any_metadata_gives_labels_that_can_be_sent(metadata: dict[str, object]) -> None:
    labels = tuple(("l" + str(n), key) for n, key in enumerate(metadata) if key.isprintable() and key)
    labels = tuple(pair for pair in labels if '"' not in pair[1] and "\\" not in pair[1])
    listing = read("browserbase", [json.dumps(browserbase("one", metadata))], labels)
    assert listing.rejected == {}
    for _, value in listing.sessions[0].series.metadata:
        assert value
        assert value.isprintable()
        assert len(value) <= 100


@given(st.binary(max_size=20))
def test_text_that_is_no_utf8_still_has_a_label_value(junk: bytes) -> None:
    inside = junk.replace(b'"', b"").replace(b"\\", b"").replace(b"\n", b"")
    assert label_value(b'"' + inside + b'"').isprintable()


def test_large_values_are_told_apart_by_their_beginnings() -> None:
    rows = [json.dumps(browserbase(f"s{n}", {"team": f"{n}" + "z" * 2000}, "RUNNING")) for n in range(1000)]
    listing = read("browserbase", rows, (("team", "team"),))
    assert len(listing.listed) == len(rows)
