"""The tables of what was measured: Markdown that can be put into docs/operations.md as it is."""

import os
import platform
from collections.abc import Mapping, Sequence

import msgspec

from bench.measured import Accounts, Ended, Listed, Many, Start

GIBIBYTE = 1 << 30
FREE = 4.0  # MiB of the ledger's file may be free; what is more it gives back
NOTE = """\
Times are medians of scrapes in turns, as ratios. The floor fetches the bytes of a steady scrape with
`requests` and decodes them with `msgspec`; the naive exporter is `requests`, `json`, a loop and gauges of
`prometheus_client`, and reads every page. Both read sessions alone, and so does the exporter but for what is
marked as default, which adds the account collector's requests. Both are timed without serving what they
read; this exporter from outside, with its answer, on a connection that is kept, as Prometheus keeps it. A
scrape's own time is without what the provider took, as a multiple of that at 1,000. The lists: Browserbase's
of a week; Browser Use's with 60 new sessions an hour. Between scrapes 15 seconds pass at the provider:
sessions begin, grow, end and leave. Memory is that at the end, and the highest since the start, the first
reading of everything included. The accounts list 100 Browserbase sessions each, and their API answers every
request after 200 ms; the slowest account's time is the exporter's own figure. Scrapes a second are those of
all accounts, one after the other."""
LISTED_LIMITS = {100: 3.0, 1_000: 0.9, 10_000: 0.4, 100_000: 0.28}  # scrape / naive exporter


class Figure(msgspec.Struct, frozen=True):
    """One figure: what it is, what is to be reached, what was measured, whether it is reached."""

    name: str
    target: str
    measured: str
    reached: bool


class Report(msgspec.Struct, frozen=True):
    """What was measured: figures by the number of sessions or accounts; a part that was not is empty."""

    start: Start | None = None
    listed: Mapping[int, Listed] = {}
    accounts: Mapping[int, Accounts] = {}
    many: Mapping[str, Mapping[int, Many]] = {}
    ended: Mapping[int, Ended] = {}

    def __str__(self) -> str:
        """The tables."""
        first = f"Measured by `make bench` on {_machine()}."
        tables = [
            _figures(self),
            _listed(self.listed) if self.listed else "",
            _accounts(self.accounts) if self.accounts else "",
            _many(self.many) if self.many else "",
            _ended(self.ended) if self.ended else "",
            *_compared(self),
        ]
        return "\n\n".join(filter(None, (first, *tables, NOTE)))


def targets(report: Report) -> list[Figure]:
    """The figures to reach, of the parts that were measured."""
    figures: list[Figure] = []
    if report.listed:
        figures += _listed_figures(report.listed)
    if report.accounts:
        figures.append(_accounts_figure(report.accounts[50]))
    for ledger, measured in report.many.items():
        figures += _many_figures(ledger, measured[500])
    if report.ended:
        figures += _ended_figures(report.ended[1_000], report.ended[1_000_000])
    if report.start:
        figures += _start_figures(report.start)
    return figures


def _listed_figures(listed: Mapping[int, Listed]) -> list[Figure]:
    steady = listed[10_000]
    scrape = "steady scrape at {:,} Browserbase sessions, against the {}"
    return [
        *(
            _limited(scrape.format(size, "naive exporter"), LISTED_LIMITS[size], " x", one.ours / one.naive)
            for size, one in listed.items()
        ),
        _limited(scrape.format(10_000, "floor"), 1.3, " x", steady.ours / steady.floor),
        _limited("highest memory at 10,000 Browserbase sessions", 90, " MiB", steady.highest),
    ]


def _accounts_figure(many: Accounts) -> Figure:
    name = "scrape of 50 accounts, against the slowest account"
    return _limited(name, 1.3, " x", many.ours.seconds / many.ours.slowest)


def _many_figures(ledger: str, many: Many) -> list[Figure]:
    return [
        _limited(f"scrape of 500 accounts on {ledger}", 30, " s", many.ours.seconds),
        _limited(f"highest memory with 500 accounts on {ledger}", 400, " MiB", many.highest),
    ]


def _ended_figures(few: Ended, many: Ended) -> list[Figure]:
    own = many.ours.own / few.ours.own
    return [
        _requests(many.ours.requests),
        _limited("a scrape's own time at 1,000,000 against 1,000 ended Browser Use sessions", 1.2, " x", own),
        _kept(few, many),
        _limited("highest memory at 1,000,000 ended Browser Use sessions", 150, " MiB", many.highest),
    ]


def _start_figures(start: Start) -> list[Figure]:
    return [
        _limited("memory, idle", 70, " MiB", start.memory),
        _limited("start to first healthy answer", 2, " s", start.seconds),
    ]


def _limited(name: str, limit: float, unit: str, measured: float) -> Figure:
    """A figure with an upper limit; `unit` stands behind both."""
    digits = 0 if unit == " MiB" else 2
    return Figure(name, f"at most {limit:g}{unit}", f"{measured:.{digits}f}{unit}", measured <= limit)


def _requests(most: int) -> Figure:
    name = "requests in a steady scrape at 1,000,000 ended Browser Use sessions, at most"
    return Figure(name, "2", str(most), most == 2)


def _kept(few: Ended, many: Ended) -> Figure:
    name = "ledger after 1,000,000 Browser Use sessions have passed through"
    target, kept = (f"{one.rows} rows, {one.ledger:.2f} MiB" for one in (few, many))
    reached = many.rows <= few.rows and many.ledger <= few.ledger + FREE
    return Figure(name, f"as after 1,000: {target}", kept, reached)


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {system}, Python {platform.python_version()}"


def _figures(report: Report) -> str:
    rows = [(one.name, one.target, one.measured, _answer(reached=one.reached)) for one in targets(report)]
    return _table(("figure", "to reach", "measured", "reached"), rows)


def _answer(*, reached: bool) -> str:
    return "yes" if reached else "**no**"


def _listed(listed: Mapping[int, Listed]) -> str:
    head = (
        "Browserbase sessions", "scrape / floor", "scrape / naive",
        "the same by default", "memory", "highest",
    )  # fmt: skip
    rows = [
        (
            f"{size:,}",
            *(_ratio(one.ours / rival) for rival in (one.floor, one.naive)),
            _ratio(one.whole / one.naive),
            *_memory(one),
        )
        for size, one in listed.items()
    ]
    return _table(head, rows)


def _compared(report: Report) -> list[str]:
    """The table of the ratios to another checkout's exporter, if there was one."""
    seconds = [
        *((f"{size:,} Browserbase sessions", one.ours, one.other) for size, one in report.listed.items()),
        *((f"{count} accounts", one.ours.seconds, one.other) for count, one in report.accounts.items()),
        *((f"{size:,} ended Browser Use", one.ours.seconds, one.other) for size, one in report.ended.items()),
    ]
    rows = [(name, f"{new:.4f}", f"{old:.4f}", _ratio(new / old)) for name, new, old in seconds if old]
    return [_table(("scrape, seconds", "new", "old", "new / old"), rows)] if rows else []


def _accounts(accounts: Mapping[int, Accounts]) -> str:
    head = ("accounts", "scrape / slowest account", "scrape / that of one account", "memory", "highest")
    alone = accounts[1].ours.seconds
    rows = [
        (
            str(count),
            _ratio(one.ours.seconds / one.ours.slowest),
            _ratio(one.ours.seconds / alone),
            *_memory(one),
        )
        for count, one in accounts.items()
    ]
    return _table(head, rows)


def _many(many: Mapping[str, Mapping[int, Many]]) -> str:
    head = (
        "ledger", "accounts", "seconds of a scrape", "scrapes a second", "processor seconds",
        "scrape / slowest account", "memory", "highest",
    )  # fmt: skip
    rows = [
        (
            ledger,
            str(count),
            f"{one.ours.seconds:.2f}",
            f"{1 / one.ours.seconds:.2f}",
            f"{one.cpu:.3f}",
            _ratio(one.ours.seconds / one.ours.slowest),
            *_memory(one),
        )
        for ledger, measured in many.items()
        for count, one in measured.items()
    ]
    return _table(head, rows)


def _ended(ended: Mapping[int, Ended]) -> str:
    head = (
        "ended Browser Use sessions", "requests", "own time", "scrape / floor", "scrape / naive",
        "memory", "highest", "ledger rows", "ledger file", "its log",
    )  # fmt: skip
    first = ended[min(ended)]
    return _table(head, [(f"{size:,}", *_history(one, first)) for size, one in ended.items()])


def _history(one: Ended, first: Ended) -> tuple[str, ...]:
    return (
        str(one.ours.requests),
        _ratio(one.ours.own / first.ours.own),
        _ratio(one.ours.seconds / one.floor),
        "not measured" if one.naive is None else _ratio(one.naive),
        *_memory(one),
        str(one.rows),
        f"{one.ledger:.2f} MiB",
        f"{one.log:.1f} MiB",
    )


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _memory(one: Listed | Accounts | Many | Ended) -> tuple[str, str]:
    return f"{one.memory:.0f} MiB", f"{one.highest:.0f} MiB"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """All columns but the first are figures."""
    rule = ("---", *("---:" for _ in head[1:]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
