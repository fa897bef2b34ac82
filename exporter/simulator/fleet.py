"""The simulated fleet: what two providers of browsers hold at any time, as a pure function of (seed, time).

Nothing is stored. Time is cut into gaps of 1/rate hours, numbered from the fleet's origin. Session i is
created in gap i, and a hash of the seed and i decides what becomes of it: the sessions listed at a time are a
range of indices, and a history of any length costs nothing.
Times are microseconds since 1970 UTC, for Browserbase whole milliseconds; durations are microseconds.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from hashlib import blake2b
from struct import unpack
from uuid import UUID

import msgspec

MILLISECOND, SECOND, MINUTE, HOUR, DAY = 10**3, 10**6, 60 * 10**6, 3600 * 10**6, 86400 * 10**6
BROWSERBASE, BROWSER_USE = "browserbase", "browser_use"
ORDERS = ("newest", "oldest", "newest-page", "none")
METERING = 10 * MINUTE  # how long after a session's end its traffic may still grow
BROWSER_USD_PER_MINUTE = Decimal("0.001")
PROXY_USD_PER_MB = Decimal(5) / 1024  # MB and GB are powers of two here
CACHED = 1 << 17  # sessions: more than the longest list that is asked for again and again

_PROJECTS = ("5e1b0c42-7d0f-4c8e-9f63-0d1a5b7c2e94", "c3a9d7f0-12b4-4e5a-8a77-6f20e1d4b8c5")
_REGIONS = ("us-west-2",) * 8 + ("us-east-1",) * 4 + ("eu-central-1",) * 3 + ("ap-southeast-1",)
_TEAMS = ("checkout", "pricing", "research")
_EXACT = Context(prec=28, rounding=ROUND_HALF_EVEN)
_SHORTEST = 10 * SECOND  # longer than any session is pending


class Life(msgspec.Struct, frozen=True):
    """All that becomes of one session; the methods tell how far it has come at time `t`.

    settled: when its traffic is fully metered, up to `METERING` after it ended.
    ending: the status its end counts as; Browser Use's stopped is timed_out from 1 s before `expires` on.
    luck: random bits, for fields that nothing else depends on.
    """

    created: int
    started: int
    ended: int
    expires: int
    settled: int
    ending: str
    provider: str
    id: str
    project: str
    region: str
    traffic: int
    metadata: Mapping[str, str]
    luck: int

    def status(self, t: int) -> str:
        """The provider's word for its state, in lower case."""
        if self.provider == BROWSER_USE:
            return "active" if t < self.ended else "stopped"
        if t < self.started:
            return "pending"
        return "running" if t < self.ended else self.ending

    def ran(self, t: int, date: int) -> int:
        """How long it has run, to one who reads its state of time `t` under an earlier `date`."""
        return max(0, (self.ended if t >= self.ended else date) - self.started)

    def proxy_bytes(self, t: int) -> int:
        """Traffic metered so far. The meter runs evenly, but late: it stops when the session is settled."""
        return self.traffic * max(0, min(t, self.settled) - self.started) // (self.settled - self.started)

    def proxy_mb(self, t: int) -> Decimal:
        """The same in MB, exactly."""
        return _EXACT.divide(self.proxy_bytes(t), 2**20)

    def proxy_cost(self, t: int) -> Decimal:
        """US dollars for that traffic, to 28 digits."""
        return _EXACT.multiply(self.proxy_mb(t), PROXY_USD_PER_MB)

    def browser_cost(self, t: int) -> Decimal:
        """US dollars for every minute begun, at least one."""
        return max(1, -((self.started - min(t, self.ended)) // MINUTE)) * BROWSER_USD_PER_MINUTE


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
    return Wave(
        "error" if kind == "error" else "timed_out", float(share), int(begin) * MINUTE, int(end) * MINUTE
    )


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """The sessions of one account with each provider.

    origin: when the simulation began; `history` sessions of each provider were created before it.
    rate: sessions created in an hour, with each provider; up to 3,600,000.
    retention: how long after its creation a session is listed; longest: the most that one lasts.
    error_ratio, timeout_ratio: shares of sessions that end so; Browser Use knows no errors.
    waves: when the shares are others; two at once are not meant, and the first counts.
    order: Browser Use's list by start: newest first; oldest first; newest page first but oldest first
        within each page; or none: by id, which costs a look at every session.
    Raises ValueError for values that make no fleet, naming what is allowed.
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

    def __post_init__(self) -> None:
        ratios = self.error_ratio, self.timeout_ratio
        faults = {
            "rate must be above 0 and at most 3600000": not 0 < self.rate <= HOUR / MILLISECOND,
            "history must not be negative": self.history < 0,
            "longest must be at least a minute": self.longest < MINUTE,
            "retention must be at least longest and ten minutes": self.retention < self.longest + METERING,
            "error_ratio and timeout_ratio must be 0 to 1 together": min(ratios) < 0 or not sum(ratios) <= 1,
            "a wave's share must be 0 to 1": not all(0 <= wave.share <= 1 for wave in self.waves),
            f"order must be one of {', '.join(ORDERS)}": self.order not in ORDERS,
        }
        if any(faults.values()):
            raise ValueError("; ".join(text for text, found in faults.items() if found))

    def ratios(self, created: int) -> tuple[float, float]:
        """The shares of errors and of timeouts among sessions created at a time."""
        for wave in self.waves:
            if wave.begin <= created - self.origin < wave.end:
                return (wave.share, 0.0) if wave.ending == "error" else (0.0, wave.share)
        return self.error_ratio, self.timeout_ratio

    def gap(self, index: int) -> range:
        """The time in which session `index` is created: whole milliseconds, so that both APIs can show it."""
        length = max(1, round(HOUR / MILLISECOND / self.rate)) * MILLISECOND
        begin = self.origin // MILLISECOND * MILLISECOND + index * length
        return range(begin, begin + length)

    def after(self, provider: str, t: int) -> int:
        """Index of the first session created after `t`."""
        now = self.gap(0)
        index = (t - now.start) // len(now)
        return max(-self.history, index + (life_of(self, provider, index).created <= t))

    def listed(self, provider: str, t: int) -> range:
        """Indices of the sessions that the provider lists at `t`."""
        return range(self.after(provider, t - self.retention), self.after(provider, t))

    def page(self, t: int, number: int, size: int, status: str | None = None) -> tuple[int, Sequence[int]]:
        """Browser Use's page `number`, from 1: how many sessions there are in all, and the indices on it."""
        older, recent = self._having(t, status)
        total = len(older) + len(recent)
        places = range(total) if self.order == "oldest" else range(total)[::-1]
        places = places[(number - 1) * size : number * size]
        if self.order == "newest-page":
            places = places[::-1]
        if self.order == "none":
            older, recent = (
                range(0),
                sorted([*older, *recent], key=lambda i: life_of(self, BROWSER_USE, i).id),
            )
        return total, [older[p] if p < len(older) else recent[p - len(older)] for p in places]

    def _having(self, t: int, status: str | None) -> tuple[range, Sequence[int]]:
        """Browser Use's sessions of a status, oldest first: those too old to be open, then the others."""
        listed = self.listed(BROWSER_USE, t)
        older = range(listed.start, max(listed.start, self.after(BROWSER_USE, t - self.longest)))
        recent = range(older.stop, listed.stop)
        if status is None:
            return older, recent
        chosen = [i for i in recent if life_of(self, BROWSER_USE, i).status(t) == status]
        return (older if status == "stopped" else range(0)), chosen


class Totals(msgspec.Struct):
    """What an exporter must show of one project and region: microseconds, bytes and nano-dollars.

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

    def add(self, life: Life, t: int, date: int, *, listed: bool) -> None:
        """Count a session in, as it is at `t`."""
        self.started += 1
        self.time += life.ran(t, date)
        self.proxy_bytes += life.proxy_bytes(t)
        if life.provider == BROWSER_USE:
            self.browser_cost += round(life.browser_cost(t).scaleb(9, _EXACT))  # half to even
            self.proxy_cost += round(life.proxy_cost(t).scaleb(9, _EXACT))
        if t >= life.ended:
            self.ended[life.ending] += 1
            self.duration += life.ended - life.started
        if listed:
            self.listed[life.status(t)] += 1


def truth(
    fleet: Fleet, provider: str, t: int, begun: int | None = None, date: int | None = None
) -> list[Totals]:
    """What must be shown at `t`, in order of series, by one who read all that was listed at `begun` or since.

    Where not given, `begun` is the fleet's origin, and `date`, which the answer names, `t` in whole seconds.
    """
    date = t // SECOND * SECOND if date is None else date
    first = fleet.listed(provider, fleet.origin if begun is None else begun).start
    listed = fleet.listed(provider, t)
    series: dict[tuple[str, str], Totals] = {}
    for index in range(first, listed.stop):
        life = life_of(fleet, provider, index)
        place = life.project, life.region
        series.setdefault(place, Totals(*place)).add(life, t, date, listed=index in listed)
    return [series[place] for place in sorted(series)]


@lru_cache(maxsize=CACHED)
def life_of(fleet: Fleet, provider: str, index: int) -> Life:
    """Session `index`, below 0 if created before the origin; creation times rise with the index."""
    name, *dice = unpack("<16s12I", blake2b(f"{fleet.seed}/{provider}/{index}".encode()).digest())
    own = provider == BROWSERBASE
    return Life(
        *_course(fleet, provider, fleet.gap(index), dice),
        provider=provider,
        id=str(UUID(bytes=name, version=4)),
        project=_PROJECTS[dice[6] % 4 // 3] if own else "",
        region=_REGIONS[dice[7] % 16] if own else "unknown",
        traffic=_within(2**28, dice[8] ** 4 >> 96) if dice[8] % 4 else 0,
        metadata={"env": "production" if dice[9] % 4 else "staging", "team": _TEAMS[dice[10] % 3]},
        luck=dice[11],
    )


def _course(fleet: Fleet, provider: str, gap: range, dice: list[int]) -> tuple[int, int, int, int, int, str]:
    """When a session is created, started, ended, expired and settled, and its ending."""
    own = provider == BROWSERBASE
    tick = MILLISECOND if own else 1
    created = gap.start + _within(len(gap), dice[0], tick)
    started = created + (SECOND + _within(4 * SECOND, dice[1], tick) if own else 0)
    expires = created + fleet.longest // (1, 2, 4)[dice[2] % 3] // MILLISECOND * MILLISECOND
    chance = dice[3] / 2**32
    errors, timeouts = fleet.ratios(created)
    if chance < timeouts:
        ending, ended = "timed_out", expires - (0 if own or dice[4] % 2 else _within(SECOND + 1, dice[4]))
    else:  # the cube makes most of them short; none ends so late that it seems to have timed out
        ended = created + _SHORTEST
        ended += _within(expires - ended - 2 * SECOND, dice[4] ** 3 >> 64, tick)
        failed = own and chance < timeouts + errors
        ending = "error" if failed else "completed" if own else "stopped"
    lag = _within(METERING, dice[5], tick) if dice[5] % 3 else 0
    return created, started, ended, expires, ended + lag, ending


def _within(span: int, die: int, tick: int = 1) -> int:
    """A whole number of ticks from 0 to below `span`, as a die of 32 bits decides."""
    return (die * (span // tick) >> 32) * tick
