"""TLS and passwords, as the files of `--web.config.file` have them now.

    config = ReloadingWebConfig.open(path)   # raises ConfigError
    config.context()                          # for asyncio's `ssl=`; None when the file says nothing of TLS
    config.protect(app)                       # the application behind a password, where there are users

Files are looked at, by `stat` alone, at each new connection and each request. New ones that are not valid,
or are written by half, change nothing: the last good ones hold, and one warning says why.
"""

import ssl
from pathlib import Path
from typing import Self, TypeAlias

import structlog
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.config.loader import ConfigError
from exporter.config.web import WebConfig, load
from exporter.web import tls
from exporter.web.passwords import BusyError, Passwords

Stamp: TypeAlias = tuple[int, ...] | None

REALM = 'Basic realm="cloud-browser-exporter", charset="UTF-8"'

log = structlog.get_logger()


class ReloadingWebConfig:
    """What protects the site. For one event loop, but for its opening."""

    def __init__(self, path: Path, passwords: Passwords) -> None:
        self._path, self._passwords = path, passwords
        self._stamps: dict[str, Stamp] = {}
        self._fault = ""
        self._config, self._context = self._read()
        self._apply_users()

    @classmethod
    def open(cls, path: Path) -> Self:
        """The configuration in that file. Raises ConfigError, with a line for each fault."""
        return cls(path, Passwords())

    def context(self) -> ssl.SSLContext | None:
        """A context that uses at each new connection the files as they are then; None: no TLS."""
        return None if self._context is None else tls.live_context(self._current)

    def protect(self, app: ASGIApp) -> ASGIApp:
        """The application behind a password, on every path, while there are users."""

        async def protected(scope: Scope, receive: Receive, send: Send) -> None:
            refusal = None if scope["type"] == "lifespan" else await self._refusal(scope)
            await (refusal or app)(scope, receive, send)

        return protected

    async def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        """What to answer instead of the site; None when this request may pass."""
        self._refresh()
        if not self._passwords:
            return None
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        try:
            if len(headers) == 1 and await self._passwords.admit(headers[0]):
                return None
        except BusyError:
            return PlainTextResponse("Busy: too many passwords to check.\n", 503, {"Retry-After": "1"})
        return PlainTextResponse("Unauthorized\n", 401, {"WWW-Authenticate": REALM})

    def _current(self) -> ssl.SSLContext:
        self._refresh()
        assert self._context is not None
        return self._context

    def _refresh(self) -> None:
        """Takes the files that have changed, if they are valid."""
        if all(_stamp(file) == stamp for file, stamp in self._stamps.items()):
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
        """Stamps come first: what changes while it is read is read once more."""
        self._stamps = {str(self._path): _stamp(str(self._path))}
        config = load(self._path)
        files = config.tls_server_config
        if files is None:
            return config, None
        for file in filter(None, (files.cert_file, files.key_file, files.client_ca_file)):
            self._stamps[file] = _stamp(file)
        return config, tls.server_context(files, f"{self._path}: tls_server_config")

    def _refuse_downgrade(self, config: WebConfig) -> None:
        """A file written by half, or emptied, must not open what was closed."""
        if (config.tls_server_config is None) != (self._config.tls_server_config is None):
            fault = "added or removed while running; allowed: at a restart"
            raise ConfigError(f"{self._path}: tls_server_config: {fault}")
        if self._config.basic_auth_users and not config.basic_auth_users:
            fault = "all removed while running; allowed: at a restart"
            raise ConfigError(f"{self._path}: basic_auth_users: {fault}")

    def _apply_users(self) -> None:
        users = self._config.basic_auth_users
        self._passwords.replace({name: secret.reveal().encode() for name, secret in users.items()})


def _stamp(file: str) -> Stamp:
    """What differs once a file has been written, replaced, or may no longer be read."""
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev)
