"""Log lines: logfmt and JSON, from the exporter and from libraries."""

import json
import logging
import os
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import structlog

from devtools.processes import open_sockets
from exporter import log as logs
from exporter.log import BackgroundHandler
from tests.support.processes import COMMAND, KEYS, LOCAL, TIMEOUT, wait_until

pytestmark = pytest.mark.usefixtures("restored_logging")


def written(capsys: pytest.CaptureFixture[str]) -> str:
    assert logs.flush(TIMEOUT)
    return capsys.readouterr().err


def test_logfmt_begins_with_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    structlog.get_logger().info("serving", port=1)
    line = written(capsys)
    assert line.startswith("ts=2")
    assert line.endswith("Z level=info msg=serving port=1\n")


def test_json_has_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger().warning("account failed", reason="auth")
    line = json.loads(written(capsys))
    assert {"level": "warning", "msg": "account failed", "reason": "auth"}.items() <= line.items()


def test_less_than_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("error", "logfmt")
    structlog.get_logger().warning("quiet")
    logging.getLogger("asyncio").warning("quiet")
    assert written(capsys) == ""


def test_a_library_speaks_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "logfmt")
    logging.getLogger("some.library").warning("odd")
    for name in ("urllib3", "aiohttp.server", "aiohttp.access"):
        logging.getLogger(name).error("it may quote a key or a password")
    assert written(capsys).endswith(" level=warning msg=odd\n")


def test_a_traceback_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    try:
        int("x")
    except ValueError:
        structlog.get_logger().exception("account failed")
    line = written(capsys)
    assert "ValueError" in line
    assert line.count("\n") == 1


def listening_port(pid: int) -> int | None:
    """The TCP port that a process listens on, as Linux tells it."""
    sockets = open_sockets(pid)
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "0A" and inode in sockets:
            return int(local.partition(":")[2], 16)
    return None


def test_lines_that_nobody_takes_are_dropped_and_counted_and_logging_goes_on() -> None:
    taken, blocked = threading.Event(), threading.Event()

    def write(_line: bytes) -> None:
        taken.set()
        assert blocked.wait(TIMEOUT)

    handler = BackgroundHandler(write, capacity=3)
    logger = logging.getLogger("full")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("being written")
    assert taken.wait(TIMEOUT)
    for number in range(10):
        logger.warning("line %s", number)
    assert handler.dropped == 7
    blocked.set()
    assert handler.flush_within(TIMEOUT)
    logger.warning("taken again")
    assert handler.flush_within(TIMEOUT)
    assert handler.dropped == 7


def test_a_line_that_cannot_be_formatted_fails_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    logging.getLogger("some.library").warning("%d items", "three")
    logging.getLogger("some.library").warning("next")
    first, second = written(capsys).splitlines()
    assert "a line of some.library cannot be formatted" in first
    assert second.endswith("msg=next")


def test_a_command_whose_log_nobody_reads_serves_and_ends(tmp_path: Path) -> None:
    """Its stderr is a pipe that is full from the start; at level debug it logs each request."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    ledger = f"--ledger.url=sqlite:///{tmp_path}/ledger.db"
    flags = f"--web.listen-address={LOCAL}:0", ledger, "--log.level=debug"
    soon = {"X-Prometheus-Scrape-Timeout-Seconds": "0.2"}  # or it would wait to try again
    nobody = "http://127.0.0.1:9"
    environ = KEYS | {"BROWSERBASE_BASE_URL": nobody, "BROWSER_USE_BASE_URL": nobody}
    with subprocess.Popen([COMMAND, *flags], stderr=writing, env=environ) as process:
        os.close(writing)
        try:
            url = f"http://{LOCAL}:{wait_until(lambda: listening_port(process.pid), 'a listening socket')}"
            page = ""
            for _ in range(30):
                page = requests.get(f"{url}/metrics", headers=soon, timeout=TIMEOUT).text
            assert 'cloud_browser_up{account="default",provider="browserbase"} 0.0' in page
            process.terminate()
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()  # or leaving the block would wait for it
    os.close(reading)
