"""What an exporter must show of a simulated fleet: the sums over its sessions, by project and region."""

from collections import Counter
from decimal import Decimal

import msgspec

from exporter.simulator.fleet import SECOND, Fleet, ProviderFacts, SimulatedSession, session_at


class ExpectedTotals(msgspec.Struct):
    """What an exporter must show of one project and region: microseconds, bytes and nano-dollars.

    browser_cost: of ended sessions only, for it may be charged upfront and refunded at the end.
    `ended` counts endings, `listed` the statuses of those listed now; what no session has is left out.
    """

    project: str
    region: str
    started: int = 0
    time: int = 0
    duration: int = 0
    proxy_bytes: int = 0
    browser_cost: int = 0
    proxy_cost: int = 0
    ended: Counter[str] = msgspec.field(default_factory=Counter)
    listed: Counter[str] = msgspec.field(default_factory=Counter)

    def add(self, session: SimulatedSession, t: int, date: int, *, listed: bool) -> None:
        """Add a session as it is at `t`."""
        self.started += 1
        self.time += session.ran(t, date)
        self.proxy_bytes += session.proxy_bytes(t)
        if session.facts.reports_cost:
            self.proxy_cost += _nano_dollars(session.proxy_cost(t))
        if t >= session.ended:
            self.ended[session.ending] += 1
            self.duration += session.ended - session.started
            if session.facts.reports_cost:
                self.browser_cost += _nano_dollars(session.browser_cost(t))
        if listed:
            self.listed[session.status(t)] += 1


def expected_totals(
    fleet: Fleet, facts: ProviderFacts, t: int, begun: int | None = None, date: int | None = None
) -> list[ExpectedTotals]:
    """Returns what must be shown at `t`, by series, after reading all that was listed at `begun` or since.

    Without `begun`, it is the fleet's origin; without `date`, that of the answer, it is `t` in whole seconds.
    """
    date = t // SECOND * SECOND if date is None else date
    first = fleet.listed(facts, fleet.origin if begun is None else begun).start
    listed = fleet.listed(facts, t)
    series: dict[tuple[str, str], ExpectedTotals] = {}
    for index in range(first, listed.stop):
        session = session_at(fleet, facts, index)
        place = session.project, session.region
        totals = series.setdefault(place, ExpectedTotals(*place))
        totals.add(session, t, date, listed=index in listed)
    return [series[place] for place in sorted(series)]


def _nano_dollars(usd: Decimal) -> int:
    """Returns whole nano-dollars, rounded half to even."""
    return round(usd.scaleb(9))
