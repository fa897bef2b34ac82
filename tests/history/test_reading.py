"""The whole list of an account, read by its reader: page after page, and again where that can help."""

from collections.abc import Iterator
from concurrent.futures import Future

import msgspec
import pytest

from exporter.client.errors import ApiError, AuthError, RateLimitedError, ServerError
from exporter.history.reading import MOST_FAILURES, AccountError, read_listed
from exporter.labels import VALUES_PER_LABEL, SeenLabelValues
from exporter.metrics.results import AccountDescription
from exporter.model import OTHER, Account, Listing, ReadWindow, Series
from exporter.providers.base import SessionReader
from exporter.scrape.plan import AccountTarget
from tests.support.listings import MINUTE, RULES, T0, listing, session
from tests.support.providers import BROWSER_USE, TRAITS

Answer = Listing | ApiError


class Whole:
    """Answers each reading with the next answer."""

    def __init__(self, *answers: Answer) -> None:
        self._answers, self.committed_count, self.deadlines = [*answers], 0, list[float]()

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        assert window == ReadWindow()
        self.deadlines.append(deadline)
        return self._next()

    def _next(self) -> Listing:
        answer = self._answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    def committed(self) -> None:
        self.committed_count += 1


class Paged(Whole):
    """Goes on by itself, until there are no answers, or one that fails."""

    def read_on(self, window: ReadWindow, stop: Future[None]) -> Iterator[Listing]:
        assert (window, stop.done()) == (ReadWindow(), False)
        while self._answers:
            before = self.committed_count
            yield self._next()
            assert self.committed_count == before + 1


class Read(msgspec.Struct):
    """What came of reading an account."""

    sessions: dict[str, str]
    shown: list[tuple[int, int]]
    waits: list[float]


def target(reader: SessionReader) -> AccountTarget:
    return AccountTarget(Account(BROWSER_USE, "ours"), RULES, AccountDescription(TRAITS[BROWSER_USE]), reader)


def read(reader: SessionReader) -> Read:
    shown, waits = list[tuple[int, int]](), list[float]()
    listed = read_listed(
        target(reader), SeenLabelValues(), lambda done, total: shown.append((done, total)), waits.append
    )
    return Read({name: one.status for name, one in listed.sessions.items()}, shown, waits)


def page(*names: str, covers: int | None = None, remaining: int = 0, status: str = "active") -> Listing:
    return listing(*(session(id=name, status=status) for name in names), covers=covers, remaining=remaining)


def test_one_listing_may_be_all() -> None:
    reader = Whole(page("a", "b", covers=T0))
    assert read(reader) == Read({"a": "active", "b": "active"}, [(2, 2)], [])
    assert reader.committed_count == 1


def test_pages_are_read_on_until_they_cover_the_list() -> None:
    reader = Paged(page("a", remaining=3), page("b", "c", remaining=1), page("d", covers=T0))
    done = read(reader)
    assert [*done.sessions] == ["a", "b", "c", "d"]
    assert done.shown == [(1, 4), (3, 4), (4, 4)]
    assert reader.committed_count == 3


def test_a_reading_that_ends_before_it_covers_the_list_begins_anew() -> None:
    reader = Whole(page("a", remaining=1), page("b", covers=T0))
    assert [*read(reader).sessions] == ["a", "b"]


def test_a_session_that_is_read_twice_stands_as_ended_once() -> None:
    ended = session(id="a", status="stopped", ending="stopped", ended=T0 + MINUTE)
    for one, other in ((session(id="a"), ended), (ended, session(id="a"))):
        reader = Whole(listing(one, covers=None), listing(other))
        assert read(reader).sessions == {"a": "stopped"}


def test_what_may_pass_is_tried_again_later_and_with_more_time() -> None:
    reader = Paged(page("a", remaining=1), ServerError(503), RateLimitedError(429, 30), page("b", covers=T0))
    done = read(reader)
    assert ([*done.sessions], done.waits) == (["a", "b"], [2, 30])
    allowed = [
        later - earlier for earlier, later in zip(reader.deadlines, reader.deadlines[1:], strict=False)
    ]
    assert allowed == sorted(allowed)
    assert all(more > 10 for more in allowed)


def test_what_fails_again_and_again_fails_the_account() -> None:
    with pytest.raises(AccountError, match="browser_use/ours: HTTP status 503: "):
        read(Whole(*[ServerError(503)] * MOST_FAILURES))
    reader = Whole(*[ServerError(503)] * (MOST_FAILURES - 1), page("a", covers=T0))
    assert read(reader).waits == [2, 4, 8, 16]


def test_a_refused_key_is_not_tried_again() -> None:
    with pytest.raises(AccountError, match="check the key"):
        read(Whole(AuthError(401), page("a", covers=T0)))


def test_label_values_are_limited_as_on_the_live_page() -> None:
    many = [session(id=str(n), series=Series("", f"region-{n:02}")) for n in range(VALUES_PER_LABEL + 1)]
    shown = SeenLabelValues(regions=frozenset({"region-50"}))
    listed = read_listed(target(Whole(listing(*many))), shown, lambda *_: None)
    regions = {one.series.region for one in listed.sessions.values()}
    assert "region-50" in regions, "the exporter has shown it before"
    assert "region-49" not in regions
    assert OTHER in regions
