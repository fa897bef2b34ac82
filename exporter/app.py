"""The composition root: from a configuration to a running exporter."""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from importlib.metadata import metadata
from pathlib import Path

import msgspec
import structlog

from exporter.accounts import AccountTargets
from exporter.config.settings import Config, ConfigError
from exporter.ledger.store import Ledger, LedgerError, LedgerRefusedError
from exporter.log import dropped_lines
from exporter.metrics.telemetry import Telemetry
from exporter.providers.base import Provider
from exporter.reload import Reload
from exporter.scrape.scraper import Scraper
from exporter.web.activation import passed_sockets
from exporter.web.app import Front
from exporter.web.auth import basic_auth
from exporter.web.listener import base_url, listen_all
from exporter.web.reloading import ReloadingWebConfig
from exporter.web.server import Server, raise_open_files_limit
from exporter.web.shutdown import Signals, ignore_signals, shut_down

OTHER_LEDGER = (
    "ledger.url: cannot change while the exporter runs; allowed: the one it started with, or a restart"
)

log = structlog.get_logger()


class Web(msgspec.Struct, frozen=True):
    """The flags of the web server.

    listen: hosts and ports. path: where the metrics are. config: the file for TLS and users.
    lifecycle: whether a reload may be requested over HTTP. started: called with the URLs that are served.
    """

    listen: tuple[tuple[str, int], ...]
    path: str
    config: Path | None = None
    lifecycle: bool = False
    started: Callable[[list[str]], None] = lambda _: None


def serve(
    config: Config,
    reread: Callable[[], Config] | None,
    environ: Mapping[str, str],
    web: Web,
    providers: Mapping[str, Provider],
) -> None:
    """Serve until a signal; then answer what is in flight, and close the ledger. On the main thread.

    `reread` reads the configuration for a reload, and may take seconds; it raises ConfigError. Where there
    is nothing to read again, SIGHUP ends the exporter as SIGTERM does.

    Raises:
        ConfigError: for an invalid web configuration.
        LedgerRefusedError: for a ledger that must not be touched.
        OSError: when an address cannot be listened on.
    """
    try:
        asyncio.run(_serve(config, reread, environ, web, providers))
    finally:
        ignore_signals()


async def _serve(
    config: Config,
    reread: Callable[[], Config] | None,
    environ: Mapping[str, str],
    web: Web,
    providers: Mapping[str, Provider],
) -> None:
    signals = Signals()  # first, so that signals during the start are queued
    raise_open_files_limit()
    web_config = None if web.config is None else ReloadingWebConfig.open(web.config)
    telemetry = Telemetry(dropped_lines)
    with closing(Ledger(config.ledger.url)) as ledger:
        _open(ledger)
        targets = AccountTargets(providers, environ, telemetry)
        scraper = Scraper(targets.plan(config), ledger, telemetry)
        reload = reread and Reload(lambda: targets.plan(_same_ledger(reread(), config)), scraper, telemetry)
        ready = partial(_ready, ledger)
        on_request = reload if web.lifecycle else None
        front = Front(scraper, telemetry, ready, web.path, on_request, _documentation())
        app = front.app([] if web_config is None else [basic_auth(web_config)])
        tls = None if web_config is None else web_config.context()
        server = Server(app, scraper.cancel_waiters, tls=tls)
        listeners = passed_sockets(environ, os.getpid()) or await listen_all(web.listen)
        urls = [base_url(one, secure=tls is not None) for one in listeners]
        await server.start(listeners)
        web.started(urls)
        await signals.until_stop(None if reload is None else reload.begin)
        await shut_down(signals, server, scraper)


def _documentation() -> str | None:
    """Returns the URL of the documents, as the distribution names it."""
    urls = metadata("cloud-browser-exporter").get_all("Project-URL", [])
    named = dict(str(url).split(", ", 1) for url in urls)
    return named.get("Documentation")


def _open(ledger: Ledger) -> None:
    """Open the ledger if that can be done now. Raises LedgerRefusedError for one that must not be touched."""
    try:
        ledger.open()
    except LedgerRefusedError:
        raise
    except LedgerError as error:
        log.warning("the ledger cannot be opened yet", error=str(error))


def _ready(ledger: Ledger) -> bool:
    """Returns whether the ledger is open, or can be opened now. Scrapes log why not."""
    try:
        ledger.open()
    except LedgerError as error:
        log.debug("not ready", error=str(error))
        return False
    return True


def _same_ledger(new: Config, old: Config) -> Config:
    if new.ledger.url != old.ledger.url:
        raise ConfigError(OTHER_LEDGER)
    return new
