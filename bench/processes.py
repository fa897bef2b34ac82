"""The processes of a benchmark: providers, rivals, and the exporter as its users run it."""

import re
import sys
import time
from http.client import CannotSendRequest, HTTPConnection
from pathlib import Path
from typing import Self

import msgspec

from devtools.processes import COMMAND, TIMEOUT, ExporterProcess, Process

# As Prometheus asks; it allows more time than usual, for a first import's sake.
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "identity",
    "X-Prometheus-Scrape-Timeout-Seconds": "120",
}
STEP = 15  # seconds between scrapes, as the provider's clock has it
MEBIBYTE = 1 << 20
_SAMPLE = re.compile(r"^([a-z_]+)(?:\{.*\})? (\S+)$", re.MULTILINE)
CONFIG = """\
accounts:
{accounts}
ledger: {{url: "{ledger}"}}
"""
ACCOUNT = '  - {{name: bench-{number}, provider: {provider}, api_key_file: key, base_url: "{url}"{options}}}'
PRICING = ", pricing: {browser_usd_per_hour: 0.12, proxy_usd_per_gb: 12}"
SESSIONS_ALONE = ", collectors: [sessions]"


class Scrape(msgspec.Struct, frozen=True):
    """What one scrape took in seconds.

    own: without those in which it waited for the provider, where there is one account.
    slowest: of the account that took longest, as the exporter says.
    """

    seconds: float
    own: float = 0.0
    requests: int = 0
    slowest: float = 0.0


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
    """A list of so many sessions, answered after so many seconds."""

    def __init__(self, name: str, size: int, latency: float = 0.0) -> None:
        super().__init__("bench.provider", name, str(size), "--latency", str(latency))
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


class Setup(msgspec.Struct, frozen=True):
    """How an exporter is set up.

    command: the installed command of this checkout, or of another.
    accounts: how many; all list the same sessions.
    options: of each account, as text that is added to its configuration.
    ledger: its URL; of an SQLite file in the exporter's folder if empty.
    """

    command: Path = COMMAND
    accounts: int = 1
    options: str = ""
    ledger: str = ""


class Exporter(ExporterProcess):
    """`cloud-browser-exporter serve`, with a folder of its own.

    Args:
        folder: for its configuration, and its ledger if that is a file.
        provider: the accounts'.
        setup: what else there is to say.
    """

    def __init__(self, folder: Path, provider: Provider, setup: Setup = Setup()) -> None:  # noqa: B008 - it is frozen
        self._folder, self._accounts, self._waited, self._requests = folder, setup.accounts, 0.0, 0.0
        (folder / "config.yml").write_text(_config(folder, provider, setup))
        (folder / "key").write_text("bench")
        flags = "--config.file", folder / "config.yml", "--web.listen-address", "127.0.0.1:0"
        super().__init__(setup.command, "serve", *flags, grace=TIMEOUT)

    def __enter__(self) -> Self:
        begun = time.perf_counter()
        super().__enter__()
        # Prometheus keeps its connection, too.
        self._http = HTTPConnection("127.0.0.1", self.port, timeout=150)
        self._get("/-/healthy")
        self.start_seconds = time.perf_counter() - begun
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()
        super().__exit__(*error)

    def scrape(self) -> Scrape:
        """One scrape, as Prometheus sees it."""
        begun = time.perf_counter()
        text = self._get("/metrics")
        seconds = time.perf_counter() - begun
        values = _values(text)
        self.samples = {name: sum(each) for name, each in values.items()}
        if (up := self.samples["cloud_browser_up"]) != self._accounts:
            raise RuntimeError(f"of {self._accounts} accounts {up:.0f} were read: {self.log}")
        waited = self.samples["cloud_browser_exporter_api_request_duration_seconds_sum"]
        requests = self.samples["cloud_browser_exporter_api_requests_total"]
        own, sent = seconds - waited + self._waited, round(requests - self._requests)
        self._waited, self._requests = waited, requests
        return Scrape(seconds, own, sent, max(values["cloud_browser_collector_duration_seconds"]))

    def mebibytes(self, kind: str = "VmRSS") -> float:
        """MiB resident now, or (`VmHWM`) at most so far."""
        return self.memory(kind) / MEBIBYTE

    def ledger(self, ending: str = "") -> float:
        """MiB of the ledger's file, or (`-wal`) of the log beside it, which SQLite cuts back when it ends."""
        return (self._folder / f"ledger.db{ending}").stat().st_size / MEBIBYTE

    def _get(self, path: str) -> str:
        try:
            status, body = self._answer(path)
        except (ConnectionError, CannotSendRequest):  # closed, because it was idle for long
            self._http.close()
            status, body = self._answer(path)
        if status != 200:
            raise RuntimeError(f"{path} answers {status}: {body}")
        return body

    def _answer(self, path: str) -> tuple[int, str]:
        self._http.request("GET", path, headers=HEADERS)
        response = self._http.getresponse()
        return response.status, response.read().decode()


def _config(folder: Path, provider: Provider, setup: Setup) -> str:
    options = (PRICING if provider.provider == "browserbase" else "") + setup.options
    each = (
        ACCOUNT.format(number=number, provider=provider.provider, url=provider.url, options=options)
        for number in range(setup.accounts)
    )
    ledger = setup.ledger or f"sqlite:///{folder}/ledger.db"
    return CONFIG.format(accounts="\n".join(each), ledger=ledger)


def _values(text: str) -> dict[str, list[float]]:
    """Each metric's values, whatever their labels. The library's parser takes minutes for many."""
    values: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(text):
        values.setdefault(name, []).append(float(value))
    return values
