"""What the counters must show of a simulated fleet, computed session by session, in Prometheus's words.

The accounts are those of `tools.configuration`: both called `ours`, Browserbase's with its prices.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import partial

from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import HOUR, MINUTE, SECOND, Fleet, SimulatedSession, session_at

PROVIDERS = BROWSERBASE, BROWSER_USE = "browserbase", "browser_use"
NANO = 10**9
USD_PER_HOUR, USD_PER_GB = Decimal("0.12"), Decimal(12)  # as configured

BOUNDS = (
    *("1.0", "5.0", "10.0", "30.0", "60.0", "120.0", "300.0", "600.0", "900.0"),
    *("1800.0", "3600.0", "7200.0", "14400.0", "21600.0", "+Inf"),
)
START_BOUNDS = ("0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "60.0", "120.0", "+Inf")
COUNTERS = (
    "cloud_browser_sessions_started_total",
    "cloud_browser_sessions_ended_total",
    "cloud_browser_session_seconds_total",
    "cloud_browser_session_duration_seconds_count",
    "cloud_browser_session_duration_seconds_sum",
    "cloud_browser_session_duration_seconds_bucket",
    "cloud_browser_session_start_seconds_count",
    "cloud_browser_session_start_seconds_sum",
    "cloud_browser_session_start_seconds_bucket",
    "cloud_browser_proxy_bytes_total",
    "cloud_browser_cost_usd_total",
)

Key = frozenset[tuple[str, str]]


def key(labels: Mapping[str, str]) -> Key:
    """A series' labels but for the target's; to Prometheus an empty one is none."""
    return frozenset(
        (name, value) for name, value in labels.items() if value and name not in ("instance", "job")
    )


def named(name: str, **labels: str) -> Key:
    """A series of the accounts `ours`."""
    return key({"__name__": f"cloud_browser_{name}", "account": "ours", **labels})


def nonzero(values: Mapping[Key, float]) -> dict[Key, float]:
    """Those that have happened."""
    return {name: value for name, value in values.items() if value != 0}


def expected(fleet: Fleet, t: int) -> dict[Key, float]:
    """What the counters must show at a time, but for zeros."""
    shown: dict[Key, float] = {}
    for provider in PROVIDERS:
        for total in expected_totals(fleet, SIMULATED[provider].facts, t):
            at = partial(named, provider=provider, project=total.project, region=total.region)
            shown[at("sessions_started_total")] = total.started
            shown[at("session_seconds_total")] = total.time / SECOND
            shown[at("session_duration_seconds_count")] = total.ended.total()
            shown[at("session_duration_seconds_sum")] = total.duration / SECOND
            shown[at("proxy_bytes_total")] = total.proxy_bytes
            for status, count in total.ended.items():
                shown[at("sessions_ended_total", status=status)] = count
            if provider == BROWSER_USE:
                cost = partial(at, "cost_usd_total", source="reported")
                shown[cost(kind="browser")] = total.browser_cost / NANO
                shown[cost(kind="proxy")] = total.proxy_cost / NANO
    return nonzero(shown | _buckets(fleet, t) | _starts(fleet, t) | _estimates(fleet, t))


def _sessions(fleet: Fleet, provider: str, t: int) -> Iterator[SimulatedSession]:
    """All sessions that were listed at the fleet's origin, or have been created since."""
    facts = SIMULATED[provider].facts
    for index in range(fleet.listed(facts, fleet.origin).start, fleet.listed(facts, t).stop):
        yield session_at(fleet, facts, index)


def _buckets(fleet: Fleet, t: int) -> dict[Key, float]:
    """The histogram's, counted session by session."""
    counts: Counter[Key] = Counter()
    for provider in PROVIDERS:
        for session in _sessions(fleet, provider, t):
            at = partial(named, provider=provider, project=session.project, region=session.region)
            for bound in BOUNDS:
                if session.ended <= t and session.ended - session.started <= float(bound) * SECOND:
                    counts[at("session_duration_seconds_bucket", le=bound)] += 1
    return dict(counts)


def _starts(fleet: Fleet, t: int) -> dict[Key, float]:
    """How long Browserbase's sessions took to start; the sums are exact in whole milliseconds."""
    counts, sums = Counter[Key](), Counter[Key]()
    for session in _sessions(fleet, BROWSERBASE, t):
        if session.started <= t:
            at = partial(named, provider=BROWSERBASE, project=session.project, region=session.region)
            latency = session.started - session.created
            counts[at("session_start_seconds_count")] += 1
            sums[at("session_start_seconds_sum")] += latency
            fitting = (bound for bound in START_BOUNDS if latency <= float(bound) * SECOND)
            counts.update(at("session_start_seconds_bucket", le=bound) for bound in fitting)
    return dict(counts) | {name: total / SECOND for name, total in sums.items()}


def _estimates(fleet: Fleet, t: int) -> dict[Key, float]:
    """What Browserbase's sessions cost at the configured prices, each in whole nano-dollars."""
    nano: Counter[Key] = Counter()
    for session in _sessions(fleet, BROWSERBASE, t):
        cost = partial(named, "cost_usd_total", provider=BROWSERBASE, source="estimated")
        at = partial(cost, project=session.project, region=session.region)
        if session.started <= t:
            billed = max(session.ran(t, t // SECOND * SECOND), MINUTE)
            nano[at(kind="browser")] += _rounded(USD_PER_HOUR * NANO * billed / HOUR)
        nano[at(kind="proxy")] += _rounded(USD_PER_GB * session.proxy_bytes(t))
    return {name: value / NANO for name, value in nano.items()}


def _rounded(nano: Decimal) -> int:
    return int(nano.to_integral_value(ROUND_HALF_UP))
