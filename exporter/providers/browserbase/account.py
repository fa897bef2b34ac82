"""Browserbase's projects: `GET /v1/projects`, and `GET /v1/projects/{id}/usage` of one project after another.

The window of the usage figures is not established: they may be of a month, or of the project's whole life.
"""

from collections.abc import Container, Mapping
from urllib.parse import quote

from exporter.client.api import Api, Endpoint
from exporter.client.errors import ApiError, PayloadError, StatusError
from exporter.client.refusals import Refusals
from exporter.labels import PROJECTS, sanitize_project_id
from exporter.model import AccountReport, ProjectUsage, Quota
from exporter.providers.base import AccountReading
from exporter.providers.fields import decode, decode_object, label, whole

PROJECTS_PATH, USAGE_PATH = "/v1/projects", "/v1/projects/{id}/usage"
USAGES_PER_SCRAPE = 10
USAGE_SECONDS = 600.0  # for which a project's last figures are shown
MAX_ID = 100  # characters


class BrowserbaseAccount:
    """Reads an account's projects; of their usage, some at each call. For one thread."""

    def __init__(self, api: Api) -> None:
        self._api, self._refusals = api, Refusals(api.clock)
        self._shown: frozenset[str] = frozenset()
        self._asked: dict[str, float] = {}  # when the usage of each was requested last
        self._usage: dict[str, tuple[float, ProjectUsage]] = {}

    def read(self, deadline: float) -> AccountReading:
        """Returns quotas, names and usage of at most 100 projects, and the first failure."""
        try:
            projects = self._projects(deadline)
        except ApiError as error:
            return AccountReading(AccountReport(usage=self._recent()), error)
        failure = self._read_usage([*projects], deadline)
        self._forget_all_but(projects)
        limits = {name: whole(row.get("concurrency")) for name, row in projects.items()}
        names = {name: label(row.get("name")) for name, row in projects.items()}
        report = AccountReport(
            quotas=tuple(Quota(sanitize_project_id(name), limit=limit) for name, limit in limits.items()),
            projects={sanitize_project_id(name): title for name, title in names.items() if title},
            usage=self._recent(),
        )
        return AccountReading(report, failure)

    def _projects(self, deadline: float) -> dict[str, Mapping[str, object]]:
        """Returns the projects' objects by id: at most `PROJECTS`, those that were shown before first."""
        rows = decode(self._get(PROJECTS_PATH, PROJECTS_PATH, deadline), "the list of projects")
        if not isinstance(rows, list):
            raise PayloadError("the list of projects is not a list; check base_url")
        named = _by_id(rows)
        if rows and not named:
            raise PayloadError("the list of projects holds none that can be used; check base_url")
        shown = sorted(named, key=lambda name: (name not in self._shown, name))[:PROJECTS]
        self._shown = frozenset(shown)
        return {name: named[name] for name in sorted(shown)}

    def _read_usage(self, projects: list[str], deadline: float) -> ApiError | None:
        """Reads the usage of those that were asked for longest ago. Returns the first failure.

        All but a body that cannot be used end it, for they may be those of all projects.
        """
        failure: ApiError | None = None
        for name in sorted(projects, key=lambda name: self._asked.get(name, 0.0))[:USAGES_PER_SCRAPE]:
            self._asked[name] = self._api.clock()
            path = USAGE_PATH.replace("{id}", quote(name, safe=""))
            try:
                fields = decode_object(self._get(USAGE_PATH, path, deadline), "a project's usage")
            except PayloadError as error:
                failure = failure or error
                continue
            except ApiError as error:
                return failure or error
            self._usage[name] = self._api.clock(), _usage(name, fields)
        return failure

    def _get(self, endpoint: str, path: str, deadline: float) -> bytes:
        self._refusals.check(endpoint)
        try:
            return self._api.get(path, {}, deadline, endpoint=Endpoint(endpoint)).body
        except StatusError as error:
            self._refusals.note(endpoint, error)
            raise

    def _forget_all_but(self, projects: Container[str]) -> None:
        self._asked = {name: time for name, time in self._asked.items() if name in projects}
        self._usage = {name: known for name, known in self._usage.items() if name in projects}

    def _recent(self) -> tuple[ProjectUsage, ...]:
        since = self._api.clock() - USAGE_SECONDS
        return tuple(usage for read, usage in self._usage.values() if read > since)


def _by_id(rows: list[object]) -> dict[str, Mapping[str, object]]:
    """Returns the projects that can be used, by id; of those that one label value would show, the first."""
    found: dict[str, Mapping[str, object]] = {}
    for row in rows:
        name = row.get("id") if isinstance(row, dict) else None
        if isinstance(row, dict) and isinstance(name, str) and _is_id(name):
            found.setdefault(name, row)
    labels = {sanitize_project_id(name) for name in found}
    # An id that is not its own label value has lost characters that cannot be seen.
    unique = {label: label for label in labels if label in found}
    for name in found:
        unique.setdefault(sanitize_project_id(name), name)
    return {name: found[name] for name in unique.values()}


def _is_id(name: str) -> bool:
    """Returns whether it can be shown, and be part of a path: `.` and `..` would name another."""
    return len(name) <= MAX_ID and name not in (".", "..") and bool(sanitize_project_id(name))


def _usage(project: str, fields: Mapping[str, object]) -> ProjectUsage:
    minutes = whole(fields.get("browserMinutes"))
    return ProjectUsage(
        sanitize_project_id(project),
        browser_seconds=None if minutes is None else minutes * 60,
        proxy_bytes=whole(fields.get("proxyBytes")),
    )
