"""The GitHub workflows: linted, with pinned actions and no more rights than they need."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.processes import run
from tests.support.rules import ROOT
from tests.support.tools import tool

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text())["jobs"]
    return found


@pytest.mark.slow
@pytest.mark.go
@each_file
def test_actionlint_finds_no_fault(file: Path) -> None:
    assert run(tool("actionlint"), "-no-color", file) == (0, "", "")


@each_file
def test_actions_are_pinned_by_commit(file: Path) -> None:
    used = re.findall(r"\buses: (?!\./)(.*)", file.read_text())
    assert [action for action in used if not PINNED.fullmatch(action)] == []


def test_an_action_has_one_version() -> None:
    used = {action for file in FILES for action in re.findall(r"\buses: (?!\./)(\S+)", file.read_text())}
    names = [action.partition("@")[0] for action in used]
    assert len(names) == len(set(names))


@each_file
def test_rights_are_given_by_job(file: Path) -> None:
    assert yaml.safe_load(file.read_text())["permissions"] in ({}, {"contents": "read"})
    for name, job in jobs(file).items():
        assert "timeout-minutes" in job or "uses" in job, name


@each_file
def test_checkouts_keep_no_credentials(file: Path) -> None:
    steps = [step for job in jobs(file).values() for step in job.get("steps", ())]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


@each_file
def test_what_fails_before_a_pipe_fails_the_step(file: Path) -> None:
    """GitHub sets `pipefail` only where a workflow names bash."""
    workflow = yaml.safe_load(file.read_text())
    scripts = [step.get("run", "") for job in jobs(file).values() for step in job.get("steps", ())]
    if any(re.search(r"[^|]\|[^|]", script) for script in scripts):
        assert workflow["defaults"]["run"]["shell"] == "bash"


def test_the_quick_tests_run_on_the_pythons_of_the_classifiers() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = {found[1] for one in project["classifiers"] if (found := re.search(r":: (3\.\d+)$", one))}
    assert {*jobs(FOLDER / "ci.yml")["python"]["strategy"]["matrix"]["python"]} == stated


def test_a_release_is_tested_first_and_published_with_proofs() -> None:
    release = jobs(FOLDER / "release.yml")
    assert release["build"]["needs"] == "test"
    assert release["pypi"]["permissions"] == {"id-token": "write"}, "trusted publishing: no password"
    text = (FOLDER / "release.yml").read_text()
    for said in ("attestations: true", "sbom: true", "cosign sign", "linux/amd64,linux/arm64", "helm push"):
        assert said in text, said
    assert not re.search(r"secrets\.(?!GITHUB_TOKEN)", text)
