"""The configuration read anew: put in force where it is valid, or else named with its faults."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from exporter.config.loader import ConfigError
from exporter.scrape.inflight import in_thread
from exporter.scrape.plan import ScrapePlan
from exporter.scrape.scraper import Scraper

log = structlog.get_logger()


class ReloadTelemetry(Protocol):
    """Told how a reload went."""

    def config_reloaded(self, *, valid: bool) -> None:
        """The configuration was read, and was or was not valid."""


class Reload:
    """Puts a new plan in force, whole, or leaves the old one as it is. Its methods run on one event loop.

    Args:
        make: the plan of the configuration as it is now. It may take seconds, in a thread; one call ends
            before the next begins. Raises ConfigError.
        scraper: whose plan it is.
        telemetry: told of the result.
    """

    def __init__(self, make: Callable[[], ScrapePlan], scraper: Scraper, telemetry: ReloadTelemetry) -> None:
        self._make, self._puller, self._telemetry = make, scraper, telemetry
        self._turn = asyncio.Lock()
        self._begun: set[asyncio.Task[tuple[str, ...]]] = set()

    def begin(self) -> None:
        """Reload, without anybody who waits for it; the log has the result."""
        task = asyncio.get_running_loop().create_task(self())
        self._begun.add(task)  # the loop itself would not keep it
        task.add_done_callback(self._begun.discard)

    async def __call__(self) -> tuple[str, ...]:
        """Reload; return the faults of the new configuration, none where it is in force now."""
        async with self._turn:
            try:
                plan = await asyncio.wrap_future(in_thread("reload", self._make))
            except ConfigError as error:
                return self._refused(error.faults)
            except Exception:  # the outermost edge of a reload: the exporter goes on with what it has
                log.exception("configuration not reloaded")
                return self._refused(("a fault of the exporter, please scrape_result it, with the log",))
            if plan != self._puller.plan:  # what changes nothing shall not part scrapes that meet
                self._puller.plan = plan
            self._telemetry.config_reloaded(valid=True)
            log.info("configuration reloaded", accounts=len(plan.targets))
            return ()

    def _refused(self, faults: tuple[str, ...]) -> tuple[str, ...]:
        self._telemetry.config_reloaded(valid=False)
        log.error("configuration not reloaded, the old one stays", faults="; ".join(faults))
        return faults
