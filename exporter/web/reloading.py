"""TLS and users, as the files of `--web.config.file` have them now.

    config = ReloadingWebConfig.open(path)   # raises ConfigError
    config.context()                          # for asyncio's `ssl=`; None when the file configures no TLS
    config.passwords()                        # the users and their passwords

Files are checked, by `stat` alone, at each new connection and each request. If new ones are invalid or
incomplete, the previous ones stay in use, and one warning is logged.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeAlias

import structlog

from exporter.config.loader import ConfigError
from exporter.config.web import TlsConfig, WebConfig, load
from exporter.web import tls
from exporter.web.passwords import Passwords

FileIdentity: TypeAlias = tuple[int, ...] | None

log = structlog.get_logger()


class ReloadingWebConfig:
    """TLS context and users, reloaded when their files change. For one event loop, but for its opening."""

    def __init__(self, path: Path, passwords: Passwords) -> None:
        self._path, self._passwords = path, passwords
        self._identities: dict[str, FileIdentity] = {}
        self._fault = ""
        self._config, self._context = self._read()
        self._apply_users()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Returns the configuration in that file. Raises ConfigError, with a line for each fault."""
        return cls(path, Passwords())

    def context(self) -> ssl.SSLContext | None:
        """Returns a context that uses the current files at each new connection; None: no TLS."""
        return None if self._context is None else tls.live_context(self._current)

    def passwords(self) -> Passwords:
        """Returns the users as the file has them now; false when it names none."""
        self._refresh()
        return self._passwords

    def _current(self) -> ssl.SSLContext:
        self._refresh()
        assert self._context is not None
        return self._context

    def _refresh(self) -> None:
        """Reload if a file has changed; invalid files change nothing."""
        if all(_file_identity(file) == identity for file, identity in self._identities.items()):
            return
        try:
            config, context = self._read()
            self._refuse_downgrade(config)
        except ConfigError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("new web configuration not taken, the last good one holds", error=self._fault)
            return
        self._config, self._context, self._fault = config, context, ""
        self._apply_users()
        log.info("new web configuration taken", file=str(self._path))

    def _read(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        """Returns the configuration and its TLS context, None without TLS.

        Identities are taken first, so that a file that changes while it is read is read again.
        """
        self._identities = {str(self._path): _file_identity(str(self._path))}
        contexts: list[ssl.SSLContext] = []

        def use(files: TlsConfig, place: Callable[[str], str]) -> None:
            for file in filter(None, (files.cert_file, files.key_file, files.client_ca_file)):
                self._identities[file] = _file_identity(file)
            contexts.append(tls.server_context(files, place))

        config = load(self._path, use)
        if config.http_server_config is not None:
            log.info("http_server_config.http2 has no effect, HTTP/1.1 is served", file=str(self._path))
        return config, contexts[0] if contexts else None

    def _refuse_downgrade(self, config: WebConfig) -> None:
        """A truncated file must not disable TLS or authentication."""
        if (config.tls_server_config is None) != (self._config.tls_server_config is None):
            fault = "added or removed while running; allowed: at a restart"
            raise ConfigError(f"{self._path}: tls_server_config: {fault}")
        if self._config.basic_auth_users and not config.basic_auth_users:
            fault = "all removed while running; allowed: at a restart"
            raise ConfigError(f"{self._path}: basic_auth_users: {fault}")

    def _apply_users(self) -> None:
        users = self._config.basic_auth_users
        self._passwords.replace({name: secret.reveal().encode() for name, secret in users.items()})


def _file_identity(file: str) -> FileIdentity:
    """Returns what changes when a file is written, replaced, or no longer readable."""
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)
