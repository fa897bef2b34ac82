"""The simulated fleet's sessions as the rows that the providers' APIs would show of them.

Browserbase's times show milliseconds, Browser Use's microseconds; both are exact, for the fleet's are no
finer. Browser Use's figures are plain decimals, without an exponent.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from uuid import UUID, uuid5

import msgspec

from exporter.simulator.fleet import BROWSER_USE, BROWSERBASE, CACHED, METERING, Fleet, Life, life_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def browserbase_row(life: Life, t: int) -> dict[str, object]:
    """A `Session` of Browserbase's OpenAPI page; `startedAt` is its creation until it has started."""
    stamp = partial(_stamp, unit="milliseconds")
    begun, ended = t >= life.started, t >= life.ended
    return {
        "id": life.id,
        "createdAt": stamp(life.created),
        "updatedAt": stamp(min(t, life.settled) if begun else life.created),
        "projectId": life.project,
        "startedAt": stamp(life.started if begun else life.created),
        "expiresAt": stamp(life.expires),
        "status": life.status(t).upper(),
        "proxyBytes": life.proxy_bytes(t),
        "keepAlive": life.luck % 8 == 0,
        "region": life.region,
        "userMetadata": life.metadata,
        **({"endedAt": stamp(life.ended)} if ended else {}),
        **({"contextId": str(uuid5(UUID(life.id), "context"))} if life.luck % 3 == 0 else {}),
    }


def browser_use_row(life: Life, t: int) -> dict[str, object]:
    """A `BrowserSessionItemView` of Browser Use's OpenAPI page, and its newer field `metadata`."""
    ended = t >= life.ended
    return {
        "id": life.id,
        "status": life.status(t),
        "liveUrl": None if ended else f"https://live.invalid/{life.id}",
        "cdpUrl": None if ended else f"wss://cdp.invalid/{life.id}",
        "timeoutAt": _stamp(life.expires),
        "startedAt": _stamp(life.started),
        "finishedAt": _stamp(life.ended) if ended else None,
        "proxyUsedMb": f"{life.proxy_mb(t):f}",
        "proxyCost": f"{life.proxy_cost(t):f}",
        "browserCost": f"{life.browser_cost(t):f}",
        "agentSessionId": str(uuid5(UUID(life.id), "agent")) if life.luck % 4 == 0 else None,
        "recordingUrl": f"https://recordings.invalid/{life.id}" if ended and life.luck % 3 == 0 else None,
        "metadata": life.metadata,
    }


_ROWS = {BROWSERBASE: browserbase_row, BROWSER_USE: browser_use_row}


def encoded_rows(fleet: Fleet, provider: str, indices: Iterable[int], t: int) -> list[msgspec.Raw]:
    """The sessions' rows at `t`, encoded as JSON; those that can change no more only once."""
    row, settled = _ROWS[provider], fleet.after(provider, t - fleet.longest - METERING)
    return [
        _settled_row(fleet, provider, i)
        if i < settled
        else msgspec.Raw(msgspec.json.encode(row(life_of(fleet, provider, i), t)))
        for i in indices
    ]


@lru_cache(maxsize=CACHED)
def _settled_row(fleet: Fleet, provider: str, index: int) -> msgspec.Raw:
    life = life_of(fleet, provider, index)
    return msgspec.Raw(msgspec.json.encode(_ROWS[provider](life, life.settled)))


def _stamp(t: int, unit: str = "microseconds") -> str:
    return (_EPOCH + timedelta(microseconds=t)).isoformat(timespec=unit).removesuffix("+00:00") + "Z"
