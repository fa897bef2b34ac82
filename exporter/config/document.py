"""Reads a YAML file: its scalars stay text, and the line of each key and entry is known."""

import re
from pathlib import Path
from typing import Any

import yaml

from exporter.config.loader import ConfigError, Entries, Section

_NAMED = re.compile("(alias|handle) .*", re.DOTALL)  # what a value that begins with * or ! is taken for
_FILE_BYTES = 1 << 20


def read_yaml(path: Path) -> object:
    """Returns the data of a file: `Section`, `Entries`, texts and None. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise ConfigError(f"{path}: too large; allowed: at most 1 MiB")
        return _Loader(data.decode("utf-8-sig")).get_single_data()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); check the path and the file's permissions"
        ) from error
    except yaml.MarkedYAMLError as error:
        problem = _NAMED.sub(r"\1", error.problem or "")
        # Not from the error, which quotes the line.
        raise ConfigError(f"{path}: {_place(error.problem_mark)}: {problem}") from None
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}; allowed: YAML in UTF-8") from error


class _Loader(yaml.BaseLoader):
    """Leaves scalars their text, so that the name `no` stays; null is None."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Section:  # noqa: FBT001, FBT002 - the base's
        made = Section(super().construct_mapping(node, deep))
        for key_node, _ in node.value:
            key, line = self.construct_object(key_node, deep), key_node.start_mark.line + 1
            if key in made.lines:
                made.repeated.append((key, made.lines[key]))
            made.lines[key] = line
        return made

    def construct_sequence(self, node: yaml.SequenceNode, deep: bool = False) -> Entries:  # noqa: FBT001, FBT002 - the base's
        made = Entries(super().construct_sequence(node, deep))
        made.lines = {index: item.start_mark.line + 1 for index, item in enumerate(node.value)}
        return made


def _construct_null(_loader: yaml.BaseLoader, _node: Any) -> None:
    """Null has no value."""


_NULL = "tag:yaml.org,2002:null"
_Loader.add_implicit_resolver(_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_Loader.add_constructor(_NULL, _construct_null)


def _place(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "YAML"
