"""The Dockerfile: linted, and its steps run as a plain script in an empty folder."""

import json
import re
import shutil
import signal
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from exporter import __version__
from tests.support.dockerfile import Image, copied, instructions
from tests.support.processes import KEYS, LOCAL, Exporter, run
from tests.support.rules import ROOT

FOLDER = ROOT / "deploy" / "docker"
FILE = FOLDER / "Dockerfile"
NOBODY = 65532
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(FILE, ROOT, tmp_path_factory.mktemp("image"))


def program(image: Image) -> str:
    """Returns the path of the image's entry point."""
    (name,) = json.loads(image.metadata["ENTRYPOINT"])
    path: str | None = shutil.which(name, path=image.environ["PATH"])
    assert path is not None
    return path


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if not path.is_symlink()}


def test_hadolint_finds_no_fault() -> None:
    code, out, errors = run(Path(sys.executable).with_name("hadolint"), FILE)
    assert (code, out, errors) == (0, "", "")


def test_the_last_stage_compiles_nothing_and_runs_as_nobody() -> None:
    words = [word for word, _ in instructions(FILE)]
    last = instructions(FILE)[len(words) - words[::-1].index("FROM") :]
    (made,) = [text for word, text in last if word == "RUN"]
    assert made.startswith("install --directory ")
    assert ("USER", f"{NOBODY}:{NOBODY}") in last


def test_wheels_alone_are_installed_by_their_hashes() -> None:
    (installing, own) = [text for word, text in instructions(FILE) if word == "RUN" and " install " in text][
        :2
    ]
    assert installing.count("--require-hashes --only-binary :all:") == installing.count(" install ") == 2
    assert "--no-deps --no-index" in own


def test_the_images_python_is_one_that_the_tests_were_run_on() -> None:
    (argument,) = [text for word, text in instructions(FILE) if word == "ARG"]
    match = re.fullmatch(r"PYTHON=(3\.\d+)-slim-\w+", argument)
    assert match is not None
    assert f"Programming Language :: Python :: {match[1]}" in PROJECT["classifiers"]


def test_the_context_has_what_is_copied_and_nothing_else() -> None:
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied(FILE))


@pytest.mark.slow
def test_the_steps_make_the_program_with_postgresql(image: Image) -> None:
    assert program(image).startswith(str(image.root))
    environ = settings(image)
    assert run(program(image), "--version", environ=environ)[1] == f"cloud-browser-exporter {__version__}\n"
    nowhere = "--ledger.url=postgresql://nobody@127.0.0.1:1/ledger"
    code, _, errors = run(program(image), "ledger", "show", nowhere, environ=environ)
    assert code == 1
    assert "refused" in errors


@pytest.mark.slow
def test_the_program_writes_below_its_volume_alone_and_its_health_is_checked(image: Image) -> None:
    volume, before = Path(image.below(image.metadata["VOLUME"])), files(image.root / "opt")
    check = json.loads(image.below(image.metadata["HEALTHCHECK"]).split(" CMD ", 1)[1])
    asked = [shutil.which(word, path=image.environ["PATH"]) or word for word in check]
    environ = settings(image) | KEYS
    flags = "--web.listen-address", f"{LOCAL}:0", "--config.file", accounts(image.root)
    with Exporter(program(image), *flags, environ=environ) as process:
        port = process.url.rpartition(":")[2]
        assert run(*asked, LOCAL, port, environ=environ) == (0, "", "")
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert run(*asked, LOCAL, port, environ=environ)[0] == 1
    assert (volume / "ledger.db").is_file()
    assert files(image.root / "opt") == before


def settings(image: Image) -> dict[str, str]:
    """Returns the environment that the image sets."""
    names = re.findall(r"(\w+)=", [text for word, text in instructions(FILE) if word == "ENV"][-1])
    return {name: image.environ[name] for name in names}


def accounts(folder: Path) -> Path:
    """Writes a configuration without a ledger's address: the image's volume is the default."""
    path = folder / "exporter.yml"
    account = {"name": "a", "provider": "browserbase", "api_key_env": "BROWSERBASE_API_KEY"}
    path.write_text(yaml.safe_dump({"accounts": [account]}))
    return path
