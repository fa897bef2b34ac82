"""What is rendered anew, and that a page of cached texts is the one that the library makes."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily, Metric

from exporter.metrics.counters import ENDED, CounterKey, LastSession
from exporter.metrics.families import families, page_parts
from exporter.metrics.parts import Part, given
from exporter.metrics.results import AccountResult
from exporter.metrics.telemetry import Telemetry
from exporter.model import Account
from exporter.web.negotiation import negotiate
from exporter.web.rendering import TextCache
from tests.support.listings import EAST, listing, session
from tests.support.providers import description

ONE, TWO = Account("browserbase", "one"), Account("browserbase", "two")
DESCRIPTIONS = {account: description(account, cost=True) for account in (ONE, TWO)}
FORMS = ["text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"]


class Given:
    """What the library encodes."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self.collect = lambda: families


class Counted:
    """An encoder, which remembers the families that it rendered."""

    def __init__(self, accept: str = "") -> None:
        self._encode, self.content_type = negotiate(accept)
        self.rendered: list[str] = []

    def __call__(self, collector: Any) -> bytes:
        families = list(collector.collect())
        self.rendered += [family.name for family in families]
        return self._encode(Given(families))


def part(owner: Account, made: list[str] | None = None, **values: float) -> Part:
    """A gauge for each value; what is made of it is added to `made`."""

    def make() -> Iterable[Metric]:
        for name, value in values.items():
            family = GaugeMetricFamily(name, f"What {name} is.", labels=["account"])
            family.add_metric([owner.name], value)
            yield family
        if made is not None:
            made.append(owner.name)

    return Part(owner, "+".join(values), values, make)


def test_only_parts_whose_figures_have_changed_are_made_anew() -> None:
    cache, encode, made = TextCache(), Counted(), list[str]()
    first = cache.page(encode, "text", [part(ONE, a=1, b=2), part(TWO, a=1, b=2)])
    second = cache.page(encode, "text", [part(ONE, made, a=1, b=2), part(TWO, made, a=1, b=3)])
    assert made == ["two"]
    assert first.replace(b'b{account="two"} 2', b'b{account="two"} 3') == second
    assert b"two" not in cache.page(encode, "text", [part(ONE, a=1, b=2)]), "it is not there any more"


@pytest.mark.parametrize("accept", FORMS)
def test_a_familys_samples_of_all_owners_stand_together(accept: str) -> None:
    encode = Counted(accept)
    text = TextCache().page(encode, encode.content_type, [part(ONE, a=1, b=2), part(TWO, a=3, b=4)])
    samples = 'a{account="one"} 1.0', 'a{account="two"} 3.0', 'b{account="one"} 2.0', 'b{account="two"} 4.0'
    assert tuple(line for line in text.decode().splitlines() if not line.startswith("#")) == samples
    assert [
        text.count(b"# %s %s " % (kind, name)) for kind in (b"HELP", b"TYPE") for name in (b"a", b"b")
    ] == [1] * 4


def results(**changed: Any) -> list[AccountResult]:
    shown = listing(session(id="open"), session(id="odd", series=EAST, status="# HELP"))
    one = AccountResult(ONE, shown, {}, complete=True, rows=2, last_success=9.5, error=None, seconds=0.25)
    return [msgspec.structs.replace(one, **changed), msgspec.structs.replace(one, account=TWO)]


@pytest.mark.parametrize("accept", FORMS)
@pytest.mark.parametrize(
    "changed",
    [{}, {"listing": None}, {"totals": None}, {"seconds": 0.5}, {"listing": listing(session(id="new"))}],
)
def test_a_page_of_cached_parts_is_that_of_the_library(accept: str, changed: dict[str, Any]) -> None:
    encode, content_type = negotiate(accept)
    cache = TextCache()
    for shown in (results(), results(**changed)):
        parts = [*page_parts(shown, DESCRIPTIONS)]
        whole = encode(Given([*families(shown, DESCRIPTIONS)]))
        assert cache.page(encode, content_type, parts) == whole


@pytest.mark.parametrize("accept", FORMS)
def test_a_family_without_a_sample_is_none_of_its_neighbours(accept: str) -> None:
    encode, content_type = negotiate(accept)
    empty = [GaugeMetricFamily(name, "Empty.", labels=["x"]) for name in ("a", "b")]
    made: list[Metric] = [*empty, GaugeMetricFamily("c", "One.", value=1)]
    assert TextCache().page(encode, content_type, given(None, made)) == encode(Given(made))


def test_the_exporters_own_metrics_are_those_of_its_accounts_each_name_once() -> None:
    telemetry, encode = Telemetry(), Counted()
    for account in (ONE, TWO):
        telemetry.for_account(account, ["/v1/sessions"])
    parts = [*telemetry.of_process(), *telemetry.of_accounts([ONE, TWO])]
    text = TextCache().page(encode, encode.content_type, parts).decode()
    assert text.count("# HELP cloud_browser_exporter_errors_total ") == 1
    assert text.count('reason="auth"') == 2


@pytest.mark.parametrize("accept", FORMS)
@pytest.mark.parametrize("value", [0, -1.5, 1e21, 2**53 - 1, float("inf"), float("nan"), True])
def test_new_values_are_put_in_as_the_library_writes_them(accept: str, value: float) -> None:
    encode, cache = Counted(accept), TextCache()
    cache.page(encode, encode.content_type, [odd(1, 2)])
    encode.rendered.clear()
    text = cache.page(encode, encode.content_type, [odd(value, 3)])
    assert not encode.rendered, "its names and labels have stayed the same"
    assert text == negotiate(accept)[0](Given([*odd(value, 3).make()]))


@pytest.mark.parametrize("accept", FORMS)
def test_new_labels_are_rendered_anew(accept: str) -> None:
    encode, cache = Counted(accept), TextCache()
    for label in ("a", "b"):
        text = cache.page(encode, encode.content_type, [odd(1, 2, label=label)])
        assert text == negotiate(accept)[0](Given([*odd(1, 2, label=label).make()]))


def odd(*values: float, label: str = "%s {} 7.0\n# HELP 8\r\u2028\\") -> Part:
    """A gauge histogram, whose sums the text format puts elsewhere, and labels that look like a format."""

    def made() -> Iterable[Metric]:
        family = GaugeHistogramMetricFamily("ages", "How 100% old %s.", labels=["a"])
        for number, value in enumerate(values):
            buckets = [("1.0", value), ("+Inf", number)]
            family.add_metric([f"{label}{number}"], buckets, gsum_value=value)
        yield family

    return Part(ONE, "odd", (values, label), made)


LAST = LastSession("5e1b0c42", 20_000_000, 1_800_000_000_000_000)


@pytest.mark.parametrize("accept", FORMS)
def test_exemplars_are_shown_as_the_library_writes_them(accept: str) -> None:
    encode, cache = Counted(accept), TextCache()
    errors = CounterKey(EAST, ENDED, "error")
    last = [{}, {errors: LAST}, {errors: msgspec.structs.replace(LAST, id="other")}, {}]
    for number, one in enumerate(last):
        shown = results(totals={errors: 7 + number}, last_sessions=one)
        whole = negotiate(accept)[0](Given([*families(shown, DESCRIPTIONS)]))
        assert cache.page(encode, encode.content_type, page_parts(shown, DESCRIPTIONS)) == whole
        assert whole.count(b"session_id") == (len(one) if "openmetrics" in accept else 0)


def test_labels_of_another_name_are_rendered_anew() -> None:
    encode, cache = Counted(), TextCache()
    for name in ("team", "squad"):
        described = {**DESCRIPTIONS, TWO: msgspec.structs.replace(DESCRIPTIONS[TWO], metadata_labels=(name,))}
        text = cache.page(encode, encode.content_type, page_parts(results(), described))
        assert text == negotiate("")[0](Given([*families(results(), described)]))
