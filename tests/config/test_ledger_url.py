"""Which URLs a ledger may have, and that a password in one is shown nowhere."""

from pathlib import Path

import pytest

from exporter.config.ledger_url import hide_password, ledger_url, ledger_url_flag
from exporter.config.settings import ConfigError, LedgerConfig, load, load_ledger_url
from exporter.providers import PROVIDERS

CORE = "Pl4nted"
GOOD = (
    "postgresql://",
    "postgresql:///ledger",
    "postgresql://host",
    "postgresql://user@host/ledger",
    "postgresql://user@host:5432/ledger?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    "postgresql://user@[::1]:5432/ledger",
    "postgresql://user@one:5432,two:5433/ledger?target_session_attrs=read-write",
    "postgresql://user@%2Fvar%2Frun%2Fpostgresql/ledger",
    "postgresql://user@/ledger?host=/var/run/postgresql&options=-csearch_path%3Dledger",
)
PASSWORDS = (
    f"postgresql://user:{CORE}@host/ledger",
    f"postgresql://user:{CORE}%40%2F@host/ledger?sslmode=require",
    f"postgresql://:{CORE}:x@host/ledger",
    f"postgresql://user@host/ledger?password={CORE}",
    f"postgresql://user@host/ledger?sslmode=require&sslpassword={CORE}&application_name=x",
)
BAD = (
    f"postgres://user:{CORE}@host/ledger",
    f"postgresql+psycopg://user:{CORE}@host/ledger",
    f"postgresql:user:{CORE}",
    f"postgresql://user:{CORE}/x@host/ledger",
    f"postgresql://user:{CORE}#x@host/ledger",
    f"postgresql://user:{CORE}%zz@host/ledger",
    f"postgresql://user:{CORE}%00@host/ledger",
    f"postgresql://user:{CORE}@x@host/ledger",
    f"postgresql://user:{CORE} x@host/ledger",
    f"postgresql://user@host:port/{CORE}",
)


@pytest.mark.parametrize("url", GOOD)
def test_a_url_without_a_password_is_taken_as_it_is(url: str) -> None:
    assert ledger_url(url) == ledger_url_flag(url) == hide_password(url) == url


@pytest.mark.parametrize("url", PASSWORDS)
def test_a_password_is_taken_from_a_file_and_not_from_the_command_line(url: str) -> None:
    assert ledger_url(url) == url
    assert CORE not in hide_password(url)
    assert "***" in hide_password(url)
    with pytest.raises(ValueError, match="list of processes; allowed: in PGPASSFILE") as told:
        ledger_url_flag(url)
    assert CORE not in str(told.value)


@pytest.mark.parametrize("url", BAD)
def test_a_url_that_could_be_misread_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="allowed: postgresql://USER:PASSWORD@HOST:PORT/DATABASE") as told:
        ledger_url(url)
    assert CORE not in str(told.value)


def test_a_configuration_shows_no_password() -> None:
    assert CORE not in repr(LedgerConfig(url=PASSWORDS[0]))


def write(folder: Path, url: str) -> Path:
    path = folder / "exporter.yml"
    path.write_text(
        "accounts: [{name: a, provider: browserbase, api_key_env: NOT_SET}]\n" + f"ledger: {{url: '{url}'}}\n"
    )
    return path


def test_the_ledger_of_a_file_is_read_without_the_accounts_keys(tmp_path: Path) -> None:
    path = write(tmp_path, PASSWORDS[0])
    assert load_ledger_url(path, PROVIDERS) == PASSWORDS[0]
    with pytest.raises(ConfigError, match="NOT_SET is not set"):
        load(path, PROVIDERS, {})
    with pytest.raises(
        ConfigError,
        match=r"exporter.yml: line 2: ledger.url: a text of 35 characters is not a URL of PostgreSQL",
    ):
        load_ledger_url(write(tmp_path, BAD[0]), PROVIDERS)
