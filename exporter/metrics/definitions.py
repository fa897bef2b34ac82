"""The metrics as data: the name, type, meaning and labels of each."""

import msgspec

SESSIONS_COLLECTOR, ACCOUNT_COLLECTOR = "sessions", "account"


class Spec(msgspec.Struct, frozen=True):
    """A metric: its name, its type, what it means, and its labels."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()

    def labels_with(self, metadata: tuple[str, ...]) -> tuple[str, ...]:
        """Returns its labels; those of a series are followed by those of sessions' metadata."""
        others = self.labels[len(_L) :]
        return (*_L, *metadata, *others) if self.labels[: len(_L)] == _L else self.labels


# Labels of metrics of an account, labels of metrics of a series, prefix of the exporter's own metrics.
_A = ("provider", "account")
_L = (*_A, "project", "region")
_X = "cloud_browser_exporter_"

SESSIONS = Spec("cloud_browser_sessions", "gauge", "Sessions that the provider lists now.", (*_L, "status"))
KEEP_ALIVE = Spec(
    "cloud_browser_keep_alive_sessions", "gauge", "Open sessions created to survive disconnection.", _L
)
OLDEST = Spec(
    "cloud_browser_oldest_open_session_start_timestamp_seconds",
    "gauge",
    "When the oldest open session started; absent when none is open.",
    _L,
)
EXPIRY = Spec(
    "cloud_browser_next_session_expiry_timestamp_seconds",
    "gauge",
    "The earliest expiry among open sessions; absent when none is open.",
    _L,
)
STARTS = Spec("cloud_browser_sessions_started_total", "counter", "Sessions seen for the first time.", _L)
ENDS = Spec("cloud_browser_sessions_ended_total", "counter", "Sessions that reached an end.", (*_L, "status"))
DURATIONS = Spec(
    "cloud_browser_session_duration_seconds", "histogram", "How long ended sessions had run.", _L
)
START_LATENCY = Spec(
    "cloud_browser_session_start_seconds",
    "histogram",
    "How long sessions took from their creation until they ran.",
    _L,
)
SECONDS = Spec(
    "cloud_browser_session_seconds_total", "counter", "Time that sessions have run, open ones included.", _L
)
BYTES = Spec("cloud_browser_proxy_bytes_total", "counter", "Proxy traffic of sessions.", _L)
OPEN_COSTS = Spec(
    "cloud_browser_open_sessions_cost_usd",
    "gauge",
    "Cost that the provider reports for the sessions that are open now; it may be charged upfront.",
    (*_L, "kind"),
)
COSTS = Spec(
    "cloud_browser_cost_usd_total",
    "counter",
    "Cost of sessions: reported by the provider, or estimated from the configured prices.",
    (*_L, "kind", "source"),
)
OPEN_AGES = Spec(
    "cloud_browser_open_session_age_seconds",
    "gaugehistogram",
    "How long the sessions that are open now have been open.",
    (*_L, "keep_alive"),
)
PRICES = Spec(
    "cloud_browser_price_usd",
    "gauge",
    "The configured price behind estimated cost: of an hour of browser, of a gigabyte of proxy traffic.",
    (*_A, "unit"),
)
LIMITS = Spec(
    "cloud_browser_limit", "gauge", "The account's configured limits, in base units.", (*_A, "limit")
)
QUOTA_LIMIT = Spec(
    "cloud_browser_quota_sessions_limit",
    "gauge",
    "Sessions that may be open at once, by the provider's plan.",
    (*_A, "project"),
)
QUOTA_USED = Spec(
    "cloud_browser_quota_sessions_used",
    "gauge",
    "Sessions that the provider counts against that limit.",
    (*_A, "project"),
)
CREDIT = Spec("cloud_browser_credit_balance_usd", "gauge", "Credit that is left.", (*_A, "kind"))
PROJECT = Spec(
    "cloud_browser_project_info",
    "gauge",
    "A project's name; the value is 1.",
    (*_A, "project", "project_name"),
)
USAGE_SECONDS = Spec(
    "cloud_browser_project_usage_browser_seconds",
    "gauge",
    "The provider's own figure of a project's browser time.",
    (*_A, "project"),
)
USAGE_BYTES = Spec(
    "cloud_browser_project_usage_proxy_bytes",
    "gauge",
    "The provider's own figure of a project's proxy traffic.",
    (*_A, "project"),
)
PLAN = Spec("cloud_browser_account_info", "gauge", "The account's plan; the value is 1.", (*_A, "plan"))
UP = Spec("cloud_browser_up", "gauge", "Whether this scrape read the account's sessions.", _A)
SUCCESS = Spec(
    "cloud_browser_collector_success",
    "gauge",
    "Whether all of a collector's work was done.",
    (*_A, "collector"),
)
TOOK = Spec(
    "cloud_browser_collector_duration_seconds", "gauge", "How long a collector took.", (*_A, "collector")
)
LAST_SUCCESS = Spec(
    "cloud_browser_last_success_timestamp_seconds", "gauge", "When sessions were last read and recorded.", _A
)
HISTORY = Spec(
    "cloud_browser_history_complete",
    "gauge",
    "0 while the first import is under way; the account's counters are absent until it is done.",
    _A,
)
REMAINING = Spec(
    "cloud_browser_history_remaining_sessions",
    "gauge",
    "Sessions that the first import has still to read.",
    _A,
)
DEADLINE = Spec(
    _X + "scrape_deadline_seconds",
    "gauge",
    "The time that this scrape had: Prometheus's timeout less the offset.",
)
LIMITED = Spec(
    _X + "label_values_limited",
    "gauge",
    "Distinct values of a label in the list that are shown as other.",
    (*_A, "label"),
)
ROWS = Spec(_X + "ledger_sessions", "gauge", "Sessions that the ledger keeps: recent ones only.", _A)
LOWERED = Spec(
    _X + "downward_revisions_total",
    "counter",
    "Usage figures that the provider lowered; the counters keep the higher.",
    _A,
)
BUILD = Spec(
    _X + "build_info",
    "gauge",
    "The exporter's version; the value is 1.",
    ("version", "revision", "python_version"),
)
RELOADED = Spec(_X + "config_last_reload_successful", "gauge", "Whether the last configuration was valid.")
RELOADED_AT = Spec(
    _X + "config_last_reload_success_timestamp_seconds",
    "gauge",
    "When a valid configuration was last loaded.",
)
REQUESTS = Spec(
    _X + "api_requests_total",
    "counter",
    "HTTP requests sent; code is the status, or error.",
    (*_A, "endpoint", "code"),
)
LATENCY = Spec(
    _X + "api_request_duration_seconds", "histogram", "How long HTTP requests took.", (*_A, "endpoint")
)
RATE_LIMIT = Spec(_X + "api_rate_limit_remaining", "gauge", "Requests left, where the provider says.", _A)
ERRORS = Spec(_X + "errors_total", "counter", "What failed, by reason.", (*_A, "collector", "reason"))
REJECTED = Spec(
    _X + "rejected_sessions_total",
    "counter",
    "Rows that made no sense and were left out, by reason.",
    (*_A, "reason"),
)
REJECTED_HELD = Spec(
    _X + "rejected_sessions_held",
    "gauge",
    "Rejected rows that are remembered, to count should they become usable.",
    _A,
)
LOG_DROPPED = Spec(
    _X + "log_lines_dropped_total", "counter", "Log lines dropped because stderr did not take them in time."
)
WRITE_ERRORS = Spec(_X + "ledger_write_errors_total", "counter", "Times the ledger could not be written.")

TABLE = tuple(spec for spec in dict(globals()).values() if isinstance(spec, Spec))
