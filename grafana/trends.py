"""The overview's graphs: trends with the limits of the alerts, quota and credit, detail, and teams."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from exporter.metrics.definitions import (
    BYTES,
    COSTS,
    CREDIT,
    DURATIONS,
    ENDS,
    OLDEST,
    QUOTA_LIMIT,
    QUOTA_USED,
    SESSIONS,
    START_LATENCY,
    STARTS,
    Spec,
)
from grafana.links import ERRORS, EXPORTER, SPEND, of_series
from grafana.panels import CALM, UNCOUNTED, UNENDED, UNREAD, About, Query, graph, line, query
from grafana.promql import (
    ERROR,
    FAILED,
    OPEN,
    TIMED_OUT,
    a_minute,
    an_hour,
    gauge,
    legend,
    limit,
    named,
    quantile,
    rate,
    series,
    share,
    total,
)
from grafana.records import CREDIT_HOURS

ACCOUNT = ("provider", "account")
_PROVIDER = ("provider",)
_REGION = ("provider", "region")
_STATUS = ("provider", "status")
_LIMIT = legend(ACCOUNT, "limit")


def _failing(kind: str, status: str, name: str) -> Builder[Panel]:
    about = About(
        title=f"{kind} ratio by account",
        text=f"Of the sessions that ended, the share with the status {status.split('=')[1]}; absent where "
        "fewer than five ended. The dashed lines are those above which the fast alert and the slow one fire, "
        "if it lasts.",
        unit="percentunit",
        none=UNENDED,
        width=12,
        pace=CALM,
        links=of_series(ACCOUNT, ERRORS),
    )
    return graph(
        about,
        query(share(status, ENDS, ACCOUNT), legend(ACCOUNT)),
        line(limit(f"{name}_ratio_fast"), legend(ACCOUNT, "fast alert")),
        line(limit(f"{name}_ratio_slow"), legend(ACCOUNT, "slow alert"), "yellow"),
    )


TRENDS = (
    _failing("Error", ERROR, "error"),
    _failing("Timeout", TIMED_OUT, "timeout"),
    graph(
        About(
            title="Spend an hour by account",
            text="US dollars in an hour, at the pace of the last twenty minutes. The dashed lines are the "
            "budgets by the hour.",
            unit="currencyUSD",
            none="No cost: no prices set?",
            width=12,
            pace=CALM,
            links=of_series(ACCOUNT, SPEND),
        ),
        query(an_hour(total(rate(COSTS), ACCOUNT)), legend(ACCOUNT)),
        line(limit("budget_usd_per_hour"), _LIMIT),
    ),
    graph(
        About(
            title="Open sessions by account",
            text="Sessions that the providers list as pending, running or active. The dashed lines are the "
            "accounts' limits, where they have one.",
            unit="none",
            none=UNREAD,
            width=12,
            links=of_series(ACCOUNT, ERRORS, SPEND),
        ),
        query(total(gauge(SESSIONS, OPEN), ACCOUNT), legend(ACCOUNT)),
        line(limit("open_sessions"), _LIMIT),
    ),
    graph(
        About(
            title="Starts and ends a minute",
            text="Sessions that began and that reached an end, in a minute. Where starts stay above ends, "
            "open sessions pile up.",
            unit="none",
            none=UNCOUNTED,
            width=12,
            pace=CALM,
        ),
        query(a_minute(total(rate(STARTS), _PROVIDER)), legend(_PROVIDER, "started")),
        query(a_minute(total(rate(ENDS), _PROVIDER)), legend(_PROVIDER, "ended")),
    ),
    graph(
        About(
            title="Age of the oldest open session",
            text="How long the session that was opened first has run. The dashed lines are the ages at which "
            "the alert fires.",
            unit="s",
            none="None is open",
            width=12,
            links=of_series(ACCOUNT, SPEND),
        ),
        query(f"time() - min by (provider, account) ({series(OLDEST)})", legend(ACCOUNT)),
        line(limit("session_age_seconds"), _LIMIT),
    ),
)

_PROJECT = (*ACCOUNT, "project")
_NAMED = legend((*ACCOUNT, "project_name"))

QUOTAS = (
    graph(
        About(
            title="Sessions counted against the plan's limit",
            text="What the provider itself counts against its limit of concurrent sessions. The dashed lines "
            "are the plans' limits. More than are listed as open: sessions that hold a slot and are shown "
            "nowhere.",
            unit="none",
            none="No provider says",
            width=12,
            links=of_series(ACCOUNT, EXPORTER),
        ),
        query(named(total(gauge(QUOTA_USED), _PROJECT)), _NAMED),
        line(named(total(gauge(QUOTA_LIMIT), _PROJECT)), legend((*ACCOUNT, "project_name"), "limit")),
    ),
    graph(
        About(
            title="Credit left",
            text="US dollars of credit, by kind. Sessions are charged upfront and refunded: it may dip and "
            "come back.",
            unit="currencyUSD",
            none="No provider says",
            width=6,
            links=of_series(ACCOUNT, SPEND),
        ),
        query(gauge(CREDIT), legend((*ACCOUNT, "kind"))),
    ),
    graph(
        About(
            title="Hours until the credit is gone",
            text="At the pace of the last hours; absent while it does not fall steadily. The dashed lines "
            "are those below which the alerts fire.",
            unit="h",
            none="It does not fall",
            width=6,
            links=of_series(ACCOUNT, SPEND),
        ),
        query(series(CREDIT_HOURS), legend(ACCOUNT)),
        line(limit("credit_hours_critical"), legend(ACCOUNT, "critical")),
        line(limit("credit_hours_warning"), legend(ACCOUNT, "warning"), "yellow"),
    ),
)


def _open(place: str, by: tuple[str, ...], text: str) -> Builder[Panel]:
    about = About(title=f"Open sessions by {place}", text=text, unit="none", none=UNREAD, width=12)
    return graph(about, query(total(gauge(SESSIONS, OPEN), by), legend(by)), stacked=True)


DETAIL = (
    _open(
        "status", _STATUS, "Sessions that the providers list as pending, running or active, upon each other."
    ),
    _open(
        "region",
        _REGION,
        "The same sessions by where their browser runs. Browser Use does not say where: unknown.",
    ),
    graph(
        About(
            title="Duration of sessions",
            text="How long the sessions that ended had run: half of them no longer than p50, 95 of 100 no "
            "longer than p95. Interpolated within the histogram's buckets.",
            unit="s",
            none=UNENDED,
            width=8,
            pace=CALM,
        ),
        *(
            Query(
                expression=quantile(rank / 100, DURATIONS, _PROVIDER),
                legend=legend(_PROVIDER, f"p{rank}"),
                exemplars=True,
            )
            for rank in (50, 95)
        ),
    ),
    graph(
        About(
            title="Time until a session runs",
            text="From a session's creation until it runs, of the sessions whose provider says both: half of "
            "them no longer than p50, 95 of 100 no longer than p95.",
            unit="s",
            none=UNENDED,
            width=8,
            pace=CALM,
        ),
        *(
            query(quantile(rank / 100, START_LATENCY, _PROVIDER), legend(_PROVIDER, f"p{rank}"))
            for rank in (50, 95)
        ),
    ),
    graph(
        About(
            title="Proxy traffic an hour",
            text="Bytes through the providers' proxies in an hour. They are metered late: expect a step "
            "when a session ends.",
            unit="decbytes",
            none=UNCOUNTED,
            width=8,
            pace=CALM,
        ),
        query(an_hour(total(rate(BYTES), _PROVIDER)), legend(_PROVIDER)),
        stacked=True,
    ),
)

_TEAM = ("team",)
_NO_TEAM = "No metadata label team: see metadata_labels in docs/configuration.md"


def _of_teams(spec: Spec) -> Spec:
    """A metric where the configuration gives it the metadata label `team`."""
    return Spec(spec.name, spec.kind, spec.text, (*spec.labels, *_TEAM))


def _by_team(title: str, text: str, unit: str, expression: str) -> Builder[Panel]:
    about = About(title=title, text=text, unit=unit, none=_NO_TEAM, width=8, pace=CALM)
    return graph(about, query(expression, legend(_TEAM)), stacked=True)


TEAMS = (
    _by_team(
        "Spend an hour by team",
        "US dollars in an hour, of the sessions that have a team in their metadata.",
        "currencyUSD",
        an_hour(total(rate(_of_teams(COSTS), 'team!=""'), _TEAM)),
    ),
    _by_team(
        "Open sessions by team",
        "Sessions that are open now and have a team in their metadata.",
        "none",
        total(gauge(_of_teams(SESSIONS), OPEN, 'team!=""'), _TEAM),
    ),
    _by_team(
        "Errors and timeouts a minute by team",
        "Sessions that ended badly, in a minute, of those that have a team in their metadata.",
        "none",
        a_minute(total(rate(_of_teams(ENDS), FAILED, 'team!=""'), _TEAM)),
    ),
)
