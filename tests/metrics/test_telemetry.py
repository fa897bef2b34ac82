"""The exporter's own counters: there at 0, told by account."""

import sys
from pathlib import Path

import pytest

from exporter.client.errors import ApiError
from exporter.metrics.telemetry import REASONS, Telemetry
from exporter.model import REJECTIONS, Account
from tests.support.own_metrics import own_families, own_value
from tests.support.processes import run

ACCOUNT = Account("browserbase", "production")
LABELS = {"provider": "browserbase", "account": "production"}
X = "cloud_browser_exporter_"


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return own_value(telemetry, X + name, labels, [ACCOUNT])


def test_every_reason_stands_at_zero_before_anything_happens(telemetry: Telemetry) -> None:
    telemetry.for_account(ACCOUNT, ["/v1/sessions"])
    for reason in REASONS:
        assert value(telemetry, "errors_total", **LABELS, collector="sessions", reason=reason) == 0
    for reason in REJECTIONS:
        assert value(telemetry, "rejected_sessions_total", **LABELS, reason=reason) == 0
    for code in ("200", "error"):
        assert value(telemetry, "api_requests_total", **LABELS, endpoint="/v1/sessions", code=code) == 0
    assert value(telemetry, "ledger_write_errors_total") == 0


def reasons(error: type[ApiError]) -> set[str]:
    return {error.reason}.union(*(reasons(child) for child in error.__subclasses__()))


def test_the_reasons_are_those_of_the_errors_there_are() -> None:
    assert reasons(ApiError) | {"ledger"} == set(REASONS)


def test_requests_are_counted_by_code_and_timed(telemetry: Telemetry) -> None:
    meter = telemetry.for_account(ACCOUNT, ["/v1/sessions"])
    meter.request_finished("/v1/sessions", "503", 0.3)
    meter.rate_limit(17)
    assert value(telemetry, "api_requests_total", **LABELS, endpoint="/v1/sessions", code="503") == 1
    assert value(telemetry, "api_request_duration_seconds_sum", **LABELS, endpoint="/v1/sessions") == 0.3
    assert value(telemetry, "api_rate_limit_remaining", **LABELS) == 17


def test_failures_and_rejections_are_counted(telemetry: Telemetry) -> None:
    telemetry.scrape_failed(ACCOUNT, "auth")
    telemetry.rejected(ACCOUNT, {"times": 3})
    telemetry.ledger_failed()
    assert value(telemetry, "errors_total", **LABELS, collector="sessions", reason="auth") == 1
    assert value(telemetry, "rejected_sessions_total", **LABELS, reason="times") == 3
    assert value(telemetry, "ledger_write_errors_total") == 1


def test_an_account_that_the_provider_tells_no_limit_shows_none(telemetry: Telemetry) -> None:
    telemetry.for_account(ACCOUNT, ["/v1/sessions"])
    assert value(telemetry, "api_rate_limit_remaining", **LABELS) is None


def test_the_process_and_the_build_are_told(telemetry: Telemetry) -> None:
    names = {family.name for family in own_families(telemetry, [ACCOUNT])}
    assert {"process_resident_memory_bytes", "python_info", X + "build_info"} <= names
    assert value(telemetry, "config_last_reload_successful") == 1


def test_the_last_configuration_read_and_the_last_valid_one_are_told(telemetry: Telemetry) -> None:
    at = value(telemetry, "config_last_reload_success_timestamp_seconds")
    telemetry.config_reloaded(valid=False)
    assert value(telemetry, "config_last_reload_successful") == 0
    assert value(telemetry, "config_last_reload_success_timestamp_seconds") == at
    telemetry.config_reloaded(valid=True)
    assert value(telemetry, "config_last_reload_successful") == 1
    assert (value(telemetry, "config_last_reload_success_timestamp_seconds") or 0) > (at or 0) > 0


def test_an_account_that_comes_back_is_counted_on(telemetry: Telemetry) -> None:
    telemetry.for_account(ACCOUNT, ["/v1/sessions"]).request_finished("/v1/sessions", "200", 0.3)
    telemetry.for_account(ACCOUNT, ["/v1/sessions"]).request_finished("/v1/sessions", "200", 0.3)
    assert value(telemetry, "api_requests_total", **LABELS, endpoint="/v1/sessions", code="200") == 2


def test_counters_of_another_process_model_are_not_shared(tmp_path: Path) -> None:
    """PROMETHEUS_MULTIPROC_DIR would keep them in files, across restarts."""
    program = (
        "from exporter.metrics.telemetry import Telemetry\n"
        "from exporter.model import Account\n"
        "telemetry = Telemetry()\n"
        "counts = telemetry.for_account(Account('p', 'a'), ['/x'])\n"
        "counts.request_finished('/x', '200', 1)\n"
        "labels = {'provider': 'p', 'account': 'a', 'endpoint': '/x', 'code': '200'}\n"
        "print(counts.registry.get_sample_value('cloud_browser_exporter_api_requests_total', labels))\n"
    )
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        assert run(sys.executable, "-c", program, environ=environ) == (0, "1.0\n", "")
    assert not list(tmp_path.iterdir())
