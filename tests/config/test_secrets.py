"""A key is read whole or not at all, and shown by nothing."""

import copy
import json
import logging
import pickle
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.secrets import Secret, is_too_permissive, key_in_environment, key_in_file, parse_key

SECRET = "sk-secret-0123456789"
NO_KEY = "empty; allowed: the API key alone"
MORE = "holds more than one line of printable ASCII; allowed: the API key alone"
QUOTED = "in quotes; allowed: the API key alone, without quotes"
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
BAD = {
    "": NO_KEY,
    " \r\n": NO_KEY,
    f"{SECRET}\n{SECRET}": MORE,
    f"{SECRET}\0": MORE,
    f"{SECRET}é": MORE,
    "x" * 4097: MORE,
    SECRET + " " * 5000: MORE,
    f'"{SECRET}"': QUOTED,
    f"'{SECRET}'\n": QUOTED,
    f'"{SECRET}': QUOTED,
}


@pytest.mark.parametrize("text", [SECRET, f" {SECRET}\n", f"\t{SECRET}\r\n", "x", "two words", "x" * 4096])
def test_white_space_around_a_key_is_none_of_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "api.key"
    file.write_bytes(text.encode())
    assert parse_key(text).reveal() == key_in_file(str(file)).reveal() == text.strip()


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "api.key"
    file.write_bytes(text.encode())
    for read, given_text in ((parse_key, text), (key_in_file, str(file))):
        with pytest.raises(ValueError, match="allowed: the API key alone") as caught:
            read(given_text)
        assert str(caught.value) == BAD[text]


@pytest.mark.parametrize(
    ("variable", "named"),
    [
        ("BROWSERBASE_API_KEY", " BROWSERBASE_API_KEY"),
        ("team_key", " team_key"),
        ("A" * 40, f" {'A' * 40}"),
        ("A" * 41, ""),
        ("bb_live_0123456789abcdefghij", ""),
        ("sk-secret-key", ""),
    ],
)
def test_a_variable_without_a_key_is_named_unless_its_name_may_be_a_key(variable: str, named: str) -> None:
    for environ, state in (({}, "is not set"), ({variable: ""}, "is empty")):
        with pytest.raises(ValueError, match="environment variable") as caught:
            key_in_environment(variable, environ)
        assert str(caught.value) == f"environment variable{named} {state}; set it to the API key"


def test_a_variable_holds_a_key() -> None:
    assert key_in_environment("KEY", {"KEY": f" {SECRET}\n"}).reveal() == SECRET
    with pytest.raises(ValueError, match=QUOTED):
        key_in_environment("KEY", {"KEY": f"'{SECRET}'"})


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    for file, reason in ((tmp_path / "absent", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ValueError, match="cannot be read") as caught:
            key_in_file(str(file))
        assert str(caught.value) == f"cannot be read ({reason}); allowed: a file with the API key alone"


@pytest.mark.parametrize(
    ("mode", "others"),
    [
        (0o600, False),
        (0o400, False),
        (0o440, False),
        (0o640, False),
        (0o620, True),
        (0o604, True),
        (0o602, True),
    ],
)
def test_a_group_may_read_a_key_file_and_others_may_do_nothing(
    tmp_path: Path,
    mode: int,
    others: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    file, link = tmp_path / "api.key", tmp_path / "link"
    file.write_text(SECRET)
    link.symlink_to(file)
    file.chmod(mode)
    assert is_too_permissive(str(file)) == is_too_permissive(str(link)) == others
    assert not is_too_permissive(str(tmp_path / "absent"))


@given(
    st.text(PRINTABLE, min_size=1, max_size=60).filter(
        lambda text: text.strip() and text.strip()[0] not in "'\""
    )
)
def test_any_printable_ascii_is_a_key(text: str) -> None:
    assert parse_key(text).reveal() == text.strip(" ")


def test_a_secret_is_shown_by_nothing(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(SECRET)
    with caplog.at_level(logging.INFO):
        logging.getLogger().info("%s %r %s", secret, secret, {"key": secret})
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!s}", repr([secret]), caplog.text]
    assert not [text for text in shown if SECRET in text]
    for dump in (
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        msgspec.json.encode,
        msgspec.msgpack.encode,
        vars,
    ):
        with pytest.raises(TypeError) as caught:
            dump(secret)
        assert SECRET not in str(caught.value)
    assert secret.reveal() == SECRET
