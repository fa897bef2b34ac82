"""What the documents say of the code, held against the code."""

import argparse
import ast
import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from exporter.catalog import TABLE
from exporter.cli import _parser
from exporter.config import AccountConfig, Config, LedgerConfig, Pricing, Scrape
from exporter.meters import REASONS
from exporter.session import REJECTIONS
from exporter.web_config import TlsConfig, WebConfig

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "exporter"
README = (ROOT / "README.md").read_text()

# Each module, and those of the package that it may import; what is not here may import nothing of it.
MAY_IMPORT = {
    "__main__": {"cli"},
    "cli": {"config", "fleet", "ledger", "logs", "serve", "server", "simulator"},
    "serve": {
        "accounting", "api", "browser_use", "browserbase", "config", "errors", "guard", "ledger", "meters",
        "plan", "pull", "reload", "secret", "server", "session", "web",
    },
    "server": {"connections", "exchange"},
    "connections": {"exchange"},
    "reload": {"document", "flight", "plan", "pull"},
    "web": {"flight", "metrics", "page", "pull"},
    "page": {"flight", "plan", "session"},
    "pull": {"errors", "flight", "ledger", "plan", "session", "state", "words"},
    "flight": {"plan", "session"},
    "plan": {"accounting", "session"},
    "ledger": {"accounting", "database", "schema", "session", "state", "words"},
    "state": {"accounting", "schema", "session", "words"},
    "schema": {"session"},
    "accounting": {"session"},
    "words": {"session"},
    "browserbase": {"api", "errors", "halves", "session", "words"},
    "browser_use": {"api", "browser_use_rows", "clocks", "errors", "session", "walk"},
    "browser_use_rows": {"errors", "halves", "session", "words"},
    "api": {"clocks", "errors", "patience", "session", "transport"},
    "patience": {"clocks", "errors", "session"},
    "clocks": {"session"},
    "meters": {"catalog", "session"},
    "metrics": {"catalog", "session"},
    "config": {"document", "secret"},
    "guard": {"document", "passwords", "tls", "web_config"},
    "tls": {"document", "web_config"},
    "web_config": {"document", "passwords", "secret"},
    "passwords": {"secret"},
    "simulator": {"fleet", "rows"},
    "rows": {"fleet"},
}  # fmt: skip


def imported(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "exporter":
            found |= {alias.name for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("exporter."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("exporter.")}
    return found


@pytest.mark.parametrize("module", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_imports_go_only_the_way_the_architecture_allows(module: Path) -> None:
    assert imported(module) <= MAY_IMPORT.get(module.stem, set())


def test_no_import_leads_back() -> None:
    order: list[str] = []
    rest = {path.stem: imported(path) for path in PACKAGE.glob("*.py")}
    while rest:
        free = {name for name, needs in rest.items() if needs <= set(order)}
        assert free, f"these import each other: {sorted(rest)}"
        order += sorted(free)
        rest = {name: needs for name, needs in rest.items() if name not in free}


@pytest.mark.parametrize("module", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_every_module_has_a_test_file(module: Path) -> None:
    wired = {"__init__", "__main__"}  # test_command and test_end_to_end run these as a process
    wired |= {"catalog", "state"}  # data, and the ledger's statements: test_metrics and test_ledger
    assert module.stem in wired or (ROOT / "tests" / f"test_{module.stem}.py").exists()


def table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading of the README, cell by cell."""
    section = README.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]


def words(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


def test_the_metrics_of_the_readme_are_those_of_the_code() -> None:
    documented = {
        words(row[0])[0]: (row[1], set(words(row[2])))
        for row in [*table("### Sessions"), *table("### The exporter")]
    }
    long = {"L": {"provider", "account", "project", "region"}, "A": {"provider", "account"}}
    resolved = {
        name: (kind, set().union(*(long.get(label, {label}) for label in labels)))
        for name, (kind, labels) in documented.items()
    }
    assert resolved == {spec.name: (spec.kind, set(spec.labels)) for spec in TABLE}


def keys(struct: type[msgspec.Struct], prefix: str) -> set[str]:
    return {prefix + field.encode_name for field in msgspec.structs.fields(struct)}


def test_the_configuration_keys_of_the_readme_are_those_of_the_code() -> None:
    documented = {words(row[0])[0] for row in table("## Configuration")}
    coded = keys(AccountConfig, "accounts[].") - {"accounts[].pricing"} | keys(Pricing, "accounts[].pricing.")
    coded |= keys(Scrape, "scrape.") | keys(LedgerConfig, "ledger.")
    assert documented == coded
    assert keys(Config, "") == {"accounts", "scrape", "ledger"}


def test_the_web_configuration_keys_of_the_readme_are_those_of_the_code() -> None:
    documented = {words(row[0])[0] for row in table("## TLS and passwords")}
    assert documented == keys(TlsConfig, "tls_server_config.") | {"basic_auth_users"}
    assert keys(WebConfig, "") == {"tls_server_config", "basic_auth_users"}


def flags(parser: argparse.ArgumentParser) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:  # noqa: SLF001 - argparse lists them nowhere else
        found |= {option for option in action.option_strings if option.startswith("--")}
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - the same
            found = found.union(*(flags(command) for command in action.choices.values()))
    return found


def test_the_flags_of_the_readme_are_those_of_the_code() -> None:
    documented = {words(row[0])[0] for row in table("## Flags")}
    assert documented | {"--help"} == flags(_parser())


def test_the_reasons_of_the_readme_are_those_of_the_code() -> None:
    assert {words(row[0])[0] for row in table("### Reasons of errors")} == set(REASONS)
    assert {words(row[0])[0] for row in table("### Rows left out")} == set(REJECTIONS)


def test_the_readme_begins_with_what_it_is_and_the_two_commands() -> None:
    screen = "\n".join(README.splitlines()[:24])
    assert all(command in screen for command in ("make demo", "make test"))


def test_headings_are_not_repeated() -> None:
    headings = sorted(re.findall(r"^#{2,3} .*", README, re.MULTILINE))
    assert all(one != other for one, other in pairwise(headings))


def test_modules_are_short_enough_to_read() -> None:
    long = {path.stem: n for path in PACKAGE.glob("*.py") if (n := len(path.read_text().splitlines())) > 300}
    assert not long
