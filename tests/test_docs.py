"""Compares the documents with the code, and resolves their links."""

import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from exporter.cli import main
from exporter.config.settings import (
    Config,
    LedgerConfig,
    Limits,
    Pricing,
    Scrape,
    common_keys,
    load,
    option_keys,
)
from exporter.config.web import HttpConfig, TlsConfig, WebConfig
from exporter.metrics.definitions import TABLE
from exporter.metrics.telemetry import REASONS
from exporter.model import REJECTIONS
from exporter.providers import PROVIDERS

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
CONFIGURATION, METRICS = ROOT / "docs" / "configuration.md", ROOT / "docs" / "metrics.md"
DOCUMENTS = (
    *(README, CONTRIBUTING, ROOT / "SECURITY.md", ROOT / "grafana" / "README.md"),
    *sorted((ROOT / "docs").glob("*.md")),
)
SERVING = "serve", "simulate", "demo"
COMMANDS = (*SERVING, "check", "sync", "backfill", "config schema", "ledger show", "ledger copy")
WITHOUT_FLAGS = {"config schema"}  # of their own

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)


def table(document: Path, heading: str) -> list[list[str]]:
    """Returns the rows of the tables in a section, cell by cell, without the header."""
    section = re.split(r"^#{2,3} ", document.read_text().split(f"\n{heading}\n", 1)[1], flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


def prose(document: Path) -> str:
    """Returns the text without code blocks."""
    return re.sub(r"^```.*?^```$|^    .*?$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def headings(document: Path) -> list[str]:
    return re.findall(r"^#{1,6} (.*)$", prose(document), re.MULTILINE)


def anchor(heading: str) -> str:
    """Returns the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def keys(struct: type[msgspec.Struct], prefix: str) -> set[str]:
    return {prefix + field.encode_name for field in msgspec.structs.fields(struct)}


def flags(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Returns the long options in the help text of a command."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return set(re.findall(r"^  (?:-\w, )?(--[\w.-]+)", capsys.readouterr().out, re.MULTILINE))


def test_the_documented_metrics_are_those_of_the_code() -> None:
    rows = [*table(METRICS, "## Session metrics"), *table(METRICS, "## Exporter metrics")]
    groups = {"L": {"provider", "account", "project", "region"}, "A": {"provider", "account"}}
    documented = {
        quoted(name)[0]: (
            kind.replace(" ", ""),
            set().union(*(groups.get(label, {label}) for label in quoted(labels))),
        )
        for name, kind, labels, _ in rows
    }
    assert documented == {spec.name: (spec.kind, set(spec.labels)) for spec in TABLE}


def test_the_documented_reasons_are_those_of_the_code() -> None:
    assert {quoted(row[0])[0] for row in table(METRICS, "## Error reasons")} == set(REASONS)
    assert {quoted(row[0])[0] for row in table(METRICS, "## Rejected sessions")} == set(REJECTIONS)


def test_the_documented_configuration_keys_are_those_of_the_code() -> None:
    documented = {quoted(row[0])[0] for row in table(CONFIGURATION, "## Configuration file")}
    options = set().union(*map(option_keys, PROVIDERS.values())) - {"pricing"}
    common = common_keys() - {"limits"}
    coded = {f"accounts[].{key}" for key in common | options} | keys(Pricing, "accounts[].pricing.")
    coded |= keys(Limits, "accounts[].limits.") | keys(Scrape, "scrape.") | keys(LedgerConfig, "ledger.")
    assert documented == coded
    assert keys(Config, "") == {"accounts", "scrape", "ledger"}


@pytest.mark.parametrize("document", [README, CONFIGURATION], ids=lambda path: path.stem)
def test_the_example_of_a_configuration_is_valid(document: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```yaml\n(accounts:.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "key").write_text("k")
    (tmp_path / "config.yml").write_text(re.sub(r"(?<=api_key_file: ).*", "key", example))
    config = load(tmp_path / "config.yml", PROVIDERS, {"BROWSERBASE_API_KEY": "k"})
    assert {account.provider for account in config.accounts} == set(PROVIDERS)


def test_the_documented_web_configuration_keys_are_those_of_the_code() -> None:
    documented = {quoted(row[0])[0] for row in table(ROOT / "docs" / "web.md", "## TLS and passwords")}
    coded = keys(TlsConfig, "tls_server_config.") | keys(HttpConfig, "http_server_config.")
    assert documented == coded | {"basic_auth_users"}
    assert keys(WebConfig, "") == {"tls_server_config", "basic_auth_users", "http_server_config"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_documented_flags_are_those_of_the_command(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = table(CONFIGURATION, "## Flags")
    assert {name for row in rows for name in row[1].split(", ")} == {"all", *COMMANDS} - WITHOUT_FLAGS
    documented = {quoted(row[0])[0] for row in rows if row[1] == "all" or command in row[1].split(", ")}
    assert documented | {"--help"} == flags(command, capsys)


def test_the_documented_variables_are_those_of_every_provider() -> None:
    documented = set(quoted(" ".join(row[0] for row in table(CONFIGURATION, "## Environment variables"))))
    coded = {f"{name.upper()}_{suffix}" for name in PROVIDERS for suffix in ("API_KEY", "BASE_URL")}
    assert {one for one in documented if one.endswith(("_API_KEY", "_BASE_URL"))} == coded


def test_the_documented_packages_are_those_of_the_code() -> None:
    documented = [quoted(row[0])[0] for row in table(CONTRIBUTING, "## Code layout")]
    found = {path.stem for path in (ROOT / "exporter").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert sorted(documented) == sorted(name for name in found if not name.startswith("__"))


def test_the_readme_begins_with_what_it_is_two_commands_a_picture_and_real_output() -> None:
    screen = "\n".join(README.read_text().splitlines()[:24])
    assert all(command in screen for command in ("make demo", "make test", "cloud-browser-overview.png"))
    (output,) = re.findall(r"^```\n(.*?)^```$", screen, re.MULTILINE | re.DOTALL)
    names = {line.split("{")[0] for line in output.splitlines()}
    assert len(names) == 5
    assert names <= {spec.name for spec in TABLE}


@each_document
def test_headings_are_not_repeated(document: Path) -> None:
    assert [heading for heading, times in Counter(headings(document)).items() if times > 1] == []


@each_document
def test_links_lead_to_files_and_headings_that_are_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if "://" in target:
            continue
        name, _, fragment = target.partition("#")
        linked = (document.parent / name).resolve() if name else document
        assert linked.exists(), target
        if fragment:
            assert fragment in map(anchor, headings(linked)), target
