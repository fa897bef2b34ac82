"""Warnings about key files that other users of the machine may read."""

import structlog

from exporter.config.secrets import is_too_permissive

log = structlog.get_logger()


class KeyFiles:
    """Remembers which files it warned of: once each, and again when one was closed in between."""

    def __init__(self) -> None:
        self._permissive: set[str] = set()

    def warn_if_permissive(self, file: str) -> None:
        """Logs a warning when others may read the file, and that is new."""
        if not is_too_permissive(file):
            self._permissive.discard(file)
        elif file not in self._permissive:
            self._permissive.add(file)
            log.warning("a key file is open to other users", file=file, advice=f"chmod 600 {file}")
