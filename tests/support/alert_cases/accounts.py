"""Accounts that cannot be read, by all replicas or by one; accounts that vanish."""

from collections.abc import Iterator, Mapping

from tests.support.alert_cases.case import HOUR, Case, Values, fires, gauge, quiet, rising, steady
from tests.support.alert_cases.selectors import COMPLETE, ERRORS, LAST, REMAINING, UP, moved

DOWN, UNSTABLE, NEVER = "!ProviderDown", "ProviderUnstable", "AccountNeverRead"
SECOND = {"instance": "NAME/second"}


def cases() -> Iterator[Case]:
    """Yields all cases of this module."""
    yield from unread()
    yield from refused()
    yield from never_read()
    yield from of_two_replicas()
    yield from vanished()


def unread() -> Iterator[Case]:
    outage = {UP: gauge((1, HOUR), (0, HOUR), (1, 120))}
    told = quiet(64), fires(70, DOWN), fires(119, DOWN, since=HOUR), quiet(240, since=131)
    yield Case("a provider is gone for an hour", outage, told)
    yield Case("one failed scrape", {UP: gauge((1, HOUR), (0, 1), (1, HOUR))}, (quiet(121),))
    halves = {UP: gauge((1, HOUR), *[(0, 1), (1, 1)] * 180)}
    yield Case("every other reading fails", halves, (quiet(HOUR), fires(180, UNSTABLE), fires(420, UNSTABLE)))
    tenth = {UP: gauge((1, HOUR), *[(0, 9), (1, 1)] * 18)}
    yield Case("one reading in ten succeeds", tenth, (fires(180, UNSTABLE),), strict=True)
    yield Case("two readings in three succeed", {UP: gauge(*[(1, 2), (0, 1)] * 80)}, (quiet(240),))


def failing(reason: str, errors: Values, up: Values) -> Mapping[str, Values]:
    return {ERRORS % reason: errors, UP: up}


def refused() -> Iterator[Case]:
    gone = gauge((1, HOUR), (0, 40), (1, HOUR))
    for alert, reason in (("!KeyRefused", "auth"), ("!PaymentRequired", "payment")):
        errors = rising((0, HOUR), (1, 40), (0, HOUR))
        told = quiet(HOUR), fires(72, DOWN, alert), quiet(160, since=105)
        yield Case(f"{reason} at each scrape", failing(reason, errors, gone), told)
        other = failing("server", errors, gone)
        yield Case(f"no {reason} but a fault of the server", other, (fires(72, DOWN, since=0),))
        two = failing(reason, rising((0, HOUR), (1, 2), (0, HOUR)), gauge((1, HOUR), (0, 2), (1, HOUR)))
        yield Case(f"two scrapes with {reason}", two, (quiet(122),))
    halves = failing(
        "auth", rising((0, HOUR), *[(1, 1), (0, 1)] * 180), gauge((1, HOUR), *[(0, 1), (1, 1)] * 180)
    )
    yield Case("every other reading is refused", halves, (quiet(HOUR), fires(180, UNSTABLE)))
    limited = failing(
        "rate_limited", rising((0, HOUR), *[(1, 1), (0, 3)] * 30), gauge((1, HOUR), *[(0, 1), (1, 3)] * 30)
    )
    yield Case("one reading in four is rate limited", limited, (quiet(HOUR), fires(90, "RateLimited")))
    twice = failing("rate_limited", rising((0, HOUR), (1, 2), (0, HOUR)), gauge((1, HOUR), (0, 2), (1, HOUR)))
    yield Case("two readings are rate limited", twice, (quiet(122),))


def never_read() -> Iterator[Case]:
    importing = {UP: steady(0, 200), COMPLETE: steady(0, 200)}
    yield Case("an account that was never read", importing, (quiet(14), fires(200, NEVER, since=0)))
    fresh = {UP: gauge((0, 5), (1, 100)), COMPLETE: gauge((0, 6), (1, 99))}
    yield Case("the first five minutes fail", fresh, (quiet(105),))
    restarted = {UP: steady(0, HOUR), LAST: steady(-7200, HOUR), COMPLETE: steady(1, HOUR)}
    yield Case("read before Prometheus was there", restarted | {LAST: steady(1, HOUR)}, (fires(10, DOWN),))
    stuck = {UP: steady(1, 200), COMPLETE: steady(0, 200), REMAINING: steady(500, 200)}
    yield Case("an import stands still", stuck, (quiet(55), fires(200, "HistoryImportStuck", since=0)))
    moving: Values = [500.0 - minute for minute in range(201)]
    yield Case("an import goes on", stuck | {REMAINING: moving}, (quiet(200),))
    done = {UP: steady(1, 200), COMPLETE: steady(1, 200), REMAINING: steady(0, 200)}
    yield Case("all is imported", done, (quiet(200),))


def of_two_replicas() -> Iterator[Case]:
    one = {UP: steady(1, 90), moved(UP, **SECOND): gauge((1, 30), (0, HOUR))}
    yield Case(
        "one of two replicas reads the account", one, (quiet(40), fires(90, "ReplicaCannotRead", since=0))
    )
    ends = {UP: steady(1, 90), moved(UP, **SECOND): gauge((1, 30), (None, HOUR))}
    yield Case("one of two replicas ends", ends, (quiet(90),))


def vanished() -> Iterator[Case]:
    other = moved(UP, account="other")
    gone = {UP: gauge((1, HOUR), (None, 240)), other: steady(1, 300)}
    told = quiet(65), fires(90, "AccountVanished"), fires(300, "AccountVanished", since=0)
    yield Case("an account vanishes", gone, told)
    moves = {
        moved(UP, **SECOND): gauge((1, HOUR), (None, HOUR)),
        UP: [*[None] * 62, *steady(1, 58)],
        other: steady(1, 120),
    }
    yield Case("an account moves to another instance", moves, (quiet(120),))
