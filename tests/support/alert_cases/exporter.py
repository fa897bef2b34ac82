"""The exporter itself: targets that do not answer, its ledger, its configuration, its scrapes."""

from collections.abc import Iterator

from tests.support.alert_cases.case import HOUR, Case, fires, gauge, quiet, rising, steady
from tests.support.alert_cases.selectors import (
    BUILD,
    DEADLINE,
    ERRORS,
    LAST,
    REJECTED,
    RELOADED,
    SCRAPED,
    TOOK,
    UNWRITTEN,
    UP,
    moved,
)  # fmt: skip

GONE, REPLICA = "!ExporterGone", "ReplicaGone"
SECOND = {"instance": "NAME/second"}


def cases() -> Iterator[Case]:
    """Yields all cases of this module."""
    yield from slow_scrapes()
    yield from rejected_rows()
    yield from ledger_and_configuration()
    yield from targets()


def slow_scrapes() -> Iterator[Case]:
    for took, deadline, told in (
        (9, 29.5, quiet(40)),
        (4.4, 4.5, fires(30, "ScrapeSlow")),
        (3, 4.5, quiet(40)),
    ):
        series = {TOOK: steady(took, 40), DEADLINE: steady(deadline, 40), UP: steady(1, 40)}
        yield Case(f"scrapes of {took} s of {deadline} s", series, (told,))
    some = {TOOK: gauge((1, 1), *[(4.4, 9), (1, 1)] * 4), DEADLINE: steady(4.5, 41)}
    yield Case("one scrape in ten is quick", some, (quiet(40),), strict=True)


def rejected_rows() -> Iterator[Case]:
    each = rising((0, HOUR), (1, HOUR))
    yield Case(
        "a row is left out", {REJECTED % "malformed": each}, (quiet(90), fires(95, "SessionsRejected"))
    )
    yield Case("a row is used without a field", {REJECTED % "field": each}, (quiet(120),))
    once = {REJECTED % "times": rising((0, HOUR), (1, 1), (0, HOUR))}
    yield Case("a row is left out once", once, (quiet(121),))
    restart = {REJECTED % "malformed": [*rising((1, HOUR)), *rising((1, HOUR))]}
    yield Case("a row is left out and the exporter restarts", restart, (fires(100, "SessionsRejected"),))


def ledger_and_configuration() -> Iterator[Case]:
    ledger = "!LedgerNotWritable"
    each = rising((0, HOUR), (1, 40), (0, 20))
    told = quiet(HOUR), fires(75, ledger), quiet(120, since=110)
    yield Case("the ledger cannot be written", {UNWRITTEN: each}, told)
    yield Case("the ledger cannot be read", {ERRORS % "ledger": each, UP: steady(1, 120)}, told)
    once = {UNWRITTEN: rising((0, HOUR), (1, 1), (0, HOUR))}
    yield Case("the ledger cannot be written once", once, (quiet(121),))
    reload = "ConfigReloadFailed"
    yield Case(
        "a reload is refused", {RELOADED: gauge((1, HOUR), (0, HOUR))}, (quiet(HOUR), fires(75, reload))
    )
    yield Case("a reload is taken", {RELOADED: gauge((1, HOUR), (0, 3), (1, HOUR))}, (quiet(123),))


def targets() -> Iterator[Case]:
    up, account = gauge((1, HOUR), (0, HOUR)), {UP: gauge((1, HOUR), (None, HOUR))}
    told = quiet(65), fires(80, GONE), fires(120, GONE, since=0)
    yield Case("the exporter does not answer", {SCRAPED: up}, told, alone=True)
    yield Case("an exporter with an account does not answer", {SCRAPED: up} | account, told, alone=True)
    ended = {SCRAPED: gauge((1, HOUR), (None, HOUR))} | account
    yield Case("the exporter is no target any more", ended, told, alone=True)
    yield Case("it never answered", {SCRAPED: steady(0, HOUR)}, (fires(20, GONE),), alone=True)
    other = {"up{job='other',instance='x'}": steady(1, 120)}
    yield Case("no exporter was ever there", other, (quiet(120),), alone=True)
    monitored = {"job": "monitoring/browsers"}
    named = {moved(SCRAPED, **monitored): steady(1, 120), moved(UP, **monitored): steady(1, 120)}
    yield Case("a job of another name", named, (quiet(120),), alone=True)
    stops = {moved(SCRAPED, **monitored): up, moved(BUILD, **monitored): gauge((1, HOUR), (None, HOUR))}
    yield Case("a job of another name stops", stops, told, alone=True)
    renamed = (
        {SCRAPED: gauge((1, HOUR), (None, HOUR))}
        | account
        | {moved(name, **monitored): [*[None] * HOUR, *steady(1, HOUR)] for name in (SCRAPED, UP)}
    )
    yield Case("a job is renamed", renamed, (quiet(120),), alone=True)
    yield Case(
        "one scrape in five fails", {SCRAPED: gauge(*[(0, 1), (1, 4)] * 24)}, (quiet(120),), alone=True
    )
    second = {moved(SCRAPED, **SECOND): up, moved(UP, **SECOND): gauge((1, HOUR), (None, HOUR))}
    two = {SCRAPED: steady(1, 120), UP: steady(1, 120), LAST: steady(1, 120)} | second
    yield Case("one of two replicas is gone", two, (quiet(70), fires(120, REPLICA, since=0)), alone=True)
    others = {moved(name, account="other"): values for name, values in second.items()}
    apart = {SCRAPED: steady(1, 120), UP: steady(1, 120)} | others
    yield Case("one of two exporters is gone", apart, told, alone=True)
