"""TLS contexts for the server: one made of files, and one that delegates to the newest of these.

OpenSSL 1.1.1 and up; TLS 1.2 and up; the cipher suites are OpenSSL's own choice.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG
from typing import Any

from exporter.config.loader import ConfigError
from exporter.config.web import TlsConfig

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY = {"VerifyClientCertIfGiven": ssl.CERT_OPTIONAL, "RequireAndVerifyClientCert": ssl.CERT_REQUIRED}
_WEAK = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")


class LiveContext(ssl.SSLContext):
    """For asyncio: each new connection gets the context that `current` returns at that moment.

    Its own settings have no effect.
    """

    current: Callable[[], ssl.SSLContext]

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Wraps a connection by the current context."""
        return self.current().wrap_bio(*args, **kwargs)


def live_context(current: Callable[[], ssl.SSLContext]) -> LiveContext:
    """Returns a context that delegates to whatever `current` returns."""
    made = LiveContext(ssl.PROTOCOL_TLS_SERVER)
    made.current = current
    return made


def server_context(config: TlsConfig, place: Callable[[str], str]) -> ssl.SSLContext:
    """Returns the context of these files as they are now. `place` returns what names a key in an error.

    Raises:
        ConfigError: with a line for each fault, naming the key's place and the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.min_version]
    context.maximum_version = _VERSIONS[config.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    faults = [
        f"{place(key)}: {getattr(config, key)} {fault}"
        for key in ("cert_file", "key_file", "client_ca_file")
        if getattr(config, key) and (fault := _unreadable(Path(getattr(config, key))))
    ]
    if not faults:
        found = (_load_pair(context, config), _load_ca(context, config))
        faults = [f"{place(one[0])}: {one[1]}" for one in found if one]
    if faults:
        raise ConfigError(*faults)
    return context


def _unreadable(path: Path) -> str:
    """Returns why the file cannot be read; empty if it can. Opening a pipe would block."""
    try:
        if not S_ISREG(path.stat().st_mode):
            return "is not a file"
        with path.open("rb"):
            return ""
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _load_pair(context: ssl.SSLContext, config: TlsConfig) -> tuple[str, str] | None:
    """Loads certificate and key; returns the key of the file that is wrong, and how; or None."""
    if not _has_certificates(config.cert_file):
        return "cert_file", f"{config.cert_file} holds no certificate in PEM"
    try:
        context.load_cert_chain(config.cert_file, config.key_file, _refuse_prompt)
    except _EncryptedError:
        return "key_file", f"{config.key_file} is encrypted; allowed: a key without a password"
    except OSError as error:
        reason = getattr(error, "reason", error.strerror)
        if reason in _WEAK:
            return "cert_file", f"{config.cert_file} is too weak for OpenSSL ({reason})"
        fault = "is not the key of the certificate in cert_file"
        if reason != "KEY_VALUES_MISMATCH":
            fault = "holds no private key in PEM"
        return "key_file", f"{config.key_file} {fault}"
    return None


def _load_ca(context: ssl.SSLContext, config: TlsConfig) -> tuple[str, str] | None:
    """Loads the authority of client certificates; returns what is wrong with it, or None."""
    if not config.client_ca_file:
        return None
    if not _has_certificates(config.client_ca_file):
        return "client_ca_file", f"{config.client_ca_file} holds no certificate in PEM"
    context.load_verify_locations(config.client_ca_file)
    context.verify_mode = _VERIFY[config.client_auth_type]
    return None


def _has_certificates(file: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)
    except OSError:  # an SSLError is one
        return False
    return True


class _EncryptedError(Exception):
    """The key is encrypted; OpenSSL would prompt for its password on the terminal."""


def _refuse_prompt() -> str:
    raise _EncryptedError
