"""Validates data of YAML files by structs whose fields name, with `parsed_by`, what parses each value.

One pass finds all errors of a file. A scalar stays text until its field's parser reads it, so that a
price never becomes a float. Returned are dicts, lists and parsed values; msgspec makes structs of them.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

import msgspec

Text: TypeAlias = Callable[[str], object]
Reads: TypeAlias = Text | type[msgspec.Struct] | list[type[msgspec.Struct] | Text] | dict[Text, Text]

DAY, MINUTE, SECOND = 86_400_000_000, 60_000_000, 1_000_000  # microseconds

UNITS = {"y": 365 * DAY, "w": 7 * DAY, "d": DAY, "h": 60 * MINUTE, "m": MINUTE, "s": SECOND, "ms": 1000}
_DURATION = re.compile("0|(?=.)" + "".join(f"(?:([0-9]{{1,20}}){unit})?" for unit in UNITS))
# What the JSON Schema says of a duration's value: YAML reads a 0 as a number.
DURATION: Mapping[str, object] = {
    "type": ["string", "integer"],
    "pattern": "^(?:0|(?=.)" + "".join(f"(?:[0-9]+{unit})?" for unit in UNITS) + ")$",
    "maximum": 0,
    "minimum": 0,
}
_LONGEST_SHOWN = 20  # in characters; API keys and hashes are longer
_LONGEST_GUESSED = 40  # of keys for which a near one is sought
_FAULTS = 100  # aliases can give a small file millions


class Section(dict[Any, object]):
    """A mapping of a file.

    lines: where each key stands; the last place, whose value counts. repeated: keys that stand in an earlier
    line too, and that line.
    """

    def __init__(self, values: Mapping[Any, object] = {}) -> None:
        super().__init__(values)
        self.lines: dict[Any, int] = {}
        self.repeated: list[tuple[Any, int]] = []


class Entries(list[object]):
    """A list of a file. `lines`: where each entry begins."""

    def __init__(self, values: Iterable[object] = ()) -> None:
        super().__init__(values)
        self.lines: dict[int, int] = {}


class ConfigError(Exception):
    """The configuration is not valid: `faults` has a line for each error, naming file and key."""

    def __init__(self, *faults: str) -> None:
        self.faults = tuple(
            "".join(char if char.isprintable() else "?" for char in fault) for fault in faults
        )
        super().__init__("\n".join(self.faults))


def parsed_by(reads: Reads, text: str = "", **schema: object) -> msgspec.Meta:
    """Marks a struct's field with what parses its text, so that each key is named once.

    Args:
        reads: a function from text to value, which may raise ValueError; a struct; a list of one of these;
            or, for a mapping whose keys are the user's own, a dict of one: what parses a key, and what
            parses its value.
        text: what the key means, in the JSON Schema.
        schema: what the JSON Schema says of its value beside what `reads` tells.
    """
    return msgspec.Meta(description=text or None, extra={"by": reads, "schema": schema})


def printable(most: int, text: str = "") -> msgspec.Meta:
    """Marks a field of one printable line of at most `most` characters; `text`: what the key means."""
    reads = partial(match_pattern, f".{{1,{most}}}", f"one printable line of 1 to {most} characters")
    return parsed_by(reads, text, minLength=1, maxLength=most)


def duration(text: str) -> int:
    """Returns the microseconds of a Prometheus duration (`500ms`, `1h30m`, `0`) of at most 100y.

    Raises ValueError.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{quote(text)} is not a duration; allowed: such as 0s, 500ms, 10s, 1h30m")
    total = sum(int(count) * unit for count, unit in zip(match.groups("0"), UNITS.values(), strict=True))
    if total > 100 * UNITS["y"]:
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
        raise ValueError(f"{measured(text)} is not {wanted}")
    return text


def one_of(allowed: tuple[str, ...], text: str) -> str:
    """Returns the text. Raises ValueError if it is not one of those allowed."""
    if text not in allowed:
        raise ValueError(f"{quote(text)} is not one of {', '.join(allowed)}{_suggestion(text, allowed)}")
    return text


def quote(text: str) -> str:
    """Returns the text as an error quotes it. A longer one is not quoted, for it may be a misplaced key."""
    return repr(text) if len(text) <= _LONGEST_SHOWN else measured(text)


def measured(text: str) -> str:
    """Returns what an error says of a text that it does not quote."""
    if not text:
        return "an empty text"
    printable = "" if text.isprintable() else ", not all of them printable,"
    return f"a text of {len(text)} character{'s' if len(text) > 1 else ''}{printable}"


def _found(raw: object) -> str:
    """Returns what an error calls data of the wrong form; a text is not quoted, for it may be a secret."""
    if raw is None:
        return "empty"
    if isinstance(raw, str):
        return "a single value"
    kind = "mapping" if isinstance(raw, dict) else "list"
    return f"a {kind}" if raw else f"an empty {kind}"


def _suggestion(text: str, known: Iterable[str]) -> str:
    """Returns the question after the nearest of the known words; empty where none is near."""
    near = difflib.get_close_matches(text, known, 1) if len(text) <= _LONGEST_GUESSED else []
    return f"; did you mean {near[0]}?" if near else ""


class Validator:
    """Loads data by the structs' fields, and collects the errors, each with its place.

    Args:
        source: the file that the data comes from; empty for the environment and the command line.
        unsupported: keys that are known, and are refused in words of their own, by section.
    """

    def __init__(self, source: str = "", unsupported: Mapping[str, tuple[str, ...]] = {}) -> None:
        self.faults: list[str] = []
        self._unsupported = unsupported
        self._source, self._lines, self._faulty = source, dict[str, int](), list[str]()

    def place(self, at: str) -> str:
        """Returns a key's place as errors name it: file, line if it is known, and the key."""
        line = f"line {self._lines[at]}" if at in self._lines else ""
        return ": ".join(filter(None, (self._source, line, at)))

    def add_error(self, at: str, fault: str) -> None:
        """Adds an error of a key, or of the whole at "". Raises ConfigError when there are too many."""
        self._faulty.append(at)
        self.faults.append(": ".join(filter(None, (self.place(at), fault))))
        if len(self.faults) == _FAULTS:
            raise ConfigError(*self.faults, "further faults are not shown")

    def has_errors(self, at: str) -> bool:
        """Returns whether there is an error of a key, or of one below it."""
        return any(one == at or one.startswith((f"{at}.", f"{at}[")) for one in self._faulty)

    def load(self, raw: object, at: str, reads: Reads) -> Any:
        """Returns what `raw` holds; None where that is not allowed, with the error added."""
        allowed = "a single value"
        if isinstance(reads, type):
            if isinstance(raw, dict):
                return self._mapping(raw, at, reads)
            allowed = _mapping_of(reads)
        elif isinstance(reads, list):
            if isinstance(raw, list) and raw:
                return self._list(raw, at, reads[0])
            allowed = "a list of at least one; begin each entry with a dash"
        elif isinstance(reads, dict):
            if isinstance(raw, dict):
                return self._entries(raw, at, *next(iter(reads.items())))
            allowed = "a mapping"
        elif isinstance(raw, str):
            try:
                return reads(raw)
            except ValueError as error:
                self.add_error(at, str(error))
                return None
        self.add_error(at, f"{_found(raw)}; allowed: {allowed}")
        return None

    def _list(self, raw: list[object], at: str, reads: type[msgspec.Struct] | Text) -> list[Any]:
        lines = raw.lines if isinstance(raw, Entries) else {}
        taken = []
        for index, item in enumerate(raw):
            self._note_line(f"{at}[{index}]", lines.get(index))
            taken.append(self.load(item, f"{at}[{index}]", reads))
        return taken

    def _mapping(self, raw: dict[Any, object], at: str, struct: type[msgspec.Struct]) -> dict[str, Any]:
        fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        prefix, lines = f"{at}." if at else "", _lines(raw)
        taken = {}
        for key, value in raw.items():
            unsupported = key in self._unsupported.get(at, ())
            place = prefix + (key if unsupported or key in fields else _shown(key))
            self._note_line(place, lines.get(key))
            if unsupported:
                self.add_error(place, "not supported by this exporter; remove it")
            elif key not in fields:
                near = _suggestion(str(key), fields)
                self.add_error(place, f"unknown key{near or ';'} allowed: {', '.join(sorted(fields))}")
            elif value is not None or fields[key].required:
                taken[key] = self.load(value, place, fields[key].type.__metadata__[0].extra["by"])
        self._refuse_repeated(raw, prefix)
        for key, field in fields.items():
            if field.required and key not in taken:
                self._note_line(prefix + key, lines.get(key) or self._lines.get(at))
                self.add_error(prefix + key, "missing; add this key")
        return taken

    def _entries(self, raw: dict[Any, object], at: str, key: Text, value: Text) -> dict[Any, Any]:
        # A key that is not allowed, or is long, may be a misplaced secret: errors name its index instead.
        taken = {}
        for index, (name, item) in enumerate(raw.items()):
            known = len(self.faults)
            self._note_line(f"{at}[{index}]", _lines(raw).get(name))
            read = self.load(name, f"{at}[{index}]", key)
            if len(self.faults) == known:
                place = at + (f".{name}" if len(name) <= _LONGEST_SHOWN else f"[{index}]")
                self._note_line(place, _lines(raw).get(name))
                taken[read] = self.load(item, place, value)
        self._refuse_repeated(raw, f"{at}.")
        return taken

    def _refuse_repeated(self, raw: dict[Any, object], prefix: str) -> None:
        lines = _lines(raw)
        for key, line in raw.repeated if isinstance(raw, Section) else ():
            place = prefix + _shown(key)
            self._note_line(place, lines[key])
            self.add_error(place, f"stands twice, first in line {line}; remove one")

    def _note_line(self, at: str, line: int | None) -> None:
        if line is not None:
            self._lines[at] = line


def _shown(key: object) -> str:
    """Returns a key as an error names it; a long one may be a misplaced secret."""
    return str(key) if len(str(key)) <= _LONGEST_SHOWN else "..."


def _lines(raw: dict[Any, object]) -> Mapping[Any, int]:
    return raw.lines if isinstance(raw, Section) else {}


def _mapping_of(struct: type[msgspec.Struct]) -> str:
    fields = msgspec.structs.fields(struct)
    nothing = "" if any(field.required for field in fields) else ", or {} for none"
    return f"a mapping with {', '.join(sorted(field.encode_name for field in fields))}{nothing}"
