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
    # What they say at info is about themselves; what of it matters the exporter says itself.
    for library in ("uvicorn", "asyncio"):
        logging.getLogger(library).setLevel(max(LEVELS[level], logging.WARNING))
    # Its warnings quote what a provider sent, in which a key may be echoed.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
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
