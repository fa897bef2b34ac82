"""What the configuration says reaches the rooms that act on it."""

import time
from pathlib import Path

import pytest

from exporter.accounting import Rules
from exporter.config import AccountConfig, Config, LedgerConfig, Pricing, Scrape
from exporter.errors import NoKeyError, TooLargeError
from exporter.fleet import SECOND, Fleet
from exporter.meters import Meters
from exporter.pull import Target
from exporter.serve import _sources, _target
from exporter.session import Account, Horizon
from exporter.simulator import Server, create_app

ORIGIN = 1_767_225_600 * SECOND
FLEET = Fleet(origin=ORIGIN, history=60)
STAGING = "user_metadata['env']:'staging'"


def wired(account: AccountConfig, scrape: Scrape | None = None) -> Target:
    ledger = LedgerConfig("sqlite:///unused.db", history="skip", settle_after=7 * SECOND)
    return _target(account, Config((account,), scrape or Scrape(), ledger), {"KEY": "right"}, Meters())


def read(target: Target) -> int:
    """How many sessions are listed."""
    return sum(target.read(Horizon(None), time.monotonic() + 60).listed.values())


def test_ledger_and_prices_become_rules() -> None:
    priced = AccountConfig("a", "browserbase", "KEY", base_url="http://127.0.0.1", pricing=Pricing(1, 2, 3))
    free = AccountConfig("b", "browserbase", "KEY", base_url="http://127.0.0.1")
    assert wired(priced).rules == Rules(7 * SECOND, skip=True, browser_per_hour=1, proxy_per_gb=2, minimum=3)
    assert wired(free).rules == Rules(7 * SECOND, skip=True)


def test_only_priced_accounts_of_browserbase_show_a_cost() -> None:
    priced = AccountConfig("a", "browserbase", "KEY", pricing=Pricing())
    free, other = AccountConfig("b", "browserbase", "KEY"), AccountConfig("c", "browser_use", "KEY")
    assert _sources(Config((priced, free, other))) == {
        Account("browserbase", "a"): "estimated",
        Account("browser_use", "c"): "reported",
    }


def test_key_query_and_limit_reach_the_provider(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with Server(create_app(FLEET, lambda: ORIGIN, keys=["right"])) as server:
        whole = AccountConfig("a", "browserbase", "KEY", base_url=server.url)
        some = AccountConfig("a", "browserbase", api_key_file=str(file), base_url=server.url, query=STAGING)
        rotated = wired(some)
        with pytest.raises(NoKeyError, match="key"):
            read(rotated)
        file.write_text("right\n")
        assert 0 < read(rotated) < read(wired(whole)), (
            "the file is read again, and the query narrows the list"
        )
        with pytest.raises(TooLargeError, match="100"):
            read(wired(whole, Scrape(max_response_bytes=100)))
