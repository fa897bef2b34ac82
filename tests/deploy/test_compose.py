"""The Compose stack: valid, and its parts find each other and the files they mount."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from tests.support.processes import run
from tests.support.rules import ROOT
from tests.support.tools import tool

FOLDER = ROOT / "deploy"
FILE = FOLDER / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
EXPORTERS = {"simulated": "simulator", "exporter": "keys"}


def aliases(service: dict[str, Any]) -> list[str]:
    networks: dict[str, dict[str, list[str]]] = service.get("networks", {})
    return [alias for network in networks.values() for alias in network["aliases"]]


@pytest.mark.slow
@pytest.mark.go
def test_the_stack_is_valid_for_the_compose_specification() -> None:
    code, out, errors = run(tool("compose-lint"), "--format=yaml", FILE, environ={})
    assert (code, errors) == (0, "")
    assert yaml.safe_load(out)["services"].keys() == SERVICES.keys()


@pytest.mark.slow
@pytest.mark.go
def test_what_the_specification_does_not_know_is_found(tmp_path: Path) -> None:
    """Else the test above would say nothing."""
    shutil.copy(FOLDER / ".env", tmp_path)
    (tmp_path / "compose.yaml").write_text(FILE.read_text().replace("read_only: true", "readonly: true"))
    code, _, errors = run(tool("compose-lint"), tmp_path / "compose.yaml", environ={})
    assert code != 0
    assert "readonly" in errors


def test_the_simulator_runs_unless_keys_are_asked_for() -> None:
    assert "COMPOSE_PROFILES=simulator" in (FOLDER / ".env").read_text().splitlines()
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        name: [profile] for name, profile in EXPORTERS.items()
    }
    for name in EXPORTERS:
        assert aliases(SERVICES[name]) == ["exporter"], "the address that Prometheus knows"
        assert SERVICES[name]["image"].endswith(f":{__version__}")


def test_every_mounted_file_is_there() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", ())]
    files = {source: target for source, target, *_ in mounts if source.startswith(".")}
    assert all((FOLDER / source).exists() for source in files), files
    assert files["./prometheus/rules"] == "/etc/prometheus/rules"
    assert files["../grafana/dashboards"] == SERVICES["grafana"]["environment"]["CLOUD_BROWSER_DASHBOARDS"]


def test_prometheus_is_configured_as_it_is_shipped_but_for_the_hosts() -> None:
    shipped, own = (
        yaml.safe_load((FOLDER / folder / "prometheus.yml").read_text())
        for folder in ("prometheus", "compose")
    )
    text = yaml.safe_dump(shipped)
    for host, port in (("exporter", 10925), ("alertmanager", 9093)):
        text = text.replace(f"localhost:{port}", f"{host}:{port}")
    assert yaml.safe_load(text) == own


def test_only_this_machine_reaches_the_stack() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name


def test_images_have_versions() -> None:
    images = [service["image"].rpartition(":")[2] for service in SERVICES.values()]
    assert all(any(character.isdigit() for character in version) for version in images), images
