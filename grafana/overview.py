"""The dashboard that is looked at first: what is wrong now, then how it came about."""

from typing import Any

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from exporter.metrics.definitions import KEEP_ALIVE, OLDEST, SESSIONS, UP
from grafana.board import ALERTS, Board, Row
from grafana.limits import ANY, SHARE
from grafana.links import ERRORS, EXPORTER, SPEND, of_rows
from grafana.panels import UNENDED, UNREAD, UNRULED, UNWATCHED, About, Query, number, query, states
from grafana.promql import (
    ERROR,
    FLOOR,
    OPEN,
    gauge,
    legend,
    limit,
    named,
    of_limit,
    ratio,
    series,
    total,
)
from grafana.records import (
    AGE,
    COST_HOUR,
    COST_HOUR_OF_ALL,
    ENDED_LATELY,
    FAILED_LATELY,
    FAILURE_RATIO,
    LAST_READ,
    LIMIT_OF_ALL,
    STATE,
)
from grafana.records import OPEN as OPEN_SESSIONS
from grafana.tables import TITLES, Value, names, table
from grafana.trends import ACCOUNT, DETAIL, QUOTAS, TEAMS, TRENDS

_PLACE = (*ACCOUNT, "project", "region")
_OF_BUDGET = of_limit(series(COST_HOUR), "budget_usd_per_hour")
_TOTAL_BUDGET = series(LIMIT_OF_ALL, 'limit="total_budget_usd_per_hour"')
_OF_TOTAL_BUDGET = f"{series(COST_HOUR_OF_ALL)} / on () {_TOTAL_BUDGET}"
_LINKS = of_rows({label: TITLES[label] for label in ACCOUNT}, ERRORS, SPEND, EXPORTER)


def _tile(title: str, text: str, unit: str, none: str, **more: Any) -> About:
    return About(title=title, text=text, unit=unit, none=none, width=4, height=4, **more)


def _highest(shares: str, what: str = "of its limit") -> Query:
    """The highest of some shares of limits, as a second number in a tile."""
    return Query(expression=f"max({shares})", legend=what, unit="percentunit", limits=SHARE)


def _ratios(status: str) -> str:
    """The failure ratios of those accounts of which enough sessions ended."""
    enough = f"{series(ENDED_LATELY)} >= {FLOOR}"
    return f"({series(FAILURE_RATIO, status)} and on (provider, account) {enough})"


def _failing(title: str, text: str, status: str, name: str) -> Builder[Panel]:
    failed, ended = total(series(FAILED_LATELY, status)), total(series(ENDED_LATELY))
    return number(
        _tile(title, text, "percentunit", UNENDED, decimals=1),
        query(ratio(failed, ended, f">= {FLOOR}"), "now"),
        _highest(of_limit(_ratios(status), name)),
    )


_TILES = (
    number(
        About(
            title="Firing alerts",
            text="Alerts of the rules that fire now, for what is chosen above, and for all accounts.",
            unit="none",
            none=UNWATCHED,
            width=4,
            height=4,
            limits=ANY,
        ),
        query(f"count({ALERTS}) or 0 * count({gauge(UP)})"),
    ),
    number(
        About(
            title="Accounts not read",
            text="Accounts whose sessions could not be read at the last scrape, or never yet. What is shown "
            "of open sessions lacks theirs; their counters stand still.",
            unit="none",
            none=UNRULED,
            width=4,
            height=4,
            limits=ANY,
        ),
        query(f"count({series(STATE)} != 1) or 0 * count({series(STATE)})"),
    ),
    _failing(
        "Error ratio",
        "Of the sessions that ended in the last 10 minutes, the share that ended with an error; and the "
        "highest share that an account has of what its alert allows. Browser Use reports no errors.",
        ERROR,
        "error_ratio_fast",
    ),
    number(
        _tile(
            "Spend an hour",
            "US dollars of the last hour, without what was counted late; and the highest share that an "
            "account has of its budget by the hour, or all of them of the budget of all.",
            "currencyUSD",
            UNRULED,
            decimals=2,
        ),
        query(total(series(COST_HOUR)), "last hour"),
        _highest(f"{_OF_BUDGET} or {_OF_TOTAL_BUDGET}", "of its budget"),
    ),
    number(
        _tile(
            "Open sessions",
            "Browsers that are pending or running now; and the highest share that an account has of its "
            "limit, where it has one.",
            "none",
            UNREAD,
            decimals=0,
        ),
        query(total(gauge(SESSIONS, OPEN)), "now"),
        _highest(of_limit(series(OPEN_SESSIONS), "open_sessions")),
    ),
    number(
        _tile(
            "Oldest session",
            "How long the session that was opened first has run; and the highest share that an account's has "
            "of the age at which an alert fires.",
            "s",
            "None is open, or none is read",
        ),
        query(f"max({series(AGE)})", "open for"),
        _highest(of_limit(series(AGE), "session_age_seconds")),
    ),
)

_BANDS = (
    states(
        About(
            title="Accounts over time",
            text="Green while the exporter read an account's sessions, red while it could not, orange before "
            "it ever had, empty while there was no exporter.",
            unit="none",
            none=UNRULED,
            width=12,
            height=7,
        ),
        query(series(STATE), legend(ACCOUNT)),
    ),
    names(
        About(
            title="What fires",
            text="The alerts that fire now. docs/runbooks.md has a section for each.",
            unit="none",
            none="No alert fires, or there are no rules",
            width=12,
            height=7,
        ),
        ("severity", "alertname", *ACCOUNT),
        # All of them begin so.
        f'label_replace({ALERTS}, "alertname", "$1", "alertname", "CloudBrowser(.+)")',
    ),
)

_EACH = (
    table(
        About(
            title="Each account",
            text="An account in a row, now. The shares are of the limits at which alerts fire. A click on an "
            "account leads to its errors and its spend.",
            unit="none",
            none=UNRULED,
            width=24,
            height=6,
        ),
        ACCOUNT,
        Value(title="State", expression=series(STATE), states=True),
        Value(title="Last read", expression=f"time() - {series(LAST_READ)}", unit="s", decimals=0),
        Value(
            title="Errors",
            expression=_ratios(ERROR),
            unit="percentunit",
            decimals=1,
        ),
        Value(title="Open", expression=series(OPEN_SESSIONS)),
        Value(
            title="of limit",
            expression=of_limit(series(OPEN_SESSIONS), "open_sessions"),
            unit="percentunit",
            decimals=0,
            limits=SHARE,
        ),
        Value(title="USD an hour", expression=series(COST_HOUR), unit="currencyUSD", decimals=2),
        Value(title="of budget", expression=_OF_BUDGET, unit="percentunit", decimals=0, limits=SHARE),
        Value(title="Oldest open", expression=series(AGE), unit="s", decimals=0),
        Value(
            title="of age limit",
            expression=of_limit(series(AGE), "session_age_seconds"),
            unit="percentunit",
            decimals=0,
            limits=SHARE,
        ),
        links=_LINKS,
    ),
)

_AGES = f"time() - min by ({', '.join(_PLACE)}) ({series(OLDEST)})"
_LATE = f"({_AGES} > on (provider, account) group_left () {limit('session_age_seconds')})"
_KEPT = f"sum by ({', '.join(_PLACE)}) ({gauge(KEEP_ALIVE)})"
_HERE = f"sum by ({', '.join(_PLACE)}) ({gauge(SESSIONS, OPEN)})"
_OLD = (
    table(
        About(
            title="Open for longer than they should be",
            text="Projects and regions whose oldest session has been open for longer than the account's "
            "limit of age: probably forgotten, and it costs money. Kept alive are sessions that were created "
            "so. A click on the account leads to its spend.",
            unit="none",
            none="None is open for too long, or none is read",
            width=24,
            height=5,
        ),
        (*ACCOUNT, "project_name", "region"),
        Value(title="Oldest open for", expression=named(_LATE), unit="s", decimals=0),
        Value(title="Kept alive", expression=named(f"{_KEPT} and on ({', '.join(_PLACE)}) {_LATE}")),
        Value(title="Open", expression=named(f"{_HERE} and on ({', '.join(_PLACE)}) {_LATE}")),
        links=_LINKS,
    ),
)

BOARD = Board(
    uid="cloud-browser-overview",
    title="Cloud browsers / Overview",
    text="What is wrong now, how many browsers run where, what they cost and what fails.",
    since="now-6h",
    rows=(
        Row("Now", (*_TILES, *_BANDS, *_EACH, *_OLD)),
        Row("Trends", TRENDS),
        Row("Quota and credit", QUOTAS, collapsed=True),
        Row("Sessions in detail", DETAIL, collapsed=True),
        Row("Teams: sessions by the metadata label team", TEAMS, collapsed=True),
    ),
)
