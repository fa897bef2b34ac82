"""A long walk that is gone on with between scrapes: pages several at once, in order, and resumed."""

from concurrent.futures import Future

import msgspec
import pytest

from exporter.client.errors import PayloadError
from exporter.model import Listing, ReadWindow
from exporter.providers.browser_use.pages import CHUNK_PAGES, PAGES_AHEAD
from exporter.providers.browser_use.reader import BrowserUse
from tests.support.browser_use_cloud import ALL, Cloud, history, ids
from tests.support.browser_use_rows import row, running

SHORT = 1.0  # seconds: for a single page of a walk


@pytest.fixture
def begun(cloud: Cloud) -> Listing:
    """What a scrape read of a long history, for which it had no time."""
    cloud.active, cloud.stopped, cloud.seconds = [running()], history(5000), SHORT
    listing = cloud.read(seconds=6 * SHORT)
    cloud.account.committed()
    cloud.seconds = 0
    assert listing.covers is None
    return listing


def never() -> Future[None]:
    return Future()


def read_on(cloud: Cloud, window: ReadWindow = ALL) -> list[Listing]:
    listings = []
    for listing in cloud.account.read_on(window, never()):
        cloud.account.committed()
        listings.append(listing)
    return listings


def test_the_rest_is_read_in_chunks_and_the_last_one_covers_all(cloud: Cloud, begun: Listing) -> None:
    cloud.asked()
    chunks = read_on(cloud)
    assert ids(begun).union(*map(ids, chunks)) == {"open", *(f"s{i}" for i in range(5000))}
    assert [chunk.covers is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert all(len(ids(chunk)) <= CHUNK_PAGES * 100 for chunk in chunks)
    assert chunks[-1].position is None
    assert len(cloud.asked()) < 5000 / 90 + 4, "few pages are requested twice"
    assert list(cloud.account.read_on(ALL, never())) == []


def test_what_was_not_recorded_is_read_again(cloud: Cloud, begun: Listing) -> None:
    lost = next(cloud.account.read_on(ALL, never()))
    assert ids(lost) - ids(begun) <= set().union(*map(ids, read_on(cloud)))


def test_an_order_to_stop_ends_it_without_waiting_for_an_answer(cloud: Cloud, begun: Listing) -> None:
    assert begun.remaining > 0
    stop: Future[None] = Future()
    reading = cloud.account.read_on(ALL, stop)
    next(reading)
    cloud.account.committed()
    stop.set_result(None)
    assert list(reading) == []


def test_a_scrape_meanwhile_reads_the_open_sessions_and_takes_what_was_answered(
    cloud: Cloud, begun: Listing
) -> None:
    next(cloud.account.read_on(ALL, never()))
    cloud.account.committed()
    cloud.asked()
    listing = cloud.read()
    assert "open" in ids(listing)
    assert (listing.covers, listing.remaining < begun.remaining) == (None, True)
    assert len(listing.sessions) <= 1 + PAGES_AHEAD * 100
    assert [place for place in cloud.asked() if place[0] != "stopped"] == [("active", 1)]


def test_another_process_goes_on_at_the_position(cloud: Cloud, begun: Listing) -> None:
    chunk = next(cloud.account.read_on(ALL, never()))
    cloud.account.committed()
    cloud.asked()
    cloud.account = BrowserUse(cloud.api)
    first = cloud.read(ReadWindow(position=chunk.position), seconds=1000)
    assert first.covers == begun.time
    assert ids(begun) | ids(chunk) | ids(first) >= {f"s{i}" for i in range(5000)}
    assert len(cloud.asked()) < 5000 / 90 - CHUNK_PAGES + PAGES_AHEAD + 6, "those ahead may still come"


@pytest.mark.parametrize("position", ["", "{}", "[]", "nonsense", '{"status":7,"cursor":{}}'])
def test_a_position_of_another_version_is_as_none(cloud: Cloud, position: str) -> None:
    cloud.stopped = [row()]
    assert ids(cloud.read(ReadWindow(position=position))) == {"one"}


def test_pages_that_shift_meanwhile_lose_nothing(cloud: Cloud, begun: Listing) -> None:
    """With each request a session ends that began earlier than all."""

    def happen() -> None:
        new = f"new{len(cloud.requests)}"
        cloud.stopped = [row(id=new), *cloud.stopped]

    cloud.happen = happen
    chunks = read_on(cloud)
    assert ids(begun).union(*map(ids, chunks)) >= {f"s{i}" for i in range(5000)}


def test_a_failure_ends_it_and_the_next_one_begins_where_it_was(cloud: Cloud, begun: Listing) -> None:
    good, cloud.body = cloud.body, b"oops"
    with pytest.raises(PayloadError):
        read_on(cloud)
    cloud.body = good
    assert ids(begun).union(*map(ids, read_on(cloud))) >= {f"s{i}" for i in range(5000)}


def test_filters_that_cease_to_hold_end_it(cloud: Cloud, begun: Listing) -> None:
    assert begun.remaining > 0
    cloud.stopped = [
        msgspec.json.decode(msgspec.json.encode(one)) | {"status": "active"} for one in cloud.stopped
    ]
    assert read_on(cloud) == []
