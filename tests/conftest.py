"""Hypothesis's profiles, and what holds of all tests.

The profile is `dev`, with few examples, or `ci` when HYPOTHESIS_PROFILE or CI says so; neither has a
deadline, for no test depends on timing.
"""

import logging
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support.postgres import Cluster, running
from tests.support.tools import TOOLS

for name, examples in (("dev", 10), ("ci", 100)):
    settings.register_profile(
        name, max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL; the test is skipped where none is installed."""
    with running() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster.empty()


@pytest.fixture(autouse=True)
def restored_signals() -> Iterator[None]:
    """Signals are handled and blocked as before: programs that later tests start inherit it."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    handlers = {number: signal.getsignal(number) for number in numbers}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """The process's logging is as it was, for other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_TOOLS=1 nothing may be skipped: a test that is has failed."""
    report = yield
    if report.skipped and os.environ.get("REQUIRE_TOOLS") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though REQUIRE_TOOLS=1: {call.excinfo and call.excinfo.value}"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the slow tests: with several workers, those that wait run beside those that compute.

    Where there is no Go, what needs a program built with it is left out: `.ci/run` says so.
    """
    if not TOOLS.is_dir() and not shutil.which("go"):
        unbuilt = [item for item in items if item.get_closest_marker("go")]
        config.hook.pytest_deselected(items=unbuilt)
        items[:] = [item for item in items if item not in unbuilt]
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
