"""The shipped Prometheus rules, as data, and the promtools that test them."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.processes import program

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules" / "cloud-browser.yml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
RECORDS: dict[str, str] = {
    rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule
}

# Alerts on the exporter itself, not on an account.
OF_EXPORTER = {
    "CloudBrowserLedgerNotWritable",
    "CloudBrowserConfigReloadFailed",
    "CloudBrowserExporterGone",
}

PROMTOOL3 = Path(os.environ.get("PROMTOOL3") or ROOT / ".tools" / "promtool3")

# Prometheus 3 leaves a window's left edge out, so that the same rule sees one sample less than under 2. Its
# promtool is built with Go; where neither is there, `.ci/run` says that it is not run.
VERSIONS = ("promtool 2", "promtool 3") if PROMTOOL3.is_file() or shutil.which("go") else ("promtool 2",)


def promtool(version: str) -> str:
    """Returns the path of a promtool of this major version; without it the test is skipped."""
    if version == "promtool 2":
        return program("promtool", "prometheus")
    if not PROMTOOL3.is_file():
        pytest.skip(f"{PROMTOOL3} is missing; `make tools` builds it, with Go")
    return str(PROMTOOL3)
