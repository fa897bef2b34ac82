"""The configuration: a YAML file, or the environment, turned into frozen structs.

One reading finds all faults of a file. Times are whole microseconds unless called seconds, money is
whole nano-dollars (10^-9 USD). It says where API keys are and holds none; a fault shows no value
that could be one.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from exporter.config.loader import (
    DAY,
    MINUTE,
    SECOND,
    ConfigError,
    Reader,
    by,
    duration,
    line,
    matching,
    number,
    one_of,
    read_yaml,
    shown,
)
from exporter.config.secrets import KeyUnavailableError, Secret, key_in_file, parse_key

__all__ = [
    "BASE_URLS",
    "AccountConfig",
    "Config",
    "ConfigError",
    "LedgerConfig",
    "Pricing",
    "Scrape",
    "default_ledger",
    "from_environment",
    "load",
]

BASE_URLS = {
    "browserbase": "https://api.browserbase.com",
    "browser_use": "https://api.browser-use.com/api/v3",
}

_HOST = r"(?:\w[\w.-]*|\[[\da-fA-F:.]+\])"
_PORT = r"(?::(?:[1-5]?\d{1,4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?"
_URL = rf"(?i:https?)://{_HOST}{_PORT}(?:/[\w./~%+:-]*)?"
_NAME = "cloud-browser-exporter"
_STATE = {"STATE_DIRECTORY": ".", "XDG_STATE_HOME": _NAME, "HOME": f".local/state/{_NAME}"}


def _seconds(least: str, text: str) -> float:
    # A socket takes no timeout of more than 24 days.
    if not duration(least) <= duration(text) <= DAY:
        raise ValueError(f"{shown(text)} is out of range; allowed: {least} to 1d")
    return duration(text) / SECOND


def _base_url(text: str) -> str:
    wanted = "http:// or https:// with a host, without user, password, query or fragment"
    return matching(_URL, wanted, text).rstrip("/")


def _ledger_url(text: str) -> str:
    wanted = "a file of SQLite; allowed: sqlite:///relative/path, sqlite:////absolute/path"
    return matching("sqlite:///(?!:memory:)[^?]*[^?/]", wanted, text)


Price: TypeAlias = Annotated[int, by(partial(number, 0, 1_000_000, 9))]
Seconds: TypeAlias = Annotated[float, by(partial(_seconds, "0s"))]


class Pricing(msgspec.Struct, frozen=True):
    """Nano-dollars for an hour of browser and for 10^9 bytes of proxy; `minimum`: the least time billed."""

    browser_per_hour: Price = msgspec.field(default=0, name="browser_usd_per_hour")
    proxy_per_gb: Price = msgspec.field(default=0, name="proxy_usd_per_gb")
    minimum: Annotated[int, by(partial(number, 0, 86_400, 6))] = msgspec.field(
        default=MINUTE, name="minimum_seconds"
    )


class AccountConfig(msgspec.Struct, frozen=True):
    """One account: `name` is unique for its provider, `base_url` has no slash at its end."""

    name: Annotated[str, line(100)]
    provider: Annotated[Literal["browserbase", "browser_use"], by(partial(one_of, tuple(BASE_URLS)))]
    api_key_env: Annotated[str, line(1000)] = ""
    api_key_file: Annotated[str, line(1000)] = ""
    base_url: Annotated[str, by(_base_url)] = ""
    query: Annotated[str | None, line(2000)] = None
    pricing: Annotated[Pricing | None, by(Pricing)] = None

    def key(self, environ: Mapping[str, str]) -> Secret:
        """The API key as it is now; a file is read again at each call. Raises KeyUnavailableError."""
        try:
            if self.api_key_env:
                return parse_key(environ.get(self.api_key_env, ""))
            return key_in_file(self.api_key_file)
        except ValueError as error:
            raise KeyUnavailableError(f"{self.api_key_env or self.api_key_file}: {error}") from error


class Scrape(msgspec.Struct, frozen=True):
    """Limits of a scrape; times in seconds."""

    timeout: Annotated[float, by(partial(_seconds, "1ms"))] = 10.0
    timeout_offset: Seconds = 0.5
    min_interval: Seconds = 0.0
    max_response_bytes: Annotated[int, by(partial(number, 1, 10**12, 0))] = 1 << 28


class LedgerConfig(msgspec.Struct, frozen=True):
    """The ledger's database URL, how its counters begin, how long an ended session is read again."""

    url: Annotated[str, by(_ledger_url)] = ""
    history: Annotated[Literal["import", "skip"], by(partial(one_of, ("import", "skip")))] = "import"
    settle_after: Annotated[int, by(duration)] = 15 * MINUTE


class Config(msgspec.Struct, frozen=True):
    """A valid configuration: at least one account, every URL filled in."""

    accounts: Annotated[tuple[AccountConfig, ...], by([AccountConfig])]
    scrape: Annotated[Scrape, by(Scrape)] = Scrape()
    ledger: Annotated[LedgerConfig, by(LedgerConfig)] = LedgerConfig()


def load(path: Path, environ: Mapping[str, str], ledger_url: str | None = None) -> Config:
    """The configuration in a YAML file; `ledger_url` goes before the file's. Raises ConfigError.

    A key file's path is relative to the configuration file's directory, as in Prometheus.
    """
    reader, names = Reader(), set[tuple[str, str]]()
    values = reader.take(read_yaml(path, reader), str(path), Config, dot=": ") or {}
    for index, account in enumerate(values.get("accounts") or ()):
        if account is not None:
            at = f"{path}: accounts[{index}]"
            _identify(account, at, names, reader)
            _finish(account, at, path.parent, environ, reader)
    return _config(values, environ, ledger_url, reader)


def from_environment(environ: Mapping[str, str], ledger_url: str | None = None) -> Config:
    """The configuration of no file: an account `default` for each provider with a key. Raises ConfigError."""
    reader, accounts = Reader(), []
    for provider, base_url in BASE_URLS.items():
        key, url = f"{provider.upper()}_API_KEY", f"{provider.upper()}_BASE_URL"
        if environ.get(key):
            reader.take(environ[key], key, parse_key)
            account = {"name": "default", "provider": provider, "api_key_env": key}
            accounts.append(account | {"base_url": reader.take(environ.get(url) or base_url, url, _base_url)})
    if not accounts:
        fault = "neither is set; allowed: one or both, or --config.file; the command demo needs no key"
        reader.note("BROWSERBASE_API_KEY, BROWSER_USE_API_KEY", fault)
    return _config({"accounts": accounts}, environ, ledger_url, reader)


def default_ledger(environ: Mapping[str, str]) -> str | None:
    """The URL of the ledger where none is given; None if no variable names an absolute directory for it."""
    for variable, rest in _STATE.items():
        directory = environ.get(variable, "").partition(":")[0]
        if directory.startswith("/"):  # XDG: a relative one is ignored
            return f"sqlite:///{Path(directory, rest)}/ledger.db"
    return None


def _identify(account: dict[str, Any], at: str, names: set[tuple[str, str]], reader: Reader) -> None:
    """Checks that no account before, as `names` has them, is called the same; puts in the provider's URL."""
    name, provider = account.get("name"), account.get("provider")
    if name and provider:
        if (name, provider) in names:
            reader.note(f"{at}.name", f"{shown(name)} is the name of another {provider} account")
        names.add((name, provider))
        account.setdefault("base_url", BASE_URLS[provider])


def _finish(account: dict[str, Any], at: str, home: Path, environ: Mapping[str, str], reader: Reader) -> None:
    """Checks an account's keys against each other and what they name; makes the key file's path whole."""
    for key in ("query", "pricing"):
        if key in account and account.get("provider") == "browser_use":
            reader.note(f"{at}.{key}", "not for browser_use; allowed: with provider browserbase")
    if ("api_key_env" in account) == ("api_key_file" in account):
        reader.note(at, "needs exactly one of api_key_env, api_key_file")
    if variable := account.get("api_key_env"):
        reader.take(environ.get(variable, ""), f"{at}.api_key_env", parse_key)
    if file := account.get("api_key_file"):
        account["api_key_file"] = str(home / file)
        reader.take(account["api_key_file"], f"{at}.api_key_file", key_in_file)


def _config(values: dict[str, Any], environ: Mapping[str, str], url: str | None, reader: Reader) -> Config:
    ledger = values.get("ledger") or {}
    if url is None and "url" not in ledger:
        url = default_ledger(environ)
        if url is None:
            directories = ", ".join(_STATE)
            fault = f"no default without one of {directories}; allowed: sqlite:////absolute/path"
            reader.note("ledger.url", fault)
    if url is not None:
        ledger["url"] = reader.take(url, "--ledger.url", _ledger_url)
    if reader.faults:
        raise ConfigError(*reader.faults)
    return msgspec.convert({**values, "ledger": ledger}, Config)
