"""Labels of sessions' metadata, over the installed command: cost by team, restarts, limits, secrets."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from exporter.labels import METADATA_VALUES
from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.fleet import MINUTE, SECOND, session_at
from tests.support.expected_totals import BROWSER_USE, BROWSERBASE, COUNTERS, PROVIDERS, key, nonzero
from tests.support.ledger_files import FLEET, TIMEOUT, Course, course
from tests.support.misbehaviour import answer, replying
from tests.support.planted_secrets import CORES, KEYS, found, outputs, serving
from tests.support.processes import Exporter, exporter

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TEAMS = {"checkout", "pricing", "research"}
STARTED, SECONDS = COUNTERS[0], COUNTERS[2]


def labelled(path: Path, labels: Mapping[str, Mapping[str, str]]) -> Path:
    """The configuration with labels of metadata, by provider."""
    document = yaml.safe_load(path.read_text())
    for account in document["accounts"]:
        account.pop("metadata_labels", None)
        if labels.get(account["provider"]):
            account["metadata_labels"] = {**labels[account["provider"]]}
    path.write_text(yaml.safe_dump(document))
    return path


def both(**labels: str) -> dict[str, dict[str, str]]:
    """The same labels at both providers."""
    return {provider: {**labels} for provider in PROVIDERS}


def samples(families: Iterable[Metric]) -> list[Sample]:
    return [sample for family in families for sample in family.samples]


def scraped(process: Exporter) -> list[Sample]:
    page = process.get(X_Prometheus_Scrape_Timeout_Seconds=TIMEOUT)
    assert page.status_code == 200, page.text
    return samples(parse_text(page.text))


def summed(shown: Iterable[Sample], metadata: set[str]) -> dict[frozenset[tuple[str, str]], float]:
    """The counters, but for zeros, summed over the labels of metadata, which each of their series has."""
    sums: Counter[frozenset[tuple[str, str]]] = Counter()
    for one in (one for one in shown if one.name in COUNTERS):
        assert metadata == one.labels.keys() & {"team", "env", "squad"}
        rest = {name: value for name, value in one.labels.items() if name not in metadata}
        sums[key({"__name__": one.name, **rest})] += one.value  # type: ignore[assignment]  # a float
    return nonzero(sums)


def by_label(shown: Iterable[Sample], name: str, label: str, provider: str) -> dict[str, float]:
    """A counter by the values of a label, but for zeros."""
    sums: Counter[str] = Counter()
    for one in shown:
        if one.name == name and one.labels["provider"] == provider:
            sums[one.labels[label]] += one.value  # type: ignore[assignment]  # a float
    return {value: total for value, total in sums.items() if total}


def truth(now: int, provider: str, label: str) -> tuple[dict[str, float], dict[str, float]]:
    """How many sessions began by then, and how many seconds they have run, by a key of their metadata."""
    facts, date = SIMULATED[provider].facts, now // SECOND * SECOND
    began, ran = Counter[str](), Counter[str]()
    for index in range(FLEET.listed(facts, FLEET.origin).start, FLEET.listed(facts, now).stop):
        one = session_at(FLEET, facts, index)
        began[one.metadata[label]] += 1
        ran[one.metadata[label]] += one.ran(now, date)
    return dict(began), {value: time / SECOND for value, time in ran.items()}


def test_counters_by_team_equal_the_truth_of_each_team(tmp_path: Path) -> None:
    with course() as run:
        flags = run.flags(tmp_path)
        labelled(Path(flags[1]), both(squad="team"))
        with exporter(*flags) as process:
            for _ in range(3):
                shown = scraped(process)
                for provider in PROVIDERS:
                    began, ran = truth(run.now, provider, "team")
                    assert began.keys() == TEAMS
                    assert by_label(shown, STARTED, "squad", provider) == began
                    assert by_label(shown, SECONDS, "squad", provider) == pytest.approx(ran, rel=1e-12)
                assert summed(shown, {"squad"}) == pytest.approx(run.counters(), rel=1e-12)
                run.step(20 * MINUTE)


def test_labels_may_change_between_restarts_and_totals_stay_right_in_sum(tmp_path: Path) -> None:
    configured = [
        ({}, set[str]()),
        (both(team="team"), {"team"}),
        ({BROWSERBASE: {"team": "team", "env": "env"}}, {"team", "env"}),
        ({BROWSER_USE: {"env": "team"}}, {"env"}),
        (both(team="env"), {"team"}),
        ({}, set[str]()),
    ]
    with course() as run:
        flags, began = run.flags(tmp_path), Counter[str]()
        for labels, names in configured:
            labelled(Path(flags[1]), labels)
            with exporter(*flags) as process:
                before = scraped(process)
                _check(before, run, names)
                run.step(10 * MINUTE)
                shown = scraped(process)
                _check(shown, run, names)
                page = process.get(Accept=OPENMETRICS).text
                opened = parse_openmetrics(page)  # type: ignore[no-untyped-call]  # the library's own omission
                _check(samples(opened), run, names)
            if "team" in labels.get(BROWSERBASE, {}):
                rises = by_label(shown, STARTED, "team", BROWSERBASE)
                rises = {
                    value: n - by_label(before, STARTED, "team", BROWSERBASE).get(value, 0)
                    for value, n in rises.items()
                }
                began.update({value: int(n) for value, n in rises.items()})
    assert {value for value, n in began.items() if n} == TEAMS | {"production", "staging"}


def test_labels_may_change_at_a_reload(tmp_path: Path) -> None:
    with course() as run:
        flags = run.flags(tmp_path)
        with exporter(*flags, "--web.enable-lifecycle") as process:
            for labels in ({}, both(team="team"), {BROWSER_USE: {"env": "env"}}, {}):
                labelled(Path(flags[1]), labels)
                assert process.get("/-/reload", method="POST").status_code == 200
                names = {name for one in labels.values() for name in one}
                for _ in range(2):
                    _check(scraped(process), run, names)
                    run.step(5 * MINUTE)


def _check(shown: list[Sample], run: Course, names: set[str]) -> None:
    """The counters are right in sum, and all families of a series have the same labels."""
    assert summed(shown, names) == pytest.approx(run.counters(), rel=1e-12)
    for one in shown:
        if {"project", "region"} <= one.labels.keys():
            assert one.labels.keys() & {"team", "env", "squad"} == names, one


def list_of(provider: str, values: list[object]) -> bytes:
    times = dict.fromkeys(("createdAt", "startedAt"), "2026-05-01T12:00:00Z")
    times |= dict.fromkeys(("endedAt", "finishedAt"), "2026-05-01T12:01:00Z")
    ended = {BROWSERBASE: "COMPLETED", BROWSER_USE: "stopped"}[provider]
    figures = dict.fromkeys(("proxyUsedMb", "proxyCost", "browserCost"), "1")
    rows = [
        {"id": f"s{n:03}", "status": ended, "userMetadata": {"team": value}, "metadata": {"team": value}}
        | times
        | figures
        | {"proxyBytes": 1}
        for n, value in enumerate(values)
    ]
    return json.dumps(rows if provider == BROWSERBASE else {"items": rows, "totalItems": len(rows)}).encode()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_beyond_a_hundred_values_the_others_are_other_also_after_a_restart(
    tmp_path: Path, provider: str
) -> None:
    values: list[object] = [f"Team {n:03}" for n in range(METADATA_VALUES + 1)] + ["", None, 7]
    # In the order of their texts, two do not fit any more: "Team 099" and "Team 100"; null and 7 do.
    shown_values = {str(value) for value in values[: METADATA_VALUES - 1]} | {"7"}
    with replying(lambda _: answer(list_of(provider, values))) as server:
        account: dict[str, object] = {"name": "ours", "provider": provider, "api_key_env": "KEY"}
        account["base_url"] = server.url
        account |= {"metadata_labels": {"team": "team"}, "collectors": ["sessions"]}
        path = tmp_path / "exporter.yml"
        ledger = {"url": f"sqlite:///{tmp_path / 'ledger.db'}"}
        path.write_text(yaml.safe_dump({"accounts": [account], "ledger": ledger}))
        for is_first in (True, False):
            with exporter("--config.file", path, environ={"KEY": "k"}) as process:
                shown = scraped(process)
            teams = by_label(shown, STARTED, "team", provider)
            assert teams == {**dict.fromkeys(shown_values, 1), "other": 3, "": 1}
            assert len(teams) == METADATA_VALUES + 2
            # Of Browser Use's list, only what may still change is read again.
            if is_first or provider == BROWSERBASE:
                assert limited(shown, provider) == 3


def limited(shown: list[Sample], provider: str) -> float:
    """How many teams are said to be shown as `other`."""
    wanted = {"provider": provider, "account": "ours", "label": "team"}
    (count,) = [
        one.value
        for one in shown
        if one.name == "cloud_browser_exporter_label_values_limited" and one.labels == wanted
    ]
    return count


@pytest.mark.parametrize("provider", PROVIDERS)
def test_metadata_is_shown_where_it_is_a_label_and_never_in_a_log(tmp_path: Path, provider: str) -> None:
    secret = CORES["userMetadata"]
    values: list[object] = [
        secret,
        {"a": [secret]},
        [secret, "\ud800"],
        f"x\n{secret}",
        secret * 100,
        7,
        None,
    ]
    more = {"other": secret, secret: "x"}
    rows = json.loads(list_of(provider, values))
    for row in rows if provider == BROWSERBASE else rows["items"]:
        for field in ("userMetadata", "metadata"):
            row[field] |= more
    odd = [{"id": "odd", "userMetadata": secret, "metadata": [secret], "status": secret}]
    (rows if provider == BROWSERBASE else rows["items"]).extend(odd)
    (tmp_path / "state").mkdir()
    with replying(lambda _: answer(json.dumps(rows).encode())) as server:
        account: dict[str, object] = {"name": "ours", "provider": provider, "api_key_env": "KEY"}
        account["base_url"] = server.url
        path = tmp_path / "exporter.yml"
        for labels in ({"team": "team"}, {}):
            account["metadata_labels"] = labels
            path.write_text(
                yaml.safe_dump({"accounts": [{name: value for name, value in account.items() if value}]})
            )
            environ = {"KEY": KEYS[provider]}
            with serving(tmp_path, "logfmt", "--config.file", path, environ=environ) as process:
                process.get()
                shown = outputs(process, tmp_path)
            places = {name for name, what in found(shown) if what == "userMetadata"}
            assert ("metrics" in places) == bool(labels)
            assert "log" not in places
            assert "/" not in places
            assert {what for _, what in found(shown)} <= {"userMetadata"}
