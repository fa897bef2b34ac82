"""One account's side of the account collector: what a provider tells of it beside its sessions."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Protocol

import structlog

from exporter.metrics.definitions import ACCOUNT_COLLECTOR
from exporter.metrics.results import ReportResult
from exporter.model import Account, AccountReport
from exporter.providers.base import AccountReader, AccountReading
from exporter.threads import ThreadStarter, in_thread

TIMEOUT, INTERNAL = "timeout", "internal"

log = structlog.get_logger()


class CollectorTelemetry(Protocol):
    """Counts what goes wrong; called from several threads."""

    def scrape_failed(self, account: Account, reason: str, collector: str) -> None:
        """A collector of an account failed, or a part of it."""


class ReportScraper:
    """Reads an account's report, in a thread of its own, beside the sessions. Lives as long as the process.

    Its methods are called by the thread that has the account's turn. A reading that hangs is not joined by
    another: the next scrapes show a timeout until it has ended.

    Args:
        account: which one.
        telemetry: counts failures.
        clock: seconds, for deadlines.
        start: starts a thread; raises RuntimeError where it cannot.
    """

    def __init__(
        self,
        account: Account,
        telemetry: CollectorTelemetry,
        clock: Callable[[], float],
        start: ThreadStarter,
    ) -> None:
        self._account, self._telemetry, self._clock, self._start = account, telemetry, clock, start
        self._running: Future[tuple[AccountReading, float]] | None = None
        self._reason: str | None = None

    def begin(self, reader: AccountReader, deadline: float) -> None:
        """Begin to read, unless the reading before still runs."""
        if self._running is not None and not self._running.done():
            return
        name = f"{self._account.provider}/{self._account.name} account"
        try:
            self._running = in_thread(name, partial(self._read, reader, deadline), self._start)
        except RuntimeError as error:
            self._running = Future()
            self._running.set_exception(error)

    def finish(self, begun: float, until: float) -> ReportResult | None:
        """Wait until the time `until`; return what was read, or a timeout. None if nothing was begun."""
        running = self._running
        if running is None:
            return None
        wait([running], max(0.0, until - self._clock()))
        if not running.done():
            self._log(TIMEOUT, "not read in time")
            return ReportResult(AccountReport(), TIMEOUT, self._clock() - begun)
        error = running.exception()
        if error is not None:
            log.error("account collector failed", **self._labels(), exc_info=error)
            self._log(INTERNAL, str(error))
            return ReportResult(AccountReport(), INTERNAL, self._clock() - begun)
        reading, seconds = running.result()
        reason = None if reading.failure is None else reading.failure.reason
        self._log(reason, str(reading.failure or ""))
        return ReportResult(reading.report, reason, seconds)

    def _read(self, reader: AccountReader, deadline: float) -> tuple[AccountReading, float]:
        begun = self._clock()
        return reader.read(deadline), self._clock() - begun

    def _log(self, reason: str | None, detail: str) -> None:
        """Count a failure; log it, at level debug where it is that of the scrape before."""
        changed, self._reason = reason != self._reason, reason
        if reason is None:
            return
        self._telemetry.scrape_failed(self._account, reason, ACCOUNT_COLLECTOR)
        write = log.warning if changed else log.debug
        write("account collector failed", **self._labels(), reason=reason, error=detail)

    def _labels(self) -> dict[str, str]:
        return {"provider": self._account.provider, "account": self._account.name}
