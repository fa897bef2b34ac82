"""The process itself: the streams that it may lack."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.processes import COMMAND, KEYS, configuration, program, run

NOBODY = "http://127.0.0.1:1"
STREAMS = """
import os, sys
from exporter.__main__ import _open_closed_streams
_open_closed_streams()
print("lost")
print("lost", file=sys.stderr)
ledger = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
print("lost", flush=True)
os.write(ledger, str(ledger).encode())
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_without_streams_ends_with_its_own_exit_code(tmp_path: Path, closed: str) -> None:
    config = configuration(tmp_path, NOBODY)
    for command, code in (("check --offline", 0), ("check", 1), ("config schema", 0)):
        flag = "" if command == "config schema" else f"--config.file {config}"
        line = f"{COMMAND} {command} {flag} {closed}"
        ended, out, errors = run(program("sh", "dash"), "-c", line, environ=KEYS)
        assert (ended, "Traceback" in out + errors) == (code, False), (command, out, errors)


def test_a_file_that_is_opened_later_gets_nothing_of_what_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    script = tmp_path / "streams.py"
    script.write_text(STREAMS)
    line = f"{sys.executable} {script} {file} <&- >&- 2>&-"
    assert run(program("sh", "dash"), "-c", line)[0] == 0
    assert json.loads(file.read_text()) > 2
