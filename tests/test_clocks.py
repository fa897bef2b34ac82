"""The clock that runs on in suspend, in processes that see it hours ahead of the monotonic one."""

import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.clocks import boottime
from exporter.providers import PROVIDERS
from exporter.simulator.server import Server, create_app
from tests.support.pages import FLEET, ORIGIN, Page
from tests.support.processes import COMMAND, KEYS, LOCAL, Exporter, configuration, run, wait_until

AHEAD = 8 * 3600  # seconds that the machine has slept, as the tests' processes see it
CLOCKS = "import time; from exporter.clocks import boottime; print(boottime() - time.monotonic())"


@pytest.fixture
def slept() -> tuple[str, ...]:
    """What to write before a command, to run it where the clock is ahead."""
    command = ("unshare", "--time", "--boottime", str(AHEAD), "--fork", "--kill-child=SIGTERM")
    if not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("the system has no such clock")
    if shutil.which("unshare") is None or run(*command, "true")[0] != 0:
        pytest.skip("only root may make a namespace of time")
    return command


def test_the_clock_never_goes_back() -> None:
    assert boottime() <= boottime()


def test_the_clock_counts_the_time_in_which_the_machine_slept(slept: tuple[str, ...]) -> None:
    code, output, errors = run(*slept, sys.executable, "-c", CLOCKS)
    assert code == 0, errors
    assert AHEAD - 60 < float(output) < AHEAD + 60


@contextmanager
def exporter_of(url: str, folder: Path, slept: tuple[str, ...]) -> Iterator[Exporter]:
    flags = ("--config.file", configuration(folder, url), "--web.listen-address", f"{LOCAL}:0")
    with Exporter(*slept, COMMAND, *flags, environ=KEYS) as process:
        process.port = int(process.wait_for_log(r"msg=serving .*\bport=([0-9]+)")[1])
        yield process


def test_on_a_machine_that_has_slept_accounts_are_read(tmp_path: Path, slept: tuple[str, ...]) -> None:
    with (
        Server(create_app(FLEET, lambda: ORIGIN, keys=KEYS.values())) as server,
        exporter_of(server.url, tmp_path, slept) as process,
    ):
        page = Page(process.get())
    assert [page.sum(provider, "up") for provider in PROVIDERS] == [1, 1]


def test_on_a_machine_that_has_slept_requests_end_at_their_deadline(
    tmp_path: Path, slept: tuple[str, ...]
) -> None:
    with socket.create_server((LOCAL, 0)) as silent:
        url = f"http://{LOCAL}:{silent.getsockname()[1]}"
        with exporter_of(url, tmp_path, slept) as process:

            def cut_off() -> bool:
                page = Page(process.get(X_Prometheus_Scrape_Timeout_Seconds="1"))
                failed = [
                    page.sum(provider, "exporter_errors_total", reason="timeout") for provider in PROVIDERS
                ]
                return min(failed) > 0

            wait_until(cut_off, "a request that was cut off")
