"""The series that `deploy/prometheus/rules` record and the dashboards show; docs/alerts.md describes each.

They are over all replicas, so that they have no `job` and no `instance`.
"""

from exporter.metrics.definitions import Spec

_A = ("provider", "account")


def _account(name: str, *labels: str) -> Spec:
    return Spec(f"account:cloud_browser_{name}", "gauge", "", (*_A, *labels))


LIMIT = _account("limit:effective", "limit")
LIMIT_OF_ALL = Spec("cloud_browser:limit:effective", "gauge", "", ("limit",))
STATE = _account("account_state:code")
LAST_READ = _account("last_read_timestamp_seconds:max")
OPEN = _account("sessions_open:sum")
AGE = _account("session_age_seconds:max")
ENDED_LATELY = _account("sessions_ended:increase10m")
FAILED_LATELY = _account("failures:increase10m", "status")
FAILURE_RATIO = _account("failures:ratio10m", "status")
COST_HOUR = _account("cost_usd:timely1h")
COST_HOUR_OF_ALL = Spec("cloud_browser:cost_usd:timely1h", "gauge", "")
COST_MONTH = _account("cost_usd:month_to_date")
COST_FORECAST = _account("cost_usd:month_forecast")
CREDIT_HOURS = _account("credit_hours:left")
BURN_RATES = {span: _account(f"slo_burn_rate:ratio{span}") for span in ("1h", "6h")}
DEADLINE_RATIO = Spec("target:cloud_browser_scrape_deadline:ratio", "gauge", "", ("job", "instance", *_A))
