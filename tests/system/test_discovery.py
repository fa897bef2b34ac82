"""Fifty accounts as targets of their own, which a real Prometheus discovers at two replicas."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.simulator.fleet import Fleet
from exporter.simulator.server import Server, create_app
from tests.support.pages import ORIGIN, Page
from tests.support.processes import LOCAL, Exporter, Prometheus, exporter, prometheus, wait_until

ACCOUNTS, TIMEOUT = 50, 10
PROVIDERS = {"browserbase": "", "browser_use": "/api/v3"}

pytestmark = pytest.mark.slow


def key_file(folder: Path, number: int) -> str:
    """Each account has a key, and so a rate limit, of its own."""
    file = folder / f"key-{number}"
    file.write_text(file.name)
    file.chmod(0o600)
    return str(file)


def configuration(folder: Path, simulator: str) -> Path:
    """Half of the accounts at each provider; two providers share the names."""
    accounts = [
        {
            "name": f"team-{number}",
            "provider": provider,
            "api_key_file": key_file(folder, number),
            "base_url": simulator + path,
        }
        for number in range(ACCOUNTS // 2)
        for provider, path in PROVIDERS.items()
    ]
    file = folder / "exporter.yml"
    document = {"accounts": accounts, "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"}}
    file.write_text(yaml.safe_dump(document))
    return file


def discovered(folder: Path, replicas: list[Exporter]) -> dict[str, Any]:
    """A job of both replicas' accounts; what comes from which replica is a label."""
    return {
        "job_name": "cloud-browser-exporter",
        "scrape_interval": "2s",
        "scrape_timeout": "2s",
        "http_sd_configs": [{"url": f"{one.url}/sd", "refresh_interval": "1s"} for one in replicas],
        "relabel_configs": [{"source_labels": ["__address__"], "target_label": "replica"}],
    }


@contextmanager
def course(folder: Path) -> Iterator[tuple[list[Exporter], Prometheus]]:
    """Two replicas that share a ledger, and Prometheus."""
    fleet = Fleet(origin=ORIGIN, history=150, rate=60)
    with ExitStack() as stack:
        app = create_app(fleet, lambda: ORIGIN)
        url = stack.enter_context(Server(app)).url
        flags = "--config.file", configuration(folder, url)
        replicas = [stack.enter_context(exporter(*flags)) for _ in range(2)]
        for one in replicas:  # the first import
            assert sum(Page(one.get()).sum(provider, "up") for provider in PROVIDERS) == ACCOUNTS
        jobs: dict[str, Any] = {"scrape_configs": [discovered(folder, replicas)]}
        yield replicas, stack.enter_context(prometheus(0, folder, **jobs))


def value(server: Prometheus, expression: str) -> float:
    found = server.query(expression)
    return float(found[0]["value"][1]) if found else 0.0


def test_fifty_discovered_accounts_are_scraped_in_time_and_survive_the_end_of_a_replica(
    tmp_path: Path,
) -> None:
    with course(tmp_path) as (replicas, server):
        wait_until(lambda: value(server, "count(up == 1)") == 2 * ACCOUNTS, "all accounts at both replicas")
        wait_until(lambda: value(server, "min(count_over_time(up[1h]))") >= 3, "three scrapes of each")
        assert value(server, 'count(count by (instance) (up{instance=~"browser.*/team-.*"}))') == ACCOUNTS
        assert value(server, "min(cloud_browser_up)") == 1
        assert value(server, "count(count by (account, provider, instance) (cloud_browser_up))") == ACCOUNTS
        assert value(server, "max(max_over_time(scrape_duration_seconds[1h]))") < 2
        more = "increase(cloud_browser_exporter_api_requests_total[1h])"
        assert value(server, f"max(sum by (instance, replica) ({more}))") > 0
        assert value(server, 'count({__name__=~"process_.*|python_.*"})') == 0
        replicas[0].signal(signal.SIGKILL)
        replicas[0].wait()
        dead = f'{{replica="{LOCAL}:{replicas[0].port}"}}'
        wait_until(lambda: value(server, f"max(up{dead})") == 0, "the end of a replica to be seen")
        alive = f'{{replica="{LOCAL}:{replicas[1].port}"}}'
        before = value(server, f"min(count_over_time(up{alive}[1h]))")
        wait_until(lambda: value(server, f"min(count_over_time(up{alive}[1h]))") > before, "another scrape")
        assert value(server, f"min(min_over_time(up{alive}[1h]))") == 1
        assert value(server, f"count(cloud_browser_up{alive} == 1)") == ACCOUNTS
