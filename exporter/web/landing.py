"""The landing page at `/`: the last scrape's results, and links. It needs no other file."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape

from exporter import __version__
from exporter.metrics.results import AccountResult
from exporter.model import Account
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import ScrapePlan

TITLE = f"Cloud Browser Exporter {__version__}"
COLUMNS = ("Provider", "Account", "Up", "Sessions", "Failed by")


def html(plan: ScrapePlan, last: ScrapeResult | None, links: Mapping[str, str]) -> str:
    """Returns the page.

    Args:
        plan: whose accounts are shown.
        last: what the last scrape brought, if there was one.
        links: link texts by path.
    """
    results = {} if last is None else {result.account: result for result in last.results}
    rows = (_row(target.account, results.get(target.account)) for target in plan.targets)
    when = "none yet" if last is None else f"{datetime.fromtimestamp(int(last.at), UTC):%F %T} UTC"
    items = "".join(f'<li><a href="{escape(path)}">{escape(text)}</a></li>' for path, text in links.items())
    return (
        f'<!doctype html><html lang="en"><title>{TITLE}</title><h1>{TITLE}</h1>'
        f"<p>Last scrape: {when}</p><table><tr>{_cells('th', COLUMNS)}</tr>{''.join(rows)}</table>"
        f"<ul>{items}</ul></html>\n"
    )


def _row(account: Account, result: AccountResult | None) -> str:
    up, sessions, error = "not scraped yet", "", ""
    if result is not None:
        up, error = "no" if result.listing is None else "yes", result.error or ""
        sessions = _sessions(result)
    return f"<tr>{_cells('td', (account.provider, account.name, up, sessions, error))}</tr>"


def _sessions(result: AccountResult) -> str:
    """Returns how many are listed of each status, as in `3 running, 120 completed`."""
    counts: Counter[str] = Counter()
    for (_, status), count in ({} if result.listing is None else result.listing.listed).items():
        counts[status] += count
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())


def _cells(kind: str, texts: Iterable[str]) -> str:
    return "".join(f"<{kind}>{escape(text)}</{kind}>" for text in texts)
