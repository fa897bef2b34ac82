"""What sessions add to their series, and when: figures as the accounting counts them, spread over time.

Starts, ends and durations are counted when they happened. The time that a session has run rises with the
clock, and so is exact at every step. How its traffic and its cost grew is not known: they are spread evenly
over its time.

The history ends before the exporter's own counters begin to be scraped, and must not be above them there, or
Prometheus would take it for a reset. What the exporter read at that time is not known either, except of
sessions that had settled. The others' traffic and cost are left out: the exporter's own counters bring them.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from exporter.history.steps import Event, Ramp
from exporter.ledger.accounting import AccountingPolicy, Row
from exporter.ledger.rows import Tally, read_row
from exporter.metrics.counters import (
    COST,
    DURATION,
    DURATION_SUM,
    ENDED,
    PROXY_BYTES,
    START,
    START_SUM,
    STARTED,
    TIME,
)
from exporter.model import ProviderTraits, Series, Session

OPEN = "open"  # beside the counters: the open sessions, by status

Name = tuple[str, str]  # a counter, and its status, kind or bucket

_AT_START = {START, START_SUM}
_AT_END = {ENDED, DURATION, DURATION_SUM}
_SPREAD = {TIME, PROXY_BYTES, COST}
_KNOWN_WHEN_SETTLED = {PROXY_BYTES, COST}


class SeriesHistory:
    """What happened to the sessions of one series, in compact form: 100,000 sessions are kept at once."""

    def __init__(self) -> None:
        self._events: defaultdict[Name, array[int]] = defaultdict(lambda: array("q"))
        self._ramps: defaultdict[Name, array[int]] = defaultdict(lambda: array("q"))

    def names(self, counter: str) -> list[str]:
        """Returns the labels under which something of a counter is known."""
        return sorted({label for name, label in (*self._events, *self._ramps) if name == counter})

    def events(self, name: Name) -> Iterator[Event]:
        """Returns what has happened, in no order."""
        flat = self._events.get(name, ())
        return zip(flat[::2], flat[1::2], strict=True)

    def ramps(self, name: Name) -> Iterator[Ramp]:
        """Returns what rises evenly, in no order."""
        flat = self._ramps.get(name, ())
        return zip(flat[::3], flat[1::3], flat[2::3], strict=True)

    def add_event(self, name: Name, at: int, amount: int) -> None:
        """Add that a value rises at a time, or falls."""
        self._events[name].extend((at, amount))

    def add_ramp(self, name: Name, ramp: Ramp) -> None:
        """Add that a value rises evenly from one time to another."""
        self._ramps[name].extend(ramp)


class HistoryPolicy(msgspec.Struct, frozen=True):
    """How sessions become history.

    accounting: how the exporter counts the account. traits: of the provider.
    read: the provider's time when the sessions were read. until: where the history ends.
    """

    accounting: AccountingPolicy
    traits: ProviderTraits
    read: int
    until: int


def add_session(session: Session, policy: HistoryPolicy, made: dict[Series, SeriesHistory]) -> None:
    """Add what a session brought to its series until the end of the history."""
    if session.created > policy.until:
        return
    series = made.setdefault(session.series, SeriesHistory())
    _add_open(session, policy.traits, series)
    series.add_event((STARTED, ""), session.created, 1)
    settled = _had_settled(session, policy)
    begun = session.created if session.started is None else session.started
    row, added = _count(_as_of(session, policy.until), policy)
    ended = begun if row.ended is None else row.ended
    if session.ending is None:
        ended += policy.accounting.settle_after  # an unknown status counts then
    for (counter, label), amount in added.items():
        if counter in _AT_START:
            series.add_event((counter, label), begun, amount)
        elif counter in _AT_END:
            series.add_event((counter, label), ended, amount)
        elif counter in _SPREAD and (settled or counter not in _KNOWN_WHEN_SETTLED):
            series.add_ramp((counter, label), (begun, begun + row.high.time, amount))


def _had_settled(session: Session, policy: HistoryPolicy) -> bool:
    return session.ended is not None and session.ended + policy.accounting.settle_after <= policy.until


def _as_of(session: Session, until: int) -> Session:
    """Returns the session without an end that came after the history's."""
    if session.ended is None or session.ended <= until:
        return session
    return msgspec.structs.replace(session, ended=None, ending=None, end_is_known=True)


def _count(session: Session, policy: HistoryPolicy) -> tuple[Row, dict[Name, int]]:
    """Returns the session's row, and what the exporter's totals rise by with it, but for its start."""
    tally = Tally(policy.read, policy.accounting, Counter())
    row = read_row(Row(session.id, session.series, session.created), session, tally)
    return row, {(key.counter, key.label): amount for key, amount in tally.added.items() if amount}


def _add_open(session: Session, traits: ProviderTraits, series: SeriesHistory) -> None:
    """Add the session to those open, under the status that it had before it ran, and then while it did."""
    waiting, running = traits.open_statuses[0], traits.open_statuses[-1]
    changes = [(session.created, waiting)]
    if session.started is not None:
        changes.append((session.started, running if session.ended is not None else session.status))
    for (at, status), (left, _) in zip(changes, [*changes[1:], (session.ended, "")], strict=True):
        if at == left:
            continue
        series.add_event((OPEN, status), at, 1)
        if left is not None:
            series.add_event((OPEN, status), left, -1)
