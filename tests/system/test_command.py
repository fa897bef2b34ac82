"""The installed command as its users meet it: over HTTP, by exit code and by signal."""

import asyncio
import http.client
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests
from aiohttp import web

from exporter.simulator import PROVIDERS as SIMULATED
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import HOUR, MINUTE, SECOND, Fleet, SimulatedSession, session_at
from exporter.simulator.server import WINDOW, Server, create_app
from tests.support.expected_totals import BROWSER_USE, BROWSERBASE
from tests.support.pages import FLEET, ORIGIN, Page
from tests.support.processes import (
    COMMAND,
    KEYS,
    LOCAL,
    Exporter,
    Process,
    configuration,
    exporter,
    run,
    wait_until,
)

BOTH = BROWSERBASE, BROWSER_USE
SESSIONS, BROWSERS = "/v1/sessions", "/api/v3/browsers"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LIST_GAUGES = (
    "sessions", "keep_alive_sessions",
    "oldest_open_session_start_timestamp_seconds", "next_session_expiry_timestamp_seconds",
)  # fmt: skip
COUNTERS = (
    "sessions_started_total", "sessions_ended_total", "session_seconds_total", "proxy_bytes_total",
    "cost_usd_total", "session_duration_seconds_bucket", "session_duration_seconds_count",
    "session_duration_seconds_sum",
)  # fmt: skip


class Providers:
    """A simulator whose time is set by hand, whose requests are counted and whose answers can be held."""

    def __init__(self, fleet: Fleet = FLEET) -> None:
        self.now = ORIGIN
        self.asked: Counter[str] = Counter()
        self._gates: dict[str, threading.Event] = {}
        self._app = create_app(fleet, lambda: self.now, keys=KEYS.values())

    @contextmanager
    def served(self) -> Iterator[str]:
        """Its URL."""
        with Server(self._gated) as server:
            yield server.url

    @contextmanager
    def held(self, *paths: str) -> Iterator[Callable[[], None]]:
        """Hold the answers for these paths, until left or until what is given is called."""
        gate = threading.Event()
        self._gates = dict.fromkeys(paths, gate)
        try:
            yield gate.set
        finally:
            self._gates = {}
            gate.set()

    async def _gated(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked[request.path] += 1
        if gate := self._gates.get(request.path):
            await asyncio.to_thread(gate.wait)
        return await self._app(request)


@pytest.fixture(scope="module")
def providers() -> Providers:
    return Providers()


@pytest.fixture(scope="module")
def command(providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """Configured by the environment alone."""
    environ = KEYS | {"HOME": str(tmp_path_factory.mktemp("home"))}
    with providers.served() as url:
        environ |= {"BROWSERBASE_BASE_URL": url, "BROWSER_USE_BASE_URL": f"{url}/api/v3"}
        with exporter(environ=environ) as process:
            yield process


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain; version=0.0.4"), (OPENMETRICS, OPENMETRICS)],
)
def test_text_and_openmetrics_show_the_same(command: Exporter, accept: str, content_type: str) -> None:
    response = command.get(Accept=accept)
    assert response.headers["Content-Type"].startswith(content_type)
    page, text = Page(response), Page(command.get())
    for provider in BOTH:
        assert page.sum(provider, "up") == 1
        assert page.of(provider, *COUNTERS, *LIST_GAUGES) == text.of(provider, *COUNTERS, *LIST_GAUGES)


def test_gzip_is_sent_to_who_accepts_it(command: Exporter) -> None:
    plain, zipped = command.get(), command.get(Accept_Encoding="gzip")
    assert "Content-Encoding" not in plain.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert int(zipped.headers["Content-Length"]) * 4 < int(plain.headers["Content-Length"])
    assert Page(zipped).samples.keys() == Page(plain).samples.keys()


def test_head_has_no_body(command: Exporter) -> None:
    response = command.get(method="HEAD")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    "path", ["/metric", "/metrics/", "/metrics/x", "/v1/sessions", "/-/", "/favicon.ico"]
)
def test_elsewhere_is_nothing_and_no_provider_is_asked(
    command: Exporter, providers: Providers, path: str
) -> None:
    before = providers.asked.copy()
    assert command.get(path).status_code == 404
    assert providers.asked == before


@pytest.mark.parametrize("path", ["/", "/-/healthy", "/-/ready"])
def test_the_other_pages_ask_no_provider(command: Exporter, providers: Providers, path: str) -> None:
    before = providers.asked.copy()
    assert command.get(path).status_code == 200
    assert providers.asked == before


def test_two_scrapes_at_once_ask_as_much_as_one(command: Exporter, providers: Providers) -> None:
    command.get()  # the first reads more: the history
    providers.asked.clear()
    command.get()
    alone = providers.asked.copy()
    with providers.held(SESSIONS, BROWSERS) as release, scraping(command) as one:
        wait_until(lambda: providers.asked > alone, "requests")
        with scraping(command) as other:
            command.get("/-/healthy")  # is let in after the second scrape
            release()
            assert [one.getresponse().status, other.getresponse().status] == [200, 200]
    assert providers.asked == alone + alone


@contextmanager
def scraping(command: Exporter) -> Iterator[http.client.HTTPConnection]:
    """A scrape that has been asked for; the answer has not been read."""
    with closing(http.client.HTTPConnection(LOCAL, command.port, timeout=60)) as connection:
        connection.request("GET", "/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "60"})
        yield connection


def test_a_provider_that_never_answers_is_left_in_time_and_alone(tmp_path: Path) -> None:
    providers = Providers()
    with providers.served() as url, exporter("--config.file", configuration(tmp_path, url)) as command:
        good = Page(command.get())
        providers.now += 10 * MINUTE
        with providers.held(SESSIONS):
            bad = Page(command.get(X_Prometheus_Scrape_Timeout_Seconds="3"))  # before the provider answers
        after = Page(command.get())
    assert bad.sum(BROWSERBASE, "up") == bad.sum(BROWSERBASE, "collector_success") == 0
    assert bad.of(BROWSERBASE, *COUNTERS) == good.of(BROWSERBASE, *COUNTERS) != {}
    assert bad.of(BROWSERBASE, *LIST_GAUGES) == {}
    assert bad.sum(BROWSER_USE, "up") == 1
    assert bad.of(BROWSER_USE, *COUNTERS, *LIST_GAUGES) == after.of(BROWSER_USE, *COUNTERS, *LIST_GAUGES)
    assert after.sum(BROWSERBASE, "exporter_errors_total", reason="timeout") == 1
    assert after.sum(BROWSERBASE, "exporter_errors_total") == 1
    assert after.sum(BROWSER_USE, "exporter_errors_total") == 0
    assert_true(after, now=providers.now)


def assert_true(page: Page, fleet: Fleet = FLEET, now: int = ORIGIN, providers: Iterable[str] = BOTH) -> None:
    """The counters are those of the fleet at a time."""
    for provider in providers:
        totals = expected_totals(fleet, SIMULATED[provider].facts, now)
        assert page.sum(provider, "up") == page.sum(provider, "history_complete") == 1
        assert page.sum(provider, "sessions_started_total") == sum(one.started for one in totals)
        assert page.sum(provider, "proxy_bytes_total") == sum(one.proxy_bytes for one in totals)


def test_a_refused_key_fails_its_account_alone_and_is_shown_nowhere(tmp_path: Path) -> None:
    environ = KEYS | {"BROWSERBASE_API_KEY": "bb-wrong-key"}
    with Providers().served() as url:
        flags = "--config.file", configuration(tmp_path, url), "--log.level", "debug"
        with exporter(*flags, environ=environ) as command:
            response = command.get()
    page = Page(response)
    assert page.sum(BROWSERBASE, "up") == 0
    assert page.sum(BROWSERBASE, "exporter_errors_total", reason="auth") == 1
    assert_true(page, providers=[BROWSER_USE])
    for key in environ.values():
        assert key not in response.text + command.log


def test_a_skipped_history_counts_from_the_first_scrape(tmp_path: Path) -> None:
    providers, now = Providers(), ORIGIN + HOUR
    with providers.served() as url:
        flags = "--config.file", configuration(tmp_path, url, history="skip")
        with exporter(*flags) as command:
            first = Page(command.get())
            providers.now = ORIGIN + 30 * MINUTE
            command.get()
        providers.now = now
        with exporter(*flags) as command:
            later = Page(command.get())
    for provider in BOTH:
        assert set(first.of(provider, *COUNTERS).values()) == {0}
        lives = list(seen_open(provider, now))
        assert later.sum(provider, "sessions_started_total") == sum(one.created > ORIGIN for one in lives)
        assert later.sum(provider, "sessions_ended_total") == sum(one.ended <= now for one in lives)
        assert later.sum(provider, "session_duration_seconds_sum") == pytest.approx(
            sum(one.ended - one.started for one in lives if one.ended <= now) / SECOND
        )
        assert later.sum(provider, "session_seconds_total") == pytest.approx(
            sum(one.ran(now, now) - one.ran(ORIGIN, ORIGIN) for one in lives) / SECOND
        )
        assert later.sum(provider, "proxy_bytes_total") == sum(
            one.proxy_bytes(now) - one.proxy_bytes(ORIGIN) for one in lives
        )


def seen_open(provider: str, now: int) -> Iterator[SimulatedSession]:
    """The sessions open at the origin, and those created since."""
    facts = SIMULATED[provider].facts
    for index in range(-FLEET.history, FLEET.after(facts, now)):
        session = session_at(FLEET, facts, index)
        if session.ended > ORIGIN:
            yield session


@pytest.mark.slow
def test_counters_are_absent_until_the_first_import_is_complete(tmp_path: Path) -> None:
    """The rate limit, whose clock stands, ends the first attempt, and a restart comes between."""
    fleet = Fleet(origin=ORIGIN, history=14_000)
    flags = "--config.file", tmp_path / "exporter.yml"
    providers, soon = Providers(fleet), {"X_Prometheus_Scrape_Timeout_Seconds": "2"}
    with providers.served() as url:
        configuration(tmp_path, url)
        with exporter(*flags) as command:
            pages = [Page(command.get(**soon))]
        with exporter(*flags) as command:
            while pages[-1].sum(BROWSER_USE, "history_complete") == 0:
                assert len(pages) < 100
                providers.now += WINDOW
                pages.append(Page(command.get(**soon)))
            whole = Page(command.get())
    *partial, _ = pages
    for page in partial:
        assert page.of(BROWSER_USE, *COUNTERS) == {}
    read = [page for page in partial if page.sum(BROWSER_USE, "up")]  # else the import took the whole rate
    assert read
    for page in read:
        assert page.sum(BROWSER_USE, "history_remaining_sessions") > 0
    assert whole.sum(BROWSER_USE, "history_remaining_sessions") == 0
    assert_true(whole, fleet, providers.now)


def test_an_invalid_configuration_ends_with_2_and_a_line_for_each_fault(tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text("accounts: [{name: a, provider: netscape, api_key_env: NONE}]\nscrape: {timeout: -1s}\n")
    code, out, errors = run(COMMAND, "--config.file", path, "--ledger.url", "sqlite:///ledger.db")
    assert (code, out) == (2, "")
    keys = "line 1: accounts[0].provider", "line 2: scrape.timeout", "line 1: accounts[0].api_key_env"
    for line, key in zip(errors.splitlines(), keys, strict=True):
        assert line.startswith(f"{path}: {key}: ")


def test_without_a_key_it_ends_with_2_and_names_the_ways_on() -> None:
    code, out, errors = run(COMMAND, environ={"HOME": "/"})
    assert (code, out, errors.count("\n")) == (2, "", 1)
    for word in ("BROWSERBASE_API_KEY", "BROWSER_USE_API_KEY", "demo"):
        assert word in errors


def test_a_foreign_ledger_ends_with_1_and_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE visits (url TEXT)")
    before = path.read_bytes()
    code, out, errors = run(COMMAND, "--ledger.url", f"sqlite:///{path}")
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert str(path) in errors
    assert path.read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_answers_the_scrape_in_flight(tmp_path: Path, number: signal.Signals) -> None:
    providers = Providers()
    with providers.served() as url, exporter("--config.file", configuration(tmp_path, url)) as command:
        with providers.held(SESSIONS) as release, scraping(command) as scrape:
            wait_until(lambda: providers.asked[SESSIONS], "a request")
            command.signal(number)
            wait_until(lambda: refuses(command.port), "no more to be let in")
            release()
            response = scrape.getresponse()
            assert response.status == 200
            assert b'cloud_browser_up{account="ours",provider="browserbase"} 1.0' in response.read()
        assert command.wait(10) == 0


def refuses(port: int) -> bool:
    try:
        socket.create_connection((LOCAL, port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.slow
def test_told_to_end_it_answers_without_a_provider_that_never_does(tmp_path: Path) -> None:
    providers = Providers()
    with (
        providers.served() as url,
        exporter("--config.file", configuration(tmp_path, url)) as command,
        providers.held(SESSIONS),
        scraping(command) as scrape,
    ):
        wait_until(lambda: providers.asked[SESSIONS], "a request")
        command.signal(signal.SIGTERM)
        assert command.wait(10) == 0
        assert b'cloud_browser_up{account="ours",provider="browserbase"} 0.0' in scrape.getresponse().read()


def test_told_twice_to_end_it_ends_without_an_answer(tmp_path: Path) -> None:
    providers = Providers()
    with (
        providers.served() as url,
        exporter("--config.file", configuration(tmp_path, url)) as command,
        providers.held(SESSIONS),
        scraping(command) as scrape,
    ):
        wait_until(lambda: providers.asked[SESSIONS], "a request")
        command.signal(signal.SIGTERM)
        wait_until(lambda: refuses(command.port), "no more to be let in")
        command.signal(signal.SIGTERM)
        assert command.wait() == 0
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            scrape.getresponse()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_demo_counts_a_fleet_of_its_own_without_a_key_and_ends(number: signal.Signals) -> None:
    flags = ("--web.listen-address", f"{LOCAL}:0", "--listen-address", f"{LOCAL}:0", "--speed", "60")
    with Process(COMMAND, "demo", *flags, environ={}) as demo:
        port = demo.wait_for_log(r"msg=serving .*port=(\d+)")[1]
        page = requests.get(f"http://{LOCAL}:{port}/metrics", timeout=60).text
        demo.signal(number)
        assert demo.wait(10) == 0
    assert 'cloud_browser_up{account="demo",provider="browserbase"} 1.0' in page
    assert 'cloud_browser_up{account="demo",provider="browser_use"} 1.0' in page
    assert 'cloud_browser_history_complete{account="demo",provider="browser_use"} 1.0' in page


HANGUP = """
import os, runpy, signal, sys

class Hangup:
    def find_spec(self, name, *_):
        if name == "exporter.cli":
            os.kill(os.getpid(), signal.SIGHUP)

sys.meta_path.insert(0, Hangup())
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def test_a_hangup_before_its_modules_are_imported_does_not_end_it() -> None:
    code, out, _ = run(sys.executable, "-c", HANGUP, COMMAND, "--version")
    assert (code, out.split()[0]) == (0, "cloud-browser-exporter")


def test_a_hangup_while_the_configuration_is_read_reloads_it_later(tmp_path: Path) -> None:
    """The configuration is a pipe: the exporter waits for its text, so that the test knows where it is."""
    file = configuration(tmp_path, f"http://{LOCAL}:1")
    pipe = tmp_path / "pipe.yml"
    os.mkfifo(pipe)
    flags = "--config.file", pipe, "--web.listen-address", f"{LOCAL}:0"
    with Process(COMMAND, *flags, environ=KEYS) as command:
        with pipe.open("w") as read:
            command.signal(signal.SIGHUP)
            read.write(file.read_text())
            file.replace(pipe)
        command.wait_for_log('msg="configuration reloaded"')
        command.signal(signal.SIGTERM)
        assert command.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_demo_that_is_told_to_end_while_it_starts_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    code = DURING_START.format(number=int(number))
    flags = "--web.listen-address", f"{LOCAL}:0", "--listen-address", f"{LOCAL}:0"
    assert run(sys.executable, "-c", code, "demo", *flags, environ={"TMPDIR": str(tmp_path)})[0] == 0
    assert list(tmp_path.iterdir()) == []


# The demo, which gets a signal when its folder is there.
DURING_START = """
import os, sys
from exporter.__main__ import main

def hook(event, arguments):
    if event == "tempfile.mkdtemp":
        os.kill(os.getpid(), {number})

sys.addaudithook(hook)
sys.exit(main())
"""
