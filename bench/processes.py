"""The processes of a benchmark: providers, rivals, and the exporter as its users run it."""

import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

import msgspec
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from devtools.processes import COMMAND, TIMEOUT, ExporterProcess, Process

# As Prometheus asks; it allows more time than usual, for a first import's sake.
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "identity",
    "X-Prometheus-Scrape-Timeout-Seconds": "120",
}
STEP = 15  # seconds between scrapes, as the provider's clock has it
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


class Worker(Process):
    """A module of the benchmark in a process of its own: it answers each line that it is given."""

    def __init__(self, *command: str) -> None:
        super().__init__(sys.executable, "-m", *command, capture="stdout", stdin=True, grace=TIMEOUT)

    def __enter__(self) -> Self:
        super().__enter__()
        self.greeting = self.next_line()
        return self

    def ask(self, line: str) -> str:
        """Returns its answer."""
        self.write_line(line)
        return self.next_line()


class Provider(Worker):
    """A list of so many sessions."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__("bench.provider", name, str(size))
        self.provider, self.size = name, size

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.greeting

    def step(self) -> None:
        """Let the time from one scrape to the next pass."""
        self.ask(str(STEP))


class Rival(Worker):
    """The floor, or the naive exporter."""

    def __init__(self, kind: str, provider: Provider) -> None:
        super().__init__("bench.rivals", kind, provider.provider, provider.url)

    def scrape(self) -> Scrape:
        """One scrape."""
        return Scrape(float(self.ask("scrape")))


class Exporter(ExporterProcess):
    """`cloud-browser-exporter serve` with one account, its ledger in a folder of its own.

    Args:
        folder: for its configuration and its ledger.
        provider: the account's.
        command: the installed command of this checkout, or of another.
    """

    def __init__(self, folder: Path, provider: Provider, command: Path = COMMAND) -> None:
        pricing = PRICING if provider.provider == "browserbase" else ""
        config = CONFIG.format(provider=provider.provider, url=provider.url, pricing=pricing, folder=folder)
        self._folder, self._waited, self._requests = folder, 0.0, 0.0
        (folder / "config.yml").write_text(config)
        (folder / "key").write_text("bench")
        flags = "--config.file", folder / "config.yml", "--web.listen-address", "127.0.0.1:0"
        super().__init__(command, "serve", *flags, grace=TIMEOUT)

    def __enter__(self) -> Self:
        begun = time.perf_counter()
        super().__enter__()
        self._get("/-/healthy")
        self.start_seconds = time.perf_counter() - begun
        return self

    def scrape(self) -> Scrape:
        """One scrape, as Prometheus sees it."""
        begun = time.perf_counter()
        text = self._get("/metrics")
        seconds = time.perf_counter() - begun
        self.samples = _samples(text)
        if not self.samples["cloud_browser_up"]:
            raise RuntimeError(f"the exporter could not read its account: {self.log}")
        waited = self.samples["cloud_browser_exporter_api_request_duration_seconds_sum"]
        requests = self.samples["cloud_browser_exporter_api_requests_total"]
        scrape = Scrape(seconds, seconds - waited + self._waited, round(requests - self._requests))
        self._waited, self._requests = waited, requests
        return scrape

    def mebibytes(self, kind: str = "VmRSS") -> float:
        """MiB resident now, or (`VmHWM`) at most so far."""
        return self.memory(kind) / MEBIBYTE

    def ledger(self, ending: str = "") -> float:
        """MiB of the ledger's file, or (`-wal`) of the log beside it, which SQLite cuts back when it ends."""
        return (self._folder / f"ledger.db{ending}").stat().st_size / MEBIBYTE

    def _get(self, path: str) -> str:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=150)) as http:
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
