"""API keys and password hashes: parsed, and held so that no repr, log or encoder shows them.

An error says what is wrong with a key and what is allowed, never what the key is.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_KEY_BYTES = 4096
# A variable's name that cannot be a misplaced API key: keys have lower-case letters, and are longer.
_VARIABLE = re.compile("[A-Z_][A-Z0-9_]{0,39}|[A-Za-z_][A-Za-z0-9_]{0,19}")
BCRYPT_COSTS = range(4, 15)  # a check of cost 14 takes about a second, and each step up doubles it
_BASE64 = "[./A-Za-z0-9]"
# The last digit of a salt carries two bits; bcrypt refuses others.
_HASH = re.compile(rf"\$2[aby]\$([0-9]{{2}})\${_BASE64}{{21}}[.Oeu]{_BASE64}{{31}}")


class KeyUnavailableError(Exception):
    """The key is currently unavailable, which may be transient; names the variable or file."""


class Secret:
    """A string that no repr, log, encoder or pickle shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled or copied")

    def reveal(self) -> str:
        """Returns the string itself."""
        return self._text


def is_too_permissive(file: str) -> bool:
    """Returns whether the group may write a file that is there, or others may use it; links are followed.

    A group's right to read is how Kubernetes lets a container that is not root read a secret (fsGroup).
    """
    try:
        return bool(Path(file).stat().st_mode & 0o027)
    except OSError:
        return False


def parse_key(text: str) -> Secret:
    """Returns the key that `text` holds, without white space around it. Raises ValueError."""
    key = text.strip(" \t\r\n")
    if not key:
        raise ValueError("empty; allowed: the API key alone")
    if key[0] in "'\"":  # env files of docker keep quotes, and a provider would refuse the key
        raise ValueError("in quotes; allowed: the API key alone, without quotes")
    if len(text) > _KEY_BYTES or not (key.isascii() and key.isprintable()):
        raise ValueError("holds more than one line of printable ASCII; allowed: the API key alone")
    return Secret(key)


def key_in_environment(variable: str, environ: Mapping[str, str]) -> Secret:
    """Returns the key that an environment variable holds. Raises ValueError.

    The variable is named only if its name could not be a misplaced key.
    """
    text = environ.get(variable)
    if not text:
        named = f" {variable}" if _VARIABLE.fullmatch(variable) else ""
        state = "is not set" if text is None else "is empty"
        raise ValueError(f"environment variable{named} {state}; set it to the API key")
    return parse_key(text)


def key_in_file(file: str) -> Secret:
    """Returns the key that a file of at most 4 KiB holds now. Raises ValueError."""
    try:
        with Path(file).open("rb") as opened:
            return parse_key(opened.read(_KEY_BYTES + 1).decode("latin-1"))
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise ValueError(f"{reason}; allowed: a file with the API key alone") from error


def parse_bcrypt_hash(text: str) -> Secret:
    """Returns the bcrypt hash that the text is. Raises ValueError."""
    match = _HASH.fullmatch(text)
    if match is None:
        raise ValueError("not a bcrypt hash; allowed: what `htpasswd -nB NAME` prints after the colon")
    if int(match[1]) not in BCRYPT_COSTS:
        raise ValueError(
            f"a bcrypt hash of cost {int(match[1])}; allowed: {BCRYPT_COSTS[0]} to {BCRYPT_COSTS[-1]}"
        )
    return Secret(text)
