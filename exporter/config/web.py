"""The file of `--web.config.file`: TLS and users with passwords, in the exporter-toolkit's format.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md; stricter where that
would leave open what looks closed. One pass finds all errors; the files that it names are not opened.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from exporter.config.loader import (
    ConfigError,
    Validator,
    match_pattern,
    one_of,
    parsed_by,
    printable,
    read_yaml,
)
from exporter.config.secrets import Secret, parse_bcrypt_hash

VERSIONS = ("TLS12", "TLS13")
# The toolkit's names. A certificate that is not verified does not authenticate its sender.
VERIFIED = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
UNVERIFIED = ("RequestClientCert", "RequireClientCert", "RequireAnyClientCert")

# Of the toolkit's, at the top and in tls_server_config.
UNSUPPORTED = {
    "": ("http_server_config", "rate_limit"),
    "tls_server_config.": (
        "cert",
        "cipher_suites",
        "client_allowed_sans",
        "client_ca",
        "curve_preferences",
        "key",
        "prefer_server_cipher_suites",
    ),
}


def _client_auth(text: str) -> str:
    allowed = ("NoClientCert", *VERIFIED)
    if text in UNVERIFIED:
        raise ValueError(f"{text!r} verifies nothing, and is not supported; allowed: {', '.join(allowed)}")
    return one_of(allowed, text)


def _user(text: str) -> bytes:
    return match_pattern(
        "[^:]{1,100}", "a name of 1 to 100 printable characters without a colon", text
    ).encode()


class TlsConfig(msgspec.Struct, frozen=True):
    """How to serve TLS; paths are resolved. Without `client_ca_file` no client certificate is requested."""

    cert_file: Annotated[str, printable(1000)]
    key_file: Annotated[str, printable(1000)]
    client_ca_file: Annotated[str, printable(1000)] = ""
    client_auth_type: Annotated[str, parsed_by(_client_auth)] = "NoClientCert"
    min_version: Annotated[Literal["TLS12", "TLS13"], parsed_by(partial(one_of, VERSIONS))] = "TLS12"
    max_version: Annotated[Literal["TLS12", "TLS13"], parsed_by(partial(one_of, VERSIONS))] = "TLS13"


class WebConfig(msgspec.Struct, frozen=True):
    """A valid file: TLS if it is to be served, and each user's bcrypt hash (a Secret) by the name's UTF-8."""

    tls_server_config: Annotated[TlsConfig | None, parsed_by(TlsConfig)] = None
    basic_auth_users: Annotated[Mapping[bytes, Secret], parsed_by({_user: parse_bcrypt_hash})] = (
        msgspec.field(default_factory=dict)
    )


def load(path: Path, check: Callable[[TlsConfig, str], None] = lambda _tls, _at: None) -> WebConfig:
    """Returns the web configuration in a YAML file; paths in it are relative to the file's folder.

    `check` gets a valid TLS section and its place; if it raises ConfigError, the faults are the file's.

    Raises:
        ConfigError: with a line for each fault, naming file and key; never a hash or a password.
    """
    validator = Validator()
    raw = _supported(read_yaml(path, validator), f"{path}: ", validator)
    values = validator.load(raw, str(path), WebConfig, dot=": ") or {}
    tls = values.get("tls_server_config")
    made = None if tls is None else _tls(tls, path, validator, check)
    if validator.faults:
        raise ConfigError(*validator.faults)
    return WebConfig(made, values.get("basic_auth_users") or {})


def _tls(
    values: dict[str, Any], path: Path, validator: Validator, check: Callable[[TlsConfig, str], None]
) -> TlsConfig | None:
    """The TLS section, checked; None if it is not valid. Other sections' faults do not matter."""
    at = f"{path}: tls_server_config"
    _finish(values, at, path.parent, validator)
    if any(fault.startswith(at) for fault in validator.faults):
        return None
    made = msgspec.convert(values, TlsConfig)
    try:
        check(made, at)
    except ConfigError as error:
        validator.faults += error.faults
    return made


def _supported(raw: object, at: str, validator: Validator, section: str = "") -> object:
    """Returns the data without the toolkit's unsupported keys; adds an error for each."""
    if not isinstance(raw, dict):
        return raw
    kept = {}
    for key, value in raw.items():
        if key in UNSUPPORTED[section]:
            validator.add_error(f"{at}{section}{key}", "not supported by this exporter; remove it")
        else:
            kept[key] = value
    if not section and "tls_server_config" in kept:
        kept["tls_server_config"] = _supported(kept["tls_server_config"], at, validator, "tls_server_config.")
    return kept


def _finish(tls: dict[str, Any], at: str, home: Path, validator: Validator) -> None:
    """Checks the keys against each other; resolves paths against the file's folder."""
    client_auth, authority = tls.get("client_auth_type", "NoClientCert"), tls.get("client_ca_file", "")
    if authority and client_auth == "NoClientCert":
        validator.add_error(f"{at}.client_ca_file", f"needs client_auth_type; allowed: {', '.join(VERIFIED)}")
    if client_auth in VERIFIED and "client_ca_file" not in tls:
        validator.add_error(f"{at}.client_auth_type", f"{client_auth} needs client_ca_file")
    if (tls.get("min_version"), tls.get("max_version")) == ("TLS13", "TLS12"):
        validator.add_error(f"{at}.max_version", "below min_version")
    for key in ("cert_file", "key_file", "client_ca_file"):
        if tls.get(key):
            tls[key] = str(home / tls[key])
