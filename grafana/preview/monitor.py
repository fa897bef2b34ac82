"""A real Prometheus over recorded samples: blocks made by promtool, served while entered, asked over HTTP."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import requests

PATIENCE = 60.0  # seconds for a program to come up, and for an answer
LONGEST_BLOCK = "1000h"  # by default blocks are of two hours, and promtool reads all samples for each

Points = Sequence[tuple[float, float]]


class MissingError(Exception):
    """A program is not installed, or does not do as told."""


class Series(msgspec.Struct, frozen=True):
    """Labels, and values at their times in seconds; one where a moment was asked for."""

    labels: dict[str, str]
    points: Points


class Found(msgspec.Struct, frozen=True):
    """One series in Prometheus's answer: a value, or several."""

    metric: dict[str, str]
    value: tuple[float, str] | None = None
    values: Sequence[tuple[float, str]] = ()

    def series(self) -> Series:
        """The same, in numbers."""
        pairs = self.values if self.value is None else (self.value,)
        return Series(self.metric, tuple((at, float(text)) for at, text in pairs))


class Result(msgspec.Struct, frozen=True):
    """What was found."""

    result: Sequence[Found]


class Answer(msgspec.Struct, frozen=True):
    """Prometheus's answer to a query."""

    status: str
    data: Result | None = None
    error: str = ""


class Monitor(msgspec.Struct, frozen=True):
    """A Prometheus that answers at an address. Expressions that it refuses raise ValueError."""

    url: str

    def moment(self, expression: str, at: float) -> list[Series]:
        """An expression's series at a time."""
        return self._ask("query", expression, time=at)

    def course(self, expression: str, begin: float, end: float, step: float) -> list[Series]:
        """An expression's series from one time to another, both multiples of the step."""
        return self._ask("query_range", expression, start=begin, end=end, step=step)

    def _ask(self, path: str, expression: str, **times: float) -> list[Series]:
        told = {"query": expression} | {name: f"{value:.3f}" for name, value in times.items()}
        page = requests.post(f"{self.url}/api/v1/{path}", told, timeout=PATIENCE)
        answer = msgspec.json.decode(page.content, type=Answer)
        if answer.data is None:
            raise ValueError(f"{answer.error}: {expression}")
        return [found.series() for found in answer.data.result]


def store(folder: Path, lines: Iterable[str]) -> None:
    """Add samples to a Prometheus's folder, as lines `NAME{LABELS} VALUE SECONDS`."""
    page = folder / "samples"
    folder.mkdir(exist_ok=True)
    with page.open("w") as file:
        file.writelines(f"{line}\n" for line in (*lines, "# EOF"))
    command = [
        *(_program("promtool"), "tsdb", "create-blocks-from", f"--max-block-duration={LONGEST_BLOCK}"),
        *("--quiet", "openmetrics", str(page), str(folder / "data")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"promtool makes no blocks: {done.stderr or done.stdout}")
    page.unlink()


@contextmanager
def serving(folder: Path) -> Iterator[Monitor]:
    """A Prometheus over what is stored in a folder; it scrapes nothing."""
    (folder / "prometheus.yml").write_text("{}\n")
    log = folder / "prometheus.log"
    command = [
        *(_program("prometheus"), f"--config.file={folder / 'prometheus.yml'}"),
        *(f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=100y"),
        "--web.listen-address=127.0.0.1:0",
    ]
    with log.open("w") as file, subprocess.Popen(command, stderr=file) as process:
        try:
            yield Monitor(f"http://{_address(process, log)}")
        finally:
            process.terminate()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, once it is ready."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        text = log.read_text()
        if "Server is ready to receive web requests" in text:
            match = re.search(r"Listening on\"? address=([0-9.:]+)", text)
            assert match is not None
            return match[1]
        time.sleep(0.05)
    raise MissingError(f"Prometheus does not come up:\n{log.read_text()}")


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingError(f"{name} is not installed; it is in Debian's package prometheus")
    return path
