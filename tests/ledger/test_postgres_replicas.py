"""Exporters on one PostgreSQL: of the same accounts, scraped at random, killed; and the server stopped."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Lock

import pytest
import requests

from exporter.simulator.fleet import SECOND
from tests.support.expected_totals import Key
from tests.support.ledger_files import Course, Page, course, scraped
from tests.support.postgres import Cluster
from tests.support.processes import Exporter, exporter, wait_until

pytestmark = pytest.mark.slow

KILLS = 5
SCRAPERS = 3


@pytest.fixture
def world() -> Iterator[Course]:
    with course() as made:
        yield made


class Watch:
    """What was shown, by whichever replica: no counter may be lower than in an answer that ended before."""

    def __init__(self) -> None:
        self._lock, self._shown = Lock(), dict[Key, float]()
        self.fallen: list[tuple[Key, float, float]] = []
        self.answers = self.without_counters = self.failed_writes = 0

    def scrape(self, process: Exporter) -> Page:
        with self._lock:
            floor = dict(self._shown)
        page = scraped(process)
        with self._lock:
            self.answers += 1
            self.failed_writes += "ledger" in page.errors
            for provider in ("browserbase", "browser_use"):
                shown = {
                    name: value for name, value in page.counters.items() if ("provider", provider) in name
                }
                self.without_counters += not shown
                before = {name: value for name, value in floor.items() if ("provider", provider) in name}
                if shown:  # else the ledger could not be read, and all of the account's counters are absent
                    self.fallen += [
                        (name, value, shown.get(name, 0))
                        for name, value in before.items()
                        if shown.get(name, 0) < value
                    ]
                self._shown |= {name: max(value, self._shown.get(name, 0)) for name, value in shown.items()}
        return page


class Replica:
    """An exporter that is killed and started again while others scrape it."""

    def __init__(self, flags: tuple[str, str]) -> None:
        self._flags, self._stack = flags, ExitStack()
        self.process: Exporter | None = None

    def start(self) -> None:
        self.process = self._stack.enter_context(exporter(*self._flags))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self._stack.close()

    def close(self) -> None:
        self._stack.close()


def pull(world: Course, replicas: list[Replica], watch: Watch, seed: int, stop: Event) -> None:
    """Scrape replicas at random until told to stop; one that is being killed does not answer."""
    dice = random.Random(seed)
    while not stop.is_set():
        world.step(dice.randrange(20) * SECOND)
        process = dice.choice(replicas).process
        if process is not None:
            try:
                watch.scrape(process)
            except requests.ConnectionError:
                stop.wait(0.05)


def test_two_then_three_replicas_show_the_truth_and_no_value_falls_through_kills_and_restarts_of_the_server(
    world: Course, cluster: Cluster, tmp_path: Path
) -> None:
    flags = world.flags(tmp_path, url=cluster.empty())
    replicas, watch, stop, dice = [Replica(flags) for _ in range(3)], Watch(), Event(), random.Random(1)
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        stack.callback(stop.set)
        for one in replicas:
            stack.callback(one.close)
        list(pool.map(Replica.start, replicas[:2]))
        pulls = [pool.submit(pull, world, replicas, watch, seed, stop) for seed in range(SCRAPERS)]
        for number in range(KILLS):
            if number == KILLS // 2:
                replicas[2].start()
            if number % 3 == 1:  # twice
                with cluster.stopped():
                    time.sleep(0.3)  # scrapes go on meanwhile
            time.sleep(dice.uniform(0.3, 1.0))  # a kill comes at any time of a scrape
            victim = dice.choice([one for one in replicas if one.process is not None])
            victim.kill()
            victim.start()
        stop.set()
        for done in pulls:
            done.result()
        assert watch.answers > 50
        assert watch.failed_writes, "the server was away while somebody scraped"
        world.step()
        for one in replicas:
            assert one.process is not None
            assert watch.scrape(one.process).counters == world.counters()
        assert not watch.fallen


def test_while_the_server_is_down_gauges_go_on_and_it_is_used_again_when_it_is_back(
    world: Course, cluster: Cluster, tmp_path: Path
) -> None:
    with exporter(*world.flags(tmp_path, url=cluster.empty())) as process:
        assert scraped(process).counters == world.counters()
        assert process.get("/-/ready").status_code == 200
        with cluster.stopped():
            for number in (1, 2):
                world.step()
                page = scraped(process)
                assert (page.up, page.gauges) == (2, world.gauges())
                assert page.counters == {}, "another replica may have shown more"
                assert page.errors == {"ledger": 2 * number}
                assert page.write_errors == 2 * number
            assert process.get("/-/ready").status_code == 503
        world.step()
        page = scraped(process)
        assert (page.counters, page.errors) == (world.counters(), {"ledger": 4})
        assert process.get("/-/ready").status_code == 200
        warnings = [line for line in process.log.splitlines() if "level=warning" in line]
        assert len(warnings) == 2, "one line for each account"
        assert all("check that the server can be reached" in line for line in warnings)


def test_an_exporter_that_starts_while_the_server_is_down_begins_when_it_is_up(
    world: Course, cluster: Cluster, tmp_path: Path
) -> None:
    url = cluster.empty()
    with ExitStack() as stack:
        down = stack.enter_context(ExitStack())
        down.enter_context(cluster.stopped())
        process = stack.enter_context(exporter(*world.flags(tmp_path, url=url)))
        process.wait_for_log(r"level=warning .*cannot be opened yet.*check that the server can be reached")
        assert process.get("/-/ready").status_code == 503
        assert scraped(process).up == 2
        down.close()
        assert process.get("/-/ready").status_code == 200
        world.step()
        assert scraped(process).counters == world.counters()


def test_a_server_that_hangs_does_not_keep_a_scrape_waiting(
    world: Course, cluster: Cluster, tmp_path: Path
) -> None:
    with exporter(*world.flags(tmp_path, url=cluster.empty())) as process:
        before = scraped(process)
        with cluster.frozen():
            world.step()
            begun = time.monotonic()
            page = scraped(process)
            assert time.monotonic() - begun < 9.5, "it has 10 s"
            assert (page.up, page.gauges, page.counters) == (2, world.gauges(), {})
        world.step()
        wait_until(lambda: scraped(process).counters == world.counters(), "the ledger to be read again")
        assert before.counters != world.counters()
