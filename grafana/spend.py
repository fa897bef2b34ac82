"""The dashboard on money: what is spent, where it goes, and what one session costs."""

from collections.abc import Callable

import msgspec
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from exporter.metrics.definitions import BYTES, COSTS, ENDS, SECONDS, Spec
from grafana.board import Board
from grafana.panels import CALM, UNCOUNTED, About, Query, bars, graph, number, table
from grafana.promql import TARGET, an_hour, increase, legend, rate, ratio, total

_USD, _UNPRICED = "currencyUSD", "No cost: no prices set?"

_PROVIDER = ("provider",)
_ACCOUNT = ("provider", "account")
_PROJECT = (*_ACCOUNT, "project")
_KIND = ("provider", "kind", "source")
_ROW = (*_PROJECT, "region", "kind", "source")

_MIDNIGHT = (
    " Day and month are those of your time zone. With a fixed time range above, such as last Monday, "
    "Grafana shows that range here instead."
)


def _money(title: str, text: str, width: int, since: str | None = None, height: int = 4) -> About:
    return About(
        title=title,
        text=text,
        unit=_USD,
        decimals=2,
        none=_UNPRICED,
        width=width,
        height=height,
        since=since,
    )


def today(width: int) -> Builder[Panel]:
    """What was spent since midnight."""
    text = "What sessions have cost since midnight." + _MIDNIGHT
    return number(_money("Spent today", text, width, "now/d"), total(increase(COSTS)))


def this_month(width: int) -> Builder[Panel]:
    """What was spent since the first of the month."""
    text = "What sessions have cost since the first of the month." + _MIDNIGHT
    return number(_money("Spent this month", text, width, "now/M"), total(increase(COSTS)))


def by_months_end(width: int) -> Builder[Panel]:
    """What will have been spent by the end of the month, if it goes on as it did since the first."""
    text = (
        "This month's spend so far, drawn on at the same pace to the month's end. It rests on little on "
        "the first day, and is too low while Prometheus has not seen the whole month." + _MIDNIGHT
    )
    month = f"{total(increase(COSTS))} / $__range_s * 86400 * days_in_month()"
    return number(_money("By the month's end", text, width, "now/M"), month)


def _each(whole: Spec, of: Callable[[Spec], str], by: tuple[str, ...] = ()) -> str:
    """Cost for each of what a counter counts, among the accounts that have a cost."""
    counted = f"{of(whole)} and on ({', '.join((*TARGET, *_ACCOUNT))}) {of(COSTS)}"
    return ratio(total(of(COSTS), by), total(counted, by))


_MONEY = (
    number(
        _money("Spent in this range", "What sessions have cost in the time range chosen above.", 4),
        total(increase(COSTS)),
    ),
    today(4),
    this_month(4),
    by_months_end(4),
    number(
        _money(
            "Cost of a session",
            "Spend in the time range above for each session that ended in it, proxy traffic included. "
            "Accounts without a cost are left out.",
            4,
        ),
        _each(ENDS, increase),
    ),
    number(
        _money(
            "Cost of a browser hour",
            "Spend in the time range above for each hour that browsers ran in it, proxy traffic included. "
            "Accounts without a cost are left out.",
            4,
        ),
        an_hour(_each(SECONDS, increase)),
    ),
)


def _calm(title: str, text: str) -> About:
    return msgspec.structs.replace(_money(title, text, 12, height=8), pace=CALM)


def _hourly(title: str, text: str, by: tuple[str, ...]) -> Builder[Panel]:
    about = _calm(f"Spend an hour by {title}", f"US dollars in an hour. {text}")
    return graph(about, Query(an_hour(total(rate(COSTS), by)), legend(by)), stacked=True)


_WHERE = (
    _hourly("account", "Upon each other they are all that is spent.", _ACCOUNT),
    _hourly("project", "Browser Use's sessions have no project.", _PROJECT),
    _hourly(
        "kind",
        "Browser time or proxy traffic; reported by the provider, or estimated from the configured prices.",
        _KIND,
    ),
    graph(
        About(
            title="Proxy traffic by account",
            text="Bytes through the providers' proxies in a second. They often cost more than the browsers.",
            unit="Bps",
            none=UNCOUNTED,
            width=12,
            pace=CALM,
        ),
        Query(total(rate(BYTES), _ACCOUNT), legend(_ACCOUNT)),
        stacked=True,
    ),
)

_LATE = " Costs are metered a little after the fact: look at the level, not at single peaks."


def _one(title: str, text: str, expression: str) -> Builder[Panel]:
    about = _calm(title, f"{text}, proxy traffic included.{_LATE}")
    return graph(about, Query(expression, legend(_PROVIDER)))


_ONE = (
    _one("Cost of a session over time", "Spend for each session that ended", _each(ENDS, rate, _PROVIDER)),
    _one(
        "Cost of a browser hour over time",
        "Spend for each hour that browsers ran",
        an_hour(_each(SECONDS, rate, _PROVIDER)),
    ),
)

_RANGE = (
    bars(
        _money("Spend by project", "In the time range above, by project.", 12, height=8),
        Query(total(increase(COSTS), _PROJECT), legend(_PROJECT)),
    ),
    bars(
        About(
            title="Proxy traffic by project",
            text="Bytes through proxies in the time range above, by project. A GB is 10^9 bytes, as "
            "Browserbase bills it.",
            unit="decbytes",
            none=UNCOUNTED,
            width=12,
        ),
        Query(total(increase(BYTES), _PROJECT), legend(_PROJECT)),
    ),
    table(
        _money(
            "Spend by account, project, region, kind and source",
            "What was spent in the time range above, largest first. A reported cost is the provider's "
            "own figure; an estimated one is the configured price times the usage.",
            24,
            height=10,
        ),
        total(increase(COSTS), _ROW),
        _ROW,
        "Spend",
    ),
)

BOARD = Board(
    uid="cloud-browser-spend",
    title="Cloud browsers / Spend",
    text="What is spent, where it goes, and what a session costs.",
    since="now-24h",
    rows={
        "Money": _MONEY,
        "Where it goes": _WHERE,
        "What one costs": _ONE,
        "In this time range": _RANGE,
    },
)
