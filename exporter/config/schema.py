"""The schema of the configuration: what each key means, and what parses it, as fields of frozen structs.

Times are whole microseconds unless called seconds, money is whole nano-dollars (10^-9 USD). It names where
API keys are and holds none.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Literal, Protocol, TypeAlias

import msgspec

from exporter.config.amounts import Limits
from exporter.config.ledger_url import hide_password, ledger_url
from exporter.config.loader import (
    DAY,
    DURATION,
    MINUTE,
    SECOND,
    duration,
    match_pattern,
    number,
    one_of,
    parsed_by,
    printable,
    quote,
)
from exporter.config.metadata import LABEL_NAMES, label_name, metadata_key
from exporter.config.secrets import KeyUnavailableError, Secret, key_in_environment, key_in_file

COLLECTORS = ("sessions", "account")
HISTORY = ("import", "skip")
_HOST = r"(?:\w[\w.-]*|\[[\da-fA-F:.]+\])"
_PORT = r"(?::(?:[1-5]?\d{1,4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?"
_URL = rf"(?i:https?)://{_HOST}{_PORT}(?:/[\w./~%+:-]*)?"
_WEB = "^[hH][tT][tT][pP][sS]?://"  # in the JSON Schema, whose patterns know no flags


def _seconds(least: str, text: str) -> float:
    # A socket takes no timeout of more than 24 days.
    if not duration(least) <= duration(text) <= DAY:
        raise ValueError(f"{quote(text)} is out of range; allowed: {least} to 1d")
    return duration(text) / SECOND


def api_url(text: str) -> str:
    """Returns the URL without a slash at its end. Raises ValueError, which does not quote it."""
    wanted = "http:// or https:// with a host, without user, password, query or fragment"
    return match_pattern(_URL, wanted, text).rstrip("/")


def _time(least: str, text: str) -> msgspec.Meta:
    """Marks a field of seconds that is written as a duration; `text`: what the key means."""
    return parsed_by(partial(_seconds, least), text, **DURATION)


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

    metadata_labels: pairs of a label's name and the key of its sessions' metadata, in the order of the names.
    options: the keys that only its provider takes, as a struct of the provider's own.
    """

    name: Annotated[str, printable(100, "the account label; unique for its provider")]
    provider: Annotated[str, printable(100, "whose account it is")]
    api_key_env: Annotated[str, printable(1000, "environment variable that holds the API key")] = ""
    api_key_file: Annotated[
        str, printable(1000, "file that holds the API key, relative to this file; read at each scrape")
    ] = ""
    base_url: Annotated[
        str, parsed_by(api_url, "where the API is; default: the provider's", pattern=_WEB, type="string")
    ] = ""
    limits: Annotated[Limits, parsed_by(Limits, "what the account should not exceed, for alerts")] = Limits()
    collectors: Annotated[
        tuple[str, ...], parsed_by([partial(one_of, COLLECTORS)], "what is read of the account")
    ] = COLLECTORS
    metadata_labels: Annotated[
        tuple[tuple[str, str], ...],
        parsed_by(
            {label_name: metadata_key},
            "labels made of the sessions' metadata: label name: metadata key",
            propertyNames=LABEL_NAMES,
        ),
    ] = ()
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

    timeout: Annotated[float, _time("1ms", "timeout of a scrape where Prometheus sends none")] = 10.0
    timeout_offset: Annotated[float, _time("0s", "time kept back from Prometheus's timeout")] = 0.5
    min_interval: Annotated[float, _time("0s", "a scrape this soon after the last gets its answer")] = 0.0
    max_response_bytes: Annotated[
        int, parsed_by(partial(number, 1, 10**12, 0), "largest response accepted, decompressed")
    ] = 1 << 28


class LedgerConfig(msgspec.Struct, frozen=True):
    """The ledger's database URL, how its counters begin, how long an ended session is read again."""

    url: Annotated[
        str,
        parsed_by(
            ledger_url,
            "its database; default: ledger.db in the state directory",
            pattern="^(sqlite:///|postgresql://)",
            type="string",
        ),
    ] = ""
    history: Annotated[
        Literal["import", "skip"],
        parsed_by(partial(one_of, HISTORY), "whether counters start from the sessions listed, or from 0"),
    ] = "import"
    settle_after: Annotated[
        int, parsed_by(duration, "time after its end for which a session is still read again", **DURATION)
    ] = 15 * MINUTE

    def __repr__(self) -> str:
        return f"LedgerConfig({hide_password(self.url)!r}, {self.history!r}, {self.settle_after})"


class Config(msgspec.Struct, frozen=True):
    """A valid configuration: at least one account, every URL filled in."""

    accounts: tuple[AccountConfig, ...]
    scrape: Annotated[Scrape, parsed_by(Scrape, "limits of a scrape")] = Scrape()
    ledger: Annotated[LedgerConfig, parsed_by(LedgerConfig, "where the counters are kept")] = LedgerConfig()


def own_forms(provider: ConfigurableProvider) -> Iterator[tuple[str, msgspec.Meta]]:
    """Yields the options of which a provider takes its own form only, and the mark of that form."""
    for field in msgspec.structs.fields(provider.options):
        for form in field.type.__metadata__[1:]:  # the first is that of all providers with this key
            yield field.encode_name, form


def common_keys() -> set[str]:
    """Returns the keys that an account of any provider takes."""
    return {field.encode_name for field in msgspec.structs.fields(AccountConfig)} - {"options"}


def option_keys(provider: ConfigurableProvider) -> set[str]:
    """Returns the keys that only accounts of this provider take."""
    return {field.encode_name for field in msgspec.structs.fields(provider.options)}


def file_struct(providers: Providers) -> type[msgspec.Struct]:
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
