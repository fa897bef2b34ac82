"""Two exporters on one ledger: of the same accounts or of others, in turn, at once, and killed."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from exporter.simulator.fleet import MINUTE
from tests.support.expected_totals import Key
from tests.support.ledger_files import Course, course, scraped
from tests.support.processes import Exporter, exporter

pytestmark = pytest.mark.slow


class Replica:
    """An exporter that is scraped from, and killed at times; no counter that it shows ever falls."""

    def __init__(self, world: Course, flags: tuple[str, str], account: str = "ours", seed: int = 0) -> None:
        self._world, self._flags, self._account = world, flags, account
        self._dice = random.Random(seed)
        self.shown: dict[Key, float] = {}
        self.errors: list[dict[str, float]] = []

    def scrape(self, process: Exporter) -> None:
        page = scraped(process, self._account)
        fallen = {name for name, value in self.shown.items() if page.counters.get(name, 0) < value}
        assert not fallen
        self.shown = page.counters
        self.errors.append(page.errors)

    def live(self, lives: int, scrapes: int) -> None:
        """So many lives, each cut off in a scrape."""
        for _ in range(lives):
            with exporter(*self._flags) as process, ThreadPoolExecutor() as pool:
                for _ in range(self._dice.randint(1, scrapes)):
                    self._world.step(self._dice.randrange(10) * MINUTE)
                    self.scrape(process)
                cut_off = pool.submit(self.scrape, process)
                process.kill()
                assert isinstance(cut_off.exception(), requests.ConnectionError | None)

    def shows(self) -> dict[Key, float]:
        """What it shows when nothing else happens."""
        with exporter(*self._flags) as process:
            self.scrape(process)
        return self.shown


@pytest.fixture
def world() -> Iterator[Course]:
    with course() as made:
        yield made


def test_two_exporters_of_the_same_accounts_show_the_truth_through_kills(
    world: Course, tmp_path: Path
) -> None:
    replicas = [Replica(world, world.flags(tmp_path), seed=seed) for seed in (1, 2)]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(one.live, lives=4, scrapes=8) for one in replicas]:
            done.result()
    for one in replicas:
        world.step()
        assert one.shows() == world.counters()
        assert not any(one.errors)


def test_two_exporters_pulled_in_turn_show_what_both_have_counted(world: Course, tmp_path: Path) -> None:
    flags = world.flags(tmp_path)
    one, two = Replica(world, flags), Replica(world, flags)
    with exporter(*flags) as first, exporter(*flags) as second:
        for _ in range(5):
            for replica, process in ((one, first), (two, second)):
                world.step(7 * MINUTE)
                replica.scrape(process)
                assert replica.shown == world.counters()


def test_two_exporters_of_different_accounts_share_a_file(world: Course, tmp_path: Path) -> None:
    accounts = "ours", "theirs"
    replicas = [Replica(world, world.flags(tmp_path, account=name), name) for name in accounts]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(one.live, lives=2, scrapes=4) for one in replicas]:
            done.result()
    world.step()
    assert [one.shows() for one in replicas] == [world.counters()] * 2
