"""What a simulated provider is, and what its module may use: replies, encoded rows, times as text.

A provider is one module that ends with `PROVIDER = SimulatedProvider(...)`; `PROVIDERS` lists them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from exporter.simulator.fleet import (
    CACHE_SIZE,
    METERING,
    Fleet,
    ProviderFacts,
    SimulatedSession,
    session_at,
)

Row = Callable[[SimulatedSession, int], dict[str, object]]
Params = Mapping[str, Sequence[str]]  # of a query: a name may stand there several times

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reply(msgspec.Struct, frozen=True):
    """An answer: a body to encode as JSON, and a status."""

    body: object
    status: int = 200


class SimulatedProvider(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One provider's API.

    facts: what its sessions are like.
    title: its name as people write it.
    base_path: what its base URL adds to the simulator's; path: of its list of sessions, beneath that.
    more_base_paths: of other versions of the API with the same list.
    key_header: names the header with the API key.
    retry_after: seconds, sent with 429 and 503.
    sends_rate_limit: whether every answer says what the rate limit leaves.
    list_sessions: answers a request's query parameters at a time.
    error_body: an error of a status, with a message, in the provider's own form.
    account: answers a request for something beside the sessions, by its whole path; None for no such path.
    """

    facts: ProviderFacts
    title: str
    base_path: str
    path: str
    key_header: str
    retry_after: int
    sends_rate_limit: bool
    list_sessions: Callable[[Fleet, Params, int], Reply]
    error_body: Callable[[int, str], dict[str, object]]
    account: Callable[[Fleet, str, int], Reply | None]
    more_base_paths: Sequence[str] = ()


def last_values(params: Params) -> dict[str, str]:
    """Returns each parameter's last value: that of one which may stand there once."""
    return {name: values[-1] for name, values in params.items()}


def encoded_rows(
    fleet: Fleet, facts: ProviderFacts, row: Row, indices: Iterable[int], t: int
) -> list[msgspec.Raw]:
    """Returns the sessions' rows at `t`, encoded as JSON; those that can change no more are encoded once."""
    settled = fleet.after(facts, t - fleet.longest - METERING)
    return [
        _settled_row(fleet, facts, row, index)
        if index < settled
        else msgspec.Raw(msgspec.json.encode(row(session_at(fleet, facts, index), t)))
        for index in indices
    ]


@lru_cache(maxsize=CACHE_SIZE)
def _settled_row(fleet: Fleet, facts: ProviderFacts, row: Row, index: int) -> msgspec.Raw:
    session = session_at(fleet, facts, index)
    return msgspec.Raw(msgspec.json.encode(row(session, session.settled)))


def timestamp(t: int, unit: str = "microseconds") -> str:
    """Returns RFC 3339 in UTC, to the `unit`."""
    return (_EPOCH + timedelta(microseconds=t)).isoformat(timespec=unit).removesuffix("+00:00") + "Z"
