"""Sessions that fail, start, end, and stay open."""

from collections.abc import Iterator

from tests.support.alert_cases.case import (
    DAY,
    HOUR,
    WEEK,
    Case,
    Values,
    fires,
    gauge,
    quiet,
    rising,
    steady,
)  # fmt: skip
from tests.support.alert_cases.selectors import (
    AGES,
    DURATIONS,
    ENDED,
    KEPT,
    LIMIT,
    OLDEST,
    OPEN,
    QUOTA,
    STARTED,
    UP,
    USED,
    moved,
)  # fmt: skip

REGIONS = ("us-west-2", "us-east-1", "eu-central-1", "ap-southeast-1")
HIGH, SLOW = "!ErrorRatioHigh", "ErrorRatioElevated"
BOUNDS = (300, 900, 3600, 7200, 14400, 21600, 43200, 86400)


def cases() -> Iterator[Case]:
    """Yields all cases of this module."""
    yield from failing()
    yield from other_failures()
    yield from not_starting()
    yield from open_for_long()
    yield from quotas()


def endings(*pieces: tuple[float, float, int], status: str = "error") -> dict[str, Values]:
    """Pieces: how many end an hour, the share of them with this status, for how many minutes."""
    bad = [(each * share / HOUR, minutes) for each, share, minutes in pieces]
    good = [(each * (1 - share) / HOUR, minutes) for each, share, minutes in pieces]
    return {ENDED % status: rising(*bad, whole=True), ENDED % "completed": rising(*good, whole=True)}


def read(series: dict[str, Values]) -> dict[str, Values]:
    """The series, of an account that is read all the while."""
    return series | {UP: steady(1, max(len(values) for values in series.values()) - 1)}


def failing() -> Iterator[Case]:
    four = {
        moved(name, region=region): values
        for region in REGIONS
        for name, values in endings((30, 0, HOUR), (30, 1, HOUR)).items()
    }
    yield Case("120 an hour over four regions fail", read(four), (quiet(HOUR), fires(70, HIGH)))
    one_of_four = four | {
        moved(name, region=region): values
        for region in REGIONS[1:]
        for name, values in endings((60, 0, 2 * HOUR)).items()
    }
    one_of_four |= endings((60, 0, HOUR), (60, 1, HOUR))
    yield Case("one region of four", read(one_of_four), (quiet(HOUR), fires(70, "!RegionErrorRatioHigh")))
    yield Case(
        "36 an hour fail",
        read(endings((36, 0, HOUR), (36, 1, HOUR))),
        (quiet(HOUR), fires(71, HIGH), fires(2 * HOUR, HIGH, SLOW)),
        strict=True,
    )
    yield Case(
        "4 an hour fail", read(endings((4, 0, HOUR), (4, 1, 3 * HOUR))), (quiet(HOUR), fires(241, SLOW))
    )
    yield Case(
        "a fifth of 240 an hour for a day",
        read(endings((240, 0, 4 * HOUR), (240, 0.19, DAY))),
        (quiet(4 * HOUR), fires(28 * HOUR, SLOW), fires(28 * HOUR, SLOW, since=4 * HOUR)),
        every=5,
    )
    burst = {ENDED % "error": rising((0, HOUR), (3.8, 5), (0, HOUR)), UP: steady(1, 125)}
    yield Case(
        "19 of 19", burst, (quiet(HOUR), fires(66, HIGH, since=HOUR), fires(80, SLOW), quiet(125, since=110))
    )
    wave = read(endings((240, 0, HOUR), (240, 1, HOUR), (240, 0, HOUR)))
    yield Case(
        "240 an hour from one minute on",
        wave,
        (quiet(HOUR), fires(68, HIGH), fires(132, SLOW), quiet(3 * HOUR, since=162)),
        strict=True,
    )
    one = {ENDED % "error": rising((0, HOUR), (1, 1), (0, 3 * HOUR)), UP: steady(1, 4 * HOUR + 1)}
    yield Case("one of one at night", one, (quiet(4 * HOUR),))
    yield Case("5 percent of 240 an hour", read(endings((240, 0.05, 4 * HOUR))), (quiet(4 * HOUR),))
    late = {
        ENDED % "error": rising((0, 100), (20, 1), (0, 100)),
        ENDED % "completed": rising((1, HOUR), (0, 40), (10, 1), (1, 100)),
        UP: gauge((1, 59), (0, 40), (1, 102)),
    }
    yield Case("failures that are counted late", late, (fires(201, SLOW, since=101),))


def other_failures() -> Iterator[Case]:
    timeouts = endings((240, 0, HOUR), (240, 1, HOUR), (240, 0, HOUR), status="timed_out")
    yield Case(
        "240 an hour time out",
        read(timeouts),
        (
            quiet(HOUR),
            fires(68, "TimeoutRatioHigh"),
            fires(132, "TimeoutRatioElevated"),
            quiet(180, since=162),
        ),
        strict=True,
    )
    brief = {DURATIONS % "10.0": rising((0, HOUR), (1, 2 * HOUR)), DURATIONS % "+Inf": rising((1, 3 * HOUR))}
    yield Case("they end within seconds", read(brief), (quiet(HOUR), fires(180, "SessionsTooShort")))
    some = {DURATIONS % "10.0": rising((0.4, 3 * HOUR)), DURATIONS % "+Inf": rising((1, 3 * HOUR))}
    yield Case("40 percent end within seconds", read(some), (quiet(180),))


def week(before: float, last: float) -> Values:
    """So much an hour for a week and two hours, and at another pace in the two hours after."""
    return rising((before / HOUR, WEEK + 2 * HOUR), (last / HOUR, 2 * HOUR))


def up_after_a_week(*pieces: tuple[float, int]) -> Values:
    """Whether the account is read, in the four hours after a week: no rule asks for earlier."""
    return [None] * WEEK + gauge(*pieces)


def not_starting() -> Iterator[Case]:
    end = WEEK + 4 * HOUR
    busy, up, none = week(12, 0), up_after_a_week((1, 4 * HOUR)), fires(end, "NoSessionsStarted")
    yield Case("none started for an hour", {STARTED: busy, UP: up}, (none,), every=30)
    one: Values = [*busy[:-20], *[(busy[-1] or 0) + 1] * 20]
    yield Case("one started", {STARTED: one, UP: up}, (quiet(end, since=end - 1),), every=30)
    yield Case("few start at any time", {STARTED: week(7.2, 0), UP: up}, (quiet(end, since=WEEK),), every=30)
    days = 2 * DAY
    whole = WEEK + 4 * HOUR
    later: Values = [
        *[None] * (whole - days),
        *rising((0.2, days - 2 * HOUR), (0, 2 * HOUR), start=(whole - days) / 5),
    ]
    earlier: Values = [*rising((0.2, whole - days)), *[None] * days]
    yield Case(
        "none started and the exporter has moved",
        {moved(STARTED, instance="NAME/earlier"): earlier, STARTED: later, UP: up},
        (none,),
        every=30,
    )


def ages(kept: str, *seconds: int) -> dict[str, Values]:
    """The histogram of open sessions of these ages."""
    bounds = [
        *((f"{bound}.0", sum(age <= bound for age in seconds)) for bound in BOUNDS),
        ("+Inf", len(seconds)),
    ]
    return {AGES % (kept, le): steady(count, 4 * HOUR) for le, count in bounds}


def open_for_long() -> Iterator[Case]:
    long, end = "SessionOpenTooLong", 4 * HOUR
    four_hours_ago = {OLDEST: steady(-4 * 3600, end)}
    yield Case("open since five hours", four_hours_ago, (quiet(HOUR), fires(72, long)))
    own = {LIMIT % "session_age_seconds": steady(7 * 3600, end)}
    yield Case("an account may have another age", four_hours_ago | own, (quiet(180), fires(192, long)))
    leak = {OLDEST.replace("browserbase", "browser_use"): steady(0, end)}
    yield Case("a leak at Browser Use", leak, (quiet(210), fires(222, long)))
    kept = {OLDEST: steady(-86400 * 3, end), KEPT: steady(1, end), OPEN: steady(2, end)}
    days = kept | ages("true", 86400 * 3)
    yield Case("one is kept alive for days", days | ages("false", 600), (quiet(end),))
    yield Case("one is kept alive and one forgotten", days | ages("false", 30000), (fires(20, long),))
    many = "TooManyOpenSessions"
    yield Case("500 are open", {OPEN: gauge((10, HOUR), (500, HOUR))}, (quiet(HOUR), fires(90, many)))
    limit = LIMIT % "open_sessions"
    yield Case("a limit of 600", {OPEN: steady(500, HOUR), limit: steady(600, HOUR)}, (quiet(HOUR),))
    yield Case("a limit of 100", {OPEN: steady(110, HOUR), limit: steady(100, HOUR)}, (fires(30, many),))


def quotas() -> Iterator[Case]:
    used = {QUOTA: steady(100, 150), USED: gauge((50, HOUR), (97, 90)), OPEN: gauge((50, HOUR), (97, 90))}
    yield Case("97 percent of the quota", used, (quiet(HOUR), fires(120, "QuotaNearlyUsed")))
    listed = {QUOTA: steady(100, 150), OPEN: gauge((50, HOUR), (97, 90))}
    yield Case("97 listed of 100", listed, (quiet(HOUR), fires(120, "QuotaNearlyUsed")))
    ghosts = {QUOTA: steady(100, 200), USED: gauge((10, HOUR), (60, 140)), OPEN: steady(10, 200)}
    yield Case("60 used and 10 listed", ghosts, (quiet(HOUR), fires(180, "QuotaUnlistedSessions")))
    enough = {QUOTA: steady(100, 150), USED: steady(60, 150), OPEN: steady(58, 150)}
    yield Case("60 of 100 used", enough, (quiet(150),))
