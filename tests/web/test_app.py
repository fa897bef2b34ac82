"""The front on a real socket: paths, forms, times."""

import gzip
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
import pytest
import requests
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.ledger.store import Ledger
from exporter.metrics.telemetry import Telemetry
from exporter.scrape.plan import ScrapePlan, TimeoutPolicy
from exporter.scrape.scraper import Scraper
from exporter.web.app import Front
from tests.support.listings import WEST, listing, session
from tests.support.processes import LOCAL
from tests.support.scripted_provider import ONE, Provider
from tests.support.web_servers import Client
from tests.support.web_servers import Front as Served

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Site:
    """Routes over one provider, and what it was asked."""

    url: str

    def __init__(self, provider: Provider, scraper: Scraper, *, lifecycle: bool) -> None:
        self.provider, self.scraper, self.ready = provider, scraper, True
        self.faults: tuple[str, ...] = ()
        self._lifecycle = lifecycle

    def app(self) -> web.Application:
        reload = self.reload if self._lifecycle else None
        return Front(self.scraper, Telemetry(), lambda: self.ready, reload=reload).app()

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.ask("GET", path, **headers)

    def ask(self, method: str, path: str, **headers: str) -> requests.Response:
        return requests.request(method, self.url + path, headers=headers, timeout=60, allow_redirects=False)

    async def reload(self) -> tuple[str, ...]:
        return self.faults


@contextmanager
def opened(tmp_path: Path, *, lifecycle: bool) -> Iterator[Site]:
    telemetry, provider = Telemetry(), Provider(listing(session(), listed={(WEST, "running"): 1}))
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger(f"sqlite:///{tmp_path}/ledger.db")))
        plan = ScrapePlan((provider.target(ONE, cost=True),))
        scraper = stack.enter_context(closing(Scraper(plan, ledger, telemetry)))
        made = Site(provider, scraper, lifecycle=lifecycle)
        made.url = f"http://{LOCAL}:{stack.enter_context(Served(made)).port}"
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened(tmp_path, lifecycle=True) as made:
        yield made


def test_metrics_are_text_unless_openmetrics_is_asked_for(site: Site) -> None:
    text = site.get("/metrics")
    opened = site.get("/metrics", Accept=OPENMETRICS)
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert opened.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in parse_text(text.text)} - AGE_SUMS
    assert names == {family.name for family in parse_openmetrics(opened.text)}  # type: ignore[no-untyped-call]  # the library's own omission
    assert "cloud_browser_sessions_started" in names


# The text format has no gauge histograms: their sums are gauges there.
AGE_SUMS = {f"cloud_browser_open_session_age_seconds_{end}" for end in ("gcount", "gsum")}


@pytest.mark.parametrize("version", ["foo", "9" * 5000, "1.0.0.1", "2.0.0", ""])
def test_a_form_that_there_is_none_of_is_answered_in_one_that_there_is(site: Site, version: str) -> None:
    answer = site.get("/metrics", Accept=f"application/openmetrics-text; version={version}")
    assert (answer.status_code, "cloud_browser_up" in answer.text) == (200, True)
    assert answer.headers["content-type"].split(";")[1].strip() in ("version=0.0.4", "version=1.0.0")


def test_gzip_is_sent_where_it_is_accepted(site: Site) -> None:
    plain = site.get("/metrics", **{"Accept-Encoding": "identity"})
    zipped = requests.get(site.url + "/metrics", headers={"Accept-Encoding": "gzip"}, stream=True, timeout=60)
    with zipped:
        body = zipped.raw.read()
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert b"cloud_browser_up" in gzip.decompress(body)


def test_weights_of_several_headers_are_honoured(site: Site) -> None:
    with Client(int(site.url.rpartition(":")[2])) as client:
        lines = "Accept: text/plain;q=0.1", f"Accept: {OPENMETRICS};q=0.2", "Accept-Encoding: gzip;q=0"
        client.request("/metrics", headers="".join(f"{line}\r\n" for line in lines))
        status, headers, _ = client.answer()
    assert (status, headers["content-type"].partition(";")[0]) == (200, "application/openmetrics-text")
    assert "content-encoding" not in headers


def test_head_has_the_headers_and_no_body(site: Site) -> None:
    answer = requests.head(site.url + "/metrics", timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 1000


@pytest.mark.parametrize(
    "path", ["/metrics/", "/metrics%0a", "/probe/", "/sd/", "/-/quit", "/favicon.ico", "//metrics", "/%2e"]
)
def test_elsewhere_is_not_found_and_nobody_is_asked(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404
    assert not site.provider.asked.is_set()


@pytest.mark.parametrize("accept", ["text/plain", OPENMETRICS])
def test_a_probe_shows_its_account_alone_and_nothing_of_the_process(site: Site, accept: str) -> None:
    answer = site.get(f"/probe?target={ONE.name}&provider={ONE.provider}", Accept=accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(accept.partition(";")[0])
    assert gzip_is_used(answer)
    parse = parse_text if accept == "text/plain" else parse_openmetrics
    samples = [one for family in parse(answer.text) for one in family.samples]
    names = {one.name for one in samples}
    assert {"cloud_browser_up", "cloud_browser_sessions_started_total"} <= names
    assert {one.labels.get("account") for one in samples} == {ONE.name}


def gzip_is_used(answer: requests.Response) -> bool:
    return answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("", 400, "/probe?target=ACCOUNT"),
        ("?target=", 400, "/probe?target=ACCOUNT"),
        ("?target=nobody", 404, "/sd"),
        (f"?target={ONE.name}&provider=browser_use", 404, "/sd"),
        ("?target=%00%ff%3Cscript%3E", 404, "/sd"),
    ],
)
def test_a_probe_of_no_account_asks_nobody(site: Site, query: str, status: int, word: str) -> None:
    answer = site.get(f"/probe{query}")
    assert (answer.status_code, word in answer.text) == (status, True)
    assert "script" not in answer.text
    assert not site.provider.asked.is_set()


def test_service_discovery_lists_the_accounts_and_asks_nobody(site: Site) -> None:
    answer = site.get("/sd")
    assert answer.headers["content-type"].startswith("application/json")
    [group] = answer.json()
    assert group["targets"] == [site.url.removeprefix("http://")]
    assert group["labels"]["__param_target"] == ONE.name
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


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_reload_says_that_it_is_done_or_what_was_wrong(site: Site, method: str) -> None:
    done = site.ask(method, "/-/reload")
    site.faults = ("a.yml: accounts: missing", "a.yml: scrape.timeout: '-1s' is not a duration")
    refused = site.ask(method, "/-/reload")
    assert (done.status_code, done.text) == (200, "Reloaded.\n")
    assert (refused.status_code, refused.text.splitlines()) == (500, [*site.faults])
    assert not site.provider.asked.is_set()


def test_a_reload_must_be_enabled(tmp_path: Path) -> None:
    with opened(tmp_path, lifecycle=False) as site:
        answer = site.ask("POST", "/-/reload")
    assert (answer.status_code, "--web.enable-lifecycle" in answer.text) == (403, True)


@pytest.mark.parametrize("lifecycle", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_reload_is_not_to_be_had_by_following_a_link(tmp_path: Path, lifecycle: bool, method: str) -> None:  # noqa: FBT001 - pytest passes it by name
    with opened(tmp_path, lifecycle=lifecycle) as site:
        answer = site.ask(method, "/-/reload")
    assert answer.status_code == 405
    assert {word.strip() for word in answer.headers["allow"].split(",")} == {"POST", "PUT"}


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/reload", "/nowhere"])
def test_every_answer_tells_browsers_how_little_they_may_do_with_it(site: Site, path: str) -> None:
    headers = site.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["server"] == "cloud-browser-exporter"


def test_a_failed_provider_is_no_failed_page(site: Site) -> None:
    site.provider.answers = [ValueError()]
    answer = site.get("/metrics")
    assert answer.status_code == 200
    assert 'cloud_browser_up{account="one",provider="browserbase"} 0.0' in answer.text


def test_the_times_in_force_are_those_of_the_plan_of_the_moment(site: Site) -> None:
    site.scraper.plan = msgspec.structs.replace(site.scraper.plan, timeouts=TimeoutPolicy(1000, 20))
    for named, least, most in ((None, 800, 900), ("100", 60, 72)):
        begun = time.monotonic()
        site.get("/metrics", **({} if named is None else {"X-Prometheus-Scrape-Timeout-Seconds": named}))
        assert least < site.provider.deadlines[-1] - begun <= most + (time.monotonic() - begun)


DEADLINE = "cloud_browser_exporter_scrape_deadline_seconds"


def deadline(text: str) -> list[float]:
    return [one.value for family in parse_text(text) for one in family.samples if one.name == DEADLINE]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_each_client_of_a_shared_scrape_sees_its_own_deadline(site: Site, encoding: str) -> None:
    site.scraper.plan = msgspec.structs.replace(
        site.scraper.plan, timeouts=TimeoutPolicy(10, 0.5), min_interval=1000
    )
    for named, seconds in ((None, 10), ("15", 14.5), ("20", 19.5), ("15", 14.5)):
        header = {} if named is None else {"X-Prometheus-Scrape-Timeout-Seconds": named}
        assert deadline(site.get("/metrics", **header, **{"Accept-Encoding": encoding}).text) == [seconds]
    assert len(site.provider.windows) == 1, "they shared one scrape"
    opened = site.get("/metrics", Accept=OPENMETRICS).text
    assert DEADLINE in {family.name for family in parse_openmetrics(opened)}  # type: ignore[no-untyped-call]  # the library's own omission
    assert opened.endswith("# EOF\n")


def test_a_probe_shows_no_deadline(site: Site) -> None:
    assert deadline(site.get(f"/probe?target={ONE.name}").text) == []


def test_prometheus_timeout_ends_the_scrape(site: Site) -> None:
    site.provider.gate.clear()
    answer = site.get("/metrics", **{"X-Prometheus-Scrape-Timeout-Seconds": "0.6"})
    site.provider.gate.set()
    assert answer.status_code == 200
    assert 'cloud_browser_up{account="one",provider="browserbase"} 0.0' in answer.text
