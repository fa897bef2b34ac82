"""The file of `--web.config.file`: TLS and users with passwords, in the exporter-toolkit's format.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md; stricter where that
would leave open what looks closed. One pass finds all errors; the files that it names are not opened.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from exporter.config.document import read_yaml
from exporter.config.loader import (
    ConfigError,
    Validator,
    match_pattern,
    one_of,
    parsed_by,
    printable,
)
from exporter.config.secrets import Secret, parse_bcrypt_hash

VERSIONS = ("TLS12", "TLS13")
# The toolkit's names. A certificate that is not verified does not authenticate its sender.
VERIFIED = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
UNVERIFIED = ("RequestClientCert", "RequireClientCert", "RequireAnyClientCert")

# Of the toolkit's, at the top and in its sections.
UNSUPPORTED = {
    "": ("rate_limit",),
    "http_server_config": ("headers",),
    "tls_server_config": (
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


def _boolean(text: str) -> bool:
    return one_of(("true", "false"), text.lower()) == "true"


class HttpConfig(msgspec.Struct, frozen=True):
    """Accepted, for configurations that are shared with other exporters; HTTP/1.1 is served in any case."""

    http2: Annotated[bool, parsed_by(_boolean)] = True


class TlsConfig(msgspec.Struct, frozen=True):
    """How to serve TLS; paths are resolved. Without `client_ca_file` no client certificate is requested."""

    cert_file: Annotated[str, printable(1000)]
    key_file: Annotated[str, printable(1000)]
    client_ca_file: Annotated[str, printable(1000)] = ""
    client_auth_type: Annotated[str, parsed_by(_client_auth)] = "NoClientCert"
    min_version: Annotated[Literal["TLS12", "TLS13"], parsed_by(partial(one_of, VERSIONS))] = "TLS12"
    max_version: Annotated[Literal["TLS12", "TLS13"], parsed_by(partial(one_of, VERSIONS))] = "TLS13"


class WebConfig(msgspec.Struct, frozen=True):
    """A valid file: TLS if it is to be served, and each user's bcrypt hash (a Secret) by the name's UTF-8.

    An empty file, and one without users, lets everybody in.
    """

    tls_server_config: Annotated[TlsConfig | None, parsed_by(TlsConfig)] = None
    basic_auth_users: Annotated[Mapping[bytes, Secret], parsed_by({_user: parse_bcrypt_hash})] = (
        msgspec.field(default_factory=dict)
    )
    http_server_config: Annotated[HttpConfig | None, parsed_by(HttpConfig)] = None


def load(
    path: Path, check: Callable[[TlsConfig, Callable[[str], str]], None] = lambda _tls, _place: None
) -> WebConfig:
    """Returns the web configuration in a YAML file; paths in it are relative to the file's folder.

    `check` gets a valid TLS section, and what returns the place of one of its keys; if it raises
    ConfigError, the faults are the file's.

    Raises:
        ConfigError: with a line for each fault, naming file, line and key; never a hash or a password.
    """
    validator = Validator(str(path), UNSUPPORTED)
    raw = read_yaml(path)
    values = validator.load({} if raw is None else raw, "", WebConfig) or {}
    tls, http = values.get("tls_server_config"), values.get("http_server_config")
    made = None if tls is None else _tls(tls, path, validator, check)
    if validator.faults:
        raise ConfigError(*validator.faults)
    served = None if http is None else msgspec.convert(http, HttpConfig)
    return WebConfig(made, values.get("basic_auth_users") or {}, served)


def _tls(
    values: dict[str, Any],
    path: Path,
    validator: Validator,
    check: Callable[[TlsConfig, Callable[[str], str]], None],
) -> TlsConfig | None:
    """The TLS section, checked; None if it is not valid. Other sections' faults do not matter."""
    _finish(values, "tls_server_config", path.parent, validator)
    if validator.has_errors("tls_server_config"):
        return None
    made = msgspec.convert(values, TlsConfig)
    try:
        check(made, lambda key: validator.place(f"tls_server_config.{key}"))
    except ConfigError as error:
        validator.faults += error.faults
    return made


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
