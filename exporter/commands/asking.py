"""Asks each account of a configuration once, without a ledger."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import TypeVar

import msgspec
import structlog

from exporter.client.api import Api
from exporter.client.errors import ApiError, NoKeyError
from exporter.clocks import boottime
from exporter.config.secrets import KeyUnavailableError
from exporter.config.settings import AccountConfig, Config
from exporter.ledger.queries import FAR_FUTURE
from exporter.metrics.definitions import ACCOUNT_COLLECTOR, SESSIONS_COLLECTOR
from exporter.model import Account, AccountReport, Listing, ReadWindow
from exporter.providers.base import Provider
from exporter.threads import in_thread

TIMEOUT, INTERNAL = "timeout", "internal"
NO_ANSWER = "no whole answer in {:g} s; check the network, or raise scrape.timeout"
FAULT = "a fault of this program, please report it"

log = structlog.get_logger()


Result = TypeVar("Result")


class Failure(msgspec.Struct, frozen=True):
    """Why something could not be read: the reason as metrics count it, and what to do."""

    reason: str
    detail: str


class Answer(msgspec.Struct, frozen=True):
    """What one account answered; None where that is not known.

    up: whether its sessions were read; None where that was not tried.
    failure, account_failure: of its sessions, and of what there is beside them.
    open, listed: how many sessions are open, and how many the provider lists.
    latency: the seconds of the slowest request for sessions.
    clock_offset: the seconds by which the provider's clock is ahead, to a second.
    rate_limit_remaining: how many requests are left, as the last answer said.
    quota_used, quota_limit: of all its projects. credit: the total balance, in USD.
    """

    account: Account
    up: bool | None = None
    failure: Failure | None = None
    account_failure: Failure | None = None
    open: int | None = None
    listed: int | None = None
    latency: float | None = None
    clock_offset: float | None = None
    rate_limit_remaining: int | None = None
    quota_used: int | None = None
    quota_limit: int | None = None
    credit: float | None = None


class Observed:
    """What the requests of an account tell, in the order in which they end; called from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.latency: float | None = None
        self.clock_offset: float | None = None
        self.remaining: int | None = None

    def request_finished(self, _endpoint: str, _code: str, seconds: float) -> None:
        """Keep the slowest."""
        with self._lock:
            self.latency = max(seconds, self.latency or 0.0)

    def rate_limit(self, remaining: int | None) -> None:
        """Keep what the last answer said."""
        self.remaining = remaining

    def dated(self, ahead: float) -> None:
        """Keep the offset of the last answer."""
        self.clock_offset = ahead


def ask_all(
    config: Config,
    providers: Mapping[str, Provider],
    environ: Mapping[str, str],
    wall: Callable[[], float] = time.time,
) -> list[Answer]:
    """Returns each account's answer, in the configuration's order; all are asked at once."""
    calls = [
        partial(_ask, account, config, providers[account.provider], environ, wall)
        for account in config.accounts
    ]
    running = [in_thread("check", call) for call in calls]
    return [one.result() for one in running]


def _ask(
    account: AccountConfig,
    config: Config,
    provider: Provider,
    environ: Mapping[str, str],
    wall: Callable[[], float],
) -> Answer:
    answer = Answer(Account(account.provider, account.name))
    seconds = config.scrape.timeout
    if SESSIONS_COLLECTOR in account.collectors:
        observed = Observed()
        reader = provider.open(_api(account, config, provider, environ, observed, wall), account.options, ())
        listing, failure = _read(
            lambda: reader.read(ReadWindow(FAR_FUTURE), boottime() + seconds), seconds, account
        )
        answer = _with_sessions(answer, listing, failure, provider.traits.open_statuses, observed)
    if ACCOUNT_COLLECTOR in account.collectors and provider.open_account is not None:
        beside = provider.open_account(_api(account, config, provider, environ, Observed(), wall))
        reading, failure = _read(lambda: beside.read(boottime() + seconds), seconds, account)
        if reading is not None:
            answer = _with_report(answer, reading.report)
            failure = None if reading.failure is None else _failure(reading.failure, seconds)
        answer = msgspec.structs.replace(answer, account_failure=failure)
    return answer


def _api(  # noqa: PLR0913, PLR0917 - all that a request is made of
    account: AccountConfig,
    config: Config,
    provider: Provider,
    environ: Mapping[str, str],
    observed: Observed,
    wall: Callable[[], float],
) -> Api:
    return Api(
        account.base_url,
        provider.key_header,
        partial(_key, account, environ),
        max_bytes=config.scrape.max_response_bytes,
        telemetry=observed,
        requests_per_second=provider.requests_per_second,
        dated=observed.dated,
        wall=wall,
    )


def _key(account: AccountConfig, environ: Mapping[str, str]) -> str:
    try:
        return account.key(environ).reveal()
    except KeyUnavailableError as error:
        raise NoKeyError(str(error)) from error


def _read(
    read: Callable[[], Result], seconds: float, account: AccountConfig
) -> tuple[Result | None, Failure | None]:
    try:
        return read(), None
    except ApiError as error:
        return None, _failure(error, seconds)
    except Exception:  # an account's outermost edge: a bug here must not hide the other accounts
        log.exception("account failed", provider=account.provider, account=account.name)
        return None, Failure(INTERNAL, FAULT)


def _failure(error: ApiError, seconds: float) -> Failure:
    detail = NO_ANSWER.format(seconds) if error.reason == TIMEOUT else str(error)
    return Failure(error.reason, detail)


def _with_sessions(
    answer: Answer,
    listing: Listing | None,
    failure: Failure | None,
    open_statuses: Sequence[str],
    observed: Observed,
) -> Answer:
    counts = {} if listing is None else listing.listed
    is_open = {key: count for key, count in counts.items() if key[1] in open_statuses}
    return msgspec.structs.replace(
        answer,
        up=failure is None,
        failure=failure,
        open=None if listing is None else sum(is_open.values()),
        listed=None if listing is None else sum(counts.values()),
        latency=observed.latency,
        clock_offset=observed.clock_offset,
        rate_limit_remaining=observed.remaining,
    )


def _with_report(answer: Answer, report: AccountReport) -> Answer:
    return msgspec.structs.replace(
        answer,
        quota_used=_total([quota.used for quota in report.quotas]),
        quota_limit=_total([quota.limit for quota in report.quotas]),
        credit=report.credit.get("total"),
    )


def _total(figures: Sequence[int | None]) -> int | None:
    """Returns their sum; None where one is not known, or there are none."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known and len(known) == len(figures) else None
