"""Browser Use's rows, as its API writes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from exporter.model import HOUR, micros

T0 = datetime(2026, 5, 1, 12, tzinfo=UTC)

NOW = micros(T0) + 2 * HOUR

STARTED = 1_777_636_810_000_000

URLS = {"liveUrl": "https://live/s3cret", "cdpUrl": "wss://cdp/s3cret", "recordingUrl": "https://rec/s3cret"}


def at(seconds: float) -> str:
    """A moment of the API's, so long after T0."""
    return (T0 + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def row(**fields: Any) -> dict[str, Any]:
    """A session that ran from 10 s to 70 s; a field given as ... is left out."""
    written = {
        "id": "one",
        "status": "stopped",
        "timeoutAt": at(3600),
        "startedAt": at(10),
        "finishedAt": at(70),
        "proxyUsedMb": "1",
        "proxyCost": "0.004",
        "browserCost": "0.002",
        "agentSessionId": None,
        **URLS,
    }
    return {name: value for name, value in (written | fields).items() if value is not ...}


def running(name: str = "open", **fields: Any) -> dict[str, Any]:
    return row(**{"id": name, "status": "active", "finishedAt": None} | fields)
