"""The installed command, Prometheus and its tools, as processes of their own."""

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from devtools.processes import COMMAND, TIMEOUT, ExporterProcess, Process, environment, wait_until

__all__ = [
    "COMMAND", "KEYS", "LOCAL", "TIMEOUT", "Exporter", "Process", "Prometheus", "alertmanager",
    "configuration", "exporter", "program", "prometheus", "run", "wait_until",
]  # fmt: skip

KEYS = {"BROWSERBASE_API_KEY": "bb-secret-key", "BROWSER_USE_API_KEY": "bu-secret-key"}
LOCAL = "127.0.0.1"


def program(name: str, package: str) -> str:
    """Returns the path of a program. Where it is absent the test is skipped: see conftest.py."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed; it is in the Debian package {package}")
    return path


def run(
    *command: str | Path, environ: Mapping[str, str] = KEYS, given: str = "", seconds: float = TIMEOUT
) -> tuple[int, str, str]:
    """Run a program from its start to its end; returns its exit code, output and errors."""
    done = subprocess.run(
        command,
        env=environment(environ),
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


class Exporter(ExporterProcess):
    """The installed command, serving on `port`, and a client of it."""

    def get(self, path: str = "/metrics", method: str = "GET", **headers: str) -> requests.Response:
        """Ask it; the headers' names are written with _ for -."""
        named = {"Accept-Encoding": "identity"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return requests.request(method, self.url + path, headers=named, timeout=TIMEOUT)


@contextmanager
def exporter(*flags: str | Path, environ: Mapping[str, str] = KEYS, port: int = 0) -> Iterator[Exporter]:
    """The command, serving; if it runs still when left, it is told to end, and must do so in order."""
    with Exporter(COMMAND, "--web.listen-address", f"{LOCAL}:{port}", *flags, environ=environ) as process:
        yield process
        if process.running:
            process.signal(signal.SIGTERM)
            assert process.wait() == 0, process.log


def configuration(
    folder: Path, simulator: str, collectors: Sequence[str] = ("sessions",), **ledger: str
) -> Path:
    """A file for both providers at a simulator: accounts `ours`, Browserbase's with prices."""
    browserbase: dict[str, Any] = {"provider": "browserbase", "base_url": simulator}
    browserbase["pricing"] = {"browser_usd_per_hour": 0.12, "proxy_usd_per_gb": 12, "minimum_seconds": 60}
    browser_use = {"provider": "browser_use", "base_url": f"{simulator}/api/v3"}
    accounts = [
        {"name": "ours", "api_key_env": variable, "collectors": [*collectors], **account}
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
    """A Prometheus server at `url`."""

    url: str

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """Returns the result of an expression of PromQL, at a time if not now."""
        params = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
        answer = requests.get(f"{self.url}/api/v1/query", params, timeout=TIMEOUT).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result


@contextmanager
def prometheus(
    port: int,
    folder: Path,
    jobs: Mapping[str, Mapping[str, Any]] = {"exporter": {}},
    *,
    interval: str = "1s",
    flags: tuple[str, ...] = (),
    **sections: Any,
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a port of this machine.

    Args:
        port: of the target.
        folder: for its configuration and its data.
        jobs: the names of its scrape configurations, and what stands in them beside the target.
        interval: between scrapes, and their timeout.
        flags: more of them.
        sections: of its configuration, such as `rule_files`.
    """
    target = {"static_configs": [{"targets": [f"{LOCAL}:{port}"]}]}
    scrapes = [{"job_name": name, **target, **terms} for name, terms in jobs.items()]
    often = {"scrape_interval": interval, "scrape_timeout": interval}
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump({"global": often, "scrape_configs": scrapes, **sections}))
    with Prometheus(
        program("prometheus", "prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={LOCAL}:0",
        *flags,
        environ={},
    ) as process:
        process.url = f"http://{listens(process)}"
        process.wait_for_log('msg="Server is ready to receive web requests."')
        yield process


@contextmanager
def alertmanager(folder: Path, webhook: str) -> Iterator[str]:
    """An Alertmanager that tells a webhook of every alert at once; its address."""
    route = {"receiver": "webhook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    receiver = {"name": "webhook", "webhook_configs": [{"url": webhook, "send_resolved": True}]}
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump({"route": route, "receivers": [receiver]}))
    with Process(
        program("prometheus-alertmanager", "prometheus-alertmanager"),
        f"--config.file={path}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={LOCAL}:0",
        "--cluster.listen-address=",
        environ={},
    ) as process:
        yield listens(process)


def listens(process: Process) -> str:
    """The address on which Prometheus or Alertmanager logs that it listens."""
    return process.wait_for_log(r'msg="Listening on" address=([0-9.:]+)')[1]
