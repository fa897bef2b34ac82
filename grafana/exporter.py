"""The dashboard on the exporter itself: whether it is in time, what it asks for, and what it weighs."""

from exporter.metrics.definitions import (
    BUILD,
    LATENCY,
    RATE_LIMIT,
    RELOADED,
    REMAINING,
    REQUESTS,
    ROWS,
    TOOK,
    WRITE_ERRORS,
)
from grafana.board import Board, Row
from grafana.limits import ANY, SCARCE, SHARE, STALE, WHETHER, Limits
from grafana.panels import UNRULED, UNWATCHED, About, Query, graph, line, number, query
from grafana.promql import (
    BEGUN,
    CPU,
    MEMORY,
    TARGET,
    a_minute,
    gauge,
    legend,
    limit,
    of_exporters,
    quantile,
    series,
    total,
)
from grafana.records import DEADLINE_RATIO, LAST_READ, STATE
from grafana.tables import names

_PROVIDER = ("provider",)
_ACCOUNT = ("provider", "account")
_CODE = ("provider", "code")
_INSTANCE = ("instance",)
_TARGET = ("instance", *_ACCOUNT)
_VERSION = ("job", "instance", "version", "revision", "python_version")


def _small(title: str, text: str, unit: str = "none", limits: Limits = (), none: str = UNWATCHED) -> About:
    return About(title=title, text=text, unit=unit, none=none, width=4, height=4, limits=limits)


_STATE = (
    number(
        _small("Running for", "Time since the exporter was last started.", "s"),
        query(f"time() - max({of_exporters(BEGUN)})"),
    ),
    number(
        _small(
            "Configuration valid",
            "Whether the configuration was valid when it was last loaded. After No, the one before it is "
            "still in force; the log says what is wrong.",
            "bool_yes_no",
            WHETHER,
        ),
        query(f"min({series(RELOADED)})"),
    ),
    number(
        _small(
            "Last read",
            "Time since an account was last read and recorded, of that account where it is longest ago; and "
            "how many accounts were never read.",
            "s",
            STALE,
            UNRULED,
        ),
        query(f"time() - min({series(LAST_READ)})", "ago"),
        Query(
            expression=f"count({series(STATE)} == 2) or 0 * count({series(STATE)})",
            legend="never read",
            unit="none",
            limits=ANY,
        ),
    ),
    number(
        _small(
            "History to import",
            "Sessions that the first import has still to read. Until it is 0 the account has no counters.",
        ),
        query(total(gauge(REMAINING))),
    ),
    number(
        _small(
            "Ledger write errors",
            "How often the ledger could not be written in the time range above. Look for a full disk, or "
            "for a file that is not the exporter's.",
            limits=ANY,
        ),
        query(total(f"increase({series(WRITE_ERRORS)}[$__range])")),
    ),
    number(
        _small(
            "Requests left",
            "How many requests the provider still allows now, of the account with the fewest.",
            limits=SCARCE,
            none="No provider says",
        ),
        query(f"min({series(RATE_LIMIT)})"),
    ),
)

_PULLS = (
    graph(
        About(
            title="Scrape time against the deadline",
            text="How much of its deadline a scrape took to read an account. The deadline is Prometheus's "
            "scrape_timeout less half a second. An account that is not read by then fails with the reason "
            "timeout; above the dashed line an alert fires.",
            unit="percentunit",
            none=UNRULED,
            width=12,
            limits=SHARE,
        ),
        query(series(DEADLINE_RATIO), legend(_TARGET)),
        line(f"max({limit('scrape_deadline_ratio')})", "alert"),
    ),
    graph(
        About(
            title="Scrape time",
            text="How long a collector took to read an account in a scrape.",
            unit="s",
            none=UNWATCHED,
            width=12,
        ),
        query(series(TOOK), legend((*_TARGET, "collector"))),
    ),
    graph(
        About(
            title="Requests a minute by code",
            text="HTTP requests sent to the providers in a minute, those tried again included, by the "
            "status of their answer; error where none came.",
            unit="none",
            none=UNWATCHED,
            width=8,
        ),
        # Each replica sends its own.
        query(a_minute(total(f"rate({series(REQUESTS)}[$__rate_interval])", _CODE)), legend(_CODE)),
        stacked=True,
    ),
    graph(
        About(
            title="API latency",
            text="How long the providers' answers took: half of them no longer than p50, 99 of 100 no "
            "longer than p99. Interpolated within the histogram's buckets.",
            unit="s",
            none="No request was sent",
            width=8,
        ),
        *(
            query(quantile(rank / 100, LATENCY, _PROVIDER), legend(_PROVIDER, f"p{rank}"))
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
            width=8,
        ),
        query(series(RATE_LIMIT), legend(_TARGET)),
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
        query(gauge(ROWS), legend(_ACCOUNT)),
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
        query(of_exporters(MEMORY), legend(_INSTANCE)),
    ),
    graph(
        About(
            title="CPU",
            text="Share of one core that the process takes, on average.",
            unit="percentunit",
            none=UNWATCHED,
            width=12,
        ),
        query(
            f"rate({series(CPU)}[$__rate_interval]) and on ({', '.join(TARGET)}) {series(BUILD)}",
            legend(_INSTANCE),
        ),
    ),
    names(
        About(
            title="Versions",
            text="The exporters that are scraped now, and what they run.",
            unit="none",
            none=UNWATCHED,
            width=12,
        ),
        _VERSION,
        series(BUILD),
    ),
)

BOARD = Board(
    uid="cloud-browser-exporter",
    title="Cloud browsers / Exporter",
    text="Whether the exporter is in time, what it asks the providers for, and what it weighs.",
    since="now-6h",
    hidden=("project", "region"),
    rows=(Row("Now", _STATE), Row("Scrapes", _PULLS), Row("Weight", _WEIGHT, collapsed=True)),
)
