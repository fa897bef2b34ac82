"""The dashboard on the exporter itself: whether it is in time, what it asks for, and what it weighs."""

from exporter.metrics.definitions import (
    BUILD,
    LAST_SUCCESS,
    LATENCY,
    RATE_LIMIT,
    RELOADED,
    REMAINING,
    REQUESTS,
    ROWS,
    TOOK,
    WRITE_ERRORS,
)
from grafana.board import Board
from grafana.limits import ANY, SCARCE, SLOW, STALE, WHETHER, Limits
from grafana.panels import UNWATCHED, About, Query, graph, number, table
from grafana.promql import BEGUN, CPU, MEMORY, a_minute, increase, legend, quantile, rate, series, total

_PROVIDER = ("provider",)
_ACCOUNT = ("provider", "account")
_CODE = ("provider", "code")
_INSTANCE = ("instance",)
_VERSION = ("job", "instance", "version", "revision", "python_version")


def _small(title: str, text: str, unit: str = "none", limits: Limits = (), none: str = UNWATCHED) -> About:
    return About(title=title, text=text, unit=unit, none=none, width=4, height=4, limits=limits)


_STATE = (
    number(
        _small("Running for", "Time since the exporter was last started.", "s"),
        f"time() - max({series(BEGUN)})",
    ),
    number(
        _small(
            "Configuration valid",
            "Whether the configuration was valid when it was last loaded. After No, the one before it is "
            "still in force; the log says what is wrong.",
            "bool_yes_no",
            WHETHER,
        ),
        f"min({series(RELOADED)})",
    ),
    number(
        _small(
            "Last read",
            "Time since an account was last read and recorded, of that account where it is longest ago.",
            "s",
            STALE,
            "No account was read yet",
        ),
        f"time() - min({series(LAST_SUCCESS)})",
    ),
    number(
        _small(
            "History to import",
            "Sessions that the first import has still to read. Until it is 0 the account has no counters.",
        ),
        total(series(REMAINING)),
    ),
    number(
        _small(
            "Ledger write errors",
            "How often the ledger could not be written in the time range above. Look for a full disk, or "
            "for a file that is not the exporter's.",
            limits=ANY,
        ),
        total(increase(WRITE_ERRORS)),
    ),
    number(
        _small(
            "Requests left",
            "How many requests the provider still allows now, of the account with the fewest.",
            limits=SCARCE,
            none="No provider says",
        ),
        f"min({series(RATE_LIMIT)})",
    ),
)

_PULLS = (
    graph(
        About(
            title="Scrape time",
            text="How long reading an account took in a scrape. An account that is not read by the deadline "
            "fails with the reason timeout. The deadline is scrape_timeout less half a second: 14.5 s, the "
            "red line, with a scrape_timeout of 15 s. Above the yellow line an alert fires.",
            unit="s",
            none=UNWATCHED,
            width=12,
            limits=SLOW,
        ),
        Query(series(TOOK), legend(_ACCOUNT)),
    ),
    graph(
        About(
            title="Requests by code",
            text="HTTP requests sent to the providers in a minute, those tried again included, by the "
            "status of their answer; error where none came.",
            unit="cpm",
            none=UNWATCHED,
            width=12,
        ),
        Query(a_minute(total(rate(REQUESTS), _CODE)), legend(_CODE)),
        stacked=True,
    ),
    graph(
        About(
            title="API latency",
            text="How long the providers' answers took: half of them no longer than p50, 99 of 100 no "
            "longer than p99. Interpolated within the histogram's buckets.",
            unit="s",
            none="No request was sent",
            width=12,
        ),
        *(
            Query(quantile(rank / 100, LATENCY, _PROVIDER), legend(_PROVIDER, f"p{rank}"))
            for rank in (50, 95, 99)
        ),
    ),
    graph(
        About(
            title="Rate limit left",
            text="Requests that the provider still allowed after the last one. At 0 it answers 429, and "
            "the account is not read: scrape less often, or set scrape.min_interval.",
            unit="none",
            none="No provider says",
            width=12,
        ),
        Query(series(RATE_LIMIT), legend(_ACCOUNT)),
    ),
)

_WEIGHT = (
    graph(
        About(
            title="Ledger rows",
            text="Sessions that the ledger keeps: those that may still change. It follows the sessions of "
            "the last hours, and does not grow with the history.",
            unit="none",
            none=UNWATCHED,
            width=12,
        ),
        Query(series(ROWS), legend(_ACCOUNT)),
        stacked=True,
    ),
    graph(
        About(
            title="Memory",
            text="Resident memory of the process. It follows the length of the providers' lists.",
            unit="bytes",
            none=UNWATCHED,
            width=12,
        ),
        Query(series(MEMORY), legend(_INSTANCE)),
    ),
    graph(
        About(
            title="CPU",
            text="Share of one core that the process takes, on average.",
            unit="percentunit",
            none=UNWATCHED,
            width=12,
        ),
        Query(rate(CPU), legend(_INSTANCE)),
    ),
    table(
        About(
            title="Versions",
            text="The exporters that are scraped now, and what they run.",
            unit="none",
            none=UNWATCHED,
            width=12,
        ),
        series(BUILD),
        _VERSION,
        None,
    ),
)

BOARD = Board(
    uid="cloud-browser-exporter",
    title="Cloud browsers / Exporter",
    text="Whether the exporter is in time, what it asks the providers for, and what it weighs.",
    since="now-6h",
    hidden=("project", "region"),
    rows={"Now": _STATE, "Scrapes": _PULLS, "Weight": _WEIGHT},
)
