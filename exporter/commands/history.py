"""Reads the history of all accounts, a few at once, and says up to when each may be written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from exporter.commands.errors import CommandError
from exporter.commands.progress import Progress
from exporter.history.openmetrics import AccountHistory
from exporter.history.reading import AccountError, ListedSessions, read_listed
from exporter.history.series import HistoryPolicy, SeriesHistory, add_session
from exporter.history.steps import steps_until
from exporter.ledger.errors import NoLedgerError
from exporter.ledger.queries import AccountState
from exporter.ledger.summary import account_states, reading
from exporter.metrics.definitions import SESSIONS_COLLECTOR
from exporter.model import SECOND, Account, Series
from exporter.scrape.plan import AccountTarget
from exporter.threads import DaemonPool

ACCOUNTS_AT_ONCE = 4
MARGIN = 60 * SECOND  # before the ledger's first reading: clocks differ, and a list may lag


class Span(msgspec.Struct, frozen=True):
    """What to write: samples every `step`, until `until`. Both are microseconds.

    exact: whether `until` holds also where the exporter began to count before it.
    """

    step: int
    until: int
    exact: bool = False

    def ends(self, state: AccountState | None) -> int:
        """Returns where an account's history ends: at the latest where its own counters may begin."""
        began = began_before(self.until, state)
        return self.until if began is None or self.exact else began - MARGIN


class ReadHistory(msgspec.Struct, frozen=True):
    """An account's history, and what is said of it.

    sessions: how many it has. first: when the first of them was created.
    began: when the exporter began to count, if that was before the end that was asked for.
    """

    history: AccountHistory
    sessions: int
    first: int | None
    began: int | None


def began_before(until: int, state: AccountState | None) -> int | None:
    """Returns when the ledger was first written for an account, if that was before a time."""
    if state is None or state.progress is None or state.progress.began - MARGIN >= until:
        return None
    return state.progress.began


def ledger_states(url: str) -> Mapping[Account, AccountState]:
    """Returns what the exporter has counted; nothing where it has not run yet. Raises LedgerError."""
    try:
        with reading(url) as (_, db):
            return account_states(db)
    except NoLedgerError:
        return {}


def read_histories(
    targets: Iterable[AccountTarget],
    states: Mapping[Account, AccountState],
    span: Span,
    labels: Mapping[str, str],
    progress: Progress,
) -> Sequence[ReadHistory]:
    """Returns the history of each account whose sessions are collected.

    Raises:
        CommandError: with a line for each account that could not be read.
    """
    pool: DaemonPool[ReadHistory | AccountError] = DaemonPool("history", ACCOUNTS_AT_ONCE)
    futures = [
        pool.submit(partial(_read, target, states.get(target.account), span, labels, progress))
        for target in targets
        if SESSIONS_COLLECTOR in target.description.collectors
    ]
    done = [future.result() for future in futures]
    if failed := [one for one in done if isinstance(one, AccountError)]:
        raise CommandError(*map(str, failed), "no file was written")
    return [one for one in done if isinstance(one, ReadHistory)]


def _read(
    target: AccountTarget,
    state: AccountState | None,
    span: Span,
    labels: Mapping[str, str],
    progress: Progress,
) -> ReadHistory | AccountError:
    account = target.account
    show = _shows(progress, f"{account.provider}/{account.name}")
    seen = (state or AccountState()).words
    try:
        listed = read_listed(target, seen, show)
    except AccountError as error:
        return error
    return _history(listed, span.ends(state), span, state, labels)


def _shows(progress: Progress, task: str) -> Callable[[int, int], None]:
    return lambda done, total: progress.show(task, done, total)


def _history(
    listed: ListedSessions, until: int, span: Span, state: AccountState | None, labels: Mapping[str, str]
) -> ReadHistory:
    target, steps = listed.target, steps_until(span.step, until)
    policy = HistoryPolicy(
        msgspec.structs.replace(target.policy, skip=False), target.description.traits, listed.time, steps.last
    )
    series: dict[Series, SeriesHistory] = {}
    count, first = 0, None
    while listed.sessions:  # each is let go once it is added
        session = listed.sessions.popitem()[1]
        if session.created <= steps.last:
            add_session(session, policy, series)
            count, first = count + 1, min(session.created, first or session.created)
    account = target.account
    own = {name: _filled(value, account) for name, value in labels.items()}
    description = target.description
    history = AccountHistory(
        account, description.cost_source, steps, own, series, description.metadata_labels
    )
    return ReadHistory(history, count, first, began_before(span.until, state))


def _filled(value: str, account: Account) -> str:
    """Returns a label's value with the account that it names, as targets of `/sd` are named."""
    return value.replace("{provider}", account.provider).replace("{account}", account.name)
