"""The package: built, checked, and installed in an empty environment, as `uvx` and `pipx` do."""

import re
import signal
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from exporter import __version__
from tests.support.processes import LOCAL, Exporter
from tests.support.rules import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
SECONDS = 300


def python(*arguments: str | Path, of: Path | str = sys.executable) -> str:
    """Runs Python in the repository; returns its output."""
    done = subprocess.run(
        [of, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with wheel and sdist."""
    folder = tmp_path_factory.mktemp("package")
    python("-m", "hatchling", "build", "--directory", folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    (found,) = built.glob("*.tar.gz")
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the locked dependencies alone."""
    folder = tmp_path_factory.mktemp("environment")
    python("-m", "venv", folder)
    installed = folder / "bin" / "python"
    python("-m", "pip", "install", "--require-hashes", "--requirement", "requirements.txt", of=installed)
    return installed


def metadata(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        return opened.read(name).decode()


@pytest.mark.slow
def test_twine_finds_no_fault(wheel: Path, sdist: Path) -> None:
    assert python("-m", "twine", "--no-color", "check", "--strict", wheel, sdist).count("PASSED") == 2


@pytest.mark.slow
def test_the_wheel_holds_the_exporter_alone_with_its_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert {name.partition("/")[0] for name in names} == {
        "exporter",
        f"cloud_browser_exporter-{__version__}.dist-info",
    }
    assert "exporter/py.typed" in names
    files = [path for path in (ROOT / "exporter").rglob("*") if path.is_file()]
    coded = {path.relative_to(ROOT).as_posix() for path in files if path.parent.name != "__pycache__"}
    assert coded == {name for name in names if name.startswith("exporter/")}


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=source,
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    (again,) = (source / "dist").glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


@pytest.mark.slow
def test_links_of_the_description_lead_to_the_repository(wheel: Path) -> None:
    text = metadata(wheel).partition("\n\n")[2]
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert all(re.match("https?://|#", link) for link in links)
    assert f"{REPOSITORY}/blob/main/docs/metrics.md" in links


@pytest.mark.slow
def test_the_demo_runs_from_an_environment_with_the_locked_dependencies(wheel: Path, empty: Path) -> None:
    python("-m", "pip", "install", "--no-index", wheel, of=empty)
    assert "No broken requirements found" in python("-m", "pip", "check", of=empty)
    flags = "--web.listen-address", f"{LOCAL}:0", "--listen-address", f"{LOCAL}:0", "--history=10"
    program = empty.with_name("cloud-browser-exporter")
    with Exporter(program, "demo", *flags, environ={}) as process:
        assert 'cloud_browser_up{account="demo",provider="browserbase"} 1.0' in process.get().text
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


def test_files_that_name_the_repository_name_the_one_of_the_project() -> None:
    names = "mkdocs.yml", "deploy/helm/cloud-browser-exporter/Chart.yaml", "deploy/compose.yaml"
    units = "deploy/helm/cloud-browser-exporter/values.yaml", "deploy/systemd/cloud-browser-exporter.service"
    owner, name = REPOSITORY.removeprefix("https://github.com/").split("/")
    for file in (*names, *units, "docs/installation.md"):
        text = (ROOT / file).read_text()
        assert {*re.findall(r"(?:github\.com|ghcr\.io)/([\w-]+/[\w-]+)", text)} <= {
            f"{owner}/{name}",
            f"{owner}/charts",
        }, file
        assert f"{owner}/{name}" in text, file


def test_the_version_of_the_changelog_is_the_packages() -> None:
    assert PROJECT["dynamic"] == ["readme", "version"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in (__version__, "Unreleased")
