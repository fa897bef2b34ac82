"""Log lines on stderr, as logfmt or JSON; what libraries log goes the same way."""

import logging
import sys

import structlog
from structlog.typing import Processor

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
FORMATS = ("logfmt", "json")

_FIRST = ["ts", "level", "msg"]


def configure(level: str, form: str) -> None:
    """Set up the process's logging: one of `LEVELS`, one of `FORMATS`."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper("iso", key="ts"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("msg"),
    ]
    final: Processor = structlog.processors.LogfmtRenderer(key_order=_FIRST, drop_missing=True)
    if form == "json":
        final = structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=LEVELS[level], force=True)
    # At info it reports on itself.
    logging.getLogger("asyncio").setLevel(max(LEVELS[level], logging.WARNING))
    # They quote what a provider or a client sent: a key may be echoed, a bad request may hold a password.
    for library in ("urllib3", "aiohttp"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
