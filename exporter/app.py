"""The exporter, wired together: from a configuration to a front that serves."""

import signal
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import partial
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
from exporter.web.app import Front, with_security_headers
from exporter.web.reloading import ReloadingWebConfig
from exporter.web.server import at_signals, run

RECORD_SECONDS = 1  # for the ledger, at the end, when the front has gone
OTHER_LEDGER = (
    "ledger.url: cannot change while the exporter runs; allowed: the one it started with, or a restart"
)

log = structlog.get_logger()


class Web(msgspec.Struct, frozen=True):
    """What the flags say of the front.

    listen: hosts and ports. path: of the metrics. config: the file for TLS and passwords.
    lifecycle: whether a reload may be asked for over HTTP.
    """

    listen: tuple[tuple[str, int], ...]
    path: str
    config: Path | None = None
    lifecycle: bool = False


def serve(
    config: Config,
    again: Callable[[], Config] | None,
    environ: Mapping[str, str],
    web: Web,
    providers: Mapping[str, Provider],
) -> None:
    """Serve until a signal says otherwise; then answer what is under way, and close the ledger.

    `again` reads the configuration for a reload, and may take seconds; it raises ConfigError. Where there
    is nothing to read again, SIGHUP ends the exporter as SIGTERM does.

    Raises:
        ConfigError: for an invalid file of the front's.
        LedgerRefusedError: for a ledger that must not be touched.
        OSError: when the address is not to be had.
    """
    web_config_files = None if web.config is None else ReloadingWebConfig.open(web.config)
    telemetry = Telemetry(dropped_lines)
    with closing(Ledger(config.ledger.url)) as ledger:
        _open(ledger)
        targets = AccountTargets(providers, environ, telemetry)
        scraper = Scraper(targets.plan(config), ledger, telemetry)
        reload = again and Reload(lambda: targets.plan(_same_ledger(again(), config)), scraper, telemetry)
        ready = partial(_ready, ledger)
        front = Front(scraper, telemetry.registry, ready, web.path, reload if web.lifecycle else None)
        app = front.app() if web_config_files is None else web_config_files.protect(front.app())
        tls = None if web_config_files is None else web_config_files.context()
        hang_up = reload.begin if reload else partial(signal.raise_signal, signal.SIGTERM)
        at_once = run(
            with_security_headers(app),
            web.listen[0],
            cancel_waiters=scraper.cancel_waiters,
            reload=hang_up,
            tls=tls,
        )
        _let_record(scraper, 0 if at_once else RECORD_SECONDS)


def _let_record(scraper: Scraper, seconds: float) -> None:
    """Wait for what is being asked, so long, or until told to end once more."""
    with suppress(KeyboardInterrupt):
        at_signals(_interrupt)
        scraper.close(seconds)
        at_signals(lambda: None)


def _interrupt() -> None:
    at_signals(lambda: None)
    raise KeyboardInterrupt


def _open(ledger: Ledger) -> None:
    """Open the ledger, now or later. One that must not be touched ends the exporter at its start."""
    try:
        ledger.open()
    except LedgerRefusedError:
        raise
    except LedgerError as error:
        log.warning("the ledger cannot be opened yet", error=str(error))


def _ready(ledger: Ledger) -> bool:
    """Whether the ledger is open now, or can be opened. Why not, the scrapes say."""
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
