"""The processes that a bench starts and ends: providers, rivals, and the exporter as its users run it."""

import re
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

import msgspec
from prometheus_client.openmetrics.parser import text_string_to_metric_families

COMMAND = Path(sys.executable).with_name("cloud-browser-exporter")
# As Prometheus asks; it allows more time than usual, for a first import's sake.
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "identity",
    "X-Prometheus-Scrape-Timeout-Seconds": "120",
}
STEP = 15  # seconds between scrapes, as the provider's clock has it
PATIENCE = 30.0  # seconds for a process to come up, or to leave
MEBIBYTE = 1 << 20
CONFIG = """\
accounts:
  - {{name: bench, provider: {provider}, api_key_file: key, base_url: "{url}"{pricing}}}
ledger: {{url: "sqlite:///{folder}/ledger.db"}}
"""
PRICING = ", pricing: {browser_usd_per_hour: 0.12, proxy_usd_per_gb: 12}"


class Scrape(msgspec.Struct, frozen=True):
    """What one scrape took in seconds; `own`: without those in which it waited for the provider."""

    seconds: float
    own: float = 0.0
    requests: int = 0


class Worker:
    """A module of the bench in a process of its own: it does something for every line that it is told."""

    def __init__(self, *command: str) -> None:
        line = [sys.executable, "-m", *command]
        # Our own modules, with arguments of our own.
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.greeting = self._heard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE)

    def ask(self, line: str) -> str:
        """What it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line.strip()
        raise RuntimeError(f"{self._process.args!r} has ended: see above")


class Provider(Worker):
    """A list of so many sessions."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__("bench.provider", name, str(size))
        self.name, self.size, self.url = name, size, self.greeting

    def step(self) -> None:
        """Let the time from one scrape to the next pass."""
        self.ask(str(STEP))


class Rival(Worker):
    """The floor, or the obvious exporter."""

    def __init__(self, kind: str, provider: Provider) -> None:
        super().__init__("bench.rivals", kind, provider.name, provider.url)

    def scrape(self) -> Scrape:
        """One scrape."""
        return Scrape(float(self.ask("scrape")))


class Exporter:
    """`cloud-browser-exporter serve` with one account, its ledger in a folder of its own."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        pricing = PRICING if provider.name == "browserbase" else ""
        config = CONFIG.format(provider=provider.name, url=provider.url, pricing=pricing, folder=folder)
        self._folder, self._waited, self._requests = folder, 0.0, 0.0
        (folder / "config.yml").write_text(config)
        (folder / "key").write_text("bench")
        begun = time.perf_counter()
        self._process = self._started()
        self._port = self._heard()
        self._get("/-/healthy")
        self.start_seconds = time.perf_counter() - begun

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def scrape(self) -> Scrape:
        """One scrape, as Prometheus sees it."""
        begun = time.perf_counter()
        text = self._get("/metrics")
        seconds = time.perf_counter() - begun
        self.samples = _samples(text)
        if not self.samples["cloud_browser_up"]:
            raise RuntimeError(f"the exporter could not read its account: {self._log()}")
        waited = self.samples["cloud_browser_exporter_api_request_duration_seconds_sum"]
        requests = self.samples["cloud_browser_exporter_api_requests_total"]
        scrape = Scrape(seconds, seconds - waited + self._waited, round(requests - self._requests))
        self._waited, self._requests = waited, requests
        return scrape

    def memory(self, kind: str = "VmRSS") -> float:
        """MiB resident now, or (`VmHWM`) at most so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(rf"^{kind}:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024 / MEBIBYTE

    def ledger(self, ending: str = "") -> float:
        """MiB of the ledger's file, or (`-wal`) of the log beside it, which SQLite cuts back when it ends."""
        return (self._folder / f"ledger.db{ending}").stat().st_size / MEBIBYTE

    def _started(self) -> "subprocess.Popen[bytes]":
        config = str(self._folder / "config.yml")
        line = (
            str(COMMAND), "serve", "--config.file", config, "--web.listen-address", "127.0.0.1:0",
        )  # fmt: skip
        with (self._folder / "log").open("wb") as log:  # as above, it is our own command that runs
            return subprocess.Popen(line, stderr=log)

    def _heard(self) -> int:
        """The port on which it says that it serves."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            if found := re.search(r"msg=serving .*port=(\d+)", self._log()):
                return int(found[1])
            time.sleep(0.002)
        self._process.kill()
        raise RuntimeError(f"the exporter did not start: {self._log()}")

    def _log(self) -> str:
        return (self._folder / "log").read_text()

    def _get(self, path: str) -> str:
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=150)) as http:
            http.request("GET", path, headers=HEADERS)
            response = http.getresponse()
            body = response.read().decode()
        if response.status != 200:
            raise RuntimeError(f"{path} answers {response.status}: {body}")
        return body


def _samples(text: str) -> dict[str, float]:
    """Each metric's samples, summed over their labels."""
    sums: dict[str, float] = {}
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # the library's own omission
    for family in families:
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
