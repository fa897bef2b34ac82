"""The domain model: sessions, their usage, and a listing of them.

Times are whole microseconds since 1970 UTC, durations whole microseconds, traffic whole bytes and
money whole nano-dollars (10^-9 USD), so that sums are exact. Nothing here does I/O.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

SECOND = 1_000_000
HOUR = 3600 * SECOND
NANO_USD = 1_000_000_000

UNKNOWN = "unknown"
OTHER = "other"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _TICK
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _TICK

# Pairs of a label's name and its value, which is not empty, in the order of the names.
MetadataPairs: TypeAlias = tuple[tuple[str, str], ...]


class ProviderTraits(msgspec.Struct, frozen=True):
    """What is known of a provider's sessions in advance.

    Args:
        name: the `provider` label.
        open_statuses, ended_statuses: its names for the states of a session, in lower case.
        endings: the statuses under which ends are counted; `unknown` is that of a session that left the list
            while it was open.
        regions: those that it offers.
        cost_source: whether its API reports cost (`reported`), or prices estimate it (`estimated`).
        keep_alive: whether sessions may be created to survive disconnection.
        start_latency: whether its API says both when a session was created and when it ran.
        session_page: the URL of its page of a session, with `{id}` for the id; None where none is documented.
    """

    name: str
    open_statuses: tuple[str, ...]
    ended_statuses: tuple[str, ...]
    endings: tuple[str, ...]
    regions: tuple[str, ...]
    cost_source: Literal["reported", "estimated"]
    keep_alive: bool = False
    start_latency: bool = False
    session_page: str | None = None


class Account(msgspec.Struct, frozen=True, order=True):
    """An account as its labels name it; `name` is unique for its provider."""

    provider: str
    name: str


class Series(msgspec.Struct, frozen=True, order=True, array_like=True):
    """The labels of a session's counters, beside those of its account; `metadata` holds its metadata's."""

    project: str
    region: str
    metadata: MetadataPairs = ()


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """What a session has used. `time` is how long it has run; costs are 0 where none is reported."""

    time: int = 0
    proxy_bytes: int = 0
    browser_cost: int = 0
    proxy_cost: int = 0


class Session(msgspec.Struct, frozen=True):
    """One session as a provider lists it.

    `created` orders sessions and ages them; `started` is None until it runs. `ended` is None while the
    session is open; `ending` is the status under which its end counts, None also for an ended session
    whose status is not known in advance. `end_is_known` is False where the provider gives no end of an ended
    session, and `ended` is an estimate. `is_incomplete`: a figure is absent, and taken as 0.
    `start_latency` is the time from its creation until it ran; None before that, or if one is not given.
    """

    id: str
    series: Series
    status: str
    created: int
    usage: Usage
    started: int | None = None
    ended: int | None = None
    ending: str | None = None
    expires: int | None = None
    keep_alive: bool = False
    end_is_known: bool = True
    is_incomplete: bool = False
    start_latency: int | None = None


class Listing(msgspec.Struct, frozen=True):
    """What one scrape read of an account's list.

    time: the provider's clock at the reading.
    sessions: the open ones, and the ended ones that the window includes; one may stand here twice.
    listed: how many sessions the provider lists, by series and status.
    covers: None while something that the window includes is still to be read (see `remaining`); else
        the time at which this reading began: every session created before it has been read, has
        settled, or has left the list.
    missing: unsettled ids of the window that a complete reading did not find, not even in rejected rows.
    remaining: how many sessions are still to be read.
    rejected: how many rows made no sense, by reason.
    rejected_ids: ids of rows that were left out, as far as they could be read; at most 10,000.
    position: where the next reading goes on, in the reader's own form; None if it begins anew.
    limited: how many distinct values of a label are shown as `other`, by the label's name.
    """

    time: int
    sessions: tuple[Session, ...]
    listed: Mapping[tuple[Series, str], int]
    covers: int | None
    missing: tuple[str, ...] = ()
    remaining: int = 0
    rejected: Mapping[str, int] = {}
    rejected_ids: frozenset[str] = frozenset()
    position: str | None = None
    limited: Mapping[str, int] = {}


class Quota(msgspec.Struct, frozen=True):
    """How many sessions a project may have open at once, and how many the provider counts; None: not told."""

    project: str
    limit: int | None = None
    used: int | None = None


class ProjectUsage(msgspec.Struct, frozen=True):
    """The provider's own figures of a project's usage; None: not told. Their window is not established."""

    project: str
    browser_seconds: int | None = None
    proxy_bytes: int | None = None


class AccountReport(msgspec.Struct, frozen=True):
    """What a provider tells of an account beside its sessions; what it does not tell is absent.

    credit: the balance in USD, by kind (`total`, `monthly`, `additional`).
    plan: the plan's name.
    projects: names by project id.
    """

    quotas: tuple[Quota, ...] = ()
    credit: Mapping[str, float] = {}
    plan: str | None = None
    projects: Mapping[str, str] = {}
    usage: tuple[ProjectUsage, ...] = ()


class ReadWindow(msgspec.Struct, frozen=True):
    """Which sessions a scrape has to read.

    watermark: sessions created before it have settled, except the unsettled (None: nothing has settled).
    unsettled: sessions that may still change: their ids and the times they were created.
    departed: sessions that left the list, or whose rows became unusable, before they had settled. They need
        not be searched for, but count on if they come back.
    rejected: ids of rows that were never usable. They need not be searched for either.
    ended_after: a session that ended later than this may not have settled yet, whenever it was created.
    position: the position of the last listing, while the first import is incomplete.
    """

    watermark: int | None = None
    unsettled: Mapping[str, int] = {}
    departed: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    ended_after: int | None = None
    position: str | None = None

    def includes(self, name: str, created: int, *, is_open: bool, ended: int | None = None) -> bool:
        """Returns whether a listed session can still change what was counted."""
        return (
            self.watermark is None
            or created >= self.watermark
            or is_open
            or (ended is not None and self.ended_after is not None and ended > self.ended_after)
            or name in self.unsettled
            or name in self.departed
            or name in self.rejected
        )


# Why a row is rejected: a field is missing or of another type; a figure is absurd; it ends before it starts,
# or runs for many years. `field`: the row was used, but for a field that cannot be.
REJECTIONS = ("malformed", "out_of_range", "times", "field")


def micros(moment: datetime) -> int:
    """Returns microseconds since 1970. A moment without a time zone is UTC, as both APIs mean it."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _TICK


def moment(stamp: int) -> datetime:
    """Returns the time of microseconds since 1970, or the nearest that datetime can hold."""
    return _EPOCH + max(_FIRST, min(stamp, _LAST)) * _TICK
