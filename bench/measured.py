"""What was measured. Times are medians in seconds, memory and files are in MiB."""

import msgspec

from bench.contest import Times


class Listed(msgspec.Struct, frozen=True):
    """Browserbase's figures at one size.

    ours: the exporter's seconds where it reads sessions alone, as its rivals do; whole: as it is by default,
    with the account collector; other: of another checkout's exporter, sessions alone.
    """

    floor: float
    naive: float
    ours: float
    whole: float
    memory: float
    highest: float
    other: float | None = None


class Ended(msgspec.Struct, frozen=True):
    """Browser Use's figures at one size. naive: how often the naive exporter's time ours is, if measured.

    requests: in a steady scrape. rows, ledger, log: what the ledger, its file and SQLite's log hold.
    """

    ours: Times
    floor: float
    memory: float
    highest: float
    rows: int
    ledger: float
    log: float
    naive: float | None
    other: float | None = None


class Accounts(msgspec.Struct, frozen=True):
    """The figures of an exporter with so many accounts."""

    ours: Times
    memory: float
    highest: float
    other: float | None = None


class Many(msgspec.Struct, frozen=True):
    """The figures of an exporter with so many accounts; `cpu`: processor seconds of a scrape."""

    ours: Times
    cpu: float
    memory: float
    highest: float


class Start(msgspec.Struct, frozen=True):
    """Seconds to the first healthy answer, and the memory after it."""

    seconds: float
    memory: float
