"""Label values that no page can choke on, and that do not become more and more."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.labels import (
    METADATA_VALUES,
    VALUES_PER_LABEL,
    SeenLabelValues,
    limit_cardinality,
    limit_values,
    sanitize_label,
    sanitize_project_id,
)
from exporter.model import OTHER, UNKNOWN, Series
from tests.support.listings import WEST, listing, session
from tests.support.misbehaviour import answer, replying
from tests.support.processes import exporter, program, run
from tests.support.providers import BROWSERBASE, TRAITS

# Beside letters: what has lower cases of its own, splits lines, hides, or is half a character.
ODD = "aZ09_- \t\n\r\"'\\{}\x00\x1f\x7f\x85\xa0\u0130\u1e9e\u2028\u2029\ufeff\ud800\udfff\U0001f600"
TEXTS = st.text() | st.text(alphabet=ODD)
WORDS = st.sampled_from([f"word{n}" for n in range(80)])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("TIMED_OUT", "timed_out"),
        ("us-west-2", "us-west-2"),
        (" Half\nOpen ", "half_open"),
        ('a"b\\c{d}', "a_b_c_d_"),
        ("\u00dcber", "_ber"),
        ("x" * 50, "x" * 40),
        ("", UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_a_word_is_lower_case_and_plain(text: str | None, shown: str) -> None:
    assert sanitize_label(text) == shown


@given(TEXTS)
@example(" ")
def test_every_word_is_a_bounded_label_value(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{1,40}", sanitize_label(text))


@given(TEXTS)
@example(" ")
def test_a_word_of_a_word_is_that_word(text: str) -> None:
    assert sanitize_label(sanitize_label(text)) == sanitize_label(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("6f1a-Projekt \u00dc \u0416\u4e16\U0001f600", "6f1a-Projekt \u00dc \u0416\u4e16\U0001f600"),
        ("a\nb\r\x00c\u2028d\x85", "abcd"),
        ("\u202eevil\u202c \u2066\u200bx\u2069\ufeff\xa0", "evil x"),
        ('a"b\\c{d}', 'a"b\\c{d}'),
        ("\ud800", ""),
        ("x" * 101, "x" * 100),
        ("\n" * 100 + "x", "x"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_line_keeps_what_can_be_printed(text: str | None, shown: str) -> None:
    assert sanitize_project_id(text) == shown


@given(TEXTS)
def test_every_line_is_one_that_can_be_sent(text: str) -> None:
    shown = sanitize_project_id(text)
    assert shown.isprintable()
    assert len(shown) <= 100
    shown.encode()


def test_values_known_in_advance_cost_nothing() -> None:
    values = [f"word{n}" for n in range(VALUES_PER_LABEL)]
    known = ["running", "completed"]
    assert limit_values([*values, *known], [], known) == {
        value: value for value in [*values, *known, UNKNOWN, OTHER]
    }


def test_one_value_too_many_is_other() -> None:
    values = [f"word{n:02}" for n in range(VALUES_PER_LABEL + 1)]
    assert limit_values(reversed(values), [], [])[values[-1]] == OTHER
    assert OTHER not in [limit_values(values, [], [])[value] for value in values[:-1]]


def test_what_was_shown_before_keeps_its_place() -> None:
    before = [f"old{n}" for n in range(VALUES_PER_LABEL - 1)]
    shown = limit_values(["a", "b", before[0]], before, [])
    assert (shown["a"], shown["b"], shown[before[0]]) == ("a", OTHER, before[0])


@given(st.sets(WORDS), st.sets(WORDS, max_size=VALUES_PER_LABEL), st.sets(WORDS, max_size=5))
def test_never_are_more_values_shown_than_allowed(
    values: set[str], admitted: set[str], known: set[str]
) -> None:
    shown = limit_values(values, admitted, known)
    assert values | admitted | known <= shown.keys()
    assert all(to in (value, OTHER) for value, to in shown.items())
    assert all(shown[value] == value for value in admitted | known)
    unknown = {to for to in shown.values() if to not in known} - {UNKNOWN, OTHER}
    assert len(unknown) <= VALUES_PER_LABEL
    free = VALUES_PER_LABEL - len(admitted - known)
    assert len(unknown) == min(VALUES_PER_LABEL, len((values | admitted) - known)) or free <= 0


@given(st.sets(WORDS), st.sets(WORDS), st.sets(WORDS, max_size=5))
def test_values_keep_their_place_from_scrape_to_scrape(
    first: set[str], then: set[str], known: set[str]
) -> None:
    shown = limit_values(first, [], known)
    admitted = {value for value, to in shown.items() if to == value} - known - {UNKNOWN, OTHER}
    assert {value: limit_values(then | first, admitted, known)[value] for value in admitted} == {
        value: value for value in admitted
    }


def test_statuses_and_regions_beyond_fifty_are_other_and_stay_what_they_were() -> None:
    odd = {(Series("p", f"r{n:02}"), f"st{n:02}"): 1 for n in range(60)}
    first, words = limit_cardinality(listing(listed=odd), TRAITS[BROWSERBASE], SeenLabelValues())
    assert len(words.regions) == len(words.statuses) == 50
    assert sum(n for (series, _), n in first.listed.items() if series.region == "other") == 10
    later, again = limit_cardinality(
        listing(session(series=Series("p", "aaa")), listed=odd), TRAITS[BROWSERBASE], words
    )
    assert later.sessions[0].series.region == "other"
    assert (later.listed, again) == (first.listed, words)


def test_known_words_take_no_place() -> None:
    series = Series("", "us-east-1")
    plain = listing(session(series=series), listed={(series, "running"): 1, (WEST, "running"): 1})
    assert limit_cardinality(plain, TRAITS[BROWSERBASE], SeenLabelValues()) == (
        plain,
        SeenLabelValues(projects=frozenset({WEST.project})),
    )


def test_projects_beyond_a_hundred_are_other_and_stay_what_they_were() -> None:
    many = {(Series(f"p{n:03}", "us-west-2"), "running"): 1 for n in range(150)}
    first, words = limit_cardinality(listing(listed=many), TRAITS[BROWSERBASE], SeenLabelValues())
    assert (len(words.projects), first.listed[Series("other", "us-west-2"), "running"]) == (100, 50)
    later, again = limit_cardinality(
        listing(session(series=Series("a", "us-west-2")), listed=many), TRAITS[BROWSERBASE], words
    )
    assert later.sessions[0].series.project == "other"
    assert (later.listed, again) == (first.listed, words)


def labelled(value: str, name: str = "team") -> Series:
    return Series("p", "us-west-2", ((name, value),))


def test_values_of_metadata_beyond_a_hundred_are_other_and_stay_what_they_were() -> None:
    many = [f"t{n:03}" for n in range(METADATA_VALUES + 1)]
    listed = {(labelled(value), "running"): 1 for value in many}
    listed |= {(Series("p", "us-west-2"), "running"): 5}
    rows = [session(id=value, series=labelled(value)) for value in many]
    first, seen = limit_cardinality(listing(*rows, listed=listed), TRAITS[BROWSERBASE], SeenLabelValues())
    shown = {series.metadata for series, _ in first.listed}
    assert len(shown) == METADATA_VALUES + 2
    assert first.listed[labelled(OTHER), "running"] == 1
    assert first.listed[Series("p", "us-west-2"), "running"] == 5
    assert [one.series for one in first.sessions[-2:]] == [labelled("t099"), labelled(OTHER)]
    assert first.limited == {"team": 1}
    assert len(seen.metadata) == METADATA_VALUES
    later, again = limit_cardinality(
        listing(session(series=labelled("a")), session(id="s2", series=labelled("t007"))),
        TRAITS[BROWSERBASE],
        seen,
    )
    assert [one.series for one in later.sessions] == [labelled(OTHER), labelled("t007")]
    assert (later.limited, again) == ({"team": 1}, seen)


def test_a_hundred_values_are_shown_and_each_label_has_its_own() -> None:
    many = [f"t{n:03}" for n in range(METADATA_VALUES - 1)] + [UNKNOWN]
    series = [Series("p", "us-west-2", (("run", value), ("team", value))) for value in many]
    plain = listing(listed={(one, "running"): 1 for one in [*series, labelled(OTHER)]})
    shown, seen = limit_cardinality(plain, TRAITS[BROWSERBASE], SeenLabelValues())
    assert shown == plain
    assert len(seen.metadata) == 2 * METADATA_VALUES


def test_values_that_are_limited_are_counted_by_their_label() -> None:
    odd = {(Series(f"p{n:03}", f"r{n:03}"), f"st{n:03}"): 1 for n in range(120)}
    shown, _ = limit_cardinality(listing(listed=odd), TRAITS[BROWSERBASE], SeenLabelValues())
    assert shown.limited == {"project": 20, "region": 70, "status": 70}


OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HOSTILE = [
    'a"b',
    "a\\b",
    "a\nb",
    "a\r\nb",
    'x"} 1\ny{z="',
    "\x00\x1b[31m",
    "\u202eevil\u2066",
    "\u2028",
    "x" * 10_000,
    "\u00e9",
]


def hostile(head: bytes) -> bytes:
    """Either provider's list: a row for each odd word, then more of ordinary ones than there may be."""
    times = dict.fromkeys(("createdAt", "startedAt"), "2026-05-01T12:00:00Z")
    times |= dict.fromkeys(("endedAt", "finishedAt"), "2026-05-01T12:01:00Z")
    rows = [
        {"id": f"s{n}", "status": word, "region": word, "projectId": word, **times}
        for n, word in enumerate(HOSTILE + [f"\u4e16{n:03}" for n in range(150)])
    ]
    if b"/v1/sessions" in head:
        return answer(json.dumps(rows).encode())
    return answer(json.dumps({"items": rows[:100], "totalItems": 100, "pageSize": 100}).encode())


def values(families: Iterable[Metric], label: str, provider: str) -> set[str]:
    samples = [sample for family in families for sample in family.samples]
    return {s.labels[label] for s in samples if label in s.labels and s.labels.get("provider") == provider}


@pytest.mark.slow
def test_no_word_of_a_provider_breaks_the_page_or_floods_it(tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    with replying(hostile) as provider:
        keys = {"BROWSERBASE_API_KEY": "k", "BROWSER_USE_API_KEY": "k", "STATE_DIRECTORY": str(tmp_path)}
        urls = {"BROWSERBASE_BASE_URL": provider.url, "BROWSER_USE_BASE_URL": provider.url}
        with exporter(environ=keys | urls) as process:
            text, opened = process.get().text, process.get(Accept=OPENMETRICS).text
    for families in (parse_text(text), parse_openmetrics(opened)):  # type: ignore[no-untyped-call]  # the library's own omission
        read = list(families)
        found = {label: values(read, label, "browserbase") for label in ("status", "region", "project")}
        assert all(re.fullmatch("[a-z0-9_-]{1,40}", word) for word in found["status"] | found["region"])
        assert all(word.isprintable() and len(word) <= 100 for word in found["project"])
        assert {'a"b', "a\\b", "ab", 'x"} 1y{z="', "[31m", "evil", "x" * 100, "\u00e9"} <= found["project"]
        assert [len(found[label]) for label in ("status", "region", "project")] == [57, 56, 102]
    code, output, errors = run(promtool, "check", "metrics", given=text)
    assert (code, output + errors) == (0, "")
