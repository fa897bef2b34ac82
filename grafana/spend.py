"""The dashboard on money: what is spent, where it goes, and what one session costs."""

from collections.abc import Callable

import msgspec
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from exporter.metrics.definitions import BYTES, COSTS, ENDS, SECONDS, Spec
from grafana.board import Board, Row
from grafana.limits import SHARE
from grafana.links import ERRORS, of_rows, of_series
from grafana.panels import CALM, UNCOUNTED, UNRULED, About, Query, bars, graph, line, number, query
from grafana.promql import (
    an_hour,
    gauge,
    increase,
    legend,
    limit,
    named,
    of_limit,
    rate,
    ratio,
    series,
    total,
)
from grafana.records import COST_FORECAST, COST_MONTH, LIMIT_OF_ALL
from grafana.tables import TITLES, Value, table

_USD, _UNPRICED = "currencyUSD", "No cost: no prices set?"

_PROVIDER = ("provider",)
_ACCOUNT = ("provider", "account")
_PROJECT = (*_ACCOUNT, "project")
_NAMED = (*_ACCOUNT, "project_name")
_KIND = ("provider", "kind", "source")
_ROW = (*_PROJECT, "region", "kind", "source")


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


def _each(whole: Spec, of: Callable[[Spec], str], by: tuple[str, ...] = ()) -> str:
    """Cost for each of what a counter counts, among the accounts that have a cost."""
    counted = f"{of(whole)} and on ({', '.join(_ACCOUNT)}) {of(COSTS)}"
    return ratio(total(of(COSTS), by), total(counted, by))


# Of the panel's range, which is the month: as Prometheus has it, and as the rules carry it on.
_SEEN = total(increase(COSTS), _ACCOUNT)
_MONTH_SO_FAR = (
    f'max by (provider, account) (label_replace({_SEEN}, "of", "range", "", "") or {series(COST_MONTH)})'
)
# As the rules have it; where they are too young, from what Prometheus itself has.
_DAYS_LEFT = "scalar(days_in_month() + 1 - day_of_month() - hour() / 24)"
_NOTHING = f"or on (provider, account) 0 * {series(COST_MONTH)}"
_A_DAY = f"(sum by (provider, account) (increase({gauge(COSTS)}[3d:$__interval])) / 3 {_NOTHING})"
_BEFORE = f"(clamp_min({_SEEN} - on (provider, account) {series(COST_MONTH)}, 0) {_NOTHING})"
_FORECAST = (
    f"({series(COST_FORECAST)} + on (provider, account) {_BEFORE} "
    f"or on (provider, account) {_MONTH_SO_FAR} + on (provider, account) {_DAYS_LEFT} * {_A_DAY})"
)
_TOTAL_BUDGET = series(LIMIT_OF_ALL, 'limit="total_budget_usd_per_month"')
_OF_BUDGETS = (
    f"{of_limit(_FORECAST, 'budget_usd_per_month')} or label_replace(sum({_FORECAST}) / on () "
    f"{_TOTAL_BUDGET}, "
    '"of", "all", "", "")'
)
_MIDNIGHT = (
    " Day and month are those of your time zone. With a fixed time range above, such as last Monday, Grafana "
    "shows that range here instead."
)
_MONEY = (
    number(
        _money("Spent in this range", "What sessions have cost in the time range chosen above.", 4),
        query(total(increase(COSTS))),
    ),
    number(
        _money("Spent today", "What sessions have cost since midnight." + _MIDNIGHT, 4, "now/d"),
        query(total(increase(COSTS))),
    ),
    number(
        _money(
            "Spent this month",
            "What sessions have cost since the month began. A recording rule carries it, so that it outlives "
            "Prometheus's retention; what Prometheus itself has of the month counts where that is more."
            + _MIDNIGHT,
            4,
            "now/M",
        ),
        query(total(_MONTH_SO_FAR)),
    ),
    number(
        msgspec.structs.replace(
            _money(
                "By the month's end",
                "The month so far, and the days left at the pace of the last days; and the highest share "
                "that "
                "an account's has of its monthly budget, or all of them of the budget of all." + _MIDNIGHT,
                4,
                "now/M",
            ),
            none=UNRULED,
        ),
        query(total(_FORECAST), "forecast"),
        Query(expression=f"max({_OF_BUDGETS})", legend="of its budget", unit="percentunit", limits=SHARE),
    ),
    number(
        _money(
            "Cost of a session",
            "Spend in the time range above for each session that ended in it, proxy traffic included. "
            "Accounts without a cost are left out.",
            4,
        ),
        query(_each(ENDS, increase)),
    ),
    number(
        _money(
            "Cost of a browser hour",
            "Spend in the time range above for each hour that browsers ran in it, proxy traffic included. "
            "Accounts without a cost are left out.",
            4,
        ),
        query(an_hour(_each(SECONDS, increase))),
    ),
)


def _calm(title: str, text: str, width: int = 12) -> About:
    return msgspec.structs.replace(_money(title, text, width, height=8), pace=CALM)


def _hourly(title: str, text: str, expression: str, by: tuple[str, ...]) -> Builder[Panel]:
    about = _calm(f"Spend an hour by {title}", f"US dollars in an hour. {text}")
    return graph(about, query(expression, legend(by)), stacked=True)


def _spending(by: tuple[str, ...]) -> str:
    return an_hour(total(rate(COSTS), by))


_WHERE = (
    _hourly("account", "Upon each other they are all that is spent.", _spending(_ACCOUNT), _ACCOUNT),
    _hourly("project", "Browser Use's sessions have no project.", named(f"({_spending(_PROJECT)})"), _NAMED),
    _hourly(
        "kind",
        "Browser time or proxy traffic; reported by the provider, or estimated from the configured prices.",
        _spending(_KIND),
        _KIND,
    ),
    graph(
        About(
            title="Proxy traffic an hour by account",
            text="Bytes through the providers' proxies in an hour. They often cost more than the browsers.",
            unit="decbytes",
            none=UNCOUNTED,
            width=12,
            pace=CALM,
        ),
        query(an_hour(total(rate(BYTES), _ACCOUNT)), legend(_ACCOUNT)),
        stacked=True,
    ),
)

_MONTH = (
    graph(
        msgspec.structs.replace(
            _calm(
                "The month so far by account",
                "US dollars since the month began (UTC), as a recording rule carries it. The dashed lines "
                "are the monthly budgets.",
            ),
            none=UNRULED,
            links=of_series(_ACCOUNT, ERRORS),
        ),
        query(series(COST_MONTH), legend(_ACCOUNT)),
        line(limit("budget_usd_per_month"), legend(_ACCOUNT, "budget")),
    ),
    graph(
        msgspec.structs.replace(
            _calm(
                "By the month's end by account",
                "What the month will have cost: the month so far, and the days left at the pace of the last "
                "days. The dashed lines are the monthly budgets.",
            ),
            none=UNRULED,
            links=of_series(_ACCOUNT, ERRORS),
        ),
        query(series(COST_FORECAST), legend(_ACCOUNT)),
        line(limit("budget_usd_per_month"), legend(_ACCOUNT, "budget")),
    ),
)

_LATE = " Costs are metered a little after the fact: look at the level, not at single peaks."


def _one(title: str, text: str, expression: str) -> Builder[Panel]:
    about = _calm(title, f"{text}, proxy traffic included.{_LATE}")
    return graph(about, query(expression, legend(_PROVIDER)))


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
        _money("Spend by project", "In the time range above, by project, the largest first.", 12, height=8),
        query(named(total(increase(COSTS), _PROJECT)), legend(_NAMED)),
    ),
    bars(
        About(
            title="Proxy traffic by project",
            text="Bytes through proxies in the time range above, by project, the most first. A GB is 10^9 "
            "bytes, as Browserbase bills it.",
            unit="decbytes",
            none=UNCOUNTED,
            width=12,
        ),
        query(named(total(increase(BYTES), _PROJECT)), legend(_NAMED)),
    ),
    table(
        _money(
            "Spend by account, project, region, kind and source",
            "What was spent in the time range above, largest first. A reported cost is the provider's "
            "own figure; an estimated one is the configured price times the usage.",
            24,
            height=10,
        ),
        (*_NAMED, "region", "kind", "source"),
        Value(title="Spend", expression=named(total(increase(COSTS), _ROW)), unit=_USD, decimals=2),
        links=of_rows({label: TITLES[label] for label in _ACCOUNT}, ERRORS),
    ),
)

BOARD = Board(
    uid="cloud-browser-spend",
    title="Cloud browsers / Spend",
    text="What is spent, where it goes, and what a session costs.",
    since="now-24h",
    rows=(
        Row("Money", _MONEY),
        Row("Where it goes", _WHERE),
        Row("In this time range", _RANGE),
        Row("The month", _MONTH, collapsed=True),
        Row("What one costs", _ONE, collapsed=True),
    ),
)
