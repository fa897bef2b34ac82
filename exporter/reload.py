"""Reloading the configuration: a valid one replaces the plan of scrapes, an invalid one changes nothing."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from exporter.config.loader import ConfigError
from exporter.scrape.plan import ScrapePlan
from exporter.scrape.scraper import Scraper
from exporter.threads import in_thread

FAULT = "a fault of the exporter, please report it, with the log"

log = structlog.get_logger()


class ReloadTelemetry(Protocol):
    """Shows whether the last reload succeeded."""

    def config_reloaded(self, *, valid: bool) -> None:
        """The configuration was read, and was or was not valid."""


class Reload:
    """Reloads the configuration, one reload at a time. Its methods run on the scraper's event loop.

    Args:
        load_plan: reads the configuration and returns its plan, or raises ConfigError. It runs in a thread,
            since it may take seconds.
        scraper: where the plan is replaced.
        telemetry: shows the outcome.
    """

    def __init__(
        self, load_plan: Callable[[], ScrapePlan], scraper: Scraper, telemetry: ReloadTelemetry
    ) -> None:
        self._load_plan, self._scraper, self._telemetry = load_plan, scraper, telemetry
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[tuple[str, ...]]] = set()

    def begin(self) -> None:
        """Start a reload and return; the outcome is in the log."""
        task = asyncio.get_running_loop().create_task(self())
        self._tasks.add(task)  # the event loop keeps only a weak reference
        task.add_done_callback(self._tasks.discard)

    async def __call__(self) -> tuple[str, ...]:
        """Reload; return the faults of the new configuration, none if it is in force now."""
        async with self._lock:
            try:
                plan = await asyncio.wrap_future(in_thread("reload", self._load_plan))
            except ConfigError as error:
                return self._reject(error.faults)
            except Exception:  # the outermost edge of a reload: the exporter goes on with the old plan
                log.exception("configuration not reloaded")
                return self._reject((FAULT,))
            if plan != self._scraper.plan:  # scrapes share results only under the same plan
                self._scraper.plan = plan
            self._telemetry.config_reloaded(valid=True)
            log.info("configuration reloaded", accounts=len(plan.targets))
            return ()

    def _reject(self, faults: tuple[str, ...]) -> tuple[str, ...]:
        self._telemetry.config_reloaded(valid=False)
        log.error("configuration not reloaded, the old one stays", faults="; ".join(faults))
        return faults
