"""The simulator over real HTTP: to its clients, the providers' own SDKs among them, it is the providers."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import requests
from aiohttp import web
from browser_use_sdk import BrowserUse as BrowserUseV2  # type: ignore[import-untyped] # it has no types
from browser_use_sdk.v3 import BrowserUse, BrowserUseError  # type: ignore[import-untyped] # it has no types
from browserbase import AuthenticationError, Browserbase
from urllib3.exceptions import ProtocolError

from exporter.simulator import browser_use, browserbase
from exporter.simulator.expected import expected_totals
from exporter.simulator.fleet import SECOND, Fleet, ProviderFacts, SimulatedSession, session_at
from exporter.simulator.provider import Reply
from exporter.simulator.server import FAULTS, SLOWNESS, Fault, Server, create_app, parse_fault, scaled_clock

BROWSERBASE, BROWSER_USE = browserbase.FACTS, browser_use.FACTS
ORIGIN = 1_767_225_600 * SECOND + 123_456
FLEET = Fleet(origin=ORIGIN, history=200, error_ratio=0.1, timeout_ratio=0.1)
NOW = session_at(FLEET, BROWSERBASE, 60).created + 987_654  # that one is pending
SESSIONS, BROWSERS = "/v1/sessions", "/api/v3/browsers"
KEYS = {"X-BB-API-Key": "bb-key", "X-Browser-Use-API-Key": "bu-key"}
STATUSES = {"PENDING", "RUNNING", "ERROR", "TIMED_OUT", "COMPLETED"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Page(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    items: list[dict[str, Any]]
    total_items: int
    page_number: int
    page_size: int


class Problem(msgspec.Struct, forbid_unknown_fields=True):
    loc: tuple[str, str]
    msg: str
    type: str


class HTTPValidationError(msgspec.Struct, forbid_unknown_fields=True):
    detail: list[Problem]


@contextmanager
def served(now: int = NOW, fleet: Fleet = FLEET, **options: Any) -> Iterator[str]:
    """The URL of a simulator whose clock stands still."""
    with Server(create_app(fleet, lambda: now, **options)) as server:
        yield server.url


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(keys=KEYS.values()) as url:
        yield url


def get(url: str, **params: str | int) -> requests.Response:
    return requests.get(url, params=params, headers=KEYS, timeout=10)


def sessions(provider: ProviderFacts, fleet: Fleet = FLEET, now: int = NOW) -> list[SimulatedSession]:
    """The sessions listed now, newest first."""
    return [session_at(fleet, provider, index) for index in reversed(fleet.listed(provider, now))]


def at(t: int) -> datetime:
    return EPOCH + timedelta(microseconds=t)


def test_browserbase_lists_every_session_newest_first(url: str) -> None:
    response = get(url + SESSIONS)
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == [browserbase.row(session, NOW) for session in sessions(BROWSERBASE)]
    assert {row["status"] for row in response.json()} == STATUSES


def test_browser_use_lists_page_by_page(url: str) -> None:
    pages = [
        msgspec.json.decode(get(url + BROWSERS, pageSize=100, pageNumber=n).content, type=Page)
        for n in (1, 2, 3)
    ]
    rows = [row for page in pages for row in page.items]
    assert [(page.page_number, page.page_size) for page in pages] == [(1, 100), (2, 100), (3, 100)]
    assert {page.total_items for page in pages} == {len(rows)}
    assert rows == [browser_use.row(session, NOW) for session in sessions(BROWSER_USE)]


def test_the_same_seed_and_time_give_the_same_bytes() -> None:
    answers = []
    for _ in range(2):
        session_at.cache_clear()
        with served() as url:
            answers.append([get(url + path).content for path in (SESSIONS, BROWSERS, "/truth")])
    assert answers[0] == answers[1]


def test_the_date_header_is_the_clock_in_whole_seconds(url: str) -> None:
    for path in (SESSIONS, BROWSERS, "/truth", "/nothing"):
        dates = get(url + path).raw.headers.getlist("Date")
        assert [parsedate_to_datetime(date) for date in dates] == [at(NOW - NOW % SECOND)]


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_browserbase_filters_by_status(url: str, status: str) -> None:
    wanted = [session.id for session in sessions(BROWSERBASE) if session.status(NOW) == status.lower()]
    assert [row["id"] for row in get(url + SESSIONS, status=status).json()] == wanted != []


def test_browserbase_queries_metadata(url: str) -> None:
    query = "user_metadata['env']:'staging'"
    wanted = [session for session in sessions(BROWSERBASE) if session.metadata["env"] == "staging"]
    assert (
        [row["id"] for row in get(url + SESSIONS, q=query).json()] == [session.id for session in wanted] != []
    )
    ended = [session.id for session in wanted if session.status(NOW) == "completed"]
    assert [row["id"] for row in get(url + SESSIONS, q=query, status="COMPLETED").json()] == ended != []
    assert get(url + SESSIONS, q="user_metadata['nobody']:'has'").json() == []


@pytest.mark.parametrize(
    "params",
    [{"status": "running"}, {"status": ""}, {"status": "null"}, {"q": "env"}, {"q": "user_metadata['a']:b"}],
)
def test_browserbase_refuses_what_it_does_not_understand(url: str, params: dict[str, str]) -> None:
    response = get(url + SESSIONS, **params)
    assert response.status_code == 400
    assert response.json() == {
        "statusCode": 400,
        "error": "Bad Request",
        "message": response.json()["message"],
    }
    assert next(iter(params)) in response.json()["message"]


def test_browser_use_defaults_to_the_first_ten(url: str) -> None:
    page = msgspec.json.decode(get(url + BROWSERS).content, type=Page)
    assert (len(page.items), page.page_number, page.page_size) == (10, 1, 10)


def test_browser_use_has_nothing_beyond_its_last_page(url: str) -> None:
    page = msgspec.json.decode(get(url + BROWSERS, pageNumber=10**15).content, type=Page)
    assert (page.items, page.total_items) == ([], len(sessions(BROWSER_USE)))


@pytest.mark.parametrize("status", ["active", "stopped"])
def test_browser_use_filters_by_status(url: str, status: str) -> None:
    page = msgspec.json.decode(get(url + BROWSERS, filterBy=status, pageSize=100).content, type=Page)
    wanted = [session.id for session in sessions(BROWSER_USE) if session.status(NOW) == status]
    assert page.total_items == len(wanted)
    assert [row["id"] for row in page.items] == wanted[:100] != []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pageSize", "0"),
        ("pageSize", "101"),
        ("pageSize", "ten"),
        ("pageSize", ""),
        ("pageNumber", "0"),
        ("pageNumber", "-1"),
        ("pageNumber", "1.5"),
        ("filterBy", "running"),
        ("metadata", "=value"),
    ],
)
def test_browser_use_says_which_parameter_is_wrong(url: str, name: str, value: str) -> None:
    response = get(url + BROWSERS, **{name: value})
    problems = msgspec.json.decode(response.content, type=HTTPValidationError).detail
    assert response.status_code == 422
    assert [(where, field.partition("[")[0]) for where, field in (one.loc for one in problems)] == [
        ("query", name)
    ]
    assert all(problem.msg and problem.type for problem in problems)


def test_browser_use_tells_its_rate_limit_in_every_answer() -> None:
    with served() as url:
        answers = [get(url + BROWSERS), get(url + BROWSERS, pageSize=0), get(url + BROWSERS)]
    headers = [
        {name: answer.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining")} for answer in answers
    ]
    assert [each["Limit"] for each in headers] == ["125"] * 3
    assert [each["Remaining"] for each in headers] == ["124", "123", "122"]
    assert {answer.headers["X-RateLimit-Reset"] for answer in answers} == {str(5 - NOW // SECOND % 5)}


def test_each_window_of_the_rate_limit_begins_anew() -> None:
    now = [NOW]
    with Server(create_app(FLEET, lambda: now[0])) as server:
        for later, left in ((0, "124"), (0, "123"), (5 * SECOND, "124"), (0, "123")):
            now[0] += later
            assert get(server.url + BROWSERS).headers["X-RateLimit-Remaining"] == left


@pytest.mark.parametrize(
    ("path", "header", "missing"),
    [
        (SESSIONS, "X-BB-API-Key", {"error": "Unauthorized", "message": "Missing x-bb-api-key header"}),
        (BROWSERS, "X-Browser-Use-API-Key", {"detail": "Missing x-browser-use-api-key header"}),
    ],
)
def test_a_key_is_needed_and_must_be_right(url: str, path: str, header: str, missing: dict[str, str]) -> None:
    without = requests.get(url + path, timeout=10)
    wrong = requests.get(url + path, headers={header: "guess"}, timeout=10)
    assert (without.status_code, without.json()) == (401, missing)
    assert wrong.status_code == 401
    assert "Invalid API key" in wrong.json().values()
    with served() as open_to_all:
        assert requests.get(open_to_all + path, headers={header: "any"}, timeout=10).status_code == 200
        assert requests.get(open_to_all + path, headers={header: ""}, timeout=10).status_code == 401


def test_an_empty_account_answers_with_nothing() -> None:
    with served(ORIGIN - 1, Fleet(origin=ORIGIN, history=0)) as url:
        assert get(url + SESSIONS).content == b"[]"
        assert get(url + BROWSERS).json() == {"items": [], "totalItems": 0, "pageNumber": 1, "pageSize": 10}


def test_the_truth_is_the_fleets(url: str) -> None:
    both = (BROWSERBASE, BROWSER_USE)
    told = get(url + "/truth").json()
    assert told == {"time": NOW} | {
        facts.name: msgspec.to_builtins(expected_totals(FLEET, facts, NOW)) for facts in both
    }
    for facts in both:
        sums: Counter[str] = sum((Counter(each["listed"]) for each in told[facts.name]), Counter())
        assert sums == Counter(session.status(NOW) for session in sessions(facts))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/sessions/some-id", 404),
        ("GET", "/v1/projects/unknown/usage", 404),
        ("GET", "/api/v4/billing/account", 404),
        ("POST", SESSIONS, 405),
    ],
)
def test_there_is_nothing_else(url: str, method: str, path: str, status: int) -> None:
    response = requests.request(method, url + path, headers=KEYS, timeout=10)
    assert response.status_code == status
    assert response.json() == {"detail": response.reason}


def test_version_4_of_browser_use_lists_the_same_sessions(url: str) -> None:
    fourth = get(url + "/api/v4/browsers")
    assert fourth.status_code == 200
    assert fourth.json() == get(url + BROWSERS).json()


def test_head_tells_the_length_without_the_body(url: str) -> None:
    for path in (SESSIONS, BROWSERS, "/truth"):
        answer = requests.head(url + path, headers=KEYS, timeout=10)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(get(url + path).content))


def test_a_kept_connection_answers_request_after_request(url: str) -> None:
    address = urlsplit(url)
    with closing(HTTPConnection(str(address.hostname), address.port, timeout=10)) as connection:
        connection.connect()
        kept = connection.sock
        for path in (SESSIONS, BROWSERS, "/nothing", SESSIONS):
            connection.request("GET", path, headers=KEYS)
            connection.getresponse().read()
            assert connection.sock is kept


def test_a_further_provider_is_one_more_value() -> None:
    facts = msgspec.structs.replace(BROWSER_USE, name="toy")
    toy = msgspec.structs.replace(
        browser_use.PROVIDER,
        facts=facts,
        base_path="/toy",
        path="/list",
        more_base_paths=(),
        key_header="X-Toy-Key",
        list_sessions=lambda fleet, params, t: Reply([params, len(fleet.listed(facts, t))]),
    )
    with served(providers=[toy], faults=[Fault("503", 0)]) as url:
        answer = requests.get(f"{url}/toy/list?a=1&a=2", headers={"X-Toy-Key": "any"}, timeout=10)
        refused = requests.get(f"{url}/toy/list", timeout=10)
        told = get(url + "/truth").json()
        assert get(url + SESSIONS).status_code == 404
    assert answer.json() == [{"a": ["1", "2"]}, len(FLEET.listed(facts, NOW))]
    assert (refused.status_code, refused.json()) == (401, {"detail": "Missing x-toy-key header"})
    assert set(told) == {"time", "toy"}


def test_browserbases_own_sdk_reads_it(url: str) -> None:
    with Browserbase(
        api_key="bb-key", base_url=url, max_retries=0, _strict_response_validation=True
    ) as client:
        rows = client.sessions.list()
        running = client.sessions.list(status="RUNNING", q="user_metadata['team']:'pricing'")
    for row, session in zip(rows, sessions(BROWSERBASE), strict=True):
        assert (row.id, row.project_id, row.region) == (session.id, session.project, session.region)
        assert row.status == session.status(NOW).upper()
        assert row.created_at == at(session.created)
        assert row.started_at == at(session.started if session.started <= NOW else session.created)
        assert row.ended_at == (at(session.ended) if session.ended <= NOW else None)
        assert row.expires_at == at(session.expires)
        assert row.proxy_bytes == session.proxy_bytes(NOW)
        assert row.user_metadata == session.metadata
        assert (row.model_extra or {}) == {}
    shown = [
        row.id for row in rows if row.status == "RUNNING" and (row.user_metadata or {})["team"] == "pricing"
    ]
    assert [row.id for row in running] == shown != []


def test_browserbases_own_sdk_knows_the_refusal(url: str) -> None:
    with (
        Browserbase(api_key="guess", base_url=url, max_retries=0) as client,
        pytest.raises(AuthenticationError, match="Invalid API key"),
    ):
        client.sessions.list()


def test_browser_uses_own_sdk_reads_it(url: str) -> None:
    with BrowserUse(api_key="bu-key", base_url=f"{url}/api/v3", max_retries=0) as client:
        pages = [client.browsers.list(page_size=100, page_number=number) for number in (1, 2, 3)]
        active = client.browsers.list(page_size=100, filter_by="active")
    rows = [row for page in pages for row in page.items]
    for row, session in zip(rows, sessions(BROWSER_USE), strict=True):
        assert (str(row.id), row.status.value) == (session.id, session.status(NOW))
        assert (row.started_at, row.timeout_at) == (at(session.started), at(session.expires))
        assert row.finished_at == (at(session.ended) if session.ended <= NOW else None)
        assert Decimal(row.proxy_used_mb) * 2**20 == session.proxy_bytes(NOW)
        assert Decimal(row.proxy_cost) == session.proxy_cost(NOW)
        assert Decimal(row.browser_cost) == session.browser_cost(NOW)
        assert row.metadata == session.metadata
    assert [row.id for row in active.items] == [row.id for row in rows if row.status.value == "active"] != []


@pytest.mark.parametrize("terms", [["env=staging"], ["env"], ["env=staging", "team=pricing"], ["nobody=has"]])
def test_browser_uses_own_sdk_filters_by_metadata(url: str, terms: list[str]) -> None:
    with BrowserUse(api_key="bu-key", base_url=f"{url}/api/v3", max_retries=0) as client:
        page = client.browsers.list(page_size=100, metadata=terms)
    wanted = [one.id for one in sessions(BROWSER_USE) if holds(one, terms)]
    assert ([str(row.id) for row in page.items], page.total_items) == (wanted[:100], len(wanted))


def holds(session: SimulatedSession, terms: list[str]) -> bool:
    pairs = {f"{key}={value}" for key, value in session.metadata.items()}
    return set(terms) <= pairs | session.metadata.keys()


def test_browserbases_own_sdk_reads_projects_and_their_usage(url: str) -> None:
    with Browserbase(
        api_key="bb-key", base_url=url, max_retries=0, _strict_response_validation=True
    ) as client:
        projects = client.projects.list()
        usage = {project.id: client.projects.usage(project.id) for project in projects}
    assert {project.id for project in projects} == set(BROWSERBASE.projects)
    for project in projects:
        assert (project.concurrency, project.name) == (100, f"project {project.id[:4]}")
        assert (project.model_extra or {}) == {}
        own = [one for one in sessions(BROWSERBASE) if one.project == project.id]
        assert usage[project.id].proxy_bytes == sum(one.proxy_bytes(NOW) for one in own) > 0
        seconds = sum(one.ran(NOW, NOW) for one in own) / SECOND
        assert 0 <= seconds - 60 * usage[project.id].browser_minutes < 60


@pytest.mark.parametrize(("version", "sdk"), [("v2", BrowserUseV2), ("v3", BrowserUse)])
def test_browser_uses_own_sdks_read_the_billing_account(url: str, version: str, sdk: Any) -> None:
    with sdk(api_key="bu-key", base_url=f"{url}/api/{version}", max_retries=0) as client:
        account = client.billing.account()
    active = sum(one.status(NOW) == "active" for one in sessions(BROWSER_USE))
    assert (account.concurrent_session_limit, account.active_session_count) == (250, active)
    assert account.total_credits_balance_usd == pytest.approx(
        account.monthly_credits_balance_usd + account.additional_credits_balance_usd
    )
    assert (account.plan_info.plan_name, account.project_id) == ("Business", browser_use.PROJECT)


def test_browser_uses_own_sdk_knows_the_refusals(url: str) -> None:
    with BrowserUse(api_key="bu-key", base_url=f"{url}/api/v3", max_retries=0) as client:
        with pytest.raises(BrowserUseError) as refusal:
            client.browsers.list(page_size=500)
        assert refusal.value.status_code == 422


BODIES = {
    (SESSIONS, "401"): {"error": "Unauthorized", "message": "Unauthorized"},
    (SESSIONS, "429"): {"statusCode": 429, "error": "Too Many Requests", "message": "Too Many Requests"},
    (SESSIONS, "503"): {"statusCode": 503, "error": "Service Unavailable", "message": "Service Unavailable"},
    (BROWSERS, "402"): {
        "detail": {"code": "api_key_monthly_spend_limit_reached", "message": "Payment Required"}
    },
    (BROWSERS, "429"): {"error": "rate_limited", "limit_rps": 25, "retry_after_seconds": 5},
    (BROWSERS, "500"): {"detail": "Internal Server Error"},
}


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind.isdigit()])
def test_a_failing_provider_fails_in_its_own_words(kind: str) -> None:
    with served(faults=[Fault(kind, 1)]) as url:
        for path, wait in ((SESSIONS, "1"), (BROWSERS, "5")):
            response = get(url + path)
            assert response.status_code == int(kind)
            assert response.json() == BODIES.get((path, kind), response.json())
            assert response.headers.get("Retry-After") == (wait if kind in ("429", "503") else None)
            assert response.headers.get("X-RateLimit-Remaining") == ("0" if kind == "429" else None)
        assert get(url + "/truth").status_code == 200


def test_a_cut_answer_ends_after_half_its_length(caplog: pytest.LogCaptureFixture) -> None:
    with served(faults=[Fault("cut", 1)]) as url:
        for path in (SESSIONS, BROWSERS):
            with (
                requests.get(url + path, headers=KEYS, timeout=10, stream=True) as answer,
                pytest.raises(ProtocolError, match="IncompleteRead") as cut,
            ):
                answer.raw.read()
            whole, (_, error) = int(answer.headers["Content-Length"]), cut.value.args
            assert (len(error.partial), error.expected) == (whole // 2, whole - whole // 2)
    assert not any(record.exc_info for record in caplog.records)


def test_a_slow_answer_keeps_its_client_waiting_and_not_the_server() -> None:
    with served(faults=[Fault("slow", 1)]) as url:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(url + SESSIONS, headers=KEYS, timeout=0.1)
        assert get(url + "/truth").status_code == 200
        left = time.monotonic()
    assert time.monotonic() - left < SLOWNESS


def refuses(address: tuple[str, int]) -> bool:
    """Whether nobody accepts connections there any more."""
    try:
        socket.create_connection(address).close()
    except ConnectionError:
        return True
    return False


def test_an_answer_under_way_at_the_end_is_given() -> None:
    begun, answers = threading.Event(), list[int]()

    async def held(_: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        while not await asyncio.to_thread(refuses, server.address):
            pass
        return web.Response(status=204)

    with Server(held) as server:
        client = threading.Thread(target=lambda: answers.append(get(server.url).status_code))
        client.start()
        assert begun.wait(10)
    client.join()
    assert answers == [204]


def statuses(faults: list[Fault], requests_sent: int = 300, seed: int = 1) -> list[int]:
    fleet = msgspec.structs.replace(FLEET, seed=seed)
    with served(fleet=fleet, faults=faults) as url, requests.Session() as session:
        session.headers.update(KEYS)
        return [session.get(url + BROWSERS, timeout=10).status_code for _ in range(requests_sent)]


def test_faults_strike_their_shares_of_requests_and_the_same_ones_each_time() -> None:
    faults = [Fault("500", 0.2), Fault("429", 0.3)]
    struck = statuses(faults)
    shares = {status: count / len(struck) for status, count in Counter(struck).items()}
    assert shares == pytest.approx({500: 0.2, 429: 0.3, 200: 0.5}, abs=0.1)
    assert statuses(faults) == struck
    assert statuses(faults, seed=2) != struck


def test_faults_share_the_requests() -> None:
    thirds = [Fault("500", 0.1)] * 10
    create_app(FLEET, lambda: NOW, faults=thirds)
    with pytest.raises(ValueError, match="at most 1 together"):
        create_app(FLEET, lambda: NOW, faults=[*thirds, Fault("cut", 0.01)])


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_read_from_text(kind: str) -> None:
    assert parse_fault(f"{kind}:0.1") == Fault(kind, 0.1)
    assert parse_fault(f"{kind}:1") == Fault(kind, 1.0)


@pytest.mark.parametrize(
    "text", ["", "503", "503:", "503:2", "503:-0.1", "503:nan", "503:1e-1", "418:0.1", "fast:0.1"]
)
def test_what_is_no_fault_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(
        ValueError, match="KIND one of 401, 402, 403, 404, 429, 500, 502, 503, slow, cut"
    ) as refusal:
        parse_fault(text)
    assert repr(text) in str(refusal.value)


def test_a_scaled_clock_runs_faster_than_time() -> None:
    """At a thousandfold speed its microseconds are nanoseconds of real time."""
    before = time.monotonic_ns()
    clock = scaled_clock(ORIGIN, 1000)
    made = time.monotonic_ns()
    asked = time.monotonic_ns()
    shown = clock() - ORIGIN
    assert asked - made <= shown <= time.monotonic_ns() - before


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_clock_that_cannot_run_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="--speed must be above 0"):
        scaled_clock(ORIGIN, speed)


def test_a_server_gives_back_its_address_and_its_thread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    app = create_app(FLEET, lambda: NOW)
    before = set(threading.enumerate())
    for _ in range(2):
        with Server(app, "127.0.0.1", port) as server:
            assert server.url == f"http://127.0.0.1:{port}"
            assert get(server.url + "/truth").status_code == 200
        assert "simulator" not in {thread.name for thread in set(threading.enumerate()) - before}
    with pytest.raises(requests.exceptions.ConnectionError):
        get(f"http://127.0.0.1:{port}/truth")


def test_an_address_in_use_is_refused_on_entry() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        server = Server(create_app(FLEET, lambda: NOW), "127.0.0.1", holder.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            server.__enter__()


def test_the_sdks_read_projects_usage_and_billing(url: str) -> None:
    with Browserbase(api_key="bb-key", base_url=url, max_retries=0) as client:
        projects = client.projects.list()
        usage = [client.projects.usage(project.id) for project in projects]
    assert {project.id for project in projects} == set(BROWSERBASE.projects)
    assert all(project.concurrency == 100 and project.name for project in projects)
    assert sum(one.proxy_bytes for one in usage) == sum(one.proxy_bytes(NOW) for one in sessions(BROWSERBASE))
    assert all(one.browser_minutes > 0 for one in usage)
    with BrowserUse(api_key="bu-key", base_url=f"{url}/api/v3", max_retries=0) as client:
        account = client.billing.account()
    still_open = sum(one.status(NOW) == "active" for one in sessions(BROWSER_USE))
    assert account.active_session_count == still_open
    assert account.total_credits_balance_usd == pytest.approx(
        account.monthly_credits_balance_usd + account.additional_credits_balance_usd
    )
    assert account.plan_info.plan_name == "Business"
