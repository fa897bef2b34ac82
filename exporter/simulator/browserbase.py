"""Browserbase's API: every listed session in one answer, newest first; times show milliseconds."""

import re
from functools import partial
from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID, uuid5

import msgspec
from msgspec import Meta

from exporter.simulator.fleet import (
    MILLISECOND,
    MINUTE,
    SECOND,
    Fleet,
    ProviderFacts,
    SimulatedSession,
    session_at,
)
from exporter.simulator.provider import (
    Params,
    Reply,
    SimulatedProvider,
    encoded_rows,
    last_values,
    timestamp,
)

FACTS = ProviderFacts(
    name="browserbase",
    tick=MILLISECOND,
    min_startup=SECOND,
    startup_span=4 * SECOND,
    pending_status="pending",
    open_status="running",
    completed="completed",
    has_errors=True,
    projects=("5e1b0c42-7d0f-4c8e-9f63-0d1a5b7c2e94",) * 3 + ("c3a9d7f0-12b4-4e5a-8a77-6f20e1d4b8c5",),
    regions=("us-west-2",) * 8 + ("us-east-1",) * 4 + ("eu-central-1",) * 3 + ("ap-southeast-1",),
    reports_cost=False,
)

PROJECTS_PATH = "/v1/projects"
_METADATA = r"^user_metadata\['([^']+)'\]:'([^']*)'\Z"


class SessionsQuery(msgspec.Struct, frozen=True):
    """The parameters of `GET /v1/sessions`."""

    status: Literal["PENDING", "RUNNING", "ERROR", "TIMED_OUT", "COMPLETED"] | None = None
    q: Annotated[str, Meta(pattern=_METADATA)] | None = None

    def matches(self, session: SimulatedSession, t: int) -> bool:
        """Whether the list is to show this session."""
        wanted = re.findall(_METADATA, self.q or "")
        return self.status in (None, session.status(t).upper()) and session.metadata.items() >= set(wanted)


def row(session: SimulatedSession, t: int) -> dict[str, object]:
    """A `Session` of the OpenAPI page; `startedAt` is its creation until it has started."""
    stamp = partial(timestamp, unit="milliseconds")
    begun, ended = t >= session.started, t >= session.ended
    return {
        "id": session.id,
        "createdAt": stamp(session.created),
        "updatedAt": stamp(min(t, session.settled) if begun else session.created),
        "projectId": session.project,
        "startedAt": stamp(session.started if begun else session.created),
        "expiresAt": stamp(session.expires),
        "status": session.status(t).upper(),
        "proxyBytes": session.proxy_bytes(t),
        "keepAlive": session.random_bits % 8 == 0,
        "region": session.region,
        "userMetadata": session.metadata,
        **({"endedAt": stamp(session.ended)} if ended else {}),
        **({"contextId": str(uuid5(UUID(session.id), "context"))} if session.random_bits % 3 == 0 else {}),
    }


def _list_sessions(fleet: Fleet, params: Params, t: int) -> Reply:
    try:
        query = msgspec.convert(last_values(params), SessionsQuery)
    except msgspec.ValidationError as error:
        return Reply(_error_body(400, str(error)), 400)
    indices = fleet.listed(FACTS, t)[::-1]
    if query != SessionsQuery():
        matching = [index for index in indices if query.matches(session_at(fleet, FACTS, index), t)]
        return Reply(encoded_rows(fleet, FACTS, row, matching, t))
    return Reply(encoded_rows(fleet, FACTS, row, indices, t))


def _account(fleet: Fleet, path: str, t: int) -> Reply | None:
    """Answer `/v1/projects` and `/v1/projects/{id}/usage`."""
    if path == PROJECTS_PATH:
        return Reply([project(fleet, name) for name in dict.fromkeys(FACTS.projects)])
    match = re.fullmatch(rf"{PROJECTS_PATH}/([^/]+)/usage", path)
    if match is None or match[1] not in FACTS.projects:
        return None
    lives = [session_at(fleet, FACTS, index) for index in fleet.listed(FACTS, t)]
    own = [one for one in lives if one.project == match[1]]
    minutes = sum(one.ran(t, t) for one in own) // MINUTE
    return Reply({"browserMinutes": minutes, "proxyBytes": sum(one.proxy_bytes(t) for one in own)})


def project(fleet: Fleet, name: str) -> dict[str, object]:
    """Returns a `Project` of the SDK's model."""
    stamp = timestamp(fleet.origin, "milliseconds")
    return {
        "id": name,
        "createdAt": stamp,
        "updatedAt": stamp,
        "name": f"project {name[:4]}",
        "ownerId": str(uuid5(UUID(name), "owner")),
        "defaultTimeout": 900,
        "concurrency": 100,
    }


def _error_body(status: int, message: str) -> dict[str, object]:
    body: dict[str, object] = {"error": HTTPStatus(status).phrase, "message": message}
    return body | ({"statusCode": status} if status != 401 else {})


PROVIDER = SimulatedProvider(
    facts=FACTS,
    title="Browserbase",
    base_path="",
    path="/v1/sessions",
    key_header="X-BB-API-Key",
    retry_after=1,
    sends_rate_limit=False,
    list_sessions=_list_sessions,
    error_body=_error_body,
    account=_account,
)
