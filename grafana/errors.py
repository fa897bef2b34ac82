"""The dashboard on what fails: sessions by region and project, and the reading of the providers."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from exporter.metrics.definitions import ENDS, ERRORS, LOWERED, REJECTED, UP
from grafana.board import Board
from grafana.limits import ANY, FAILING
from grafana.panels import CALM, UNCOUNTED, UNENDED, UNWATCHED, About, Query, graph, number, states, table
from grafana.promql import (
    ERROR,
    FAILED,
    TIMED_OUT,
    UNSEEN,
    a_minute,
    increase,
    legend,
    rate,
    series,
    share,
    total,
)

_ACCOUNT = ("provider", "account")
_PROJECT = ("provider", "project")
_REGION = ("provider", "region")
_ROW = (*_ACCOUNT, "project", "region", "status")


def _count(title: str, text: str, expression: str, none: str = UNCOUNTED) -> Builder[Panel]:
    about = About(title=title, text=text, unit="none", decimals=0, none=none, width=4, height=4)
    return number(about, total(expression))


def _share(title: str, text: str, status: str) -> Builder[Panel]:
    about = About(
        title=title,
        text=f"Of the sessions that ended in the time range above, the share that {text}.",
        unit="percentunit",
        decimals=1,
        none=UNENDED,
        width=4,
        height=4,
        limits=FAILING,
    )
    return number(about, share(status, ENDS, ranged=True))


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
        About(
            title="Failed scrapes",
            text="How often an account could not be read in the time range above. The reasons are below.",
            unit="none",
            decimals=0,
            none=UNWATCHED,
            width=4,
            height=4,
            limits=ANY,
        ),
        total(increase(ERRORS)),
    ),
)


def _ratio(kind: str, status: str, place: str, by: tuple[str, ...]) -> Builder[Panel]:
    about = About(
        title=f"{kind} ratio by {place}",
        text=f"Of the sessions that ended, the share with the status {status.split('=')[1]}. Above the "
        "yellow line it is worth a look, above the red one it is bad; with few sessions, one is a lot.",
        unit="percentunit",
        none=UNENDED,
        width=12,
        limits=FAILING,
        pace=CALM,
    )
    return graph(about, Query(share(status, ENDS, by), legend(by)))


_RATIOS = (
    _ratio("Error", ERROR, "region", _REGION),
    _ratio("Error", ERROR, "project", _PROJECT),
    _ratio("Timeout", TIMED_OUT, "region", _REGION),
    _ratio("Timeout", TIMED_OUT, "project", _PROJECT),
)


def _counts(place: str, by: tuple[str, ...]) -> Builder[Panel]:
    about = About(
        title=f"Errors and timeouts a minute by {place}",
        text="Sessions that ended badly, in a minute, upon each other. Beside a ratio it tells how many "
        "sessions that ratio is made of.",
        unit="cpm",
        none=UNCOUNTED,
        width=12,
    )
    by = (*by, "status")
    return graph(about, Query(a_minute(total(rate(ENDS, FAILED), by)), legend(by)), stacked=True)


_COUNTS = (
    _counts("region", _REGION),
    _counts("project", _PROJECT),
    table(
        About(
            title="Errors and timeouts in this time range",
            text="How many sessions ended badly in the time range above, most first. Numbers are drawn on "
            "to the range's ends, and may be off by one.",
            unit="none",
            decimals=0,
            none="No session failed",
            width=24,
        ),
        f"{total(increase(ENDS, FAILED), _ROW)} > 0",
        _ROW,
        "Sessions",
    ),
)

_READING = (
    states(
        About(
            title="Accounts",
            text="Green while the exporter could read an account's sessions, red while it could not, empty "
            "while there was no exporter.",
            unit="none",
            none=UNWATCHED,
            width=24,
            height=6,
        ),
        Query(series(UP), legend(_ACCOUNT)),
    ),
    graph(
        About(
            title="Failed scrapes by reason",
            text="How often an account could not be read, per minute. docs/metrics.md says what each reason "
            "means and what to do.",
            unit="cpm",
            none=UNWATCHED,
            width=12,
        ),
        Query(a_minute(total(rate(ERRORS), ("reason",))), legend(("reason",))),
        stacked=True,
    ),
    graph(
        About(
            title="Rows left out, figures lowered",
            text="Rows of the provider's list that made no sense, each time they were read, in a minute; "
            "and usage figures that it lowered, of which the counters keep the higher.",
            unit="cpm",
            none=UNWATCHED,
            width=12,
        ),
        Query(
            a_minute(total(rate(REJECTED), ("provider", "reason"))),
            legend(("provider", "reason"), "left out"),
        ),
        Query(a_minute(total(rate(LOWERED), ("provider",))), legend(("provider",), "lowered")),
    ),
)

BOARD = Board(
    uid="cloud-browser-errors",
    title="Cloud browsers / Errors and timeouts",
    text="Which sessions fail, where, and whether the providers can be read.",
    since="now-6h",
    rows={
        "In this time range": _TOTALS,
        "Ratios": _RATIOS,
        "Counts": _COUNTS,
        "Reading the providers": _READING,
    },
)
