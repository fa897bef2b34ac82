"""`config schema`."""

import argparse
from collections.abc import Mapping

import msgspec

from exporter.config.json_schema import file_schema
from exporter.providers.base import Provider


def add_schema_flags(_: argparse.ArgumentParser) -> None:
    """`config schema` has no flags of its own."""


def print_schema(_: argparse.Namespace, providers: Mapping[str, Provider]) -> None:
    """Print the JSON Schema of a configuration file."""
    print(msgspec.json.format(msgspec.json.encode(file_schema(providers))).decode())
