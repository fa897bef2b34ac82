"""The dashboard that is looked at first: how many browsers run where, what they cost, what fails."""

from exporter.metrics.definitions import BYTES, DURATIONS, ENDS, OLDEST, SESSIONS, STARTS, UP
from grafana.board import Board
from grafana.limits import ANY, FAILING, OLD
from grafana.panels import CALM, UNCOUNTED, UNENDED, UNREAD, UNWATCHED, About, Query, graph, number, states
from grafana.promql import (
    ERROR,
    OPEN,
    TIMED_OUT,
    a_minute,
    legend,
    quantile,
    rate,
    series,
    share,
    total,
)
from grafana.spend import by_months_end, this_month, today

_REGION = ("provider", "region")
_ACCOUNT = ("provider", "account")
_STATUS = ("provider", "status")

_NOW = (
    number(
        About(
            title="Open sessions",
            text="Browsers that are pending or running now, of all accounts chosen above.",
            unit="none",
            none=UNREAD,
            width=4,
            height=4,
        ),
        total(series(SESSIONS, OPEN)),
    ),
    number(
        About(
            title="Accounts down",
            text="Accounts whose sessions could not be read at the last scrape. Their open sessions are "
            "missing in this dashboard; their counters stand still.",
            unit="none",
            none=UNWATCHED,
            width=4,
            height=4,
            limits=ANY,
        ),
        total(f"1 - {series(UP)}"),
    ),
    number(
        About(
            title="Oldest open session",
            text="How long the session that was opened first has run. One far above its usual length has "
            "probably been forgotten, and costs money.",
            unit="s",
            none="None is open",
            width=4,
            height=4,
            limits=OLD,
        ),
        f"time() - min({series(OLDEST)})",
    ),
    today(4),
    this_month(4),
    by_months_end(4),
)

_SESSIONS = (
    graph(
        About(
            title="Open sessions by status",
            text="Sessions that the providers list as pending, running or active, upon each other.",
            unit="none",
            none=UNREAD,
            width=12,
        ),
        Query(total(series(SESSIONS, OPEN), _STATUS), legend(_STATUS)),
        stacked=True,
    ),
    graph(
        About(
            title="Open sessions by region",
            text="The same sessions by where their browser runs. Browser Use does not say where: unknown.",
            unit="none",
            none=UNREAD,
            width=12,
        ),
        Query(total(series(SESSIONS, OPEN), _REGION), legend(_REGION)),
        stacked=True,
    ),
    graph(
        About(
            title="Starts and ends a minute",
            text="Sessions that began and that reached an end, in a minute. Where starts stay above ends, "
            "open sessions pile up.",
            unit="cpm",
            none=UNCOUNTED,
            width=12,
        ),
        Query(a_minute(total(rate(STARTS), ("provider",))), legend(("provider",), "started")),
        Query(a_minute(total(rate(ENDS), ("provider",))), legend(("provider",), "ended")),
    ),
    graph(
        About(
            title="Error and timeout ratio",
            text="Of the sessions that ended, the share that ended with an error or was cut off by its "
            "timeout. With few sessions one failure is a large share. Browser Use reports no errors.",
            unit="percentunit",
            none=UNENDED,
            width=12,
            limits=FAILING,
            pace=CALM,
        ),
        Query(share(ERROR, ENDS, ("provider",)), legend(("provider",), "errors")),
        Query(share(TIMED_OUT, ENDS, ("provider",)), legend(("provider",), "timeouts")),
    ),
)

_USAGE = (
    graph(
        About(
            title="Duration of sessions",
            text="How long the sessions that ended had run: half of them no longer than p50, 95 of 100 no "
            "longer than p95. Interpolated within the histogram's buckets.",
            unit="s",
            none=UNENDED,
            width=12,
            pace=CALM,
        ),
        Query(quantile(0.5, DURATIONS, ("provider",)), legend(("provider",), "p50")),
        Query(quantile(0.95, DURATIONS, ("provider",)), legend(("provider",), "p95")),
    ),
    graph(
        About(
            title="Proxy traffic",
            text="Bytes through the providers' proxies in a second. They are metered late: expect a step "
            "when a session ends.",
            unit="Bps",
            none=UNCOUNTED,
            width=12,
        ),
        Query(total(rate(BYTES), ("provider",)), legend(("provider",))),
        stacked=True,
    ),
)

_ACCOUNTS = (
    states(
        About(
            title="Accounts",
            text="Green while the exporter could read an account's sessions, red while it could not, empty "
            "while there was no exporter. The reasons are in the dashboard on errors.",
            unit="none",
            none=UNWATCHED,
            width=24,
            height=6,
        ),
        Query(series(UP), legend(_ACCOUNT)),
    ),
)

BOARD = Board(
    uid="cloud-browser-overview",
    title="Cloud browsers / Overview",
    text="How many browsers run where, what they cost and what fails.",
    since="now-6h",
    rows={
        "Now": _NOW,
        "Sessions": _SESSIONS,
        "Duration and traffic": _USAGE,
        "Accounts": _ACCOUNTS,
    },
)
