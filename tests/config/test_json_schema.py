"""The JSON Schema of the configuration, and the example of a file, against what the exporter reads."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from exporter.cli import main
from exporter.config.json_schema import file_schema
from exporter.config.loader import ConfigError
from exporter.config.settings import AccountConfig, Config, LedgerConfig, Limits, Pricing, Scrape, load
from exporter.providers import PROVIDERS
from tests.config.test_settings import ENVIRON, FILES
from tests.support.examples import examples
from tests.support.toy_provider import TOY

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy" / "config.example.yml"
KEYS = {"BROWSERBASE_API_KEY": "bb", "BROWSER_USE_API_KEY": "bu", "STATE_DIRECTORY": "/state"}
SCHEMA = file_schema(PROVIDERS)
VALIDATOR = Draft202012Validator(SCHEMA)
# Refused only for what a schema cannot decide: a key that is not there, a name that another account has.
BEYOND_A_SCHEMA = {"duplicate_key"}
NO_YAML = {"control", "latin", "merge", "syntax", "two_documents"}


def faults(document: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def in_full(path: Path) -> Any:
    """The example with all that is commented out."""
    return yaml.safe_load(re.sub(r"^( *)#(\w+:)", r"\1\2", path.read_text(), flags=re.MULTILINE))


def leaves(value: object, at: str = "") -> Iterator[tuple[str, object]]:
    """The keys of a document and their values; those of a list's entries as `[]`."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{at}.{key}" if at else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from leaves(item, f"{at}[]")
    else:
        yield at, value


def keys(schema: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The keys of a schema, in the same way, and their schemas."""
    if "properties" in schema:
        for key, value in schema["properties"].items():
            yield from keys(value, f"{at}.{key}" if at else key)
    elif "properties" in schema.get("items", {}):
        yield from keys(schema["items"], f"{at}[]")
    else:
        yield at, schema


def documents() -> list[Path]:
    return [*sorted(FILES.glob("*.good.yml")), EXAMPLE]


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_what_the_exporter_reads_is_valid_by_the_schema(path: Path) -> None:
    assert load(path, PROVIDERS, ENVIRON | KEYS).accounts
    assert faults(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("document", ["README.md", "docs/configuration.md"])
def test_the_examples_of_the_documents_are_valid_by_the_schema(document: str) -> None:
    text = (ROOT / document).read_text()
    (example,) = re.findall(r"^```yaml\n(accounts:.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert faults(yaml.safe_load(example)) == []


@pytest.mark.parametrize("path", sorted(FILES.glob("*.bad.yml")), ids=lambda path: path.name)
def test_what_the_exporter_refuses_is_not_valid_by_the_schema(path: Path) -> None:
    name = path.name.removesuffix(".bad.yml")
    if name not in NO_YAML | BEYOND_A_SCHEMA:
        assert faults(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"pricing": {}}, "$.accounts[0].pricing: "),
        ({"api_key_file": "key"}, "$.accounts[0]: "),
        ({"api_key_env": None}, "$.accounts[0]: "),
        ({"base_url": "ftp://host"}, "$.accounts[0].base_url: "),
        ({"limits": {"session_age": "6 hours"}}, "$.accounts[0].limits.session_age: "),
        ({"limits": {"session_age": 5}}, "$.accounts[0].limits.session_age: "),
        ({"collectors": []}, "$.accounts[0].collectors: "),
        ({"nmae": "b"}, "$.accounts[0]: "),
        ({"query": "env"}, "$.accounts[0].query: "),
        ({"metadata_labels": {"project": "team"}}, "$.accounts[0].metadata_labels: "),
        ({"metadata_labels": {"__team": "team"}}, "$.accounts[0].metadata_labels: "),
        ({"metadata_labels": {"team": ["team"]}}, "$.accounts[0].metadata_labels.team: "),
    ],
)
def test_the_schema_names_the_place_of_a_fault(change: dict[str, object], fault: str) -> None:
    account = {"name": "a", "provider": "browser_use", "api_key_env": "BROWSER_USE_API_KEY"}
    assert faults({"accounts": [account]}) == []
    (found,) = faults({"accounts": [account | change]})
    assert found.startswith(fault)


def test_every_key_has_a_description() -> None:
    assert [key for key, schema in keys(SCHEMA) if not schema.get("description")] == []


TEXTS = ["", "10s", "0", "1h30m", "500ms", "x", "import", "browserbase", "https://host", "sqlite:///a.db"]
VALUES: st.SearchStrategy[object] = st.sampled_from([*TEXTS, None, False, 0.5, []]) | st.integers(-1, 10**6)


@examples(300)
@given(st.sampled_from([key for key, _ in keys(SCHEMA)]), VALUES)
def test_what_is_read_with_any_value_is_valid_by_the_schema(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yml"
    account = {"name": "a", "provider": "browserbase", "api_key_env": "BROWSERBASE_API_KEY"}
    document: dict[str, Any] = {"accounts": [account], "scrape": {}, "ledger": {}}
    place: dict[str, Any] = document
    *sections, last = key.split(".")
    for section in sections:
        place = place[section[:-2]][0] if section.endswith("[]") else place.setdefault(section, {})
    place[last] = value
    path.write_text(yaml.safe_dump(document))
    try:
        load(path, PROVIDERS, ENVIRON)
    except ConfigError:
        return
    assert faults(document) == []


def test_the_example_has_every_key_and_each_with_its_default() -> None:
    found = dict(leaves(in_full(EXAMPLE)))
    known = dict(keys(SCHEMA))
    assert found.keys() == known.keys()
    defaults = {key: schema["default"] for key, schema in known.items() if "default" in schema}
    assert {key: found[key] for key in defaults} == defaults


def test_what_is_not_commented_out_in_the_example_is_the_default() -> None:
    read = load(EXAMPLE, PROVIDERS, KEYS)
    url = "sqlite:////state/ledger.db"
    assert (read.scrape, read.ledger) == (Scrape(), LedgerConfig(url=url))
    assert read.accounts == tuple(
        AccountConfig(
            "production",
            name,
            api_key_env=f"{name.upper()}_API_KEY",
            base_url=provider.base_url,
            options=provider.options(),
        )
        for name, provider in PROVIDERS.items()
    )


@pytest.mark.parametrize("struct", [Scrape, LedgerConfig, Pricing, Limits])
def test_a_default_of_the_schema_is_read_as_the_default(struct: type[msgspec.Struct]) -> None:
    section = {Scrape: "scrape", LedgerConfig: "ledger"}.get(struct)
    account = SCHEMA["properties"]["accounts"]["items"]["properties"]
    of_struct = account["pricing" if struct is Pricing else "limits"]
    schema = SCHEMA["properties"][section] if section else of_struct
    for field in msgspec.structs.fields(struct):
        shown = schema["properties"][field.encode_name].get("default")
        if shown is None:
            assert field.default in {None, ""}
        else:
            assert field.type.__metadata__[0].extra["by"](str(shown)) == field.default


def test_the_schema_follows_the_registry() -> None:
    validator = Draft202012Validator(file_schema({**PROVIDERS, TOY.name: TOY}))
    account = {"name": "a", "provider": "toy", "api_key_env": "KEY", "zone": "south"}
    assert validator.is_valid({"accounts": [account]})
    assert not validator.is_valid({"accounts": [account | {"zone": 21 * "x"}]})
    assert not validator.is_valid({"accounts": [account | {"provider": "browserbase"}]})
    assert faults({"accounts": [account]})


def test_the_sections_of_the_schema_are_those_of_a_file() -> None:
    assert [*SCHEMA["properties"]] == [field.encode_name for field in msgspec.structs.fields(Config)]
