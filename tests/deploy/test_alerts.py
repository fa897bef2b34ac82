"""The alerts, by promtool: each fires, but not just below; resets and missing scrapes change nothing."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from tests.support.processes import run
from tests.support.rules import ALERTS, GROUPS, OF_EXPORTER, RULES, VERSIONS, promtool

FIRES, QUIET = True, False
HALF_HOUR, HOUR, DAY, WEEK = 30, 60, 1440, 10080  # minutes
SHORT = 80  # minutes: an hour's window, and time for what follows

# All cases of one length are accounts and instances of one test; NAME becomes the case's name.
TARGET = 'job="cloud-browser-exporter",instance="NAME"'
A = f'{TARGET},provider="browserbase",account="NAME"'
L = f'{A},project="p",region="us-west-2"'
UP = f"cloud_browser_up{{{A}}}"
ENDED = f'cloud_browser_sessions_ended_total{{{L},status="%s"}}'
STARTED = f"cloud_browser_sessions_started_total{{{L}}}"
OLDEST = f"cloud_browser_oldest_open_session_start_timestamp_seconds{{{L}}}"
COST = f'cloud_browser_cost_usd_total{{{L},kind="browser",source="estimated"}}'
BYTES = f"cloud_browser_proxy_bytes_total{{{L}}}"
ERRORS = f'cloud_browser_exporter_errors_total{{{A},collector="sessions",reason="%s"}}'
COMPLETE = f"cloud_browser_history_complete{{{A}}}"
REMAINING = f"cloud_browser_history_remaining_sessions{{{A}}}"
TOOK = f'cloud_browser_collector_duration_seconds{{{A},collector="sessions"}}'
REJECTED = f'cloud_browser_exporter_rejected_sessions_total{{{A},reason="%s"}}'
UNWRITTEN = f"cloud_browser_exporter_ledger_write_errors_total{{{TARGET}}}"
RELOADED = f"cloud_browser_exporter_config_last_reload_successful{{{TARGET}}}"
SCRAPED = f"up{{{TARGET}}}"

Values: TypeAlias = list[float | None]  # a sample for each minute; None where a scrape fails


class Case(msgspec.Struct, frozen=True):
    """What is scraped each minute, and whether that makes the alert fire at the end."""

    alert: str
    when: str
    fires: bool
    series: Mapping[str, Values]
    every: int = 1  # minutes from one evaluation of the rules to the next
    alone: bool = False  # in a Prometheus of its own, since it is about what is absent

    @property
    def name(self) -> str:
        return f"{self.alert.removeprefix('CloudBrowser')}: {self.when}"

    @property
    def minutes(self) -> int:
        """The time of the last evaluation, with the last sample."""
        return max(len(values) for values in self.series.values()) - 1

    @property
    def group(self) -> tuple[int, int, str]:
        """Cases of one group are tested together."""
        return self.every, self.minutes, self.name if self.alone else ""


def steady(value: float, minutes: int = SHORT) -> Values:
    """The same value each minute, from minute 0 to the last."""
    return [value] * (minutes + 1)


def rising(*pieces: tuple[float, int]) -> Values:
    """A counter that begins at 0 and rises by so much a minute for so many minutes, piece after piece."""
    values: Values = [0.0]
    total = 0.0
    for by, minutes in pieces:
        for _ in range(minutes):
            total += by
            values.append(round(total, 6))
    return values


def gauge(*pieces: tuple[float, int]) -> Values:
    """The first value at minute 0, then each for so many minutes."""
    return [pieces[0][0], *(value for value, minutes in pieces for _ in range(minutes))]


def endings(status: str, share: float, each: float) -> dict[str, Values]:
    """So many sessions end each minute, a share of them with this status."""
    return {
        ENDED % status: rising((each * share, SHORT)),
        ENDED % "completed": rising((each * (1 - share), SHORT)),
    }


def week(before: float, last: float) -> Values:
    """So much an hour for a week and two hours, and at another pace in the two hours after."""
    return rising((before / HOUR, WEEK + 2 * HOUR), (last / HOUR, 2 * HOUR))


def day(before: float, last: float) -> Values:
    """So much an hour for a day, and at another pace in the hour and a half after."""
    return rising((before / HOUR, DAY), (last / HOUR, 90))


def read(*pieces: tuple[float, int]) -> Values:
    """Whether the account is read, in the four hours after a week: no rule asks for earlier."""
    return [None] * WEEK + gauge(*pieces)


def failing(reason: str, values: Values) -> dict[str, Values]:
    return {ERRORS % reason: values, UP: steady(0)}


def cases() -> Iterator[Case]:
    yield from provider_cases()
    yield from session_cases()
    yield from no_session_cases()
    yield from spending_cases()
    yield from proxy_cases()
    yield from import_and_scrape_cases()
    yield from exporter_cases()


def provider_cases() -> Iterator[Case]:
    alert = "CloudBrowserProviderDown"
    yield Case(alert, "no scrape reads it", FIRES, {UP: steady(0)})
    yield Case(alert, "no scrape of the last 20 minutes does", FIRES, {UP: gauge((1, HOUR), (0, 20))})
    yield Case(alert, "one scrape in ten does", FIRES, {UP: gauge(*[(0, 9), (1, 1)] * 8)})
    yield Case(alert, "two scrapes in three do", QUIET, {UP: gauge(*[(1, 2), (0, 1)] * 26, (1, 2))})
    for alert, reason in (
        ("CloudBrowserKeyRefused", "auth"),
        ("CloudBrowserPaymentRequired", "payment"),
        ("CloudBrowserRateLimited", "rate_limited"),
    ):
        each = rising((1, SHORT))
        yield Case(alert, "each scrape is refused", FIRES, failing(reason, each))
        yield Case(alert, "it is read", QUIET, {**failing(reason, each), UP: steady(1)})
        yield Case(alert, "that has passed", QUIET, failing(reason, rising((1, 40), (0, 40))))
        yield Case(alert, "another reason", QUIET, failing("server", each))
        short = {ERRORS % reason: rising((0, 72), (1, 2), (0, 6)), UP: gauge((1, 72), (0, 2), (1, 6))}
        yield Case(alert, "two scrapes were refused", QUIET, short)
    twice = rising((0, 70), (1, 2), (0, 8))
    yield Case("CloudBrowserRateLimited", "only two refusals", QUIET, failing("rate_limited", twice))


def session_cases() -> Iterator[Case]:
    for alert, status in (
        ("CloudBrowserErrorRatioHigh", "error"),
        ("CloudBrowserTimeoutRatioHigh", "timed_out"),
    ):
        yield Case(alert, "a quarter of 120", FIRES, endings(status, 0.25, 4))
        yield Case(alert, "just below a fifth", QUIET, endings(status, 0.195, 4))
        yield Case(alert, "all of 18", QUIET, endings(status, 1, 0.6))
    alert = "CloudBrowserSessionOpenTooLong"
    yield Case(alert, "since five hours", FIRES, {OLDEST: steady(0, 5 * HOUR + 20)})
    yield Case(alert, "just below", QUIET, {OLDEST: steady(1260, 5 * HOUR + 20)})


def no_session_cases() -> Iterator[Case]:
    alert, whole = "CloudBrowserNoSessionsStarted", WEEK + 4 * HOUR
    busy, few = week(12, 0), week(7.2, 0)
    up = read((1, 4 * HOUR))
    yield Case(alert, "none for an hour", FIRES, {STARTED: busy, UP: up}, HALF_HOUR)
    one: Values = [*busy[:-20], *[(busy[-1] or 0) + 1] * 20]
    yield Case(alert, "one", QUIET, {STARTED: one, UP: up}, HALF_HOUR)
    yield Case(alert, "few at any time", QUIET, {STARTED: few, UP: up}, HALF_HOUR)
    unread = read((1, 150), (0, 90))
    yield Case(alert, "not read", QUIET, {STARTED: busy, UP: unread}, HALF_HOUR)
    flaky = read((1, 239), (0, 1))
    yield Case(alert, "none, and the last scrape failed", FIRES, {STARTED: busy, UP: flaky}, HALF_HOUR)
    days = 2 * DAY
    moved: dict[str, Values] = {
        STARTED.replace('instance="NAME"', 'instance="earlier"'): rising((0.2, whole - days)) + [None] * days,
        STARTED: [*[None] * (whole - days), *rising((0.2, days - 2 * HOUR), (0, 2 * HOUR))],
    }
    yield Case(alert, "none, and the exporter has moved", FIRES, {**moved, UP: up}, HALF_HOUR)


def spending_cases() -> Iterator[Case]:
    alert = "CloudBrowserSpendAboveHourlyBudget"
    yield Case(alert, "60 USD", FIRES, {COST: rising((1, SHORT))})
    yield Case(alert, "48 USD", QUIET, {COST: rising((0.8, SHORT))})
    outage = {COST: rising((0.17, 20), (0, 40), (120, 1), (0.17, 19)), UP: gauge((1, 20), (0, 40), (1, 20))}
    yield Case(alert, "twelve hours at once after an outage", QUIET, outage)
    alert, days = "CloudBrowserSpendAboveMonthlyBudget", DAY + 2 * HOUR
    yield Case(alert, "10,368 USD", FIRES, {COST: rising((0.24, days))}, HALF_HOUR)
    yield Case(alert, "9,850 USD", QUIET, {COST: rising((0.228, days))}, HALF_HOUR)
    alert = "CloudBrowserSpendAboveLastWeek"
    yield Case(alert, "3.5 times", FIRES, {COST: week(2.4, 8.4)}, HALF_HOUR)
    yield Case(alert, "2.75 times", QUIET, {COST: week(2.4, 6.6)}, HALF_HOUR)
    yield Case(alert, "6 times nearly nothing", QUIET, {COST: week(0.6, 3.6)}, HALF_HOUR)
    first = {COST: rising((0.01, HOUR), (0.1, WEEK))}
    yield Case(alert, "a week after the first hour", QUIET, first, HALF_HOUR)


def proxy_cases() -> Iterator[Case]:
    alert = "CloudBrowserProxyTrafficSpike"
    yield Case(alert, "the first hours", QUIET, {BYTES: rising((2e7, 3 * HOUR))}, HALF_HOUR)
    yield Case(alert, "ten times", FIRES, {BYTES: day(1.2e8, 2.4e9)}, HALF_HOUR)
    yield Case(alert, "four times", QUIET, {BYTES: day(1.2e9, 4.8e9)}, HALF_HOUR)
    yield Case(alert, "a hundred times nearly nothing", QUIET, {BYTES: day(6e6, 6e8)}, HALF_HOUR)


def import_and_scrape_cases() -> Iterator[Case]:
    alert = "CloudBrowserHistoryImportStuck"
    yield Case(alert, "nothing read", FIRES, {COMPLETE: steady(0, 150), REMAINING: steady(500, 150)})
    falling: Values = [500.0 - minute for minute in range(151)]
    yield Case(alert, "one session a minute", QUIET, {COMPLETE: steady(0, 150), REMAINING: falling})
    yield Case(alert, "all is read", QUIET, {COMPLETE: steady(1, 150), REMAINING: steady(0, 150)})
    alert = "CloudBrowserPullSlow"
    yield Case(alert, "13 seconds", FIRES, {TOOK: steady(13)})
    yield Case(alert, "just below", QUIET, {TOOK: steady(11.9)})
    yield Case(alert, "one in ten is quick", QUIET, {TOOK: gauge(*[(13, 9), (1, 1)] * 8)})


def exporter_cases() -> Iterator[Case]:
    alert = "CloudBrowserSessionsRejected"
    yield Case(alert, "a row at each scrape", FIRES, {REJECTED % "malformed": rising((1, SHORT))})
    yield Case(alert, "that has passed", QUIET, {REJECTED % "times": rising((1, 30), (0, 50))})
    yield Case(alert, "a row that is used without a field", QUIET, {REJECTED % "field": rising((1, SHORT))})
    yield Case(alert, "once", QUIET, {REJECTED % "malformed": rising((0, 60), (1, 1), (0, 19))})
    alert = "CloudBrowserLedgerNotWritable"
    yield Case(alert, "each scrape", FIRES, {UNWRITTEN: rising((1, SHORT))})
    yield Case(alert, "it cannot be read", FIRES, {ERRORS % "ledger": rising((1, SHORT))})
    yield Case(alert, "that has passed", QUIET, {UNWRITTEN: rising((1, 40), (0, 40))})
    yield Case(alert, "once", QUIET, {UNWRITTEN: rising((0, 72), (1, 1), (0, 7))})
    yield Case("CloudBrowserConfigReloadFailed", "refused", FIRES, {RELOADED: steady(0)})
    yield Case("CloudBrowserConfigReloadFailed", "taken", QUIET, {RELOADED: steady(1)})
    alert = "CloudBrowserExporterGone"
    yield Case(alert, "no answer", FIRES, {SCRAPED: steady(0)})
    yield Case(alert, "no target", FIRES, {"up{job='other'}": steady(1)}, alone=True)
    yield Case(alert, "one scrape in five fails", QUIET, {SCRAPED: gauge(*[(0, 1), (1, 4)] * 16)})


def pending_minutes(alert: str) -> int:
    """What stands as the alert's `for`."""
    number, unit = re.fullmatch(r"(\d+)([mh])", ALERTS[alert]["for"]).groups()  # type: ignore[union-attr]  # else it fails
    return int(number) * (HOUR if unit == "h" else 1)


def with_a_reset(case: Case) -> Case:
    """Its counters begin again at 0, just early enough for an alert that begins by it to fire at the end."""
    before_end = math.ceil(pending_minutes(case.alert) / case.every) * case.every

    def spoiled(selector: str, values: Values) -> Values:
        if "_total{" not in selector or None in values:
            return values
        at = len(values) - 1 - before_end
        return values[:at] + [(value or 0) - (values[at - 1] or 0) for value in values[at:]]

    return _spoiled(case, "a reset", {name: spoiled(name, values) for name, values in case.series.items()})


def with_a_missing_scrape(case: Case) -> Case:
    """The scrape at the last evaluation but one fails: an alert that ends there is pending at the end."""
    at = -1 - case.every
    series = {name: [*values[:at], None, *values[at + 1 :]] for name, values in case.series.items()}
    return _spoiled(case, "a missing scrape", series)


def _spoiled(case: Case, how: str, series: Mapping[str, Values]) -> Case:
    return msgspec.structs.replace(case, when=f"{case.when}, with {how}", series=series)


def all_cases() -> list[Case]:
    """Each case as it is, with a missing scrape, and, where a counter is scraped, with a reset."""
    plain = list(cases())
    resets = (with_a_reset(case) for case in plain)
    differ = [reset for case, reset in zip(plain, resets, strict=True) if reset.series != case.series]
    return [*plain, *differ, *(with_a_missing_scrape(case) for case in plain)]


def notation(values: Values) -> str:
    """As promtool reads it: where scrapes begin to fail, Prometheus writes that the series is stale."""
    words: list[str] = []
    for missing, run_of in groupby(values, key=lambda value: value is None):
        if missing:
            count = len(list(run_of))
            words += [f"_x{count}"] if not words else ["stale", *["_"] * (count - 1)]
        else:
            words += [f"{value:.12g}" for value in run_of]
    return " ".join(words)


def expectation(case: Case) -> dict[str, Any]:
    """Whether the alert fires for the case's account or instance at the end."""
    label = "instance" if case.alert in OF_EXPORTER else "account"
    own = "" if case.alone else f',{label}="{case.name}"'
    firing = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"{own}}}) or vector(0)'
    return {
        "expr": f"{firing} # {case.name}",  # promtool prints it when it fails
        "eval_time": f"{case.minutes}m",
        "exp_samples": [{"labels": "{}", "value": int(case.fires)}],
    }


def together(group: Iterable[Case]) -> dict[str, Any]:
    """One test for promtool, of cases that are of one group."""
    members = list(group)
    return {
        "interval": "1m",
        "input_series": [
            {"series": selector.replace("NAME", case.name), "values": notation(values)}
            for case in members
            for selector, values in case.series.items()
        ],
        "promql_expr_test": [expectation(case) for case in members],
    }


def written(chosen: Iterable[Case], folder: Path) -> list[Path]:
    """Files for promtool, one for each interval of evaluation; JSON, since that is quick to write."""
    ordered = sorted(chosen, key=lambda case: case.group)
    paths = []
    for every, cases_of_one in groupby(ordered, key=lambda case: case.every):
        document = {
            "rule_files": [str(RULES)],
            "evaluation_interval": f"{every}m",
            "group_eval_order": [group["name"] for group in GROUPS],
            "tests": [together(group) for _, group in groupby(cases_of_one, key=lambda case: case.group)],
        }
        paths.append(folder / f"every-{every}-minutes.yml")
        paths[-1].write_bytes(msgspec.json.encode(document))
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_an_alert_fires_when_it_must_and_only_then(version: str, tmp_path: Path) -> None:
    code, out, errors = run(promtool(version), "test", "rules", *written(all_cases(), tmp_path))
    assert code == 0, out + errors


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_case_that_fails_is_named(version: str, tmp_path: Path) -> None:
    spoiled = [msgspec.structs.replace(case, fires=False) for case in exporter_cases()]
    code, out, errors = run(promtool(version), "test", "rules", *written(spoiled, tmp_path))
    assert code == 1
    named = set(re.findall(r"# (.+?)\", time:", out + errors))
    assert named == {case.name for case in exporter_cases() if case.fires}


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in all_cases()]
    assert len(names) == len(set(names))


def test_every_alert_has_cases_of_both_kinds() -> None:
    told = {(case.alert, case.fires) for case in cases()}
    assert told == {(alert, fires) for alert in ALERTS for fires in (True, False)}
