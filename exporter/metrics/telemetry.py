"""The exporter's metrics about itself. Its counters begin with the process."""

from collections.abc import Callable, Iterable, Mapping
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
from exporter.metrics.definitions import COLLECTOR, Spec
from exporter.model import REJECTIONS, Account

REASONS = (
    "timeout", "unreachable", "tls", "auth", "payment", "rate_limited", "server",
    "client", "redirect", "too_large", "bad_payload", "ledger", "internal",
)  # fmt: skip
LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Telemetry:
    """The exporter's own metrics, in a registry of their own.

    Args:
        dropped_lines: returns how many log lines were dropped.
    """

    def __init__(self, dropped_lines: Callable[[], int] = lambda: 0) -> None:
        # Their samples would be kept as series of no use.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own omission
        # With PROMETHEUS_MULTIPROC_DIR set, the library would keep counters in files, across restarts.
        values.ValueClass = values.MutexValue
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(_DroppedLines(dropped_lines))
        self._requests = self._counter(definitions.REQUESTS)
        self._errors = self._counter(definitions.ERRORS)
        self._rejected = self._counter(definitions.REJECTED)
        self._write_errors = self._counter(definitions.WRITE_ERRORS)
        self._rate_limit = self._gauge(definitions.RATE_LIMIT)
        spec = definitions.LATENCY
        self._latency = Histogram(
            spec.name, spec.text, spec.labels, buckets=LATENCY_BUCKETS, registry=self.registry
        )
        self._gauge(definitions.BUILD).labels(__version__, __revision__, python_version()).set(1)
        self._valid, self._valid_at = self._gauge(definitions.RELOADED), self._gauge(definitions.RELOADED_AT)
        self.config_reloaded(valid=True)

    def _counter(self, spec: Spec) -> Counter:
        return Counter(spec.name, spec.text, spec.labels, registry=self.registry)

    def _gauge(self, spec: Spec) -> Gauge:
        return Gauge(spec.name, spec.text, spec.labels, registry=self.registry)

    def for_account(self, account: Account, endpoints: Iterable[str]) -> "RequestTelemetry":
        """Returns what counts an account's requests; every counter known in advance is at 0 from now on."""
        labels = (account.provider, account.name)
        for reason in REASONS:
            self._errors.labels(*labels, COLLECTOR, reason)
        for reason in REJECTIONS:
            self._rejected.labels(*labels, reason)
        for endpoint in endpoints:
            for code in ("200", "error"):
                self._requests.labels(*labels, endpoint, code)
            self._latency.labels(*labels, endpoint)
        return RequestTelemetry(labels, self._requests, self._latency, self._rate_limit)

    def scrape_failed(self, account: Account, reason: str) -> None:
        """Count a failed scrape of an account."""
        self._errors.labels(account.provider, account.name, COLLECTOR, reason).inc()

    def rejected(self, account: Account, rows: Mapping[str, int]) -> None:
        """Count rows that were left out, by reason."""
        for reason, count in rows.items():
            self._rejected.labels(account.provider, account.name, reason).inc(count)

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


class RequestTelemetry:
    """An account's requests."""

    def __init__(self, labels: tuple[str, str], requests: Counter, latency: Histogram, limit: Gauge) -> None:
        self._labels, self._requests, self._latency, self._limit = labels, requests, latency, limit

    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(*self._labels, endpoint, code).inc()
        self._latency.labels(*self._labels, endpoint).observe(seconds)

    def rate_limit(self, remaining: int | None) -> None:
        """Show how many requests are left, or nothing where that is not known."""
        if remaining is not None:
            self._limit.labels(*self._labels).set(remaining)
        else:
            with suppress(KeyError):  # it was not shown
                self._limit.remove(*self._labels)
