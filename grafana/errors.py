"""The dashboard on what fails: sessions by place, the objective, and the reading of the providers."""

from typing import Any

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from exporter.metrics.definitions import ENDS, ERRORS, LOWERED, REJECTED
from grafana.board import Board, Row
from grafana.limits import ANY, BURNING, LEFT
from grafana.links import EXPORTER, SPEND, of_rows, of_series
from grafana.panels import (
    CALM,
    UNCOUNTED,
    UNENDED,
    UNRULED,
    UNWATCHED,
    About,
    graph,
    line,
    number,
    query,
    states,
)
from grafana.promql import (
    ERROR,
    FAILED,
    TIMED_OUT,
    UNSEEN,
    a_minute,
    increase,
    legend,
    limit,
    named,
    rate,
    series,
    share,
    total,
)
from grafana.records import BURN_RATES, STATE
from grafana.tables import TITLES, Value, table

_ACCOUNT = ("provider", "account")
_PROJECT = (*_ACCOUNT, "project")
_NAMED = (*_ACCOUNT, "project_name")
_REGION = (*_ACCOUNT, "region")
_ROW = (*_PROJECT, "region", "status")


def _tile(title: str, text: str, unit: str, none: str, **more: Any) -> About:
    return About(title=title, text=text, unit=unit, none=none, width=4, height=4, **more)


# That of the rules' error budget.
_PERIOD = "14d"


def _slo(title: str, text: str, **more: Any) -> About:
    return About(title=title, text=text, width=4, height=6, **more)


def _count(title: str, text: str, expression: str) -> Builder[Panel]:
    return number(_tile(title, text, "none", UNCOUNTED, decimals=0), query(total(expression)))


def _share(title: str, text: str, status: str) -> Builder[Panel]:
    whole = f"Of the sessions that ended in the time range above, the share that {text}."
    return number(
        _tile(title, whole, "percentunit", UNENDED, decimals=1), query(share(status, ENDS, ranged=True))
    )


_TOTALS = (
    _count(
        "Errors",
        "Sessions that ended with an error in the time range above. Browser Use reports none.",
        increase(ENDS, ERROR),
    ),
    _count(
        "Timeouts",
        "Sessions that their timeout cut off in the time range above.",
        increase(ENDS, TIMED_OUT),
    ),
    _share("Error ratio", "ended with an error", ERROR),
    _share("Timeout ratio", "was cut off by its timeout", TIMED_OUT),
    _count(
        "Ended unseen",
        "Sessions that left the provider's list while open, in the time range above: nobody says how they "
        "ended. They count as ended, with the status unknown.",
        increase(ENDS, UNSEEN),
    ),
    number(
        _tile(
            "Failed scrapes",
            "How often an account could not be read in the time range above. The reasons are below.",
            "none",
            UNWATCHED,
            decimals=0,
            limits=ANY,
        ),
        query(total(increase(ERRORS))),
    ),
)

_FAILING = share(FAILED, ENDS, _ACCOUNT, ranged=True)
_OBJECTIVE = (
    number(
        _slo(
            "Sessions that succeed",
            "Of the sessions that ended in 14 days, the share without error and timeout, of the account with "
            "the lowest; and the objective, which is the limit slo_objective of the rules.",
            unit="percentunit",
            none=UNENDED,
            decimals=2,
            since=_PERIOD,
        ),
        query(f"1 - max({_FAILING})", "14 days"),
        query(f"max({limit('slo_objective')}) and on () max({_FAILING})", "objective"),
    ),
    number(
        _slo(
            "Error budget left",
            "Share of the failures that the objective allows in 14 days and that have not happened, of the "
            "account with the least. Below 0 it is overspent.",
            unit="percentunit",
            none=UNRULED,
            decimals=0,
            limits=LEFT,
            since=_PERIOD,
        ),
        query(f"min(1 - {_FAILING} / on (provider, account) (1 - {limit('slo_objective')} > 0))"),
    ),
    number(
        _slo(
            "Burn rate now",
            "How many times faster than the objective allows the error budget is used, in the last hour, of "
            "the account with the highest. At 1 it is gone just when the 14 days are.",
            unit="none",
            none=UNRULED,
            decimals=1,
            limits=BURNING,
        ),
        query(f"max({series(BURN_RATES['1h'])})"),
    ),
    graph(
        About(
            title="Burn rates",
            text="How many times faster than the objective allows the error budget is used: over an hour and "
            "over six. On the dashed line the budget is gone just when its 14 days are.",
            unit="none",
            none=UNRULED,
            width=12,
            height=6,
            pace=CALM,
        ),
        *(query(series(spec), legend(_ACCOUNT, span)) for span, spec in BURN_RATES.items()),
        line(f"0 * max({limit('slo_objective')}) + 1", "as fast as allowed", "yellow"),
    ),
)


def _ratio(kind: str, status: str, place: str, by: tuple[str, ...]) -> Builder[Panel]:
    name = "error" if status == ERROR else "timeout"
    about = About(
        title=f"{kind} ratio by {place}",
        text=f"Of the sessions that ended, the share with the status {status.split('=')[1]}; absent where "
        "fewer than five ended. The dashed lines are those above which the fast alert and the slow one fire.",
        unit="percentunit",
        none=UNENDED,
        width=12,
        pace=CALM,
    )
    expression = share(status, ENDS, by)
    return graph(
        about,
        query(named(expression), legend(_NAMED)) if by == _PROJECT else query(expression, legend(by)),
        line(f"max({limit(f'{name}_ratio_fast')})", "fast alert"),
        line(f"max({limit(f'{name}_ratio_slow')})", "slow alert", "yellow"),
    )


_RATIOS = (
    _ratio("Error", ERROR, "region", _REGION),
    _ratio("Error", ERROR, "project", _PROJECT),
    _ratio("Timeout", TIMED_OUT, "region", _REGION),
    _ratio("Timeout", TIMED_OUT, "project", _PROJECT),
)


def _counts(place: str, expression: str, by: tuple[str, ...]) -> Builder[Panel]:
    about = About(
        title=f"Errors and timeouts a minute by {place}",
        text="Sessions that ended badly, in a minute, upon each other. Beside a ratio it tells how many "
        "sessions that ratio is made of.",
        unit="none",
        none=UNCOUNTED,
        width=12,
        pace=CALM,
    )
    return graph(about, query(expression, legend((*by, "status"))), stacked=True)


def _failed(by: tuple[str, ...]) -> str:
    return f"({a_minute(total(rate(ENDS, FAILED), (*by, 'status')))})"


_COUNTS = (
    _counts("region", _failed(_REGION), _REGION),
    _counts("project", named(_failed(_PROJECT)), _NAMED),
)

_TABLE = (
    table(
        About(
            title="Errors and timeouts in this time range",
            text="How many sessions ended badly in the time range above, most first. Numbers are drawn on "
            "to the range's ends, and may be off by one. A click on an account leads to its spend.",
            unit="none",
            decimals=0,
            none="No session failed",
            width=24,
        ),
        (*_NAMED, "region", "status"),
        Value(title="Sessions", expression=named(f"({total(increase(ENDS, FAILED), _ROW)} > 0)"), decimals=0),
        links=of_rows({label: TITLES[label] for label in _ACCOUNT}, SPEND, EXPORTER),
    ),
)

_READING = (
    states(
        About(
            title="Accounts",
            text="Green while the exporter could read an account's sessions, red while it could not, orange "
            "before it ever had, empty while there was no exporter.",
            unit="none",
            none=UNRULED,
            width=24,
            height=6,
        ),
        query(series(STATE), legend(_ACCOUNT)),
    ),
    graph(
        About(
            title="Failed scrapes by reason",
            text="How often an account could not be read, per minute. docs/metrics.md says what each reason "
            "means and what to do.",
            unit="none",
            none=UNWATCHED,
            width=12,
            links=of_series(("provider", "account"), EXPORTER),
        ),
        query(a_minute(total(rate(ERRORS), (*_ACCOUNT, "reason"))), legend((*_ACCOUNT, "reason"))),
        stacked=True,
    ),
    graph(
        About(
            title="Rows left out, figures lowered",
            text="Rows of the provider's list that made no sense, each time they were read, in a minute; "
            "and usage figures that it lowered, of which the counters keep the higher.",
            unit="none",
            none=UNWATCHED,
            width=12,
        ),
        query(
            a_minute(total(rate(REJECTED), ("provider", "reason"))),
            legend(("provider", "reason"), "left out"),
        ),
        query(a_minute(total(rate(LOWERED), ("provider",))), legend(("provider",), "lowered")),
    ),
)

BOARD = Board(
    uid="cloud-browser-errors",
    title="Cloud browsers / Errors and timeouts",
    text="Which sessions fail, where, and whether the providers can be read.",
    since="now-6h",
    rows=(
        Row("In this time range", _TOTALS),
        Row("Objective", _OBJECTIVE),
        Row("Ratios", _RATIOS),
        Row("Where", _TABLE),
        Row("Counts", _COUNTS, collapsed=True),
        Row("Reading the providers", _READING, collapsed=True),
    ),
)
