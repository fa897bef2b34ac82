"""The configuration: a YAML file, or the environment, read and checked as a whole.

It names where API keys are and holds none; an error quotes no value that could be one.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from exporter.config.amounts import Limits, Pricing
from exporter.config.document import read_yaml
from exporter.config.ledger_url import STATE_DIRECTORIES, default_ledger, ledger_url, ledger_url_flag
from exporter.config.loader import ConfigError, Validator, quote
from exporter.config.schema import (
    COLLECTORS,
    AccountConfig,
    Config,
    LedgerConfig,
    NoOptions,
    Providers,
    Scrape,
    api_url,
    common_keys,
    file_struct,
    option_keys,
    own_forms,
)
from exporter.config.secrets import key_in_environment, key_in_file, parse_key

__all__ = [
    "AccountConfig",
    "Config",
    "ConfigError",
    "LedgerConfig",
    "Limits",
    "NoOptions",
    "Pricing",
    "Providers",
    "Scrape",
    "common_keys",
    "default_ledger",
    "from_environment",
    "load",
    "load_ledger_url",
    "option_keys",
]


def load(
    path: Path, providers: Providers, environ: Mapping[str, str], ledger_url: str | None = None
) -> Config:
    """Returns the configuration in a YAML file; `ledger_url` overrides the file's. Raises ConfigError.

    A key file's path is relative to the configuration file's directory, as in Prometheus.
    """
    validator, names = Validator(str(path)), set[tuple[str, str]]()
    values = validator.load(read_yaml(path), "", file_struct(providers)) or {}
    for index, account in enumerate(values.get("accounts") or ()):
        if account is not None:
            at = f"accounts[{index}]"
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
            base_url = validator.load(environ.get(url) or provider.base_url, url, api_url)
            accounts.append({"name": "default", "provider": name, "api_key_env": key, "base_url": base_url})
    if not accounts:
        fault = "none is set; allowed: at least one, or --config.file; the command demo needs no key"
        validator.add_error(", ".join(f"{name.upper()}_API_KEY" for name in providers), fault)
    return _config({"accounts": accounts}, providers, environ, ledger_url, validator)


def load_ledger_url(path: Path, providers: Providers) -> str | None:
    """Returns the URL of the ledger that a YAML file names; None if it names none. Raises ConfigError.

    The accounts' keys need not be there.
    """
    validator = Validator(str(path))
    values = validator.load(read_yaml(path), "", file_struct(providers)) or {}
    if validator.faults:
        raise ConfigError(*validator.faults)
    ledger = values.get("ledger") or {}
    return str(ledger["url"]) if "url" in ledger else None


def _default_ledger(environ: Mapping[str, str], validator: Validator) -> str | None:
    url = default_ledger(environ)
    if url is None:
        directories = ", ".join(STATE_DIRECTORIES)
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
    for key, form in own_forms(providers[name]):
        if account.get(key) is not None and form.extra:
            account[key] = validator.load(account[key], f"{at}.{key}", form.extra["by"])


def _account(values: Mapping[str, Any], providers: Providers) -> AccountConfig:
    own = option_keys(providers[values["provider"]])
    options = {key: value for key, value in values.items() if key in own}
    common = {key: value for key, value in values.items() if key not in own}
    common["collectors"] = tuple(dict.fromkeys(common.get("collectors", COLLECTORS)))
    common["metadata_labels"] = tuple(sorted(common.get("metadata_labels", {}).items()))
    common["limits"] = msgspec.convert(common.get("limits", {}), Limits)
    return AccountConfig(**common, options=msgspec.convert(options, providers[values["provider"]].options))


def _check_key(
    account: dict[str, Any], at: str, home: Path, environ: Mapping[str, str], validator: Validator
) -> None:
    """Checks the account's key; resolves the key file's path against the configuration file's directory."""
    if ("api_key_env" in account) == ("api_key_file" in account):
        found = "has both api_key_env and" if "api_key_env" in account else "has neither api_key_env nor"
        validator.add_error(at, f"{found} api_key_file; allowed: exactly one of them")
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
    ledger, outside = values.get("ledger") or {}, Validator()
    if url is not None:
        ledger["url"] = outside.load(url, "--ledger.url", ledger_url_flag)
    elif "url" not in ledger:
        ledger["url"] = _default_ledger(environ, outside)
    if faults := [*validator.faults, *outside.faults]:
        raise ConfigError(*faults)
    accounts = tuple(_account(account, providers) for account in values["accounts"])
    scrape = msgspec.convert(values.get("scrape") or {}, Scrape)
    return Config(accounts, scrape, msgspec.convert(ledger, LedgerConfig))
