"""Two clients of one account: the list's, and one beside it, whose trouble the list must not notice."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from exporter.client.api import Api
from exporter.client.errors import ApiError, RateLimitedError, ThrottledError
from tests.support.misbehaviour import Script, Server, answer, serving

PATH = "/list"
LIMITED = "429 Too Many Requests"


@dataclass
class Clock:
    """Moves only when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Meter:
    def request_finished(self, endpoint: str, code: str, seconds: float) -> None:
        """Not counted."""

    def rate_limit(self, remaining: int | None) -> None:
        """Not shown."""


@dataclass
class Pair:
    main: Api
    beside: Api
    clock: Clock
    server: Server

    def get(self, api: Api, seconds: float = 30) -> bytes:
        return api.get(PATH, {}, self.clock() + seconds).body

    def fails(self, api: Api, seconds: float = 30) -> ApiError:
        with pytest.raises(ApiError) as caught:
            self.get(api, seconds)
        return caught.value


@contextmanager
def paired(*replies: bytes | Script, per_second: int | None = None) -> Iterator[Pair]:
    clock = Clock()

    def client(beside: Api | None) -> Api:
        return Api(
            server.url,
            "X-Key",
            lambda: "key",
            max_bytes=1 << 20,
            telemetry=Meter(),
            requests_per_second=per_second if beside is None else None,
            beside=None if beside is None else beside.holds,
            clock=clock,
            sleep=clock.sleep,
        )

    with serving(*replies) as server:
        main = client(None)
        yield Pair(main, client(main), clock, server)


def test_a_wait_that_the_list_was_asked_for_holds_beside_it() -> None:
    with paired(answer(status=LIMITED, Retry_After="100"), answer(b"[2]")) as pair:
        pair.fails(pair.main)
        refused = pair.fails(pair.beside)
        assert isinstance(refused, RateLimitedError)
        assert str(refused).endswith("Retry-After in force: no request for another 100 s")
        assert len(pair.server.requests) == 1
        pair.clock.now += 100
        assert pair.get(pair.beside) == b"[2]"


def test_a_wait_that_was_asked_for_beside_the_list_does_not_hold_it() -> None:
    limited = answer(status=LIMITED, Retry_After="100", X_RateLimit_Remaining="0", X_RateLimit_Reset="90")
    with paired(limited, answer(b"[2]")) as pair:
        pair.fails(pair.beside)
        assert pair.get(pair.main) == b"[2]"
        assert isinstance(pair.fails(pair.beside), (RateLimitedError, ThrottledError))
        assert (len(pair.server.requests), pair.clock.slept) == (2, [])


def test_where_the_list_has_no_request_left_there_is_none_beside_it() -> None:
    with paired(answer(X_RateLimit_Remaining="0", X_RateLimit_Reset="40"), answer(b"[2]")) as pair:
        pair.get(pair.main)
        assert isinstance(pair.fails(pair.beside), ThrottledError)
        assert pair.get(pair.beside, seconds=60) == b"[2]"
        assert pair.clock.slept == [40]


def test_both_together_keep_to_the_rate_limit() -> None:
    with paired(*[answer()] * 5, per_second=2) as pair:
        for api in (pair.beside, pair.main, pair.main, pair.beside):
            pair.get(api)
        assert pair.clock.slept == [1], "the third one of a second waits"


def test_each_has_connections_of_its_own() -> None:
    with paired(answer(), answer(), answer()) as pair:
        for api in (pair.main, pair.beside, pair.main):
            pair.get(api)
        assert (len(pair.server.requests), pair.server.connections) == (3, 2)
