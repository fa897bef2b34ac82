"""The simulated fleet: what providers of browsers list at any time, as a pure function of (seed, time).

Nothing is stored. Time is cut into slots of 1/rate hours, numbered from the fleet's origin. Session i is
created in slot i, and a hash of the seed and i decides what becomes of it: the sessions listed at a time are
a range of indices, and a history of any length costs nothing.
Times are microseconds since 1970 UTC; durations are microseconds.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from hashlib import blake2b
from struct import unpack
from uuid import UUID

import msgspec

MILLISECOND, SECOND, MINUTE, HOUR, DAY = 10**3, 10**6, 60 * 10**6, 3600 * 10**6, 86400 * 10**6
ORDERS = ("newest", "oldest", "newest-page", "none")
BILLING = ("metered", "upfront")
METERING = 10 * MINUTE  # how long after a session's end its traffic may still grow
MIN_DURATION = 10 * SECOND  # longer than any session is pending
BROWSER_USD_PER_HOUR = Decimal("0.02")
PROXY_USD_PER_MB = Decimal(5) / 1024  # MB and GB are powers of two here
CACHE_SIZE = 1 << 17  # sessions: more than the longest list that is requested repeatedly

_TEAMS = ("checkout", "pricing", "research")
_EXACT = Context(prec=28, rounding=ROUND_HALF_EVEN)


class ProviderFacts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What sets a provider's sessions apart from another's.

    name: of the provider, and part of its sessions' hashes.
    tick: the unit of the API's times, in microseconds.
    min_startup, startup_span: the range of times from created to started.
    pending_status, open_status: before and after the start.
    completed: the ending of a session that neither failed nor timed out.
    ended_status: shown of every ended session; None where the ending itself is shown.
    has_errors: whether sessions can end in error.
    early_timeout: how long before its expiry a session may time out.
    projects, regions: each session has one of each, with equal chances; repeated ones are likelier.
    reports_cost: whether the API shows what a session costs.
    """

    name: str
    tick: int
    min_startup: int = 0
    startup_span: int = 0
    pending_status: str
    open_status: str
    completed: str
    ended_status: str | None = None
    has_errors: bool
    early_timeout: int = 0
    projects: tuple[str, ...] = ("",)
    regions: tuple[str, ...] = ("unknown",)
    reports_cost: bool


class SimulatedSession(msgspec.Struct, frozen=True):
    """All that becomes of one session; the methods return its state at time `t`.

    settled: when its traffic is fully metered, up to `METERING` after it ended.
    ending: the status that its end counts as; `timed_out` also where the API shows another.
    upfront: whether its whole period is charged when it starts, and the rest refunded when it ends.
    random_bits: for fields that nothing else depends on.
    """

    created: int
    started: int
    ended: int
    expires: int
    settled: int
    ending: str
    facts: ProviderFacts
    id: str
    project: str
    region: str
    traffic: int
    metadata: Mapping[str, str]
    upfront: bool
    random_bits: int

    def status(self, t: int) -> str:
        """The status that the provider shows, in lower case."""
        if t >= self.ended:
            return self.facts.ended_status or self.ending
        return self.facts.open_status if t >= self.started else self.facts.pending_status

    def ran(self, t: int, date: int) -> int:
        """How long it has run, to one who reads its state of time `t` under an earlier `date`."""
        return max(0, (self.ended if t >= self.ended else date) - self.started)

    def proxy_bytes(self, t: int) -> int:
        """Traffic metered so far. It grows evenly, but late: until the session has settled."""
        return self.traffic * max(0, min(t, self.settled) - self.started) // (self.settled - self.started)

    def proxy_mb(self, t: int) -> Decimal:
        """The same in MB, exactly."""
        return _EXACT.divide(self.proxy_bytes(t), 2**20)

    def proxy_cost(self, t: int) -> Decimal:
        """US dollars for that traffic, to 28 digits."""
        return _EXACT.multiply(self.proxy_mb(t), PROXY_USD_PER_MB)

    def browser_cost(self, t: int) -> Decimal:
        """US dollars for every minute begun, at least one; charged upfront, until its expiry."""
        until = self.expires if self.upfront and t < self.ended else min(t, self.ended)
        minutes = max(1, -((self.started - until) // MINUTE))
        return _EXACT.divide(minutes * BROWSER_USD_PER_HOUR, 60)


class Wave(msgspec.Struct, frozen=True):
    """A time after the fleet's origin in which `share` of the new sessions end otherwise: with `ending`."""

    ending: str
    share: float
    begin: int
    end: int


def parse_wave(text: str) -> Wave:
    """Read `KIND:SHARE:BEGIN:END`, such as `error:0.5:10:25`, in minutes. Raises ValueError."""
    match = re.fullmatch(r"(error|timeout):(0|1|0?\.[0-9]+):([0-9]{1,6}):([0-9]{1,6})", text)
    if match is None:
        wanted = "KIND error or timeout, SHARE from 0 to 1, then the minutes at which it begins and ends"
        raise ValueError(f"{text!r} is not KIND:SHARE:BEGIN:END; allowed: {wanted}")
    kind, share, begin, end = match.groups()
    if int(end) <= int(begin):
        raise ValueError(f"{text!r} ends before it begins; allowed: END after BEGIN")
    return Wave(
        "error" if kind == "error" else "timed_out", float(share), int(begin) * MINUTE, int(end) * MINUTE
    )


class Fleet(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """The sessions of one account at each provider.

    origin: when the simulation began; `history` sessions of each provider were created before it.
    rate: sessions created in an hour, at each provider; up to 3,600,000.
    retention: how long after its creation a session is listed; longest: the most that one lasts.
    error_ratio, timeout_ratio: shares of sessions that end so; some providers know no errors.
    waves: times in which these shares are others; where waves overlap, the first counts.
    order: of lists in pages, by start: newest first; oldest first; newest page first but oldest first
        within each page; or none: by id, which costs a look at every session.
    billing: whether a reported browser cost grows by the minute (`metered`), or covers the whole period from
        the start and falls to the metered cost at the session's end (`upfront`).
    Raises ValueError for values out of range, naming the flag and what is allowed.
    """

    origin: int
    seed: int = 1
    rate: float = 60.0
    history: int = 1000
    retention: int = 30 * DAY
    longest: int = HOUR
    error_ratio: float = 0.04
    timeout_ratio: float = 0.03
    waves: tuple[Wave, ...] = ()
    order: str = "newest"
    billing: str = "metered"

    def __post_init__(self) -> None:
        ratios, least = (self.error_ratio, self.timeout_ratio), self.longest + METERING
        faults = {
            "--rate must be above 0 and at most 3600000": not 0 < self.rate <= HOUR / MILLISECOND,
            "--history must not be negative": self.history < 0,
            "longest must be at least a minute": self.longest < MINUTE,
            f"--retention must be at least {least / DAY:.2g} days": self.retention < least,
            "--error-ratio and --timeout-ratio must not be negative": min(ratios) < 0,
            "--error-ratio plus --timeout-ratio must be at most 1": not sum(ratios) <= 1,
            "the share of a --wave must be 0 to 1": not all(0 <= wave.share <= 1 for wave in self.waves),
            f"--order must be one of {', '.join(ORDERS)}": self.order not in ORDERS,
            f"--billing must be one of {', '.join(BILLING)}": self.billing not in BILLING,
        }
        if any(faults.values()):
            raise ValueError("; ".join(text for text, found in faults.items() if found))

    def ratios(self, created: int) -> tuple[float, float]:
        """The shares of errors and of timeouts among sessions created at a time."""
        for wave in self.waves:
            if wave.begin <= created - self.origin < wave.end:
                return (wave.share, 0.0) if wave.ending == "error" else (0.0, wave.share)
        return self.error_ratio, self.timeout_ratio

    def slot(self, index: int) -> range:
        """The time in which session `index` is created: whole milliseconds, so that all APIs can show it."""
        length = max(1, round(HOUR / MILLISECOND / self.rate)) * MILLISECOND
        begin = self.origin // MILLISECOND * MILLISECOND + index * length
        return range(begin, begin + length)

    def after(self, facts: ProviderFacts, t: int) -> int:
        """Index of the provider's first session created after `t`."""
        now = self.slot(0)
        index = (t - now.start) // len(now)
        return max(-self.history, index + (session_at(self, facts, index).created <= t))

    def listed(self, facts: ProviderFacts, t: int) -> range:
        """Indices of the sessions that the provider lists at `t`."""
        return range(self.after(facts, t - self.retention), self.after(facts, t))


@lru_cache(maxsize=CACHE_SIZE)
def session_at(fleet: Fleet, facts: ProviderFacts, index: int) -> SimulatedSession:
    """Session `index`, below 0 if created before the origin; creation times rise with the index."""
    name, *bits = unpack("<16s12I", blake2b(f"{fleet.seed}/{facts.name}/{index}".encode()).digest())
    return SimulatedSession(
        *_lifecycle(fleet, facts, fleet.slot(index), bits),
        facts=facts,
        id=str(UUID(bytes=name, version=4)),
        project=facts.projects[bits[6] % len(facts.projects)],
        region=facts.regions[bits[7] % len(facts.regions)],
        traffic=_scaled(2**28, bits[8] ** 4 >> 96) if bits[8] % 4 else 0,
        metadata={"env": "production" if bits[9] % 4 else "staging", "team": _TEAMS[bits[10] % 3]},
        upfront=fleet.billing == "upfront",
        random_bits=bits[11],
    )


def _lifecycle(
    fleet: Fleet, facts: ProviderFacts, slot: range, bits: list[int]
) -> tuple[int, int, int, int, int, str]:
    """When a session is created, started, ended, expired and settled, and its ending."""
    created = slot.start + _scaled(len(slot), bits[0], facts.tick)
    started = created + facts.min_startup + _scaled(facts.startup_span, bits[1], facts.tick)
    expires = created + fleet.longest // (1, 2, 4)[bits[2] % 3] // MILLISECOND * MILLISECOND
    chance = bits[3] / 2**32
    errors, timeouts = fleet.ratios(created)
    if chance < timeouts:
        early = 0 if bits[4] % 2 else _scaled(facts.early_timeout + 1, bits[4])
        ending, ended = "timed_out", expires - early
    else:  # the cube makes most of them short; none ends so late that it seems to have timed out
        ended = created + MIN_DURATION
        ended += _scaled(expires - ended - 2 * SECOND, bits[4] ** 3 >> 64, facts.tick)
        failed = facts.has_errors and chance < timeouts + errors
        ending = "error" if failed else facts.completed
    lag = _scaled(METERING, bits[5], facts.tick) if bits[5] % 3 else 0
    return created, started, ended, expires, ended + lag, ending


def _scaled(span: int, bits: int, tick: int = 1) -> int:
    """A whole number of ticks from 0 to below `span`, chosen by 32 random bits."""
    return (bits * (span // tick) >> 32) * tick
