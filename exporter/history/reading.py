"""Reads all sessions that providers list, by the readers and at the pace of a first import."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

import msgspec

from exporter.client.errors import ApiError, StatusError
from exporter.clocks import boottime
from exporter.labels import SeenLabelValues, limit_cardinality
from exporter.ledger.accounting import merge
from exporter.model import Account, Listing, ReadWindow, Session
from exporter.providers.base import HistoryReader, SessionReader
from exporter.scrape.plan import AccountTarget

# Seconds for one reading: enough for one that goes on by itself; for others, of the whole list.
BEGINNING_SECONDS, WHOLE_SECONDS = 15.0, 300.0
MOST_FAILURES = 5  # in a row
WAIT_SECONDS = 2.0  # after the first failure; twice as long after each further one
PASSING = frozenset({"timeout", "unreachable", "rate_limited", "server", "bad_payload"})

ShowProgress = Callable[[int, int], None]


class ListedSessions(msgspec.Struct, frozen=True):
    """All sessions that an account's provider lists. time: the provider's, of the last reading."""

    target: AccountTarget
    sessions: dict[str, Session]
    time: int


class AccountError(Exception):
    """An account that could not be read: which one, and why."""

    def __init__(self, account: Account, error: ApiError) -> None:
        super().__init__(f"{account.provider}/{account.name}: {error}")
        self.reason = error.reason


def read_listed(
    target: AccountTarget,
    seen: SeenLabelValues,
    show: ShowProgress,
    sleep: Callable[[float], None] = time.sleep,
) -> ListedSessions:
    """Returns all sessions of an account, under the label values that the exporter would show.

    Args:
        target: the account.
        seen: the label values that it has shown.
        show: called with the number of sessions read so far, and of all.
        sleep: waits before the next attempt.

    Raises:
        AccountError: when it could not be read, several times in a row where that may pass.
    """
    sessions: dict[str, Session] = {}
    at = 0
    for listing in _listings(target, sleep):
        shown, seen = limit_cardinality(listing, target.description.traits, seen)
        _merge(sessions, shown.sessions)
        at = max(at, listing.time)
        show(len(sessions), len(sessions) + (0 if listing.covers is not None else listing.remaining))
    return ListedSessions(target, sessions, at)


def _merge(known: dict[str, Session], read: Iterable[Session]) -> None:
    for session in read:
        twin = known.get(session.id)
        known[session.id] = session if twin is None else merge(twin, session)


def _listings(target: AccountTarget, sleep: Callable[[float], None]) -> Iterator[Listing]:
    """Yields what is read, until it is complete. What fails is tried again from where it stood."""
    failures, complete = 0, False
    while not complete:
        try:
            for listing in _go_on(target.reader, 2**failures):
                yield listing
                target.reader.committed()
                failures, complete = 0, listing.covers is not None
        except ApiError as error:
            failures += 1
            if failures == MOST_FAILURES or error.reason not in PASSING:
                raise AccountError(target.account, error) from error
            sleep(_wait(error, failures))


def _go_on(reader: SessionReader, patience: int) -> Iterator[Listing]:
    goes_on, window = isinstance(reader, HistoryReader), ReadWindow()
    seconds = patience * (BEGINNING_SECONDS if goes_on else WHOLE_SECONDS)
    listing = reader.read(window, boottime() + seconds)
    yield listing
    if isinstance(reader, HistoryReader) and listing.covers is None:
        yield from reader.read_on(window, Future())


def _wait(error: ApiError, failures: int) -> float:
    asked = error.wait if isinstance(error, StatusError) else None
    return max(asked or 0.0, WAIT_SECONDS * 2.0 ** (failures - 1))
