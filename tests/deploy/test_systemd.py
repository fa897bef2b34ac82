"""The systemd unit: valid, hardened, and with what the exporter needs."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support.processes import COMMAND, program, run
from tests.support.rules import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNIT, SOCKET = (FOLDER / f"cloud-browser-exporter.{kind}" for kind in ("service", "socket"))
EXPOSURE = 20  # of 100; `systemd-analyze security` prints it as 2.0


def settings(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.mark.slow
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    """The program stands where these tests run, not where the unit expects it."""
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={COMMAND}", UNIT.read_text(), flags=re.MULTILINE)
    unit = tmp_path / UNIT.name
    unit.write_text(text)
    shutil.copy(SOCKET, tmp_path)
    analyze = program("systemd-analyze", "systemd")
    assert run(analyze, "verify", "--man=no", unit, tmp_path / SOCKET.name) == (0, "", "")


@pytest.mark.slow
def test_the_unit_is_hardened() -> None:
    analyze = program("systemd-analyze", "systemd")
    code, out, errors = run(
        analyze, "security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager", UNIT
    )
    assert code == 0, out + errors
    assert "Overall exposure level" in out


def test_an_invalid_configuration_is_not_tried_again_and_again(tmp_path: Path) -> None:
    code, _, errors = run(COMMAND, f"--config.file={tmp_path / 'none.yml'}")
    assert "none.yml" in errors
    assert settings("RestartPreventExitStatus") == [str(code)]


def test_a_file_for_secrets_of_the_environment_may_be_absent() -> None:
    assert settings("EnvironmentFile") == ["-/etc/cloud-browser-exporter/environment"]


def test_the_ledger_and_the_keys_are_where_the_unit_says() -> None:
    (command,) = settings("ExecStart")
    assert re.findall(r"--[\w.]+", command) == ["--config.file"]
    assert settings("StateDirectory") == ["cloud-browser-exporter"]
    assert "ListenStream=10925\n" in SOCKET.read_text()
    credentials = {setting.partition(":")[0] for setting in settings("LoadCredential")}
    assert f"api_key_file: /run/credentials/{UNIT.name}/browserbase" in UNIT.read_text()
    assert credentials == {"browserbase", "browser_use"}
