"""Browser Use Cloud's API: sessions in pages, in the fleet's order; times show microseconds.

Figures are plain decimals, without an exponent.
"""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta

from exporter.simulator.fleet import DAY, SECOND, Fleet, ProviderFacts, SimulatedSession, session_at
from exporter.simulator.provider import (
    Params,
    Reply,
    SimulatedProvider,
    encoded_rows,
    last_values,
    timestamp,
)

FACTS = ProviderFacts(
    name="browser_use",
    tick=1,
    pending_status="active",
    open_status="active",
    completed="stopped",
    ended_status="stopped",
    has_errors=False,
    early_timeout=SECOND,
    reports_cost=True,
)
RETRY_AFTER = 5  # seconds
MEAN_COST_USD = 0.01  # by which a session lowers the credit
PROJECT = UUID("8d8ac610-566d-4ef0-9c22-186b2a5ed793")


class BrowsersQuery(msgspec.Struct, frozen=True, rename="camel"):
    """The parameters of `GET /api/v3/browsers`."""

    page_size: Annotated[int, Meta(ge=1, le=100)] = 10
    page_number: Annotated[int, Meta(ge=1)] = 1
    filter_by: Literal["active", "stopped"] | None = None
    metadata: tuple[Annotated[str, Meta(pattern="^[^=]")], ...] = ()  # terms `key` or `key=value`

    def matches(self, session: SimulatedSession) -> bool:
        """Whether a session has all the metadata that are asked for."""
        pairs = (term.partition("=") for term in self.metadata)
        return all(
            key in session.metadata and (not equals or session.metadata[key] == value)
            for key, equals, value in pairs
        )


def row(session: SimulatedSession, t: int) -> dict[str, object]:
    """A `BrowserSessionItemView` of the OpenAPI page, and its newer field `metadata`."""
    ended, bits = t >= session.ended, session.random_bits
    return {
        "id": session.id,
        "status": session.status(t),
        "liveUrl": None if ended else f"https://live.invalid/{session.id}",
        "cdpUrl": None if ended else f"wss://cdp.invalid/{session.id}",
        "timeoutAt": timestamp(session.expires),
        "startedAt": timestamp(session.started),
        "finishedAt": timestamp(session.ended) if ended else None,
        "proxyUsedMb": f"{session.proxy_mb(t):f}",
        "proxyCost": f"{session.proxy_cost(t):f}",
        "browserCost": f"{session.browser_cost(t):f}",
        "agentSessionId": str(uuid5(UUID(session.id), "agent")) if bits % 4 == 0 else None,
        "recordingUrl": f"https://recordings.invalid/{session.id}" if ended and bits % 3 == 0 else None,
        "metadata": session.metadata,
    }


def page(fleet: Fleet, t: int, query: BrowsersQuery) -> tuple[int, Sequence[int]]:
    """A page: how many sessions there are in all, and the indices of those on the page."""
    older, recent = _with_status(fleet, t, query.filter_by)
    if query.metadata:
        matching = [i for i in (*older, *recent) if query.matches(session_at(fleet, FACTS, i))]
        older, recent = range(0), matching
    total, size = len(older) + len(recent), query.page_size
    places = range(total) if fleet.order == "oldest" else range(total)[::-1]
    places = places[(query.page_number - 1) * size : query.page_number * size]
    if fleet.order == "newest-page":
        places = places[::-1]
    if fleet.order == "none":
        everything = sorted([*older, *recent], key=lambda index: session_at(fleet, FACTS, index).id)
        return total, [everything[place] for place in places]
    return total, [older[p] if p < len(older) else recent[p - len(older)] for p in places]


def _with_status(fleet: Fleet, t: int, status: str | None) -> tuple[range, Sequence[int]]:
    """The listed sessions of a status, oldest first: those too old to be open, then the others."""
    listed = fleet.listed(FACTS, t)
    older = range(listed.start, max(listed.start, fleet.after(FACTS, t - fleet.longest)))
    recent = range(older.stop, listed.stop)
    if status is None:
        return older, recent
    chosen = [index for index in recent if session_at(fleet, FACTS, index).status(t) == status]
    return (older if status == "stopped" else range(0)), chosen


def _list_sessions(fleet: Fleet, params: Params, t: int) -> Reply:
    try:
        given = last_values(params) | {"metadata": params.get("metadata", ())}
        query = msgspec.convert(given, BrowsersQuery, strict=False)
        total, indices = page(fleet, t, query)
    except msgspec.DecodeError as error:
        message, _, name = str(error).rpartition(" - at `$.")
        problem = {"loc": ["query", name.rstrip("`")], "msg": message, "type": "value_error"}
        return Reply({"detail": [problem]}, 422)
    items = encoded_rows(fleet, FACTS, row, indices, t)
    numbers = {"pageNumber": query.page_number, "pageSize": query.page_size}
    return Reply({"items": items, "totalItems": total} | numbers)


def _account(fleet: Fleet, path: str, t: int) -> Reply | None:
    """Answer `/billing/account` of versions 2 and 3; version 4 has none."""
    if path not in ("/api/v2/billing/account", "/api/v3/billing/account"):
        return None
    created = fleet.after(FACTS, t) + fleet.history
    additional = round(max(0.0, 500 - created * MEAN_COST_USD), 4)
    _, used = _with_status(fleet, t, "active")
    balances = {"monthly": 100.0, "additional": additional, "total": 100.0 + additional}
    return Reply(
        {f"{kind}CreditsBalanceUsd": balance for kind, balance in balances.items()}
        | {
            "name": "Simulated account",
            "rateLimit": 250,
            "concurrentSessionLimit": 250,
            "activeSessionCount": len(used),
            "isFreeTier": False,
            "apiKeyId": str(uuid5(PROJECT, "key")),
            "planInfo": {
                "planName": "Business",
                "subscriptionStatus": "active",
                "subscriptionId": None,
                "subscriptionCurrentPeriodEnd": timestamp(fleet.origin + 30 * DAY),
                "subscriptionCanceledAt": None,
            },
            "projectId": str(PROJECT),
        }
    )


def _error_body(status: int, message: str) -> dict[str, object]:
    if status == 429:
        return {"error": "rate_limited", "limit_rps": 25, "retry_after_seconds": RETRY_AFTER}
    if status == 402:
        return {"detail": {"code": "api_key_monthly_spend_limit_reached", "message": message}}
    return {"detail": message}


PROVIDER = SimulatedProvider(
    facts=FACTS,
    title="Browser Use",
    base_path="/api/v3",
    more_base_paths=("/api/v4",),
    path="/browsers",
    key_header="X-Browser-Use-API-Key",
    retry_after=RETRY_AFTER,
    sends_rate_limit=True,
    list_sessions=_list_sessions,
    error_body=_error_body,
    account=_account,
)
