"""Programs that tests run as processes of their own: the installed command, Prometheus and its tools."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
import requests
import yaml

COMMAND = Path(sys.executable).with_name("cloud-browser-exporter")
KEYS = {"BROWSERBASE_API_KEY": "bb-secret-key", "BROWSER_USE_API_KEY": "bu-secret-key"}
LOCAL = "127.0.0.1"
PATIENCE = 60.0  # seconds, for what takes one on a machine with nothing else to do

T = TypeVar("T")


def program(name: str, package: str) -> str:
    """The path of a program. Where it is absent, the test is skipped, or fails with REQUIRE_TOOLS=1."""
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed; it is in the Debian package {package}"
        (pytest.fail if os.environ.get("REQUIRE_TOOLS") == "1" else pytest.skip)(reason)
    return path


def until(condition: Callable[[], T | None], what: str) -> T:
    """The first true value of a condition, looked at again and again."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return value


class Process:
    """A program that runs while entered; what it writes to stderr is kept in `log`."""

    def __init__(self, *command: str | Path, environ: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._environ = {"PATH": os.environ["PATH"], **(environ or {})}
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        self._popen = subprocess.Popen(
            self._command,
            env=self._environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.kill()
        self._reader.join()
        self._popen.__exit__(None, None, None)

    def _read(self) -> None:
        assert self._popen.stderr is not None
        self._lines.extend(iter(self._popen.stderr.readline, ""))

    @property
    def log(self) -> str:
        return "".join(self._lines)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def sockets(self) -> int:
        """How many it has open."""
        found = 0
        for file in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since
                found += str(file.readlink()).startswith("socket:")
        return found

    def says(self, pattern: str) -> re.Match[str]:
        """Wait for a line."""

        def found() -> re.Match[str] | None:
            running, match = self.running, re.search(pattern, self.log)
            assert match or running, f"{self._command[0]} ended:\n{self.log}"
            return match

        return until(found, f"{pattern!r} from {self._command[0]}")

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def ended(self, seconds: float = PATIENCE) -> int:
        """Wait for the end; returns the exit code, or the signal's number below 0."""
        return self._popen.wait(seconds)

    def kill(self) -> None:
        """End it with SIGKILL, as `kill -9` does."""
        self.signal(signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL


class Exporter(Process):
    """The installed command, serving on `port`."""

    port: int

    @property
    def url(self) -> str:
        return f"http://{LOCAL}:{self.port}"

    def get(self, path: str = "/metrics", method: str = "GET", **headers: str) -> requests.Response:
        """Ask it; the headers' names are written with _ for -."""
        named = {"Accept-Encoding": "identity"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return requests.request(method, self.url + path, headers=named, timeout=PATIENCE)


@contextmanager
def exporter(*flags: str | Path, environ: Mapping[str, str] = KEYS, port: int = 0) -> Iterator[Exporter]:
    """The command, serving; if it runs still when left, it is told to end, and must do so in order."""
    with Exporter(COMMAND, "--web.listen-address", f"{LOCAL}:{port}", *flags, environ=environ) as process:
        process.port = int(process.says(r"msg=serving .*\bport=([0-9]+)")[1])
        yield process
        if process.running:
            process.signal(signal.SIGTERM)
            assert process.ended() == 0, process.log


def run(*command: str | Path, environ: Mapping[str, str] = KEYS, given: str = "") -> tuple[int, str, str]:
    """A program from its start to its end: exit code, output, errors."""
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], **environ},
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def configuration(folder: Path, simulator: str, **ledger: str) -> Path:
    """A file for both providers at a simulator: accounts `ours`, Browserbase's with prices."""
    browserbase: dict[str, Any] = {"provider": "browserbase", "base_url": simulator}
    browserbase["pricing"] = {"browser_usd_per_hour": 0.12, "proxy_usd_per_gb": 12, "minimum_seconds": 60}
    browser_use = {"provider": "browser_use", "base_url": f"{simulator}/api/v3"}
    accounts = [
        {"name": "ours", "api_key_env": variable, **account}
        for variable, account in zip(KEYS, (browserbase, browser_use), strict=True)
    ]
    document = {
        "accounts": accounts,
        "scrape": {"timeout": "30s", "max_response_bytes": 100_000_000},
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}", **ledger},
    }
    path = folder / "exporter.yml"
    path.write_text(yaml.safe_dump(document))
    return path


class Prometheus(Process):
    """Prometheus, which scrapes from an exporter every second."""

    url: str

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The result of an expression of PromQL, at a time if not now."""
        params = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        answer = requests.get(f"{self.url}/api/v1/query", params, timeout=PATIENCE).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result


@contextmanager
def prometheus(port: int, folder: Path, **jobs: Mapping[str, Any]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes from this port of the machine; `folder` for its own files.

    With `jobs`, in each of these ways: their names, and what stands in their scrape configurations.
    """
    target = {"static_configs": [{"targets": [f"{LOCAL}:{port}"]}]}
    scrapes = [{"job_name": name, **target, **terms} for name, terms in (jobs or {"exporter": {}}).items()]
    often = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump({"global": often, "scrape_configs": scrapes}))
    with Prometheus(
        program("prometheus", "prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={LOCAL}:0",
    ) as process:
        address = process.says(r'msg="Listening on" address=([0-9.:]+)')[1]
        process.url = f"http://{address}"
        process.says('msg="Server is ready to receive web requests."')
        yield process
