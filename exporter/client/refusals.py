"""Endpoints that a provider refuses or does not have: asked again only after a while."""

from collections.abc import Callable

from exporter.client.errors import StatusError

REFUSED = (403, 404)
PAUSE = 600.0  # seconds


class Refusals:
    """Remembers which endpoints were refused. For one thread.

    Args:
        clock: seconds; it runs on while the machine sleeps.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refused: dict[str, tuple[float, StatusError]] = {}

    def check(self, endpoint: str) -> None:
        """Raises the StatusError with which an endpoint was refused less than ten minutes ago."""
        until, error = self._refused.get(endpoint, (0.0, None))
        if error is not None and self._clock() < until:
            raise error.with_traceback(None)  # else it would grow with each time that it is raised

    def note(self, endpoint: str, error: StatusError) -> None:
        """Remember an error, if it says that the endpoint is refused or does not exist."""
        if error.status in REFUSED:
            self._refused[endpoint] = self._clock() + PAUSE, error
