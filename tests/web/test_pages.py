"""Which form of a page a client gets, and how often one is rendered."""

import asyncio
import gzip
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric

from exporter.metrics.telemetry import Telemetry
from exporter.model import Account
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import ScrapePlan
from exporter.web.negotiation import accepts_gzip, negotiate
from exporter.web.pages import MAX_BODIES, FamilyCache, Pages

TEXT, OPENMETRICS = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


class Renderings:
    """No metrics; it counts how often it is asked for them."""

    def __init__(self) -> None:
        self.count = 0

    def collect(self, accounts: Collection[Account]) -> Sequence[Metric]:
        """Those of the process and of these accounts."""
        return self.of_accounts(accounts)

    def of_accounts(self, _: Collection[Account]) -> Sequence[Metric]:
        """Those of these accounts."""
        self.count += 1
        return ()


def result() -> ScrapeResult:
    return ScrapeResult(ScrapePlan(()), (), 0)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/html", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        (PROMETHEUS, f"{OPENMETRICS}; charset=utf-8; escaping=allow-utf-8"),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", TEXT),
        ("text/plain;version=0.0.4;q=0.1,application/openmetrics-text;version=1.0.0;q=0.9", OPENMETRICS),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.0, */*", TEXT),
        ("application/openmetrics-text;q=many, */*;q=0.1", TEXT),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("text/plain;version=1.0.0;escaping=dots", "text/plain; version=1.0.0; charset=utf-8; escaping=dots"),
        (";;q=,", TEXT),
        ("text/plain;q=0, */*", OPENMETRICS),
        ("text/plain;q=0, text/*, application/*;q=0.1", OPENMETRICS),
        ("application/*", OPENMETRICS),
        ("application/openmetrics-text;q=0, application/*", TEXT),
    ],
)
def test_the_form_is_the_known_one_of_the_highest_weight(accept: str, content_type: str) -> None:
    assert negotiate(accept)[1].startswith(content_type)


@pytest.mark.parametrize(
    "accept", [f"text/plain;version={n}" for n in ("1.0.1", "9", "9" * 5000, "x", "1.0.0.0")]
)
def test_what_a_client_makes_up_creates_no_form(accept: str) -> None:
    assert len(negotiate(accept)[1]) < 80


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("deflate, gzip;q=0.1", True),
        ("gzip;q=x", False),
    ],
)
def test_gzip_is_used_where_it_is_accepted_no_less_than_nothing(header: str, accepted: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    assert accepts_gzip(header) is accepted


def test_clients_of_one_result_share_one_rendering_of_each_form() -> None:
    renderings, one = Renderings(), result()

    async def asked() -> None:
        pages = Pages(renderings)
        wishes = [("", ""), ("", "gzip"), ("application/openmetrics-text", ""), ("text/html", "*")] * 3
        got = await asyncio.gather(*(pages.page(one, *wish) for wish in wishes))
        assert got[1].body is got[3].body
        assert gzip.decompress(got[1].body) == got[0].body

    asyncio.run(asked())
    assert renderings.count == 2


def test_what_clients_choose_fills_no_memory() -> None:
    async def asked() -> None:
        pages, one = Pages(Renderings()), result()
        got = [await pages.page(one, "", "gzip", seconds) for seconds in range(MAX_BODIES + 2)]
        again = [await pages.page(one, "", "gzip", seconds) for seconds in range(MAX_BODIES + 2)]
        assert [old.body for old in got] == [new.body for new in again]
        kept = [old.body is new.body for old, new in zip(got, again, strict=True)]
        assert kept == [True] * (MAX_BODIES - 1) + [False] * 3, "one of them is the text that all share"

    asyncio.run(asked())


def test_a_newer_result_is_rendered_anew() -> None:
    renderings = Renderings()

    async def asked() -> None:
        pages = Pages(renderings)
        for one in (first := result(), first, result()):
            await pages.page(one, "", "")

    asyncio.run(asked())
    assert renderings.count == 2


class Counted:
    """A text of a family, which counts how often it was made."""

    def __init__(self) -> None:
        self.rendered: list[str] = []

    def __call__(self, collector: Any) -> bytes:
        families = list(collector.collect())
        self.rendered += [family.name for family in families]
        return b"".join(f"{family.name} {family.samples}\n".encode() for family in families) + b"# EOF\n"


def collected(**values: float) -> list[Metric]:
    return [GaugeMetricFamily(name, "help", value=value) for name, value in values.items()]


class Given:
    """What the library encodes."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self.collect = lambda: families


def test_only_families_whose_samples_have_changed_are_rendered_anew() -> None:
    cache, encode = FamilyCache(), Counted()
    first = cache.render(encode, "text", collected(a=1, b=2))
    encode.rendered.clear()
    second = cache.render(encode, "text", collected(a=1, b=3))
    assert encode.rendered == ["b"]
    assert first.replace(b"value=2", b"value=3") == second == encode(Given(collected(a=1, b=3)))
    assert cache.render(encode, "text", collected(b=3)) == encode(Given(collected(b=3))), (
        "a is not there any more"
    )


@pytest.mark.parametrize("accept", ["text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"])
def test_a_page_of_cached_families_is_that_of_the_library(accept: str) -> None:
    encode, content_type = negotiate(accept)
    telemetry, cache = Telemetry(), FamilyCache()
    for _ in range(2):
        families = collected(cloud_browser_up=1, cloud_browser_sessions=2)
        assert cache.render(encode, content_type, families) == encode(Given(families))
    assert cache.render(encode, content_type, telemetry.collect([])).startswith(b"# HELP")
