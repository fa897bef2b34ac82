"""The URL of the ledger's database: which ones are allowed, and what of them may be shown."""

import re
from collections.abc import Mapping
from pathlib import Path

from exporter.config.loader import match_pattern

_NAME = "cloud-browser-exporter"
STATE_DIRECTORIES = {"STATE_DIRECTORY": ".", "XDG_STATE_HOME": _NAME, "HOME": f".local/state/{_NAME}"}
_SQLITE = "sqlite:///(?!:memory:)[^?]*[^?/]"
_CHAR = r"(?:[\w.~!$&'()*+,;=-]|%(?!00)[\da-fA-F]{2})"
_HOST = rf"(?:{_CHAR}*|\[[\da-fA-F:.]+\])(?::\d{{1,5}})?"
_POSTGRESQL = (
    rf"postgresql://(?:{_CHAR}*(?::(?:{_CHAR}|:)*)?@)?{_HOST}(?:,{_HOST})*"
    rf"(?:/{_CHAR}*)?(?:\?(?:{_CHAR}|[/:@])*)?"
)
_WANTED_FILE = "a file of SQLite; allowed: sqlite:///relative/path, sqlite:////absolute/path, postgresql://USER@HOST/DATABASE"
_WANTED = (
    "a URL of PostgreSQL; allowed: postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full, of "
    "which parts may be left out, with special characters percent-encoded"
)
_PASSWORD = re.compile(r"(?<=://)([^/@?]*?):[^@]*@")
_PASSWORD_PARAMETER = re.compile(r"(?i)([?&](?:ssl)?password=)[^&]*")
_VISIBLE = (
    "a password on the command line is in the list of processes; allowed: in PGPASSFILE, in PGPASSWORD, or "
    "in ledger.url of a configuration file"
)


def ledger_url(text: str) -> str:
    """Returns the URL. Raises ValueError, which does not quote it."""
    if text.lower().startswith("postgres"):
        return match_pattern(_POSTGRESQL, _WANTED, text)
    return match_pattern(_SQLITE, _WANTED_FILE, text)


def ledger_url_flag(text: str) -> str:
    """Returns a URL of the command line. Raises ValueError also for a password, which others would see."""
    url = ledger_url(text)
    if hide_password(url) != url:
        raise ValueError(_VISIBLE)
    return url


def hide_password(url: str) -> str:
    """Returns a URL with `***` for each password in it."""
    return _PASSWORD_PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def default_ledger(environ: Mapping[str, str]) -> str | None:
    """Returns the default ledger's URL; None if no variable names an absolute directory for it."""
    for variable, rest in STATE_DIRECTORIES.items():
        directory = environ.get(variable, "").partition(":")[0]
        if directory.startswith("/"):  # XDG: a relative one is ignored
            return f"sqlite:///{Path(directory, rest)}/ledger.db"
    return None
