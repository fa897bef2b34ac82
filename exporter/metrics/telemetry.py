"""The exporter's metrics about itself. Its counters begin with the process."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    values,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from exporter import __revision__, __version__
from exporter.metrics import definitions
from exporter.metrics.definitions import SESSIONS_COLLECTOR, Spec
from exporter.metrics.parts import Part, given
from exporter.model import REJECTIONS, Account

REASONS = (
    "timeout", "unreachable", "tls", "auth", "payment", "rate_limited", "server",
    "client", "redirect", "too_large", "bad_payload", "ledger", "internal",
)  # fmt: skip
LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Telemetry:
    """The exporter's own metrics: those of the process, and those of each account.

    Args:
        dropped_lines: returns how many log lines were dropped.
    """

    def __init__(self, dropped_lines: Callable[[], int] = lambda: 0) -> None:
        # Their samples would be kept as series of no use.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own omission
        # With PROMETHEUS_MULTIPROC_DIR set, the library would keep counters in files, across restarts.
        values.ValueClass = values.MutexValue
        self._process, self._accounts = CollectorRegistry(), dict[Account, AccountTelemetry]()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)
        self._process.register(_DroppedLines(dropped_lines))
        spec = definitions.WRITE_ERRORS
        self._write_errors = Counter(spec.name, spec.text, spec.labels, registry=self._process)
        self._gauge(definitions.BUILD).labels(__version__, __revision__, python_version()).set(1)
        self._valid, self._valid_at = self._gauge(definitions.RELOADED), self._gauge(definitions.RELOADED_AT)
        self.config_reloaded(valid=True)

    def _gauge(self, spec: Spec) -> Gauge:
        return Gauge(spec.name, spec.text, spec.labels, registry=self._process)

    def of_process(self) -> Iterator[Part]:
        """Yields the metrics of the process."""
        return given(None, self._process.collect())

    def of_accounts(self, accounts: Iterable[Account]) -> Iterator[Part]:
        """Yields the metrics of these accounts.

        Those of others are kept, so that their counters do not fall if a reload brings the account back.
        """
        for account in accounts:
            if (known := self._accounts.get(account)) is not None:
                yield from given(account, known.registry.collect())

    def for_account(
        self,
        account: Account,
        endpoints: Iterable[str] = (),
        collectors: Iterable[str] = (SESSIONS_COLLECTOR,),
    ) -> "AccountTelemetry":
        """Returns what counts for an account; every counter known in advance is at 0 from now on."""
        made = self._account(account)
        made.begin(endpoints, collectors)
        return made

    def _account(self, account: Account) -> "AccountTelemetry":
        known = self._accounts.get(account)
        return known or self._accounts.setdefault(account, AccountTelemetry(account))

    def scrape_failed(self, account: Account, reason: str, collector: str = SESSIONS_COLLECTOR) -> None:
        """Count a failed scrape of an account."""
        self._account(account).scrape_failed(reason, collector)

    def rejected(self, account: Account, rows: Mapping[str, int]) -> None:
        """Count rows that were left out, by reason."""
        self._account(account).rejected(rows)

    def ledger_failed(self) -> None:
        """Count a write to the ledger that failed."""
        self._write_errors.inc()

    def config_reloaded(self, *, valid: bool) -> None:
        """Record whether the configuration was valid when it was read now."""
        self._valid.set(valid)
        if valid:
            self._valid_at.set_to_current_time()


class _DroppedLines(Collector):
    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def collect(self) -> Iterable[CounterMetricFamily]:
        spec = definitions.LOG_DROPPED
        yield CounterMetricFamily(spec.name, spec.text, value=self._count())


class AccountTelemetry:
    """The exporter's own metrics of one account, in a registry of their own."""

    def __init__(self, account: Account) -> None:
        self._labels, self.registry = (account.provider, account.name), CollectorRegistry()
        self._requests, self._errors, self._rejected = (
            Counter(spec.name, spec.text, spec.labels, registry=self.registry)
            for spec in (definitions.REQUESTS, definitions.ERRORS, definitions.REJECTED)
        )
        spec = definitions.RATE_LIMIT
        self._rate_limit = Gauge(spec.name, spec.text, spec.labels, registry=self.registry)
        spec = definitions.LATENCY
        self._latency = Histogram(
            spec.name, spec.text, spec.labels, buckets=LATENCY_BUCKETS, registry=self.registry
        )

    def begin(self, endpoints: Iterable[str], collectors: Iterable[str]) -> None:
        """Have every counter that is known in advance stand at 0."""
        for collector in collectors:
            for reason in REASONS:
                self._errors.labels(*self._labels, collector, reason)
        for reason in REJECTIONS:
            self._rejected.labels(*self._labels, reason)
        for endpoint in endpoints:
            for code in ("200", "error"):
                self._requests.labels(*self._labels, endpoint, code)
            self._latency.labels(*self._labels, endpoint)

    def scrape_failed(self, reason: str, collector: str) -> None:
        """Count a failed scrape."""
        self._errors.labels(*self._labels, collector, reason).inc()

    def rejected(self, rows: Mapping[str, int]) -> None:
        """Count rows that were left out, by reason."""
        for reason, count in rows.items():
            self._rejected.labels(*self._labels, reason).inc(count)

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(*self._labels, endpoint, code).inc()
        self._latency.labels(*self._labels, endpoint).observe(seconds)

    def rate_limit(self, remaining: int | None) -> None:
        """Show how many requests are left, or nothing where that is not known."""
        if remaining is not None:
            self._rate_limit.labels(*self._labels).set(remaining)
        else:
            with suppress(KeyError):  # it was not shown
                self._rate_limit.remove(*self._labels)


class RequestCounts:
    """An account's requests, without what their answers say of the rate limit, which the list's show."""

    def __init__(self, telemetry: AccountTelemetry) -> None:
        self.request_finished = telemetry.request_finished

    def rate_limit(self, remaining: int | None) -> None:
        """Not shown."""
