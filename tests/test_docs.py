"""What the documents say of the code, held against the code."""

import argparse
import re
from itertools import pairwise
from pathlib import Path

import msgspec

from exporter.cli import _parser
from exporter.config.settings import Config, LedgerConfig, Pricing, Scrape, common_keys, option_keys
from exporter.config.web import TlsConfig, WebConfig
from exporter.metrics.definitions import TABLE
from exporter.metrics.telemetry import REASONS
from exporter.model import REJECTIONS
from exporter.providers import PROVIDERS

README = (Path(__file__).parents[1] / "README.md").read_text()


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
    own = set().union(*map(option_keys, PROVIDERS.values())) - {"pricing"}
    coded = {f"accounts[].{key}" for key in common_keys() | own} | keys(Pricing, "accounts[].pricing.")
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
