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
from exporter.threads import DaemonPool, ThreadStarter

TIMEOUT, INTERNAL = "timeout", "internal"
FAULT = "a fault of the exporter; please report it, with the log"
NO_THREAD = "no thread for it; check the limit of processes"

log = structlog.get_logger()


class CollectorTelemetry(Protocol):
    """Counts what goes wrong; called from several threads."""

    def scrape_failed(self, account: Account, reason: str, collector: str) -> None:
        """A collector of an account failed, or a part of it."""


class ReportScraper:
    """Reads an account's report beside the sessions, in a thread that it keeps. Lives as long as the process.

    Its methods are called by the thread that has the account's turn, `begin` and then `finish`. A reading
    that hangs is not joined by another: the next scrapes show a timeout until it has ended.

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
        self._account, self._telemetry, self._clock = account, telemetry, clock
        self._thread: DaemonPool[tuple[AccountReading, float]] = DaemonPool(
            f"{account.provider}/{account.name} account", 1, start
        )
        self._reader: AccountReader | None = None
        self._running: Future[tuple[AccountReading, float]] | None = None
        self._reason: str | None = None

    def begin(self, reader: AccountReader, deadline: float) -> None:
        """Begin to read, unless the reading before still runs."""
        if self._running is not None and not self._running.done():
            return
        self._reader, self._running = reader, None
        try:
            self._running = self._thread.submit(partial(self._read, reader, deadline))
        except RuntimeError as error:
            log.debug("no thread for the account collector", **self._labels(), error=str(error))

    def finish(self, reader: AccountReader, begun: float, until: float) -> ReportResult:
        """Wait until the time `until` for what this reader reads; return it, or why there is nothing."""
        running = self._running
        if running is None:
            return self._failed(INTERNAL, NO_THREAD, begun)
        wait([running], max(0.0, until - self._clock()))
        if not running.done() or reader is not self._reader:
            return self._failed(TIMEOUT, "not read in time", begun)
        error = running.exception()
        if error is not None:
            log.error("account collector failed", **self._labels(), exc_info=error)
            return self._failed(INTERNAL, FAULT, begun)
        reading, seconds = running.result()
        reason = None if reading.failure is None else reading.failure.reason
        detail = str(reading.failure or "")
        self._log(reason, detail)
        return ReportResult(reading.report, reason, seconds, detail)

    def _failed(self, reason: str, detail: str, begun: float) -> ReportResult:
        self._log(reason, detail)
        return ReportResult(AccountReport(), reason, self._clock() - begun, detail)

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
