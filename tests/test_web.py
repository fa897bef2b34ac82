"""The front on a real socket: paths, forms, times."""

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from test_accounting import WEST, listing, session
from test_pull import ONE, Provider

from exporter.ledger import Ledger
from exporter.meters import Meters
from exporter.pull import Puller
from exporter.simulator import Server
from exporter.web import Front, Times

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Site:
    """A front over one provider, and what it was asked."""

    def __init__(self, url: str, provider: Provider) -> None:
        self.url, self.provider, self.ready = url, provider, True

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=60, allow_redirects=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    meters, provider = Meters(), Provider(listing(session(), listed={(WEST, "running"): 1}))
    made = Site("", provider)
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")))
        puller = stack.enter_context(closing(Puller([provider.target(ONE)], ledger, meters)))
        front = Front(puller, Times(10, 0.5), {ONE: "estimated"}, meters.registry, lambda: made.ready)
        made.url = stack.enter_context(Server(front.app())).url
        yield made


def test_metrics_are_text_unless_openmetrics_is_asked_for(site: Site) -> None:
    text = site.get("/metrics")
    opened = site.get("/metrics", Accept=OPENMETRICS)
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert opened.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in parse_text(text.text)}
    assert names == {family.name for family in parse_openmetrics(opened.text)}  # type: ignore[no-untyped-call]  # the library's own omission
    assert "cloud_browser_sessions_started" in names


def test_gzip_is_sent_where_it_is_accepted(site: Site) -> None:
    plain = site.get("/metrics", **{"Accept-Encoding": "identity"})
    zipped = requests.get(site.url + "/metrics", headers={"Accept-Encoding": "gzip"}, stream=True, timeout=60)
    with zipped:
        body = zipped.raw.read()
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert b"cloud_browser_up" in gzip.decompress(body)


def test_head_has_the_headers_and_no_body(site: Site) -> None:
    answer = requests.head(site.url + "/metrics", timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 1000


@pytest.mark.parametrize(
    "path", ["/metrics/", "/probe", "/sd", "/-/reload", "/favicon.ico", "//metrics", "/%2e"]
)
def test_elsewhere_is_not_found_and_nobody_is_asked(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404
    assert not site.provider.asked.is_set()


@pytest.mark.parametrize(
    ("path", "words"), [("/-/healthy", "Healthy"), ("/-/ready", "Ready"), ("/", "/metrics")]
)
def test_the_other_pages_ask_nobody(site: Site, path: str, words: str) -> None:
    answer = site.get(path)
    assert (answer.status_code, words in answer.text) == (200, True)
    assert not site.provider.asked.is_set()


def test_not_ready_while_the_ledger_cannot_be_opened(site: Site) -> None:
    site.ready = False
    answer = site.get("/-/ready")
    assert (answer.status_code, "the log says why" in answer.text) == (503, True)
    assert site.get("/-/healthy").status_code == 200


def test_a_failed_provider_is_no_failed_page(site: Site) -> None:
    site.provider.answers = [ValueError()]
    answer = site.get("/metrics")
    assert answer.status_code == 200
    assert 'cloud_browser_up{account="one",provider="browserbase"} 0.0' in answer.text


def test_prometheus_timeout_ends_the_pull(site: Site) -> None:
    site.provider.gate.clear()
    answer = site.get("/metrics", **{"X-Prometheus-Scrape-Timeout-Seconds": "0.6"})
    site.provider.gate.set()
    assert answer.status_code == 200
    assert 'cloud_browser_up{account="one",provider="browserbase"} 0.0' in answer.text


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 10), ("5", 4.5), ("0.6", 0.3), ("1e1", 9.5), ("", 10), ("ten", 10),
        ("nan", 10), ("inf", 10), ("-3", 10), ("0", 10), ("1e300", 86_399.5),
    ],
)  # fmt: skip
def test_the_time_for_a_pull(header: str | None, seconds: float) -> None:
    assert Times(10, 0.5).budget(header) == pytest.approx(seconds)
