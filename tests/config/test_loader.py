"""A document is read whole, with every fault in its place, or refused; nothing makes that long."""

import re
import traceback
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.document import read_yaml
from exporter.config.loader import (
    ConfigError,
    Validator,
    duration,
    match_pattern,
    number,
    one_of,
    parsed_by,
    printable,
)
from tests.support.examples import examples

LIST = "allowed: a list of at least one; begin each entry with a dash"
NO_LINE = "is not one printable line of 1 to 5 characters"
UNKNOWN = "unknown key; allowed: crown, kind, leaves"


class Leaf(msgspec.Struct):
    name: Annotated[str, printable(5)]
    weight: Annotated[int, parsed_by(partial(number, 0, 100, 2))] = msgspec.field(default=0, name="weight_g")


class Tree(msgspec.Struct):
    kind: Annotated[str, parsed_by(partial(one_of, ("oak", "elm")))]
    leaves: Annotated[list[Leaf], parsed_by([Leaf])] = msgspec.field(default_factory=list)
    crown: Annotated[Leaf | None, parsed_by(Leaf)] = None


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("document") / "tree.yml"


def taken(path: Path) -> tuple[Any, tuple[str, ...]]:
    """What is read, and its faults, whether or not they ended the reading."""
    validator = Validator(str(path))
    try:
        return validator.load(read_yaml(path), "", Tree), tuple(validator.faults)
    except ConfigError as error:
        return None, error.faults


def test_what_is_read_becomes_a_struct(path: Path) -> None:
    text = "{kind: oak, crown: &a {name: no, weight_g: 0.10}, leaves: [*a, {name: '~', weight_g: null}]}"
    path.write_text(text)
    data, faults = taken(path)
    leaf = Leaf("no", 10)
    assert faults == ()
    assert msgspec.convert(data, Tree) == Tree("oak", [leaf, Leaf("~")], leaf)


@pytest.mark.parametrize("null", ["", "~", "null", "Null", "NULL", "# nothing"])
def test_null_is_what_is_not_given(path: Path, null: str) -> None:
    path.write_text(f"kind: elm\ncrown: {null}\n")
    assert taken(path) == ({"kind": "elm"}, ())


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[]", ["an empty list; allowed: a mapping with crown, kind, leaves"]),
        ("", ["empty; allowed: a mapping with crown, kind, leaves"]),
        ("sk-secret", ["a single value; allowed: a mapping with crown, kind, leaves"]),
        ("{}", ["kind: missing; add this key"]),
        ("kind: null", ["line 1: kind: empty; allowed: a single value"]),
        ("\n\nkind: ash", ["line 3: kind: 'ash' is not one of oak, elm"]),
        ("kind: oaks", ["line 1: kind: 'oaks' is not one of oak, elm; did you mean oak?"]),
        ("kind: [oak]", ["line 1: kind: a list; allowed: a single value"]),
        ("kind: {}", ["line 1: kind: an empty mapping; allowed: a single value"]),
        (f"kind: {'x' * 21}", ["line 1: kind: a text of 21 characters is not one of oak, elm"]),
        ("{kind: oak, leaves: []}", [f"line 1: leaves: an empty list; {LIST}"]),
        ("{kind: oak,\nleaves: {}}", [f"line 2: leaves: an empty mapping; {LIST}"]),
        ("{kind: oak, leaves: 5}", [f"line 1: leaves: a single value; {LIST}"]),
        (
            "kind: oak\nleaves:\n- x\n- ~\n-\n  weight_g: 0.001",
            [
                "line 3: leaves[0]: a single value; allowed: a mapping with name, weight_g",
                "line 4: leaves[1]: empty; allowed: a mapping with name, weight_g",
                "line 6: leaves[2].weight_g: '0.001' is not a number of at most 2 decimals from 0 to 100",
                "line 6: leaves[2].name: missing; add this key",
            ],
        ),
        (
            "{kind: oak, crown: {name: longer, weight: 1, colour: red}}",
            [
                "line 1: crown.name: a text of 6 characters is not one printable line of 1 to 5 characters",
                "line 1: crown.weight: unknown key; did you mean weight_g? allowed: name, weight_g",
                "line 1: crown.colour: unknown key; allowed: name, weight_g",
            ],
        ),
        ('{kind: oak, crown: {name: ""}}', [f"line 1: crown.name: an empty text {NO_LINE}"]),
        (
            '{kind: oak, crown: {name: "a\\nb"}}',
            [f"line 1: crown.name: a text of 3 characters, not all of them printable, {NO_LINE}"],
        ),
        (
            f"kind: oak\n{'x' * 20}: 1\n{'y' * 21}: 1",
            [f"line 2: {'x' * 20}: {UNKNOWN}", f"line 3: ...: {UNKNOWN}"],
        ),
        ("kind: oak\nkind: elm", ["line 2: kind: stands twice, first in line 1; remove one"]),
        ("kind: *sk-secret", ["line 1, column 7: found undefined alias"]),
        ("kind: !sk!secret x", ["line 1, column 7: found undefined tag handle"]),
    ],
)
def test_every_fault_names_its_place(path: Path, text: str, faults: list[str]) -> None:
    path.write_text(text)
    assert taken(path)[1] == tuple(f"{path}: {fault}" for fault in faults)


@pytest.mark.parametrize(
    "text", ["kind: *sk-secret", "kind: !sk-secret!x", "kind: {sk-secret]", "&sk-secret &b"]
)
def test_a_traceback_quotes_no_line_of_the_file(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert "sk-secret" not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_cannot_be_read_or_is_too_large_is_a_fault(tmp_path: Path) -> None:
    absent, large = tmp_path / "absent.yml", tmp_path / "large.yml"
    advice = "check the path and the file's permissions"
    assert taken(absent)[1] == (f"{absent}: cannot be read (No such file or directory); {advice}",)
    assert taken(tmp_path)[1] == (f"{tmp_path}: cannot be read (Is a directory); {advice}",)
    large.write_text("#" * (1 << 20) + "\n")
    assert taken(large)[1] == (f"{large}: too large; allowed: at most 1 MiB",)


def test_aliases_cost_no_more_than_the_file(path: Path) -> None:
    """A few kilobytes that stand for 10^9 nodes, and for 10^6 faults."""
    bomb = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path.write_text("\n".join([*bomb, "leaves: *a9"]))
    assert len(taken(path)[1]) == 21
    many = f"leaves: [&a {{{', '.join(f'k{n}' for n in range(1000))}}}{', *a' * 1000}]"
    path.write_text(many)
    faults = taken(path)[1]
    assert (len(faults), faults[-1]) == (101, "further faults are not shown")


@pytest.mark.parametrize(
    "text", ["[" * 5000, "a: &a [*a]", "? [a]\n: b", '"\\UFFFFFFFF"', "%YAML 2.0\n--- a", "!!int x"]
)
def test_yaml_that_is_odd_is_a_fault(path: Path, text: str) -> None:
    path.write_text(text)
    assert taken(path)[1]


@examples(400)
@given(st.text("kindleavsoam:[]{}&*!|>'\"%@`#-? \n\t\\0é~<,", max_size=60) | st.binary(max_size=40))
def test_any_text_is_read_or_refused(path: Path, text: str | bytes) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    data, faults = taken(path)
    assert faults or data


def test_a_fault_is_one_printable_line() -> None:
    error = ConfigError("a\nb\x1b[31m", "c")
    assert error.faults == ("a?b?[31m", "c")
    assert str(error) == "a?b?[31m\nc"


@dataclass(frozen=True)
class Parts:
    """A duration by its units, as Prometheus orders them."""

    y: int
    w: int
    d: int
    h: int
    m: int
    s: int
    ms: int

    def text(self) -> str:
        return "".join(f"{count}{unit}" for unit, count in vars(self).items() if count) or "0"

    def micros(self) -> int:
        days = self.y * 365 + self.w * 7 + self.d
        return (((days * 24 + self.h) * 60 + self.m) * 60 + self.s) * 1_000_000 + self.ms * 1000


COUNT = st.integers(0, 400)


@given(st.builds(Parts, st.integers(0, 80), COUNT, COUNT, COUNT, COUNT, COUNT, COUNT))
def test_a_duration_is_the_sum_of_its_parts(parts: Parts) -> None:
    assert duration(parts.text()) == parts.micros()


@given(st.text("0123456789ywdhms -+.µ\n", max_size=12))
def test_any_other_text_is_no_duration(text: str) -> None:
    units = ("y", "w", "d", "h", "m", "s", "ms")
    if text == "0" or (text and re.fullmatch("".join(f"([0-9]+{unit})?" for unit in units), text)):
        return
    with pytest.raises(ValueError, match="is not a duration; allowed: such as"):
        duration(text)


@given(st.decimals(0, 1_000_000, places=9))
def test_a_number_is_exact(price: Decimal) -> None:
    assert number(0, 1_000_000, 9, f"{price:f}") == int(price * 10**9)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", ".5", "0x1", "1_0", "nan", "٣", "1 ", "1\n", "11"])
def test_what_is_no_number_from_0_to_10_is_refused(text: str) -> None:
    for decimals, kind in ((0, "a whole number"), (2, "a number of at most 2 decimals")):
        with pytest.raises(ValueError, match="is not") as caught:
            number(0, 10, decimals, text)
        assert str(caught.value) == f"{text!r} is not {kind} from 0 to 10"


@pytest.mark.parametrize("text", ["sk-secret", "a\n", "\x1b", "é", ""])
def test_what_does_not_match_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r" is not a word\Z"):
        match_pattern("[a-z]+", "a word", text)
    assert match_pattern("[a-z]+", "a word", "word") == "word"
