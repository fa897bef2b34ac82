"""The landing page at `/`: whether all is well, by the last scrape. It asks no provider."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter import __version__
from exporter.metrics.definitions import SESSIONS_COLLECTOR
from exporter.metrics.results import AccountResult, ReportResult
from exporter.model import SECOND, Account, ProviderTraits, Session, moment
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import AccountTarget, ScrapePlan
from exporter.web.failures import FailedSession

OLDEST = 10
IDLE_SECONDS = 300  # without a scrape for so long, Prometheus does not scrape
UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))

_TEMPLATE = Environment(
    loader=PackageLoader("exporter.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("landing.html")


class Quota(msgspec.Struct, frozen=True):
    """A project's sessions that the provider counts against its limit; None where it does not say."""

    project: str
    used: int | None
    limit: int | None


class AccountView(msgspec.Struct, frozen=True):
    """An account as the page shows it.

    state: `up`, `importing`, `down` or `waiting`, which chooses colour and symbol. text: the same in words.
    problems: what failed and what to do. last_success: seconds since 1970. open: how many sessions are.
    """

    account: Account
    state: str
    text: str
    problems: tuple[str, ...] = ()
    last_success: float | None = None
    open: int | None = None
    quotas: tuple[Quota, ...] = ()
    credit: Mapping[str, float] = {}


class SessionView(msgspec.Struct, frozen=True):
    """A session in a list.

    link: the provider's page of it, if there is one. seconds: its age, or the time since its end.
    """

    account: Account
    id: str
    link: str | None
    region: str
    status: str
    seconds: float


class Bar(msgspec.Struct, frozen=True):
    """How many sessions of a provider are open, by region and status; `share` is of the longest bar, in %."""

    provider: str
    region: str
    status: str
    count: int
    share: float


def html(
    plan: ScrapePlan,
    last: ScrapeResult | None,
    failures: Iterable[FailedSession],
    links: Mapping[str, str],
    now: float,
) -> str:
    """Returns the page.

    Args:
        plan: whose accounts are shown.
        last: what the last scrape brought, if there was one.
        failures: the last sessions that failed.
        links: link texts by URL.
        now: seconds since 1970.
    """
    results = {} if last is None else {result.account: result for result in last.results}
    accounts = [_account(target, results.get(target.account)) for target in plan.targets]
    pages = {target.account: target.description.traits.session_page for target in plan.targets}
    shown = [(target, results[target.account]) for target in plan.targets if target.account in results]
    return _TEMPLATE.render(
        version=__version__,
        verdict=_verdict(accounts, last, now),
        last=None if last is None else last.at,
        now=now,
        accounts=sorted(accounts, key=lambda one: one.state == "up"),
        bars=_bars(shown),
        oldest=_oldest(shown),
        failures=[_failure(one, pages.get(one.account), now) for one in failures],
        links=links,
        duration=duration,
        utc=utc,
    )


def duration(seconds: float) -> str:
    """Returns a duration in its two largest units, such as `2 h 5 min`."""
    parts: list[str] = []
    rest = max(0, int(seconds))
    for unit, size in UNITS:
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def utc(seconds: float) -> str:
    """Returns a time in seconds since 1970 as people read it."""
    return f"{moment(int(seconds) * SECOND):%Y-%m-%d %H:%M:%S} UTC"


def _verdict(accounts: list[AccountView], last: ScrapeResult | None, now: float) -> tuple[str, str]:
    """Returns the state of the whole, and a sentence."""
    if last is None:
        return "waiting", "No scrape yet: check that Prometheus scrapes this exporter"
    failing = sum(one.state == "down" for one in accounts)
    if failing:
        return "down", f"{failing} of {len(accounts)} accounts cannot be read"
    if now - last.at > IDLE_SECONDS:
        return (
            "waiting",
            f"No scrape for {duration(now - last.at)}: check that Prometheus scrapes this exporter",
        )
    problems = sum(bool(one.problems) for one in accounts)
    if problems:
        return "importing", f"All accounts are read; {problems} with a remark"
    if any(one.state != "up" for one in accounts):
        return "importing", "All accounts that were scraped are read; not all are complete"
    return "up", "All is well: every account is read"


def _account(target: AccountTarget, result: AccountResult | None) -> AccountView:
    if result is None:
        return AccountView(target.account, "waiting", "not scraped yet")
    reported = result.reported
    state, text = _state(target, result)
    view = AccountView(
        target.account,
        state,
        text,
        problems=tuple(_problems(result)),
        last_success=result.last_success,
        open=_open_count(target.description.traits, result),
    )
    return view if reported is None else _with_report(view, reported)


def _state(target: AccountTarget, result: AccountResult) -> tuple[str, str]:
    if SESSIONS_COLLECTOR not in target.description.collectors:
        failed = result.reported is not None and result.reported.error is not None
        return ("down", "down") if failed else ("up", "up (sessions are not collected)")
    if result.listing is None:
        return "down", "down" if result.last_success else "down, and never read yet"
    if result.complete is False:
        return "importing", f"importing its history: {result.listing.remaining} sessions to read"
    return "up", "up"


def _problems(result: AccountResult) -> Iterator[str]:
    if result.error is not None:
        yield _problem(result.error, result.detail)
    if result.listing is not None:
        rejected = sum(count for reason, count in result.listing.rejected.items() if reason != "field")
        if rejected:
            yield f"{rejected} sessions are left out: their rows make no sense"
    if result.reported is not None and result.reported.error is not None:
        yield f"quota and credit: {_problem(result.reported.error, result.reported.detail)}"


def _problem(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason


def _with_report(view: AccountView, reported: ReportResult) -> AccountView:
    report = reported.report
    quotas = tuple(
        Quota(report.projects.get(one.project, one.project), one.used, one.limit)
        for one in report.quotas
        if one.limit is not None or one.used is not None
    )
    return msgspec.structs.replace(view, quotas=quotas, credit=report.credit)


def _open_count(traits: ProviderTraits, result: AccountResult) -> int | None:
    if result.listing is None:
        return None
    return sum(
        count for (_, status), count in result.listing.listed.items() if status in traits.open_statuses
    )


def _bars(shown: Iterable[tuple[AccountTarget, AccountResult]]) -> list[Bar]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for target, result in shown:
        for (series, status), count in ({} if result.listing is None else result.listing.listed).items():
            if status in target.description.traits.open_statuses:
                counts[target.account.provider, series.region, status] += count
    longest = max(counts.values(), default=0)
    return [Bar(*key, count, 100 * count / longest) for key, count in sorted(counts.items()) if count]


def _oldest(shown: Iterable[tuple[AccountTarget, AccountResult]]) -> list[SessionView]:
    views = (
        _open_session(target, session, result.listing.time)
        for target, result in shown
        if result.listing is not None
        for session in {one.id: one for one in result.listing.sessions if one.ended is None}.values()
    )
    return heapq.nlargest(OLDEST, views, key=lambda one: one.seconds)


def _open_session(target: AccountTarget, session: Session, time: int) -> SessionView:
    page = target.description.traits.session_page
    age = (time - (session.started or session.created)) / SECOND
    region = session.series.region
    return SessionView(target.account, session.id, _link(page, session.id), region, session.status, age)


def _failure(failed: FailedSession, page: str | None, now: float) -> SessionView:
    since = now - failed.ended / SECOND
    return SessionView(failed.account, failed.id, _link(page, failed.id), failed.region, failed.ending, since)


def _link(page: str | None, name: str) -> str | None:
    return None if page is None else page.format(id=quote(name, safe=""))
