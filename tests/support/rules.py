"""The shipped Prometheus rules, as data, and the tools that make and test them."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.processes import program

ROOT = Path(__file__).parents[2]
MIXIN = ROOT / "deploy" / "mixin"
RULES = ROOT / "deploy" / "prometheus" / "rules" / "cloud-browser.yml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
EVERY_RULE: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in EVERY_RULE if "alert" in rule}
RECORDED = frozenset(rule["record"] for rule in EVERY_RULE if "record" in rule)
# The series in which users record limits of their own.
OVERRIDES = frozenset({"account:cloud_browser_limit:override", "cloud_browser:limit:override"})

PROMTOOL3 = Path(os.environ.get("PROMTOOL3") or ROOT / ".tools" / "promtool3")
JSONNET = Path(os.environ.get("JSONNET") or ROOT / ".tools" / "jsonnet")

# Prometheus 3 leaves a window's left edge out, so that the same rule sees one sample less than under 2. Its
# promtool is built with Go; where neither is there, `.ci/run` says that it is not run.
VERSIONS = ("promtool 2", "promtool 3") if PROMTOOL3.is_file() or shutil.which("go") else ("promtool 2",)


def promtool(version: str) -> str:
    """Returns the path of a promtool of this major version; without it the test is skipped."""
    if version == "promtool 2":
        return program("promtool", "prometheus")
    return _built(PROMTOOL3)


def jsonnet() -> str:
    """Returns the path of jsonnet; without it the test is skipped."""
    if not JSONNET.is_file() and not shutil.which("go"):
        pytest.skip("Go is not installed, with which `make tools` builds jsonnet")
    return _built(JSONNET)


def _built(path: Path) -> str:
    if not path.is_file():
        pytest.skip(f"{path} is missing; `make tools` builds it, with Go")
    return str(path)
