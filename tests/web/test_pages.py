"""Which form of a page a client gets, and how often one is rendered."""

import asyncio
import gzip
from collections.abc import Iterable, Sequence

import pytest

from exporter.metrics.parts import Part
from exporter.model import Account
from exporter.scrape.inflight import ScrapeResult
from exporter.scrape.plan import ScrapePlan
from exporter.web.negotiation import accepts_gzip, negotiate
from exporter.web.pages import Pages

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

    def of_process(self) -> Sequence[Part]:
        """Those of the process."""
        self.count += 1
        return ()

    def of_accounts(self, _: Iterable[Account]) -> Sequence[Part]:
        """Those of these accounts."""
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
        pages = Pages(Renderings())
        for encoding in ("", "gzip"):
            one = result()
            got = [await pages.page(one, "", encoding, seconds) for seconds in (0, 1)]
            again = [await pages.page(one, "", encoding, seconds) for seconds in (0, 1)]
            kept = [old.body is new.body for old, new in zip(got, again, strict=True)]
            assert kept == [True, False], "only that of the first client's timeout"

    asyncio.run(asked())


def test_a_newer_result_is_rendered_anew() -> None:
    renderings = Renderings()

    async def asked() -> None:
        pages = Pages(renderings)
        for one in (first := result(), first, result()):
            await pages.page(one, "", "")

    asyncio.run(asked())
    assert renderings.count == 2
