"""Warnings about key files that other users of the machine may read."""

import structlog

from exporter.config.secrets import is_too_permissive

log = structlog.get_logger()


class KeyFiles:
    """Warns of each file once, and again if its permissions were corrected in between."""

    def __init__(self) -> None:
        self._permissive: set[str] = set()

    def warn_if_permissive(self, file: str) -> None:
        """Logs a warning if others may read the file and could not before."""
        if not is_too_permissive(file):
            self._permissive.discard(file)
        elif file not in self._permissive:
            self._permissive.add(file)
            log.warning("a key file is open to other users", file=file, advice=f"chmod 600 {file}")
