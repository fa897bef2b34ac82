"""Loads YAML files, validated by structs whose fields name, with `parsed_by`, what parses each value.

One pass finds all errors of a file. A scalar stays text until its field's parser reads it, so that a
price never becomes a float. Returned are dicts, lists and parsed values; msgspec makes structs of them.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import yaml

Text: TypeAlias = Callable[[str], object]
Reads: TypeAlias = Text | type[msgspec.Struct] | list[type[msgspec.Struct] | Text] | dict[Text, Text]

DAY, MINUTE, SECOND = 86_400_000_000, 60_000_000, 1_000_000  # microseconds

_UNITS = {"y": 365 * DAY, "w": 7 * DAY, "d": DAY, "h": 60 * MINUTE, "m": MINUTE, "s": SECOND, "ms": 1000}
_DURATION = re.compile("0|(?=.)" + "".join(f"(?:([0-9]{{1,20}}){unit})?" for unit in _UNITS))
_NAMED = re.compile("(alias|handle) .*", re.DOTALL)  # what a value that begins with * or ! is taken for
_FILE_BYTES = 1 << 20
_LONGEST_SHOWN = 20  # in characters; API keys and hashes are longer
_FAULTS = 100  # aliases can give a small file millions


class ConfigError(Exception):
    """The configuration is not valid: `faults` has a line for each error, naming file and key."""

    def __init__(self, *faults: str) -> None:
        self.faults = tuple(
            "".join(char if char.isprintable() else "?" for char in fault) for fault in faults
        )
        super().__init__("\n".join(self.faults))


def parsed_by(reads: Reads) -> msgspec.Meta:
    """Marks a struct's field with what parses its text, so that each key is named once.

    A function from text to value, which may raise ValueError; a struct; a list of one of these; or, for a
    mapping whose keys are the user's own, a dict of one: what parses a key, and what parses its value.
    """
    return msgspec.Meta(extra={"by": reads})


def printable(most: int) -> msgspec.Meta:
    """Marks a field of one printable line of at most `most` characters."""
    return parsed_by(
        partial(match_pattern, f".{{1,{most}}}", f"one printable line of 1 to {most} characters")
    )


def duration(text: str) -> int:
    """Returns the microseconds of a Prometheus duration (`500ms`, `1h30m`, `0`) of at most 100y.

    Raises ValueError.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{quote(text)} is not a duration; allowed: such as 0s, 500ms, 10s, 1h30m")
    total = sum(int(count) * unit for count, unit in zip(match.groups("0"), _UNITS.values(), strict=True))
    if total > 100 * _UNITS["y"]:
        raise ValueError(f"{quote(text)} is too long; allowed: at most 100y")
    return total


def number(least: int, most: int, decimals: int, text: str) -> int:
    """Returns the number in units of its last decimal, exactly: 0.12 of 9 decimals is 120,000,000.

    Raises ValueError for one below `least` or above `most`, or of more decimals.
    """
    match = re.fullmatch(rf"([0-9]{{1,15}})(?:\.([0-9]{{0,{decimals}}}))?", text)
    value = int(match[1] + (match[2] or "").ljust(decimals, "0")) if match else -1
    if not least * 10**decimals <= value <= most * 10**decimals:
        kind = f"a number of at most {decimals} decimals" if decimals else "a whole number"
        raise ValueError(f"{quote(text)} is not {kind} from {least} to {most}")
    return value


def match_pattern(pattern: str, wanted: str, text: str) -> str:
    """Returns the text. Raises ValueError without quoting it, for it may hold a password or a key."""
    if not (text.isprintable() and re.fullmatch(pattern, text, re.ASCII)):
        raise ValueError(f"not {wanted}")
    return text


def one_of(allowed: tuple[str, ...], text: str) -> str:
    """Returns the text. Raises ValueError if it is not one of those allowed."""
    if text not in allowed:
        raise ValueError(f"{quote(text)} is not one of {', '.join(allowed)}")
    return text


def quote(text: str) -> str:
    """Returns the text as an error quotes it. A longer one is not quoted, for it may be a misplaced key."""
    return repr(text) if len(text) <= _LONGEST_SHOWN else "what stands there"


class Validator:
    """Loads data by the structs' fields, and collects the errors."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def add_error(self, at: str, fault: str) -> None:
        """Adds an error at a place in the file. Raises ConfigError when there are too many."""
        self.faults.append(f"{at}: {fault}")
        if len(self.faults) == _FAULTS:
            raise ConfigError(*self.faults, "further faults are not shown")

    def load(self, raw: object, at: str, reads: Reads, dot: str = ".") -> Any:
        """Returns what `raw` holds; None where that is not allowed, with the error added."""
        fault = "not a single value"
        if isinstance(reads, type):
            if isinstance(raw, dict):
                return self._mapping(raw, at + dot, reads)
            fault = f"{'empty' if raw is None else 'not a mapping'}; allowed: {_mapping_of(reads)}"
        elif isinstance(reads, list):
            if isinstance(raw, list) and raw:
                return [self.load(item, f"{at}[{index}]", reads[0]) for index, item in enumerate(raw)]
            fault = "not a list of at least one; begin each entry with a dash"
        elif isinstance(reads, dict):
            if isinstance(raw, dict) and raw:
                return self._entries(raw, at, *next(iter(reads.items())))
            fault = "not a mapping of at least one"
        elif isinstance(raw, str):
            try:
                return reads(raw)
            except ValueError as error:
                fault = str(error)
        self.add_error(at, fault)
        return None

    def _mapping(
        self, raw: Mapping[Any, object], prefix: str, struct: type[msgspec.Struct]
    ) -> dict[str, Any]:
        fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        taken = {}
        for key, value in raw.items():
            if key not in fields:
                named = str(key) if len(str(key)) <= _LONGEST_SHOWN else "..."
                self.add_error(f"{prefix}{named}", f"unknown key; allowed: {', '.join(sorted(fields))}")
            elif value is not None:
                taken[key] = self.load(value, prefix + key, fields[key].type.__metadata__[0].extra["by"])
        for key, field in fields.items():
            if field.required and key not in taken:
                self.add_error(prefix + key, "missing; add this key")
        return taken

    def _entries(self, raw: Mapping[Any, object], at: str, key: Text, value: Text) -> dict[Any, Any]:
        # A key that is not allowed, or is long, may be a misplaced secret: errors name its index instead.
        taken = {}
        for index, (name, item) in enumerate(raw.items()):
            known = len(self.faults)
            read = self.load(name, f"{at}[{index}]", key)
            if len(self.faults) == known:
                place = f".{name}" if len(name) <= _LONGEST_SHOWN else f"[{index}]"
                taken[read] = self.load(item, at + place, value)
        return taken


def _mapping_of(struct: type[msgspec.Struct]) -> str:
    fields = msgspec.structs.fields(struct)
    nothing = "" if any(field.required for field in fields) else ", or {} for none"
    return f"a mapping with {', '.join(sorted(field.encode_name for field in fields))}{nothing}"


def read_yaml(path: Path, validator: Validator) -> object:
    """Returns the data of a file: dicts, lists, texts and None. Raises ConfigError.

    A key that a mapping has twice is added to the validator's errors.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise ConfigError(f"{path}: too large; allowed: at most 1 MiB")
        return _Loader(data.decode("utf-8-sig"), path, validator).get_single_data()
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

    def __init__(self, text: str, at: Path, validator: Validator) -> None:
        super().__init__(text)
        self.at, self.validator = at, validator

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the base's
        keys = set()
        for key in [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]:
            if key.value in keys:
                self.validator.add_error(
                    f"{self.at}: {_place(key.start_mark)}", f"{quote(key.value)} stands twice; remove one"
                )
            keys.add(key.value)
        return super().construct_mapping(node, deep)


_NULL = "tag:yaml.org,2002:null"
_Loader.add_implicit_resolver(_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_Loader.add_constructor(_NULL, lambda _loader, _node: None)


def _place(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "YAML"
