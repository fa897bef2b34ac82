"""Signals and graceful shutdown.

SIGTERM or SIGINT: accept no more connections, answer requests in flight, record what was read, exit. A second
one aborts them. SIGHUP reloads; where there is nothing to reload, it ends the process as SIGTERM does.
"""

import asyncio
import signal
from collections.abc import Callable
from functools import partial

import structlog

from exporter.scrape.scraper import Scraper
from exporter.threads import in_thread
from exporter.web.server import Server

DRAIN_SECONDS = 1  # for scrapes to reach the ledger, once every connection is closed
STOP = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


class Signals:
    """The signals that came to the process, in order. Made on a running event loop, before all else."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[int] = asyncio.Queue()
        for number in (*STOP, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._queue.put_nowait, number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOP, signal.SIGHUP))  # those that waited come now

    async def until_stop(self, reload: Callable[[], None] | None) -> None:
        """Wait for SIGTERM or SIGINT, and log it; `reload` is called at each SIGHUP until then."""
        while (number := await self._queue.get()) == signal.SIGHUP and reload is not None:
            reload()
        log.info("shutting down", signal=signal.Signals(number).name)

    async def until_second_stop(self) -> None:
        """Wait for a further SIGTERM or SIGINT."""
        while await self._queue.get() not in STOP:
            pass


async def shut_down(signals: Signals, server: Server, scraper: Scraper) -> None:
    """Answer what is in flight, and wait for the ledger, until done or until a second signal."""
    graceful = asyncio.create_task(_stop(server, scraper))
    forced = asyncio.create_task(signals.until_second_stop())
    await asyncio.wait((graceful, forced), return_when=asyncio.FIRST_COMPLETED)
    if not graceful.done():
        graceful.cancel()
        server.abort_all()
    forced.cancel()
    await asyncio.wait((graceful, forced))


async def _stop(server: Server, scraper: Scraper) -> None:
    await server.stop()
    drain = partial(scraper.close, DRAIN_SECONDS)
    try:
        drained = in_thread("drain", drain)
    except RuntimeError:  # no thread can be started
        drain()
    else:
        await asyncio.wrap_future(drained)


def ignore_signals() -> None:
    """Ignore signals that come after the shutdown."""
    for number in (*STOP, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
