"""A row has every field that its provider documents, and no other; its figures are the fleet's."""

from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from exporter.simulator import browser_use, browserbase
from exporter.simulator.fleet import HOUR, SECOND, Fleet, ProviderFacts, SimulatedSession, session_at
from exporter.simulator.provider import encoded_rows

BROWSERBASE, BROWSER_USE = browserbase.FACTS, browser_use.FACTS
ORIGIN = 1_767_225_600 * SECOND + 123_456
FLEET = Fleet(origin=ORIGIN, history=200, error_ratio=0.1, timeout_ratio=0.1)
NOW = session_at(FLEET, BROWSERBASE, 60).created + 987_654  # that one is pending
ROWS = {BROWSERBASE: browserbase.row, BROWSER_USE: browser_use.row}

Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
Millis = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")]
Micros = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")]
Figure = Annotated[str, Meta(pattern=r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*\Z")]
Metadata = dict[Literal["env", "team"], str]


class Session(msgspec.Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """Browserbase's `Session`, field by field from its OpenAPI page."""

    id: Uuid
    created_at: Millis
    updated_at: Millis
    project_id: Uuid
    started_at: Millis
    expires_at: Millis
    status: Literal["PENDING", "RUNNING", "ERROR", "TIMED_OUT", "COMPLETED"]
    proxy_bytes: int
    keep_alive: bool
    region: Literal["us-west-2", "us-east-1", "eu-central-1", "ap-southeast-1"]
    user_metadata: Metadata
    ended_at: Millis | None = None
    context_id: Uuid | None = None


class Item(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Browser Use's `BrowserSessionItemView`, field by field from its OpenAPI page, and `metadata`."""

    id: Uuid
    status: Literal["active", "stopped"]
    live_url: str | None
    cdp_url: str | None
    timeout_at: Micros
    started_at: Micros
    finished_at: Micros | None
    proxy_used_mb: Figure
    proxy_cost: Figure
    browser_cost: Figure
    agent_session_id: Uuid | None
    recording_url: str | None
    metadata: Metadata


def sessions(provider: ProviderFacts) -> list[SimulatedSession]:
    return [session_at(FLEET, provider, index) for index in FLEET.listed(provider, NOW)]


def served(provider: ProviderFacts, t: int) -> bytes:
    return msgspec.json.encode(encoded_rows(FLEET, provider, ROWS[provider], FLEET.listed(provider, t), t))


def test_browserbases_rows_have_every_field() -> None:
    rows = msgspec.json.decode(served(BROWSERBASE, NOW), type=list[Session])
    assert [row.id for row in rows] == [session.id for session in sessions(BROWSERBASE)]
    assert {row.status for row in rows} == {"PENDING", "RUNNING", "ERROR", "TIMED_OUT", "COMPLETED"}
    assert {row.keep_alive for row in rows} == {True, False}
    assert {row.context_id is None for row in rows} == {True, False}
    for row in rows:
        assert (row.ended_at is None) == (row.status in ("PENDING", "RUNNING"))
        assert (row.status == "TIMED_OUT") == (row.ended_at == row.expires_at)
        assert (row.status != "PENDING") or (row.started_at == row.created_at)
        assert row.created_at <= row.started_at <= (row.ended_at or row.expires_at) <= row.expires_at
        assert row.created_at <= row.updated_at


def test_browser_uses_rows_have_every_field() -> None:
    rows = msgspec.json.decode(served(BROWSER_USE, NOW), type=list[Item])
    assert [row.id for row in rows] == [session.id for session in sessions(BROWSER_USE)]
    assert {row.agent_session_id is None for row in rows} == {True, False}
    for row in rows:
        active = row.status == "active"
        assert active == (row.finished_at is None) == (row.live_url is not None) == (row.cdp_url is not None)
        assert not (active and row.recording_url)
        assert all(".invalid/" in link for link in (row.live_url, row.cdp_url, row.recording_url) if link)
        assert row.started_at <= (row.finished_at or row.timeout_at) <= row.timeout_at
    assert {row.recording_url is None for row in rows if row.finished_at} == {True, False}


def test_figures_are_those_of_the_fleet_as_plain_decimals() -> None:
    rows = msgspec.json.decode(served(BROWSER_USE, NOW), type=list[Item])
    for row, session in zip(rows, sessions(BROWSER_USE), strict=True):
        assert Decimal(row.proxy_used_mb) * 2**20 == session.proxy_bytes(NOW)
        assert Decimal(row.proxy_cost) == session.proxy_cost(NOW)
        assert Decimal(row.browser_cost) == session.browser_cost(NOW)


def test_one_byte_is_written_without_an_exponent() -> None:
    session = msgspec.structs.replace(session_at(FLEET, BROWSER_USE, 0), traffic=1)
    row = browser_use.row(session, session.settled)
    assert row["proxyUsedMb"] == "0.00000095367431640625"
    assert row["proxyCost"] == "0.000000004656612873077392578125"


def test_rows_served_before_are_served_as_they_are_now() -> None:
    """A row that is kept encoded is one that can change no more."""
    for t in (NOW - HOUR, NOW, NOW + 2 * HOUR):
        for provider, row in ROWS.items():
            now = [row(session_at(FLEET, provider, index), t) for index in FLEET.listed(provider, t)]
            assert served(provider, t) == msgspec.json.encode(now)


@pytest.mark.parametrize(
    ("provider", "digest"),
    [(BROWSERBASE, "97a9808665523dbf"), (BROWSER_USE, "b97079294bd28307")],
    ids=["browserbase", "browser_use"],
)
def test_this_seed_gives_these_bytes_on_every_machine(provider: ProviderFacts, digest: str) -> None:
    """A changed value means that nobody's seeds show what they did: only a release that says so may do it."""
    assert blake2b(served(provider, NOW), digest_size=8).hexdigest() == digest
