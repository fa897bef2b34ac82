"""A case: series as values for each minute, and the alerts that fire at named minutes; as promtool's test."""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from tests.support.alert_cases.selectors import moved
from tests.support.rules import GROUPS, RULES

HOUR, DAY, WEEK = 60, 1440, 10080  # minutes

LENGTHS = (130, 250, 1700, 4500, 11520)  # minutes

Values: TypeAlias = list[float | None]  # a sample for each minute; None where there is none
Firing: TypeAlias = Mapping[str, str]  # name, without CloudBrowser, and severity of each alert that fires

NOTHING: Firing = {}


class At(msgspec.Struct, frozen=True):
    """The alerts that fire at a minute; all that fired since another minute, where one is given."""

    minute: int
    firing: Firing
    since: int | None = None


class Case(msgspec.Struct, frozen=True):
    """An account, or an exporter, and what is known of its alerts.

    every: minutes from one evaluation of the rules to the next. alone: in a Prometheus of its own, for it is
    about sums over all accounts, or about what is absent.
    """

    name: str
    series: Mapping[str, Values]
    checks: tuple[At, ...]
    every: int = 2
    alone: bool = False
    strict: bool = False  # a minute matters, and a missing scrape may shift it

    @property
    def minutes(self) -> int:
        """How long the case's test is: cases of about one length are tested together, which is quicker."""
        last = max(len(values) for values in self.series.values()) - 1
        return next((length for length in LENGTHS if last <= length), last)

    @property
    def group(self) -> tuple[int, int, str]:
        """Cases of one group are tested together."""
        return 1 if self.strict else self.every, self.minutes, self.name if self.alone else ""


def fires(minute: int, *alerts: str, since: int | None = None) -> At:
    """What fires at a minute; an alert is written as `!Name` if critical."""
    severities = {one.removeprefix("!"): "critical" if one.startswith("!") else "warning" for one in alerts}
    return At(minute, severities, since)


def quiet(until: int, since: int = 0) -> At:
    """Nothing fires between two minutes."""
    return At(until, NOTHING, since)


def steady(value: float, minutes: int) -> Values:
    """The same value each minute, from minute 0 to the last."""
    return [value] * (minutes + 1)


def gauge(*pieces: tuple[float | None, int]) -> Values:
    """The first value at minute 0, then each for so many minutes."""
    return [pieces[0][0], *(value for value, minutes in pieces for _ in range(minutes))]


def rising(*pieces: tuple[float, int], start: float = 0, whole: bool = False) -> Values:
    """A counter that rises by so much a minute for so many minutes, piece after piece; whole: in steps."""
    values: Values = [start]
    total = start
    for by, minutes in pieces:
        for _ in range(minutes):
            total += by
            values.append(float(int(total + 1e-9)) if whole else round(total, 6))
    return values


def troubled(case: Case) -> Case:
    """The case with a second replica, which is scraped, too, and each eleventh scrape of both missing."""
    series = {
        moved(name, instance=instance): [
            None if minute % 11 == 5 else value for minute, value in enumerate(values)
        ]
        for name, values in case.series.items()
        for instance in (re.findall(r'instance="([^"]*)"', name)[0], "NAME/other")
    }
    return msgspec.structs.replace(
        case, name=f"{case.name} on two replicas with missing scrapes", series=series
    )


def notation(values: Values) -> str:
    """As promtool reads it: where scrapes begin to fail, Prometheus writes that the series is stale."""
    words: list[str] = []
    for value, run_of in groupby(values):
        count = len(list(run_of))
        if value is None:
            words += [f"_x{count}"] if not words else ["stale", *([f"_x{count - 1}"] if count > 1 else [])]
        else:
            words.append(f"{value:.12g}" + (f"x{count - 1}" if count > 1 else ""))
    return " ".join(words)


def expectation(case: Case, check: At) -> dict[str, Any]:
    """Names and severities of the alerts of the case's account and exporter, as promtool compares them."""
    window = "" if check.since is None else f"[{check.minute - check.since}m]"
    own = "" if case.alone else f',account="{case.name}"'
    of_exporter = f'ALERTS{{alertstate="firing",account="",instance=~"{case.name}(/.*)?"}}{window}'
    selected = [f'ALERTS{{alertstate="firing"{own}}}{window}', *([] if case.alone else [of_exporter])]
    over = "present_over_time(%s)" if window else "%s"
    expression = " or ".join(over % one for one in selected)
    return {
        # The name is printed when it fails.
        "expr": f"count by (alertname, severity) ({expression}) > bool 0 # {case.name}",
        "eval_time": f"{check.minute}m",
        "exp_samples": [
            {"labels": f'{{alertname="CloudBrowser{name}",severity="{severity}"}}', "value": 1}
            for name, severity in check.firing.items()
        ],
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
        "promql_expr_test": [expectation(case, check) for case in members for check in case.checks],
    }


def written(chosen: Iterable[Case], folder: Path, extra: Path | None = None) -> list[Path]:
    """Writes files for promtool, one for each interval of evaluation; JSON, since that is quick to write.

    extra: a file of rules that is loaded before the shipped ones.
    """
    ordered = sorted(chosen, key=lambda case: case.group)
    paths = []
    for every, cases_of_one in groupby(ordered, key=lambda case: case.group[0]):
        document = {
            "rule_files": [str(file) for file in (extra, RULES) if file],
            "evaluation_interval": f"{every}m",
            "group_eval_order": ["own"] * (extra is not None) + [group["name"] for group in GROUPS],
            "tests": [together(group) for _, group in groupby(cases_of_one, key=lambda case: case.group)],
        }
        paths.append(folder / f"every-{every}-minutes.yml")
        paths[-1].write_bytes(msgspec.json.encode(document))
    return paths
