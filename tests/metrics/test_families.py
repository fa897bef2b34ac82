"""A scrape's results as metrics: names, labels, zeros and absences."""

import re
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar, Timestamp

from exporter.metrics import definitions as catalog
from exporter.metrics.counters import (
    ACCOUNT_WIDE,
    COST,
    DURATION,
    DURATION_SUM,
    ENDED,
    PROXY_BYTES,
    REVISIONS,
    START,
    START_SUM,
    STARTED,
    TIME,
    CounterKey,
    LastSession,
)
from exporter.metrics.definitions import Spec
from exporter.metrics.families import families, page_parts
from exporter.metrics.results import AccountDescription, AccountResult
from exporter.metrics.telemetry import Telemetry
from exporter.model import SECOND, Account, Listing, Series, Usage
from tests.support.listings import EAST, MINUTE, T0, WEST, listing, session
from tests.support.own_metrics import own_families
from tests.support.providers import BROWSERBASE, description

BB, BU = Account("browserbase", "production"), Account("browser_use", "production")
FREE = Account(BROWSERBASE, "free")
DESCRIPTIONS = {account: description(account, cost=account != FREE) for account in (BB, BU, FREE)}
TOTALS = {
    CounterKey(WEST, STARTED): 3,
    CounterKey(WEST, ENDED, "error"): 1,
    CounterKey(WEST, TIME): 90 * SECOND + 500_000,
    CounterKey(WEST, PROXY_BYTES): 2**53 - 1,
    CounterKey(WEST, COST, "browser"): 1_234_567_891,
    CounterKey(WEST, DURATION, "30"): 2,
    CounterKey(WEST, DURATION, "+Inf"): 1,
    CounterKey(WEST, DURATION_SUM): 50_000 * SECOND,
    CounterKey(ACCOUNT_WIDE, REVISIONS): 4,
}


def result(account: Account = BB, **fields: Any) -> AccountResult:
    plain = AccountResult(
        account, listing(), TOTALS, complete=True, rows=2, last_success=9.5, error=None, seconds=0.25
    )
    return msgspec.structs.replace(plain, **fields)


def page(*results: AccountResult) -> dict[str, float]:
    """Samples by `name{label="value",...}`, with the account's own labels left out."""
    registry = CollectorRegistry()
    registry.collect = lambda: iter(families(results, DESCRIPTIONS))  # type: ignore[method-assign]  # a registry of one page
    text = generate_latest(registry).decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(
                f"{name}={value}"
                for name, value in sample.labels.items()
                if name not in ("provider", "account")
            )
            samples[f"{sample.name}{{{labels}}}"] = sample.value
    return samples


def test_counters_are_shown_in_base_units() -> None:
    samples = page(result())
    west = "project=p1,region=us-west-2"
    assert samples[f"cloud_browser_sessions_started_total{{{west}}}"] == 3
    assert samples[f"cloud_browser_session_seconds_total{{{west}}}"] == 90.5
    assert samples[f"cloud_browser_proxy_bytes_total{{{west}}}"] == 2**53 - 1
    assert samples[f"cloud_browser_sessions_ended_total{{{west},status=error}}"] == 1
    cost = f"cloud_browser_cost_usd_total{{kind=browser,{west},source=estimated}}"
    assert samples[cost] == 1.234567891
    assert samples["cloud_browser_exporter_downward_revisions_total{}"] == 4


def test_histogram_buckets_are_cumulative() -> None:
    samples = page(result())
    found = {
        match[1]: value
        for name, value in samples.items()
        if (
            match := re.match(
                r"cloud_browser_session_duration_seconds_bucket.le=(.*?),project=p1,region=us-west-2", name
            )
        )
    }
    assert (found["10.0"], found["30.0"], found["21600.0"], found["+Inf"]) == (0, 2, 2, 3)
    assert samples["cloud_browser_session_duration_seconds_sum{project=p1,region=us-west-2}"] == 50_000
    assert samples["cloud_browser_session_duration_seconds_count{project=p1,region=us-west-2}"] == 3


@pytest.mark.parametrize(
    "name",
    [
        "sessions_started_total{project=p1,region=ap-southeast-1}",
        "sessions_ended_total{project=p1,region=us-east-1,status=timed_out}",
        "sessions_ended_total{project=p1,region=us-west-2,status=unknown}",
        "proxy_bytes_total{project=p1,region=eu-central-1}",
        "cost_usd_total{kind=proxy,project=p1,region=us-west-2,source=estimated}",
        "session_duration_seconds_count{project=p1,region=us-east-1}",
        "sessions{project=p1,region=us-east-1,status=pending}",
        "keep_alive_sessions{project=p1,region=us-east-1}",
    ],
)
def test_what_is_known_in_advance_stands_at_zero(name: str) -> None:
    shown = listing(listed={(WEST, "running"): 1})
    assert page(result(listing=shown))[f"cloud_browser_{name}"] == 0


def test_an_empty_account_shows_its_regions_without_a_project() -> None:
    samples = page(result(totals={}), result(BU, totals={}))
    assert samples["cloud_browser_sessions_started_total{project=,region=us-west-2}"] == 0
    assert samples["cloud_browser_sessions_ended_total{project=,region=unknown,status=timed_out}"] == 0
    assert samples["cloud_browser_sessions{project=,region=unknown,status=active}"] == 0


LISTED = listing(
    session(started=T0 + SECOND, expires=T0 + 5 * MINUTE, keep_alive=True),
    session(id="s2", started=T0 + 2 * SECOND, expires=T0 + 4 * MINUTE),
    session(id="s2", started=T0 + 2 * SECOND, expires=T0 + 4 * MINUTE),
    session(id="s3", series=EAST, ended=T0 + MINUTE, status="error", ending="error", keep_alive=True),
    listed={(WEST, "running"): 2, (EAST, "error"): 1, (EAST, "paused"): 1},
)


def test_gauges_of_the_list() -> None:
    samples = page(result(listing=LISTED))
    west, east = "project=p1,region=us-west-2", "project=p1,region=us-east-1"
    assert samples[f"cloud_browser_sessions{{{west},status=running}}"] == 2
    assert samples[f"cloud_browser_sessions{{{east},status=paused}}"] == 1
    assert samples[f"cloud_browser_keep_alive_sessions{{{west}}}"] == 1
    oldest = "cloud_browser_oldest_open_session_start_timestamp_seconds"
    assert samples[f"{oldest}{{{west}}}"] == (T0 + SECOND) / SECOND
    expiry = "cloud_browser_next_session_expiry_timestamp_seconds"
    assert samples[f"{expiry}{{{west}}}"] == (T0 + 4 * MINUTE) / SECOND
    assert f"{oldest}{{{east}}}" not in samples
    assert f"{expiry}{{{east}}}" not in samples


def test_a_failed_account_has_counters_and_none_of_its_list_gauges() -> None:
    samples = page(result(listing=None, error="auth"))
    names = {name.partition("{")[0] for name in samples}
    assert samples["cloud_browser_up{}"] == 0
    assert samples["cloud_browser_collector_success{collector=sessions}"] == 0
    assert samples["cloud_browser_sessions_started_total{project=p1,region=us-west-2}"] == 3
    gauges = {catalog.SESSIONS, catalog.KEEP_ALIVE, catalog.OLDEST, catalog.EXPIRY}
    assert not names & {spec.name for spec in gauges}


def test_a_read_account_whose_ledger_fails_is_up_and_not_successful() -> None:
    samples = page(result(error="ledger"))
    assert samples["cloud_browser_up{}"] == 1
    assert samples["cloud_browser_collector_success{collector=sessions}"] == 0
    assert samples["cloud_browser_collector_duration_seconds{collector=sessions}"] == 0.25
    assert samples["cloud_browser_last_success_timestamp_seconds{}"] == 9.5
    assert samples["cloud_browser_exporter_ledger_sessions{}"] == 2


def test_while_the_first_import_is_under_way_its_progress_is_shown_and_no_counter() -> None:
    samples = page(result(BU, listing=listing(covers=None, remaining=7), totals=None, complete=False))
    assert samples["cloud_browser_history_complete{}"] == 0
    assert samples["cloud_browser_history_remaining_sessions{}"] == 7
    assert not [name for name in samples if "_total" in name or "duration_seconds_" in name]


def test_the_exporters_own_metrics_are_those_of_the_accounts_there_are() -> None:
    telemetry = Telemetry()
    for account in (BB, BU, Account(BROWSERBASE, "gone")):
        telemetry.for_account(account, ["/path"])
    samples = [sample for family in own_families(telemetry, [BB, BU]) for sample in family.samples]
    named = {(one.labels["provider"], one.labels["account"]) for one in samples if "account" in one.labels}
    assert named == {(BB.provider, BB.name), (BU.provider, BU.name)}
    names = {sample.name for sample in samples}
    assert {"cloud_browser_exporter_build_info", "process_resident_memory_bytes"} <= names


def test_before_anything_is_known_nothing_is_claimed() -> None:
    blank = AccountResult(
        BB, None, None, complete=None, rows=None, last_success=None, error="timeout", seconds=1
    )
    names = {name.partition("{")[0] for name in page(blank)}
    assert names == {
        "cloud_browser_up",
        "cloud_browser_collector_success",
        "cloud_browser_collector_duration_seconds",
    }


def test_ages_of_open_sessions_are_told_by_keep_alive_and_by_the_providers_time() -> None:
    """One has run for exactly an hour, one for two days, one is pending since a minute."""
    now, day = T0 + 60 * MINUTE, 24 * 60 * MINUTE
    rows = (
        session(id="hour", started=T0),
        session(id="days", started=now - 2 * day, created=now - 2 * day, keep_alive=True),
        session(id="new", started=None, status="pending", created=now - MINUTE),
        session(id="ended", started=T0, ended=T0 + MINUTE),
    )
    shown = listing(*rows, rows[0], time=now, listed={(WEST, "running"): 3})
    samples = page(result(BB, listing=shown))
    name = "cloud_browser_open_session_age_seconds"

    def of(what: str, bound: str = "", series: Series = WEST, keep_alive: str = "false") -> float:
        labels = f"{series.project},region={series.region}"
        text = f"keep_alive={keep_alive}," + (f"le={bound}," if bound else "") + f"project={labels}"
        ordered = {
            ",".join(sorted(key.partition("{")[2][:-1].split(","))): value
            for key, value in samples.items()
            if key.startswith(f"{name}_{what}{{")
        }
        return ordered[",".join(sorted(text.split(",")))]

    buckets = [of("bucket", bound) for bound in ("300.0", "900.0", "3600.0", "86400.0", "+Inf")]
    assert buckets == [1, 1, 2, 2, 2]
    assert (of("gcount"), of("gsum")) == (2, 3660)
    assert [of("bucket", bound, keep_alive="true") for bound in ("86400.0", "+Inf")] == [0, 1]
    assert of("gcount", series=EAST) == 0


def test_prices_and_limits_are_told_also_of_an_account_that_fails() -> None:
    described = msgspec.structs.replace(
        DESCRIPTIONS[BB], prices={"hour": 0.12, "gb": 12.0}, limits={"session_age_seconds": 21_600.0}
    )
    failed = result(BB, listing=None, totals=None, error="auth")
    shown = {one.name: one for one in families([failed], {BB: described})}
    prices = {one.labels["unit"]: one.value for one in shown["cloud_browser_price_usd"].samples}
    limits = {one.labels["limit"]: one.value for one in shown["cloud_browser_limit"].samples}
    assert (prices, limits) == (described.prices, described.limits)


def test_an_account_without_prices_shows_no_cost() -> None:
    assert not [name for name in page(result(FREE)) if "cost" in name]


def test_browser_use_has_no_keep_alive_sessions() -> None:
    unknown = Series("", "unknown")
    shown: Listing = listing(session(series=unknown, status="active"), listed={(unknown, "active"): 1})
    samples = page(result(BU, listing=shown))
    assert not [name for name in samples if "keep_alive_sessions" in name or "keep_alive=true" in name]
    assert samples["cloud_browser_sessions{project=,region=unknown,status=active}"] == 1


@pytest.mark.parametrize("spec", catalog.TABLE, ids=lambda spec: spec.name)
def test_names_follow_the_conventions(spec: Spec) -> None:
    assert re.fullmatch("cloud_browser_[a-z_]+", spec.name)
    assert spec.name.endswith("_total") == (spec.kind == "counter")
    assert spec.text.endswith(".")


def test_what_is_reported_for_open_sessions_is_a_gauge_of_its_own() -> None:
    series = Series("", "unknown")
    charged = Usage(SECOND, 5, 80_000_000, 7_500_000)
    still_open = [session(id=name, series=series, status="active", usage=charged) for name in ("a", "b")]
    ended = session(
        id="c", series=series, status="stopped", usage=charged, ended=T0 + MINUTE, ending="stopped"
    )
    samples = page(result(BU, listing=listing(*still_open, ended, listed={(series, "active"): 2})))
    gauge = "cloud_browser_open_sessions_cost_usd{kind=%s,project=,region=unknown}"
    assert (samples[gauge % "browser"], samples[gauge % "proxy"]) == (0.16, 0.015)
    none_open = page(result(BU, listing=listing(listed={(series, "stopped"): 1})))
    assert (none_open[gauge % "browser"], none_open[gauge % "proxy"]) == (0, 0)


def test_a_provider_that_reports_no_cost_has_none_of_open_sessions() -> None:
    assert not [name for name in page(result(BB)) if "open_sessions_cost" in name]


def test_rejected_rows_that_are_remembered_are_shown_where_that_is_known() -> None:
    held = "cloud_browser_exporter_rejected_sessions_held{}"
    assert page(result(rejected_held=3))[held] == 3
    assert held not in page(result(rejected_held=None))


def figures(**changed: Any) -> dict[str, object]:
    """Those of each part of an account's page, by its name."""
    return {part.name: part.figures for part in page_parts([result(**changed)], DESCRIPTIONS)}


RUNNING = session(id="a", started=T0)
LONGER = session(id="a", started=T0, usage=Usage(time=2 * MINUTE))
COUNTS = {(WEST, "running"): 1}


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({}, set()),
        ({"seconds": 0.5}, {"times"}),
        ({"rows": 3}, {"health"}),
        ({"totals": {**TOTALS, CounterKey(WEST, STARTED): 4}}, {"counts"}),
        ({"totals": {**TOTALS, CounterKey(WEST, TIME): SECOND * 100}}, {"usage"}),
        ({"listing": listing(LONGER, time=T0 + 2 * MINUTE, listed=COUNTS)}, {"ages"}),
        ({"listing": listing(RUNNING, listed={**COUNTS, (WEST, "error"): 1})}, {"listed"}),
    ],
    ids=str,
)
def test_what_changes_at_each_scrape_is_apart_from_what_seldom_does(
    changed: dict[str, Any], anew: set[str]
) -> None:
    shown = listing(RUNNING, listed=COUNTS)
    before, after = figures(listing=shown), figures(**{"listing": shown, **changed})
    assert {name for name in before if before[name] != after[name]} == anew


@pytest.mark.parametrize(
    "changed",
    [
        {"totals": {**TOTALS, CounterKey(WEST, STARTED): 4}},
        {"totals": {**TOTALS, CounterKey(EAST, COST, "proxy"): 4}},
        {"listing": listing(session(id="new", series=EAST))},
        {"listing": listing(session(id="a", expires=T0 + MINUTE))},
        {"complete": False},
        {"last_success": 11.0},
        {"error": "timeout"},
    ],
    ids=str,
)
def test_parts_with_equal_figures_have_equal_families(changed: dict[str, Any]) -> None:
    before, after = (
        {part.name: part for part in page_parts([one], DESCRIPTIONS)} for one in (result(), result(**changed))
    )
    same = {name for name, part in before.items() if part.figures == after[name].figures}
    assert all([*before[name].make()] == [*after[name].make()] for name in same)
    assert same != before.keys()


TEAM, SQUAD = (("team", "Checkout"),), (("squad", "s1"),)


def labelled(account: Account, *names: str) -> dict[Account, AccountDescription]:
    return {**DESCRIPTIONS, account: msgspec.structs.replace(DESCRIPTIONS[account], metadata_labels=names)}


def samples_of(
    name: str, results: list[AccountResult], described: dict[Account, AccountDescription], **labels: str
) -> dict[tuple[str, ...], float]:
    """A metric's values by the values of the labels of metadata, of samples that have these labels."""
    found: dict[tuple[str, ...], float] = {}
    names = sorted({name for one in described.values() for name in one.metadata_labels})
    for family in families(results, described):
        for sample in (one for one in family.samples if one.name == name):
            if labels.items() <= sample.labels.items():
                key = tuple(sample.labels[label] for label in names)
                assert key not in found
                found[key] = sample.value
    return found


def test_metadata_is_in_the_labels_of_every_metric_of_a_series() -> None:
    west = Series("p1", "us-west-2", TEAM)
    totals = {
        CounterKey(west, STARTED): 3,
        CounterKey(west, COST, "browser"): 5,
        CounterKey(WEST, STARTED): 1,
    }
    shown = listing(session(series=west), listed={(west, "running"): 1})
    described = labelled(BB, "team")
    results = [result(BB, totals=totals, listing=shown), result(BU)]
    made = {family.name: family for family in families(results, described)}
    for spec in catalog.TABLE:
        family = made.get(spec.name.removesuffix("_total"))
        for sample in family.samples if family else ():
            assert ("team" in sample.labels) == ({"project", "region"} <= {*spec.labels}), sample
            assert {*sample.labels} - {"le"} == {*spec.labels} | ({"team"} & {*sample.labels})
    starts = "cloud_browser_sessions_started_total"
    where = {"region": "us-west-2", "project": "p1", "provider": "browserbase"}
    assert samples_of(starts, results, described, **where) == {("",): 1, ("Checkout",): 3}
    # A value's other regions begin at 0, for increase().
    where["region"] = "us-east-1"
    assert samples_of(starts, results, described, **where) == {("",): 0, ("Checkout",): 0}
    assert samples_of(starts, results, described, provider="browser_use", region="unknown") == {("",): 0}


def test_totals_under_labels_that_are_not_configured_any_more_keep_their_sum() -> None:
    series = [WEST, *(Series("p1", "us-west-2", pairs) for pairs in (TEAM, SQUAD, SQUAD + TEAM))]
    totals = {CounterKey(one, STARTED): 10**n for n, one in enumerate(series)}
    totals |= {CounterKey(one, DURATION, "30"): 1 for one in series}
    results = [result(totals=totals, listing=None)]
    started, bucket = "cloud_browser_sessions_started_total", "cloud_browser_session_duration_seconds_bucket"
    west = {"region": "us-west-2", "project": "p1"}
    expected: dict[tuple[str, ...], dict[tuple[str, ...], float]] = {
        (): {(): 1111},
        ("team",): {("",): 101, ("Checkout",): 1010},
        ("squad",): {("",): 11, ("s1",): 1100},
        ("squad", "team"): {("", ""): 1, ("", "Checkout"): 10, ("s1", ""): 100, ("s1", "Checkout"): 1000},
        ("new",): {("",): 1111},
    }
    for names, values in expected.items():
        described = labelled(BB, *names)
        assert samples_of(started, results, described, **west) == values
        counts = samples_of(bucket, results, described, le="30.0", **west)
        assert sum(counts.values()) == 4


def test_figures_are_others_when_another_account_has_other_labels() -> None:
    kept = [
        {part.name: part.figures for part in page_parts([result(BB)], labelled(BU, *names))}
        for names in ((), ("team",), ("squad", "team"))
    ]
    of_series = "listed", "open", "ages", "usage", "counts"
    assert all(len({str(one[name]) for one in kept}) == 3 for name in of_series)


def test_values_that_are_shown_as_other_are_counted_for_each_label() -> None:
    shown = listing(limited={"team": 7, "region": 2})
    described = labelled(BB, "team")
    (family,) = [
        one
        for one in families([result(listing=shown)], described)
        if one.name == "cloud_browser_exporter_label_values_limited"
    ]
    counts = {sample.labels["label"]: sample.value for sample in family.samples}
    assert counts == {"project": 0, "region": 2, "status": 0, "team": 7}


def test_how_long_sessions_took_to_start_is_shown_of_providers_that_say_it() -> None:
    totals = {CounterKey(WEST, START, "0.5"): 2, CounterKey(WEST, START, "5"): 1}
    totals |= {CounterKey(WEST, START, "+Inf"): 1, CounterKey(WEST, START_SUM): 500 * SECOND}
    samples, west = page(result(totals=totals), result(BU)), "project=p1,region=us-west-2"
    name = "cloud_browser_session_start_seconds"
    bounds = ("0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "60.0", "120.0", "+Inf")
    assert [samples[f"{name}_bucket{{le={bound},{west}}}"] for bound in bounds] == [2, 2, 2, *[3] * 5, 4]
    assert (samples[f"{name}_sum{{{west}}}"], samples[f"{name}_count{{{west}}}"]) == (500, 4)
    assert samples[f"{name}_count{{project=p1,region=us-east-1}}"] == 0
    assert not [one for one in page(result(BU)) if name in one]


LAST = LastSession("5e1b0c42-7d0f-4c8e-9f63", 20 * SECOND, T0 + MINUTE)


def openmetrics(*results: AccountResult) -> tuple[str, dict[str, dict[str, Exemplar]]]:
    """The page, and the exemplars by name of the sample and its status or bucket."""
    registry = CollectorRegistry()
    registry.collect = lambda: iter(families(results, DESCRIPTIONS))  # type: ignore[method-assign]  # a registry of one page
    text = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]  # the library's
    found: dict[str, dict[str, Exemplar]] = {}
    for family in parse_openmetrics(text):  # type: ignore[no-untyped-call]  # the library's own omission
        for sample in family.samples:
            if sample.exemplar is not None:
                label = sample.labels.get("status") or sample.labels["le"]
                found.setdefault(sample.name, {})[label] = sample.exemplar
    return text, found


def test_the_last_session_is_an_exemplar_of_failures_and_durations() -> None:
    last = {CounterKey(WEST, ENDED, "error"): LAST, CounterKey(WEST, DURATION, "30"): LAST}
    _, found = openmetrics(result(last_sessions=last))
    ended, at = {"session_id": LAST.id}, LAST.ended / SECOND
    assert found == {
        "cloud_browser_sessions_ended_total": {"error": Exemplar(ended, 1.0, Timestamp(int(at), 0))},
        "cloud_browser_session_duration_seconds_bucket": {
            "30.0": Exemplar(ended, 20.0, Timestamp(int(at), 0))
        },
    }


def test_the_text_format_is_the_same_with_exemplars_and_without() -> None:
    last = {CounterKey(WEST, ENDED, "error"): LAST, CounterKey(WEST, DURATION, "30"): LAST}
    assert page(result(last_sessions=last)) == page(result())


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (CounterKey(WEST, ENDED, "timed_out"), LAST.id),  # of which none was counted
        (CounterKey(WEST, DURATION, "60"), LAST.id),
        (CounterKey(WEST, ENDED, "error"), "https://live.example.com/secret"),
        (CounterKey(WEST, ENDED, "error"), "a b"),
        (CounterKey(WEST, ENDED, "error"), 'a"} 1 # {x="y'),
        (CounterKey(WEST, ENDED, "error"), "\n"),
        (CounterKey(EAST, ENDED, "error"), LAST.id),
    ],
)
def test_what_was_not_counted_and_what_may_be_no_id_is_no_exemplar(key: CounterKey, name: str) -> None:
    text, found = openmetrics(result(last_sessions={key: msgspec.structs.replace(LAST, id=name)}))
    assert found == {}
    assert "live.example" not in text


def test_the_longest_id_is_an_exemplar() -> None:
    last = {CounterKey(WEST, ENDED, "error"): msgspec.structs.replace(LAST, id="x" * 100)}
    _, found = openmetrics(result(last_sessions=last))
    assert len(found["cloud_browser_sessions_ended_total"]["error"].labels["session_id"]) == 100


def test_series_that_are_shown_as_one_have_the_later_exemplar() -> None:
    team = Series("p1", "us-west-2", TEAM)
    later = LastSession("later", SECOND, LAST.ended + 1)
    last = {CounterKey(team, ENDED, "error"): later, CounterKey(WEST, ENDED, "error"): LAST}
    for some in (last, dict(reversed(last.items()))):
        _, found = openmetrics(result(last_sessions=some))
        assert found["cloud_browser_sessions_ended_total"]["error"].labels == {"session_id": "later"}
