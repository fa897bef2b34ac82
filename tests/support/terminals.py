"""The installed command in a pseudo-terminal, as a person runs it."""

import fcntl
import os
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping
from typing import Self

from devtools.processes import TIMEOUT, environment
from tests.support.processes import program

ROWS, COLUMNS = 40, 120
CTRL_C = b"\x03"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A program whose standard streams are a terminal, on which keys can be pressed.

    Args:
        command: the program and its arguments.
        environ: its environment, beside what is inherited.
        columns: how wide the terminal is.
    """

    def __init__(self, *command: object, environ: Mapping[str, str], columns: int = COLUMNS) -> None:
        # setsid makes the terminal the session's own, so that Ctrl-C becomes SIGINT.
        self._command = [program("setsid", "util-linux"), "--ctty", *map(str, command)]
        self._environ, self._columns = {"TERM": "xterm", **environ}, columns
        self._changed = threading.Condition()
        self._raw = b""

    def __enter__(self) -> Self:
        self._keys, screen = os.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, self._columns, 0, 0))
        self._popen = subprocess.Popen(
            self._command, env=environment(self._environ), stdin=screen, stdout=screen, stderr=screen
        )
        os.close(screen)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.kill()
        self._popen.wait()
        self._reader.join()
        os.close(self._keys)

    def _read(self) -> None:
        while True:
            try:
                some = os.read(self._keys, 1 << 16)
            except OSError:  # the program has ended
                return
            if not some:
                return
            with self._changed:
                self._raw += some
                self._changed.notify_all()

    @property
    def raw(self) -> str:
        """All that was written, with the terminal's control sequences."""
        with self._changed:
            return self._raw.decode(errors="replace")

    @property
    def text(self) -> str:
        """All that was written, without them."""
        return CONTROL.sub("", self.raw).replace("\r", "")

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._keys, keys)

    def wait_for(self, pattern: str) -> None:
        """Wait until a pattern is found in the text. Raises AssertionError when it does not come."""
        with self._changed:
            found = self._changed.wait_for(lambda: re.search(pattern, self.text), TIMEOUT)
        assert found, f"waited in vain for {pattern!r}:\n{self.text}"

    def wait(self) -> int:
        """Wait for the end and for all that was written; returns the exit code."""
        code = self._popen.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        return code
