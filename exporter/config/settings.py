"""The configuration: a YAML file, or the environment, as frozen structs.

Times are whole microseconds unless called seconds, money is whole nano-dollars (10^-9 USD). It names where
API keys are and holds none; an error quotes no value that could be one.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import msgspec

from exporter.config.amounts import Limits, Pricing
from exporter.config.ledger_url import hide_password, ledger_url, ledger_url_flag
from exporter.config.loader import (
    DAY,
    MINUTE,
    SECOND,
    ConfigError,
    Validator,
    duration,
    match_pattern,
    number,
    one_of,
    parsed_by,
    printable,
    quote,
    read_yaml,
)
from exporter.config.secrets import KeyUnavailableError, Secret, key_in_environment, key_in_file, parse_key

__all__ = [
    "AccountConfig",
    "Config",
    "ConfigError",
    "LedgerConfig",
    "Limits",
    "Pricing",
    "Scrape",
    "default_ledger",
    "from_environment",
    "load",
]

COLLECTORS = ("sessions", "account")
_HOST = r"(?:\w[\w.-]*|\[[\da-fA-F:.]+\])"
_PORT = r"(?::(?:[1-5]?\d{1,4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?"
_URL = rf"(?i:https?)://{_HOST}{_PORT}(?:/[\w./~%+:-]*)?"
_NAME = "cloud-browser-exporter"
_STATE_DIRECTORIES = {"STATE_DIRECTORY": ".", "XDG_STATE_HOME": _NAME, "HOME": f".local/state/{_NAME}"}


def _seconds(least: str, text: str) -> float:
    # A socket takes no timeout of more than 24 days.
    if not duration(least) <= duration(text) <= DAY:
        raise ValueError(f"{quote(text)} is out of range; allowed: {least} to 1d")
    return duration(text) / SECOND


def _base_url(text: str) -> str:
    wanted = "http:// or https:// with a host, without user, password, query or fragment"
    return match_pattern(_URL, wanted, text).rstrip("/")


Seconds: TypeAlias = Annotated[float, parsed_by(partial(_seconds, "0s"))]


class ConfigurableProvider(Protocol):
    """What the configuration needs to know of a provider."""

    @property
    def base_url(self) -> str:
        """Where its API is, unless an account says otherwise."""

    @property
    def options(self) -> type[msgspec.Struct]:
        """The struct of the keys that only its accounts take."""


Providers: TypeAlias = Mapping[str, ConfigurableProvider]


class NoOptions(msgspec.Struct, frozen=True):
    """The options of a provider that has none of its own."""


class AccountConfig(msgspec.Struct, frozen=True):
    """One account: `name` is unique for its provider, `base_url` has no slash at its end.

    options: the keys that only its provider takes, as a struct of the provider's own.
    """

    name: Annotated[str, printable(100)]
    provider: Annotated[str, printable(100)]
    api_key_env: Annotated[str, printable(1000)] = ""
    api_key_file: Annotated[str, printable(1000)] = ""
    base_url: Annotated[str, parsed_by(_base_url)] = ""
    limits: Annotated[Limits, parsed_by(Limits)] = Limits()
    collectors: Annotated[tuple[str, ...], parsed_by([partial(one_of, COLLECTORS)])] = COLLECTORS
    options: msgspec.Struct = msgspec.field(default_factory=NoOptions)

    def key(self, environ: Mapping[str, str]) -> Secret:
        """Returns the current API key; a file is read again at each call. Raises KeyUnavailableError."""
        try:
            if self.api_key_env:
                return key_in_environment(self.api_key_env, environ)
            return key_in_file(self.api_key_file)
        except ValueError as error:
            raise KeyUnavailableError(f"{self.api_key_env or self.api_key_file}: {error}") from error


class Scrape(msgspec.Struct, frozen=True):
    """Limits of a scrape; times in seconds."""

    timeout: Annotated[float, parsed_by(partial(_seconds, "1ms"))] = 10.0
    timeout_offset: Seconds = 0.5
    min_interval: Seconds = 0.0
    max_response_bytes: Annotated[int, parsed_by(partial(number, 1, 10**12, 0))] = 1 << 28


class LedgerConfig(msgspec.Struct, frozen=True):
    """The ledger's database URL, how its counters begin, how long an ended session is read again."""

    url: Annotated[str, parsed_by(ledger_url)] = ""
    history: Annotated[Literal["import", "skip"], parsed_by(partial(one_of, ("import", "skip")))] = "import"
    settle_after: Annotated[int, parsed_by(duration)] = 15 * MINUTE

    def __repr__(self) -> str:
        return f"LedgerConfig({hide_password(self.url)!r}, {self.history!r}, {self.settle_after})"


class Config(msgspec.Struct, frozen=True):
    """A valid configuration: at least one account, every URL filled in."""

    accounts: tuple[AccountConfig, ...]
    scrape: Annotated[Scrape, parsed_by(Scrape)] = Scrape()
    ledger: Annotated[LedgerConfig, parsed_by(LedgerConfig)] = LedgerConfig()


def load(
    path: Path, providers: Providers, environ: Mapping[str, str], ledger_url: str | None = None
) -> Config:
    """Returns the configuration in a YAML file; `ledger_url` overrides the file's. Raises ConfigError.

    A key file's path is relative to the configuration file's directory, as in Prometheus.
    """
    validator, names = Validator(), set[tuple[str, str]]()
    values = validator.load(read_yaml(path, validator), str(path), _file_schema(providers), dot=": ") or {}
    for index, account in enumerate(values.get("accounts") or ()):
        if account is not None:
            at = f"{path}: accounts[{index}]"
            _check_unique(account, at, names, validator)
            _check_options(account, at, providers, validator)
            _check_key(account, at, path.parent, environ, validator)
    return _config(values, providers, environ, ledger_url, validator)


def from_environment(
    providers: Providers, environ: Mapping[str, str], ledger_url: str | None = None
) -> Config:
    """Returns the configuration where there is no file: an account `default` for each provider with a key.

    Raises:
        ConfigError: naming the variables.
    """
    validator, accounts = Validator(), []
    for name, provider in providers.items():
        key, url = f"{name.upper()}_API_KEY", f"{name.upper()}_BASE_URL"
        if environ.get(key):
            validator.load(environ[key], key, parse_key)
            base_url = validator.load(environ.get(url) or provider.base_url, url, _base_url)
            accounts.append({"name": "default", "provider": name, "api_key_env": key, "base_url": base_url})
    if not accounts:
        fault = "none is set; allowed: at least one, or --config.file; the command demo needs no key"
        validator.add_error(", ".join(f"{name.upper()}_API_KEY" for name in providers), fault)
    return _config({"accounts": accounts}, providers, environ, ledger_url, validator)


def load_ledger_url(path: Path, providers: Providers) -> str | None:
    """Returns the URL of the ledger that a YAML file names; None if it names none. Raises ConfigError.

    The accounts' keys need not be there.
    """
    validator = Validator()
    values = validator.load(read_yaml(path, validator), str(path), _file_schema(providers), dot=": ") or {}
    if validator.faults:
        raise ConfigError(*validator.faults)
    ledger = values.get("ledger") or {}
    return str(ledger["url"]) if "url" in ledger else None


def default_ledger(environ: Mapping[str, str]) -> str | None:
    """Returns the default ledger's URL; None if no variable names an absolute directory for it."""
    for variable, rest in _STATE_DIRECTORIES.items():
        directory = environ.get(variable, "").partition(":")[0]
        if directory.startswith("/"):  # XDG: a relative one is ignored
            return f"sqlite:///{Path(directory, rest)}/ledger.db"
    return None


def _default_ledger(environ: Mapping[str, str], validator: Validator) -> str | None:
    url = default_ledger(environ)
    if url is None:
        directories = ", ".join(_STATE_DIRECTORIES)
        fault = f"no default without one of {directories}; allowed: sqlite:////absolute/path"
        validator.add_error("ledger.url", fault)
        return None
    return str(validator.load(url, "--ledger.url", ledger_url))


def _check_unique(
    account: dict[str, Any], at: str, names: set[tuple[str, str]], validator: Validator
) -> None:
    """Checks that no earlier account has the same name and provider; `names` holds theirs."""
    name, provider = account.get("name"), account.get("provider")
    if name and provider:
        if (name, provider) in names:
            validator.add_error(
                f"{at}.name", f"{quote(name)} is the name of another {provider} account; choose another"
            )
        names.add((name, provider))


def _check_options(account: dict[str, Any], at: str, providers: Providers, validator: Validator) -> None:
    """Checks that the provider takes the account's options, in its own form; sets the default of its URL."""
    name = account.get("provider")
    if name is None:
        return
    account.setdefault("base_url", providers[name].base_url)
    taken = common_keys() | option_keys(providers[name])
    for key in (key for key in account if key not in taken):
        takers = [other for other, provider in providers.items() if key in option_keys(provider)]
        validator.add_error(f"{at}.{key}", f"not for {name}; allowed: with provider {', '.join(takers)}")
    for key, parser in own_forms(providers[name]):
        if account.get(key) is not None:
            account[key] = validator.load(account[key], f"{at}.{key}", parser)


def own_forms(provider: ConfigurableProvider) -> Iterator[tuple[str, Any]]:
    """Yields the options of which a provider takes its own form only, and what parses it."""
    for field in msgspec.structs.fields(provider.options):
        for form in field.type.__metadata__[1:]:  # the first is that of all providers with this key
            yield field.encode_name, form.extra["by"]


def common_keys() -> set[str]:
    """Returns the keys that an account of any provider takes."""
    return {field.encode_name for field in msgspec.structs.fields(AccountConfig)} - {"options"}


def option_keys(provider: ConfigurableProvider) -> set[str]:
    """Returns the keys that only accounts of this provider take."""
    return {field.encode_name for field in msgspec.structs.fields(provider.options)}


def _file_schema(providers: Providers) -> type[msgspec.Struct]:
    """Returns the struct of a configuration file, in which an account may have any provider's keys."""
    structs: list[type[msgspec.Struct]] = [AccountConfig, *(one.options for one in providers.values())]
    keys = {field.encode_name: field for one in structs for field in msgspec.structs.fields(one)}
    del keys["options"]
    types = {name: field.type for name, field in keys.items()}
    types["provider"] = Annotated[str, parsed_by(partial(one_of, tuple(providers)))]
    account = msgspec.defstruct(
        "AccountKeys",
        [
            (name, types[name]) if field.required else (name, types[name], None)
            for name, field in keys.items()
        ],
    )
    accounts = Annotated[list, parsed_by([account])]
    rest = [field for field in msgspec.structs.fields(Config) if field.name != "accounts"]
    return msgspec.defstruct(
        "ConfigFile", [("accounts", accounts), *((field.name, field.type, None) for field in rest)]
    )


def _account(values: Mapping[str, Any], providers: Providers) -> AccountConfig:
    own = option_keys(providers[values["provider"]])
    options = {key: value for key, value in values.items() if key in own}
    common = {key: value for key, value in values.items() if key not in own}
    common["collectors"] = tuple(dict.fromkeys(common.get("collectors", COLLECTORS)))
    common["limits"] = msgspec.convert(common.get("limits", {}), Limits)
    return AccountConfig(**common, options=msgspec.convert(options, providers[values["provider"]].options))


def _check_key(
    account: dict[str, Any], at: str, home: Path, environ: Mapping[str, str], validator: Validator
) -> None:
    """Checks the account's key; resolves the key file's path against the configuration file's directory."""
    if ("api_key_env" in account) == ("api_key_file" in account):
        validator.add_error(at, "needs exactly one of api_key_env, api_key_file")
    if variable := account.get("api_key_env"):
        validator.load(variable, f"{at}.api_key_env", partial(key_in_environment, environ=environ))
    if file := account.get("api_key_file"):
        account["api_key_file"] = str(home / file)
        validator.load(account["api_key_file"], f"{at}.api_key_file", key_in_file)


def _config(
    values: dict[str, Any],
    providers: Providers,
    environ: Mapping[str, str],
    url: str | None,
    validator: Validator,
) -> Config:
    ledger = values.get("ledger") or {}
    if url is not None:
        ledger["url"] = validator.load(url, "--ledger.url", ledger_url_flag)
    elif "url" not in ledger:
        ledger["url"] = _default_ledger(environ, validator)
    if validator.faults:
        raise ConfigError(*validator.faults)
    accounts = tuple(_account(account, providers) for account in values["accounts"])
    scrape = msgspec.convert(values.get("scrape") or {}, Scrape)
    return Config(accounts, scrape, msgspec.convert(ledger, LedgerConfig))
