"""Child processes of the tests, the benchmark and `make stack`: start one, wait for it, stop it, kill it."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Literal, Self, TypeVar

import requests

COMMAND = Path(sys.executable).with_name("cloud-browser-exporter")
TIMEOUT = 60.0  # seconds, for what takes one on a machine with nothing else to do
POLL_SECONDS = 0.02
INHERITED = {"PATH", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"}
PORTS = range(20_000, 32_000)  # below those that the system gives to outgoing connections

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], what: str, seconds: float = TIMEOUT) -> T:
    """Returns the first true value of a condition, which is evaluated again and again.

    Raises:
        TimeoutError: there was none in these seconds.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(POLL_SECONDS)
    return value


def free_ports(count: int) -> list[int]:
    """Returns so many different ports of localhost on which nobody listens."""
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(PORTS, len(PORTS)):
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"no {count} ports of {PORTS} are free")


def open_sockets(pid: int) -> set[str]:
    """Returns the inode numbers of the sockets that a process has open, as Linux tells them."""
    found = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            kind, _, inode = str(file.readlink()).partition(":")
            if kind == "socket":
                found.add(inode.strip("[]"))
    return found


def environment(own: Mapping[str, str] | None) -> dict[str, str] | None:
    """Returns a program's whole environment: its own and what is inherited; None for this process's."""
    return (
        None if own is None else {**{name: os.environ[name] for name in INHERITED & os.environ.keys()}, **own}
    )


class Process:
    """A program that runs while the object is entered.

    Args:
        command: the program and its arguments.
        environ: its environment, beside `INHERITED`; that of this process if None.
        capture: the stream whose lines are kept in `log`, while the other is discarded; None: both are
            this process's own.
        stdin: whether `write_line` will be used.
        grace: seconds to end in after SIGTERM when the object is left; at 0 it is killed at once.
        own_session: whether a terminal's Ctrl-C reaches this process only, and not the program.
    """

    def __init__(
        self,
        *command: str | Path,
        environ: Mapping[str, str] | None = None,
        capture: Literal["stdout", "stderr"] | None = "stderr",
        stdin: bool = False,
        grace: float = 0,
        own_session: bool = False,
    ) -> None:
        self._command, self._environ, self._capture = command, environ, capture
        self._stdin, self._grace, self._own_session = stdin, grace, own_session
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._next = 0
        self._closed = capture is None

    def __enter__(self) -> Self:
        self._popen: subprocess.Popen[str] = subprocess.Popen(
            self._command,
            env=environment(self._environ),
            stdin=subprocess.PIPE if self._stdin else None,
            text=True,
            stdout=self._stream("stdout"),
            stderr=self._stream("stderr"),
            start_new_session=self._own_session,
        )
        if self._capture:
            self._reader = threading.Thread(target=self._read, args=(getattr(self._popen, self._capture),))
            self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._capture:
            self._reader.join()
        self._popen.__exit__(None, None, None)

    def _stream(self, name: str) -> int | None:
        if self._capture is None:
            return None
        return subprocess.PIPE if name == self._capture else subprocess.DEVNULL

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def name(self) -> str:
        """The program."""
        return str(self._command[0])

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """As `wait` returns it; None while the program runs."""
        return self._popen.poll()

    @property
    def log(self) -> str:
        """All that has been captured."""
        with self._changed:
            return "".join(self._lines)

    @property
    def sockets(self) -> int:
        """How many sockets it has open."""
        return len(open_sockets(self.pid))

    def memory(self, kind: str = "VmRSS") -> int:
        """Bytes resident now, or (`VmHWM`) at most so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split(f"\n{kind}:")[1].split()[0]) << 10

    def cpu_seconds(self) -> float:
        """Seconds of processor time that it has taken, its threads' included, its children's not."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_for_log(self, pattern: str, seconds: float = TIMEOUT) -> re.Match[str]:
        """Returns the first match of a pattern in what has been captured.

        Raises:
            RuntimeError: the program ended before there was one.
            TimeoutError: there was none in these seconds.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (match := re.search(pattern, "".join(self._lines))):
                self._wait_for_more(len(self._lines), deadline, repr(pattern))
        return match

    def next_line(self, seconds: float = TIMEOUT) -> str:
        """Returns the next captured line that has not been returned yet; raises as `wait_for_log`."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._next == len(self._lines):
                self._wait_for_more(self._next, deadline, "a line")
            self._next += 1
            return self._lines[self._next - 1].rstrip("\n")

    def _wait_for_more(self, known: int, deadline: float, what: str) -> None:
        def changed() -> bool:
            return len(self._lines) > known or self._closed

        if not self._changed.wait_for(changed, deadline - time.monotonic()):
            raise TimeoutError(f"waited in vain for {what} from {self.name}:\n{''.join(self._lines)}")
        if len(self._lines) == known:
            raise RuntimeError(f"{self.name} ended before {what}:\n{''.join(self._lines)}")

    def wait_for_http(self, url: str, seconds: float = TIMEOUT) -> None:
        """Wait until a URL of the program is answered without an error; raises as `wait_for_log`."""
        wait_until(lambda: self._answers(url), f"an answer of {self.name} at {url}", seconds)

    def _answers(self, url: str) -> bool:
        if not self.running:
            raise RuntimeError(f"{self.name} ended with {self.exit_code}")
        try:
            return bool(requests.get(url, timeout=1).ok)
        except requests.RequestException:  # not yet up
            return False

    def write_line(self, line: str) -> None:
        """Write to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n")
        self._popen.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def wait(self, seconds: float = TIMEOUT) -> int:
        """Wait for the end; returns the exit code, or the signal's number below 0."""
        return self._popen.wait(seconds)

    def kill(self) -> None:
        """End it with SIGKILL, as `kill -9` does."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> None:
        """Ask it to end with SIGTERM; kill it when it has not ended within its grace."""
        if self._grace and self.running:
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.wait(self._grace)
        if self.running:
            self.kill()


class ExporterProcess(Process):
    """The installed command, serving on `port` of localhost."""

    port: int

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            super().__enter__()
            stack.push(super().__exit__)  # so that it is stopped if it does not come up
            self.port = int(self.wait_for_log(r"(?=.*\bserving\b).*\bport\W+([0-9]+)")[1])
            stack.pop_all()
        return self
