"""The alerts, by promtool: which fire, how severe they are, and at which minutes."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from tests.support.alert_cases import accounts, exporter, sessions, spending
from tests.support.alert_cases.case import Case, fires, steady, troubled, written
from tests.support.alert_cases.selectors import LIMIT, OPEN
from tests.support.processes import run
from tests.support.rules import ALERTS, VERSIONS, promtool

SUBJECTS = {
    subject.__name__.rpartition(".")[2]: tuple(subject.cases())
    for subject in (accounts, exporter, sessions, spending)
}
EVERY_CASE = [case for cases in SUBJECTS.values() for case in cases]
MINUTES = 280.0  # seconds: where other tests run beside it
SHORT = 250  # minutes: what differs between the promtools, and between one replica and two, shows in these

OWN_LIMITS = """
groups:
  - name: own
    rules:
      - record: account:cloud_browser_limit:override
        expr: vector(20)
        labels: {provider: browserbase, account: lower by a record, limit: open_sessions}
      - record: account:cloud_browser_limit:override
        expr: vector(900)
        labels: {provider: browserbase, account: higher by a record, limit: open_sessions}
      - {record: 'cloud_browser:limit:override', expr: vector(50), labels: {limit: open_sessions}}
"""

pytestmark = pytest.mark.slow
each_version = pytest.mark.parametrize("version", VERSIONS)
each_subject = pytest.mark.parametrize("subject", SUBJECTS)


def promtool_says(
    version: str, cases: Sequence[Case], folder: Path, extra: Path | None = None
) -> tuple[int, str]:
    files = written(cases, folder, extra)
    code, out, errors = run(promtool(version), "test", "rules", *files, seconds=MINUTES)
    return code, out + errors


@each_subject
def test_an_alert_fires_when_it_must_and_only_then(subject: str, tmp_path: Path) -> None:
    code, told = promtool_says("promtool 2", SUBJECTS[subject], tmp_path)
    assert code == 0, told


@each_subject
def test_prometheus_3_fires_the_same(subject: str, tmp_path: Path) -> None:
    if len(VERSIONS) == 1:
        pytest.skip("there is neither promtool 3 nor Go to build it")
    cases = [case for case in SUBJECTS[subject] if case.minutes <= SHORT]
    code, told = promtool_says("promtool 3", cases, tmp_path)
    assert code == 0, told


@each_subject
def test_two_replicas_and_missing_scrapes_change_nothing(subject: str, tmp_path: Path) -> None:
    cases = [
        troubled(case)
        for case in SUBJECTS[subject]
        if case.minutes <= SHORT and not case.strict and not case.alone
    ]
    code, told = promtool_says("promtool 2", cases, tmp_path)
    assert code == 0, told


@each_version
def test_a_limit_of_ones_own_needs_no_change_of_the_shipped_file(version: str, tmp_path: Path) -> None:
    own = tmp_path / "own.yml"
    own.write_text(OWN_LIMITS)
    opened = {OPEN: steady(60, 60)}
    many = fires(40, "TooManyOpenSessions")
    cases = [
        Case("lower by a record", {OPEN: steady(30, 60), LIMIT % "open_sessions": steady(100, 60)}, (many,)),
        Case("higher by a record", opened, (fires(60, since=0),)),
        Case("the default of all by a record", opened, (many,)),
        Case(
            "of the configuration", opened | {LIMIT % "open_sessions": steady(70, 60)}, (fires(60, since=0),)
        ),
    ]
    code, told = promtool_says(version, cases, tmp_path, own)
    assert code == 0, told


def test_a_case_that_fails_is_named(tmp_path: Path) -> None:
    (loud, quiet, *_) = exporter.rejected_rows()
    wrong = msgspec.structs.replace(loud, checks=quiet.checks)
    code, told = promtool_says("promtool 2", [wrong, quiet], tmp_path)
    assert code == 1
    assert set(re.findall(r"# (.+?)\", time:", told)) == {loud.name}


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in EVERY_CASE]
    assert len(names) == len(set(names))


def test_every_alert_fires_in_a_case_with_its_severity() -> None:
    fired = {item for case in EVERY_CASE for check in case.checks for item in check.firing.items()}
    assert {(f"CloudBrowser{name}", severity) for name, severity in fired} == {
        (name, rule["labels"]["severity"]) for name, rule in ALERTS.items()
    }
