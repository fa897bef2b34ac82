"""Fifty accounts as targets of their own, which a real Prometheus discovers at two replicas."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import yaml
from aiohttp import web

from exporter.providers import PROVIDERS as KNOWN
from exporter.simulator.fleet import Fleet
from exporter.simulator.server import Handler, Server, create_app
from tests.support.pages import ORIGIN, Page
from tests.support.processes import LOCAL, Exporter, Prometheus, exporter, prometheus, wait_until
from tests.support.rules import ROOT

ACCOUNTS = 50
TIMEOUT, LATENCY = 5, 0.2  # of a scrape, and of the APIs; in seconds
PROVIDERS = {"browserbase": "", "browser_use": "/api/v3"}
KEY_HEADERS = [KNOWN[name].key_header for name in PROVIDERS]
EXAMPLES = ROOT / "deploy" / "prometheus"

pytestmark = pytest.mark.slow


def key_file(folder: Path, number: int) -> str:
    """Each account has a key, and so a rate limit, of its own."""
    file = folder / f"key-{number}"
    file.write_text(file.name)
    file.chmod(0o600)
    return str(file)


def configuration(folder: Path, name: str, simulator: str) -> Path:
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
    file = folder / f"{name}.yml"
    document = {"accounts": accounts, "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"}}
    file.write_text(yaml.safe_dump(document))
    return file


class Latency:
    """An API that takes its time, and knows how often it was asked the same twice at once."""

    def __init__(self, answer: Handler) -> None:
        self._answer, self._under_way = answer, Counter[tuple[str | None, ...]]()
        self.asked = self.asked_twice = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = *map(request.headers.get, KEY_HEADERS), request.path_qs
        self.asked += 1
        self.asked_twice += self._under_way[asked]
        self._under_way[asked] += 1
        try:
            await asyncio.sleep(LATENCY)
            return await self._answer(request)
        finally:
            self._under_way[asked] -= 1


class Stage(NamedTuple):
    """What runs: the replicas, the API as each of them sees it, and Prometheus."""

    replicas: list[Exporter]
    apis: list[Latency]
    server: Prometheus


def example(name: str, *urls: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the jobs of an example that is shipped: each with addresses of its own, and more often."""
    jobs: list[dict[str, Any]] = yaml.safe_load((EXAMPLES / name).read_text())["scrape_configs"]
    for job, own in zip(jobs, urls, strict=True):
        job["http_sd_configs"] = [{"url": f"{url}/sd", "refresh_interval": "1s"} for url in own]
        job["scrape_interval"] = job["scrape_timeout"] = f"{TIMEOUT}s"
    return jobs


@contextmanager
def course(folder: Path) -> Iterator[Stage]:
    """Two replicas that share a ledger; Prometheus scrapes all accounts at both, and a part at each."""
    fleet = Fleet(origin=ORIGIN, history=150, rate=60)
    with ExitStack() as stack:
        apis = [Latency(create_app(fleet, lambda: ORIGIN)) for _ in range(2)]
        urls = [stack.enter_context(Server(api)).url for api in apis]
        files = [configuration(folder, f"replica-{number}", url) for number, url in enumerate(urls)]
        replicas = [stack.enter_context(exporter("--config.file", file)) for file in files]
        for one in replicas:  # the first import
            assert sum(Page(one.get()).sum(provider, "up") for provider in PROVIDERS) == ACCOUNTS
        addresses = [one.url for one in replicas]
        jobs = example("prometheus-accounts.yml", addresses)
        jobs += example("prometheus-parts.yml", *([one] for one in addresses))
        yield Stage(replicas, apis, stack.enter_context(prometheus(0, folder, scrape_configs=jobs)))


def value(server: Prometheus, expression: str) -> float:
    found = server.query(expression)
    return float(found[0]["value"][1]) if found else 0.0


def discovered(server: Prometheus, pool: str) -> set[str]:
    """Returns the instances that a job has found."""
    active = requests.get(f"{server.url}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
    return {one["labels"]["instance"] for one in active if one["scrapePool"] == pool}


def test_fifty_discovered_accounts_are_scraped_in_time_and_survive_the_end_of_a_replica(
    tmp_path: Path,
) -> None:
    with course(tmp_path) as (replicas, apis, server):
        up = 'up{replica!="",job="cloud-browser-exporter"}'
        wait_until(
            lambda: value(server, f"count({up} == 1)") == 2 * ACCOUNTS, "all accounts at both replicas"
        )
        wait_until(lambda: value(server, f"min(count_over_time({up}[1h]))") >= 2, "two scrapes of each")
        assert value(server, 'count(count by (instance) (up{instance=~"browser.*/team-.*"}))') == ACCOUNTS
        assert value(server, "min(cloud_browser_up)") == 1
        assert value(server, "count(count by (account, provider, instance) (cloud_browser_up))") == ACCOUNTS
        assert value(server, "max(max_over_time(scrape_duration_seconds[1h]))") < TIMEOUT
        more = "increase(cloud_browser_exporter_api_requests_total[1h])"
        assert value(server, f"max(sum by (instance, replica) ({more}))") > 0
        assert value(server, 'count({__name__=~"process_.*|python_.*"})') == 0
        for one in replicas * 3:  # all accounts, while Prometheus asks for some of them
            assert one.get().status_code == 200
        assert all(api.asked for api in apis)
        assert [api.asked_twice for api in apis] == [0, 0], "one flight for each account"
        parts = [discovered(server, f"cloud-browser-exporter-{number}") for number in range(2)]
        assert all(parts)
        assert (len(parts[0] | parts[1]), parts[0] & parts[1]) == (ACCOUNTS, set())
        part = 'up{replica="",job="cloud-browser-exporter"}'
        wait_until(lambda: value(server, f"count({part} == 1)") == ACCOUNTS, "all parts")
        replicas[0].signal(signal.SIGKILL)
        replicas[0].wait()
        dead = f'{{replica="{LOCAL}:{replicas[0].port}"}}'
        wait_until(lambda: value(server, f"max(up{dead})") == 0, "the end of a replica to be seen")
        alive = f'{{replica="{LOCAL}:{replicas[1].port}"}}'
        before = value(server, f"min(count_over_time(up{alive}[1h]))")
        wait_until(lambda: value(server, f"min(count_over_time(up{alive}[1h]))") > before, "another scrape")
        assert value(server, f"min(min_over_time(up{alive}[1h]))") == 1
        assert value(server, f"count(cloud_browser_up{alive} == 1)") == ACCOUNTS
