"""The page at `/`: what the last pull brought, and links. It needs no style, no script and no other file."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape

from exporter import __version__
from exporter.model import Account, Outcome
from exporter.scrape.inflight import Report
from exporter.scrape.plan import Plan

TITLE = f"Cloud Browser Exporter {__version__}"
COLUMNS = ("Provider", "Account", "Up", "Sessions", "Failed by")


def html(plan: Plan, last: Report | None, links: Mapping[str, str]) -> str:
    """The page.

    Args:
        plan: whose accounts are shown.
        last: what the last pull brought, if there was one.
        links: words by path.
    """
    outcomes = {} if last is None else {outcome.account: outcome for outcome in last.outcomes}
    rows = (_row(target.account, outcomes.get(target.account)) for target in plan.targets)
    when = "none yet" if last is None else f"{datetime.fromtimestamp(int(last.at), UTC):%F %T} UTC"
    items = "".join(f'<li><a href="{escape(path)}">{escape(words)}</a></li>' for path, words in links.items())
    return (
        f'<!doctype html><html lang="en"><title>{TITLE}</title><h1>{TITLE}</h1>'
        f"<p>Last pull: {when}</p><table><tr>{_cells('th', COLUMNS)}</tr>{''.join(rows)}</table>"
        f"<ul>{items}</ul></html>\n"
    )


def _row(account: Account, outcome: Outcome | None) -> str:
    up, sessions, error = "not asked yet", "", ""
    if outcome is not None:
        up, error = "no" if outcome.listing is None else "yes", outcome.error or ""
        sessions = _sessions(outcome)
    return f"<tr>{_cells('td', (account.provider, account.name, up, sessions, error))}</tr>"


def _sessions(outcome: Outcome) -> str:
    """How many are listed of each status, as in `3 running, 120 completed`."""
    counts: Counter[str] = Counter()
    for (_, status), count in ({} if outcome.listing is None else outcome.listing.listed).items():
        counts[status] += count
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())


def _cells(kind: str, texts: Iterable[str]) -> str:
    return "".join(f"<{kind}>{escape(text)}</{kind}>" for text in texts)
