"""The exporter's own metrics, as tests read them."""

from collections.abc import Collection

from prometheus_client.core import Metric

from exporter.metrics.telemetry import Telemetry
from exporter.model import Account


def own_families(telemetry: Telemetry, accounts: Collection[Account]) -> list[Metric]:
    """The families of the process and of these accounts."""
    parts = [*telemetry.of_process(), *telemetry.of_accounts(accounts)]
    return [family for part in parts for family in part.make()]


def own_value(
    telemetry: Telemetry, name: str, labels: dict[str, str] | None = None, accounts: Collection[Account] = ()
) -> float | None:
    """The value of a sample; None where there is none."""
    samples = (sample for family in own_families(telemetry, accounts) for sample in family.samples)
    return next((one.value for one in samples if one.name == name and one.labels == (labels or {})), None)
