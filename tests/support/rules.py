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

# Prometheus 3 leaves a window's left edge out, so that the same rule sees one sample less than under 2.
VERSIONS = ("promtool 2", "promtool 3")


def promtool(version: str) -> str:
    """The path of a promtool of this major version; without it the test is skipped, or fails."""
    return program("promtool", "prometheus") if version == VERSIONS[0] else _promtool3()


def _promtool3() -> str:
    """What `make tools` built, or the file that PROMTOOL3 names."""
    path = Path(os.environ.get("PROMTOOL3") or ROOT / ".tools" / "promtool3")
    if not path.is_file():
        required = os.environ.get("REQUIRE_TOOLS") == "1" and shutil.which("go")
        (pytest.fail if required else pytest.skip)(f"{path} is missing; `make tools` builds it, with Go")
    return str(path)
