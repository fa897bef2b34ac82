"""Money, traffic and credit; a lost ledger, after which counters rise again without anything being spent."""

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
    BYTES,
    COMPLETE,
    COST,
    CREDIT,
    ENDED,
    LIMIT,
    STARTED,
    UP,
    A,
    moved,
)  # fmt: skip

HOURLY, MONTHLY, LOST = "!SpendAboveHourlyBudget", "SpendAboveMonthlyBudget", "LedgerLost"
TOTAL_HOURLY, TOTAL_MONTHLY = "!TotalSpendAboveHourlyBudget", "TotalSpendAboveMonthlyBudget"


def cases() -> Iterator[Case]:
    """Yields all cases of this module."""
    yield from by_the_hour()
    yield from by_the_month()
    yield from over_all_accounts()
    yield from lost_ledgers()
    yield from unusual_spending()
    yield from traffic()
    yield from credit()


def by_the_hour() -> Iterator[Case]:
    yield Case("60 USD an hour", {COST: rising((0, HOUR), (1, HOUR))}, (quiet(105), fires(118, HOURLY)))
    yield Case("48 USD an hour", {COST: rising((0.8, 120)), UP: steady(1, 120)}, (quiet(120),))
    own = {LIMIT % "budget_usd_per_hour": steady(500, 120), COST: rising((5, 120))}
    yield Case("300 USD an hour of 500", own, (quiet(120),))
    low = {LIMIT % "budget_usd_per_hour": steady(10, 120), COST: rising((0.2, 120))}
    yield Case("12 USD an hour of 10", low, (quiet(50), fires(70, HOURLY)))
    outage = {
        COST: rising((0.17, HOUR), (0, 40), (120, 1), (0.17, 99)),
        UP: gauge((1, HOUR), (0, 40), (1, 100)),
    }
    yield Case("twelve hours at once after an outage", outage, (quiet(200, since=101),))
    hours = [(500 / HOUR, 49), (0, 11), (500 / HOUR * 12, 1)]
    flaky = {COST: rising(*hours * 4), UP: gauge(*[(1, 48), (0, 11), (1, 2)] * 4)}
    yield Case(
        "500 USD an hour and eleven minutes unread",
        flaky,
        (fires(160, HOURLY, MONTHLY), fires(220, HOURLY, MONTHLY)),
    )


def by_the_month() -> Iterator[Case]:
    days = 28 * HOUR
    yield Case(
        "10,368 USD a month", {COST: rising((0.24, days))}, (quiet(20 * HOUR), fires(days, MONTHLY)), every=5
    )
    yield Case("9,850 USD a month", {COST: rising((0.228, days))}, (quiet(days),), every=5)
    a_day = 400 / DAY
    before: Values = [*rising((a_day, 18 * HOUR)), *[None] * (10 * HOUR)]
    after: Values = [*[None] * (18 * HOUR), *rising((a_day, 10 * HOUR), start=300)]
    moving = {moved(COST, instance="NAME/before"): before, COST: after, UP: steady(1, days)}
    yield Case("400 USD a day and a new instance", moving, (fires(days, MONTHLY),), every=5)


def over_all_accounts() -> Iterator[Case]:
    ten = {moved(COST, account=f"{number}"): rising((0, HOUR), (49 / HOUR, 60)) for number in range(10)}
    yield Case("ten accounts at 49 USD", ten, (quiet(HOUR), fires(115, TOTAL_HOURLY)), alone=True)
    days = {moved(COST, account=f"{number}"): rising((300 / DAY, 28 * HOUR)) for number in range(10)}
    yield Case(
        "ten accounts at 300 USD a day", days, (fires(28 * HOUR, TOTAL_MONTHLY),), every=30, alone=True
    )
    two = {moved(COST, account=f"{number}"): rising((49 / HOUR, 120)) for number in range(2)}
    yield Case("two accounts at 49 USD", two, (quiet(120),), alone=True)


def lost_ledgers() -> Iterator[Case]:
    spent = rising((1 / HOUR, HOUR), start=5000)
    started = rising((0.5, HOUR), start=50000)
    one = fires(HOUR + 11, LOST)
    only = fires(250, LOST, since=HOUR)
    alive = {UP: steady(1, 250)}

    def lost(cost: Values, sessions: Values) -> dict[str, Values]:
        return {COST: spent[:-1] + cost, STARTED: started[:-1] + sessions} | alive

    again = lost(rising((5000, 1), (1 / HOUR, 190)), rising((50000, 1), (0.5, 190)))
    yield Case("the ledger is lost and imported at once", again, (quiet(HOUR - 1), one, only))
    from_zero = lost(rising((1 / HOUR, 190)), rising((0.5, 190)))
    yield Case("the ledger is lost", from_zero, (quiet(HOUR - 1), one, only))
    later = {STARTED: started[:-1] + rising((0.5, 490)), UP: steady(1, 549)}
    yield Case("a loss of long ago", later, (fires(400, LOST), quiet(540, since=440)), every=10)
    climb = lost(rising((5000 / HOUR, HOUR), (1 / HOUR, 130)), rising((50000 / HOUR, HOUR), (0.5, 130)))
    yield Case("it is imported again over an hour", climb, (one, only))
    gone: Values = [None] * 190

    def with_the_pod(absent: int, cost: Values, sessions: Values) -> dict[str, Values]:
        """The old pod ends; the new one's counters are absent for so many minutes."""
        old = "NAME/old"
        hidden: Values = [None] * (HOUR + absent)
        return {
            moved(COST, instance=old): spent + gone,
            moved(STARTED, instance=old): started + gone,
            COST: hidden + cost[: 251 - len(hidden)],
            STARTED: hidden + sessions[: 251 - len(hidden)],
        } | alive

    pod = with_the_pod(1, rising((1 / HOUR, 190)), rising((0.5, 190)))
    yield Case("the ledger is lost with the pod", pod, (quiet(HOUR), one, only))
    slow = with_the_pod(HOUR, rising((1 / HOUR, 130), start=4990), rising((0.5, 130), start=19000))
    slow[COMPLETE] = [*[None] * (HOUR + 1), *steady(0, HOUR - 2), *steady(1, 129)]
    slow[moved(COMPLETE, instance="NAME/old")] = steady(1, HOUR) + gone
    yield Case("the pod's ledger is imported over an hour", slow, (quiet(HOUR), one, only))
    real = lost(rising((1 / HOUR, HOUR), (10, 130)), rising((0.5, 190)))
    yield Case("much is spent after a lost ledger", real, (one, fires(150, LOST, HOURLY)))


def week(before: float, last: float) -> Values:
    """So much an hour for a week and two hours, and at another pace in the two hours after."""
    return rising((before / HOUR, WEEK + 2 * HOUR), (last / HOUR, 2 * HOUR))


def unusual_spending() -> Iterator[Case]:
    unusual, end = "SpendAboveUsual", WEEK + 4 * HOUR
    yield Case("seven times the usual", {COST: week(2.4, 16.8)}, (quiet(WEEK), fires(end, unusual)), every=30)
    yield Case("2.75 times the usual", {COST: week(2.4, 6.6)}, (quiet(end),), every=30)
    yield Case("6 times nearly nothing", {COST: week(0.6, 3.6)}, (quiet(end),), every=30)
    first = {COST: rising((0.01, HOUR), (0.1, WEEK))}
    yield Case("a week after the first hour", first, (quiet(WEEK),), every=30)
    holiday = {COST: rising((0.001, DAY), (0.2, 7 * DAY))}
    yield Case("a holiday a week ago", holiday, (quiet(8 * DAY),), every=30)
    weeks = {
        COST: rising(*[(0.3, HOUR), (0.4, 8 * HOUR), (0.05, 15 * HOUR)] * 8),
        ENDED % "error": steady(0, 8 * DAY),
    }
    yield Case("a quiet week", weeks | {UP: steady(1, 8 * DAY)}, (quiet(8 * DAY),), every=30)


def traffic() -> Iterator[Case]:
    spike, night = "ProxyTrafficSpike", 5e9 / HOUR
    days, end = 3 * DAY, 3 * DAY + 2 * HOUR
    for name, times in (("forty times the usual", 40), ("four times the usual", 4)):
        values = rising((6e7 / HOUR * 10, days), (6e7 / HOUR * 10 * times, 2 * HOUR))
        told = (fires(end, spike) if times == 40 else quiet(end),)
        yield Case(name, {BYTES: values}, told, every=10)
    yield Case("the first hours", {BYTES: rising((2e7, 3 * HOUR))}, (quiet(3 * HOUR),), every=10)
    second = {BYTES: rising((1e6, DAY), (1e8, 2 * HOUR))}
    yield Case("the second day", second, (quiet(DAY + 2 * HOUR),), every=10)
    nightly = {
        BYTES: rising(*[(0, 2 * HOUR), (night, HOUR), (0, 21 * HOUR)] * 3, (0, 2 * HOUR), (night, HOUR))
    }
    yield Case("5 GB every night", nightly, (quiet(75 * HOUR),), every=10)
    daily = {BYTES: rising(*[(0, 9 * HOUR), (2e9 / HOUR, 4 * HOUR), (0, 11 * HOUR)] * 8)}
    yield Case("2 GB an hour from 9 to 13", daily, (quiet(8 * DAY),), every=30)
    yield Case(
        "a hundred times nearly nothing",
        {BYTES: rising((1e5, days), (1e7, 2 * HOUR))},
        (quiet(end),),
        every=10,
    )


def credit() -> Iterator[Case]:
    low, gone = "CreditLow", "!CreditNearlyGone"
    dip = gauge((100, 50), (60, 40), (100, 50), (40, 60), (100, 45))
    yield Case("a charge upfront that comes back", {CREDIT: dip}, (quiet(245),))
    for start, told in ((100, (quiet(HOUR), fires(246, low))), (30, (fires(180, low, gone),))):
        falling: Values = [float(start)] * 30
        falling += [start - 7 * minute / HOUR for minute in range(220)]
        yield Case(f"7 USD an hour of {start}", {CREDIT: falling}, told)
    fast: Values = [*[100.0] * HOUR, *[100 - 50 * minute / HOUR for minute in range(115)]]
    yield Case("two hours are left", {CREDIT: fast}, (quiet(HOUR), fires(160, low, gone)))
    yield Case("1 USD an hour of 100", {CREDIT: [100 - m / HOUR for m in range(240)]}, (quiet(239),))
    upfront: dict[str, Values] = {
        CREDIT: [100.0 - 5 * (m // 20) for m in range(240)],
        f'cloud_browser_open_sessions_cost_usd{{{A},project="",region="unknown",kind="browser"}}': [
            5.0 * (m // 20) for m in range(240)
        ],
    }
    yield Case("charges of sessions that are open", upfront, (quiet(239),))
