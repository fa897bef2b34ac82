"""What a provider tells of an account beside its sessions: quota, credit, plan, projects, usage."""

import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.api import Api
from exporter.client.errors import ApiError
from exporter.model import AccountReport, ProjectUsage, Quota
from exporter.providers.browser_use.account import BrowserUseAccount
from exporter.providers.browserbase.account import BrowserbaseAccount
from exporter.providers.fields import amount, label, whole
from exporter.simulator.server import Server

FAR = 60.0
BILLING = {
    "totalCreditsBalanceUsd": 12.5,
    "monthlyCreditsBalanceUsd": 10,
    "additionalCreditsBalanceUsd": 2.5,
    "concurrentSessionLimit": 250,
    "activeSessionCount": 7,
    "rateLimit": 99,
    "name": "A Person",
    "planInfo": {"planName": "Business"},
    "projectId": "p1",
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers().map(lambda n: n**30)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class Counts:
    """Requests by endpoint."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()

    def request_finished(self, endpoint: str, _code: str, _seconds: float) -> None:
        self.requests[endpoint] += 1

    def rate_limit(self, remaining: int | None) -> None:
        """Not counted."""


class Place:
    """A provider's API whose answers a test sets by path: a status or a body; it counts what is asked."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.asked: Counter[str] = Counter()
        self.counts, self.url, self.now = Counts(), "", 1000.0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.asked[request.path] += 1
        found = self.answers.get(request.path, 404)
        if isinstance(found, int):
            return web.Response(status=found)
        body = found if isinstance(found, bytes) else msgspec.json.encode(found)
        return web.Response(body=body, content_type="application/json")

    def api(self, base: str = "") -> Api:
        """An account's API, on this place's clock."""
        return Api(
            self.url + base,
            "X-Key",
            lambda: "key",
            max_bytes=1 << 24,
            telemetry=self.counts,
            clock=self.clock,
        )

    def clock(self) -> float:
        return self.now


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    with Server(made.answer) as server:
        made.url = server.url
        yield made


def reason(failure: ApiError | None) -> str | None:
    return None if failure is None else failure.reason


def test_browser_use_tells_quota_credit_and_plan(place: Place) -> None:
    place.answers["/api/v3/billing/account"] = BILLING
    reading = BrowserUseAccount(place.api("/api/v3")).read(place.now + FAR)
    assert reading.failure is None
    assert reading.report == AccountReport(
        quotas=(Quota("p1", limit=250, used=7),),
        credit={"total": 12.5, "monthly": 10.0, "additional": 2.5},
        plan="Business",
    )


def test_with_version_4_the_billing_of_version_2_is_read(place: Place) -> None:
    place.answers["/api/v2/billing/account"] = BILLING
    assert BrowserUseAccount(place.api("/api/v4")).read(place.now + FAR).report.plan == "Business"
    assert place.asked == {"/api/v2/billing/account": 1}


@pytest.mark.parametrize("missing", [None, "7", [], {}, True, -1, 1.5, 2**60, "absent"])
@pytest.mark.parametrize("key", ["activeSessionCount", "concurrentSessionLimit"])
def test_a_quota_that_is_missing_or_senseless_is_left_out(place: Place, key: str, missing: object) -> None:
    body = {name: value for name, value in BILLING.items() if name != key}
    place.answers["/api/v3/billing/account"] = body if missing == "absent" else body | {key: missing}
    report = BrowserUseAccount(place.api("/api/v3")).read(place.now + FAR).report
    [quota] = report.quotas
    assert (quota.used if key == "activeSessionCount" else quota.limit) is None
    assert (quota.limit if key == "activeSessionCount" else quota.used) is not None
    assert report.credit["total"] == 12.5


@pytest.mark.parametrize("odd", [None, "1", [], True, "absent"])
def test_credit_plan_and_project_that_are_missing_are_left_out(place: Place, odd: object) -> None:
    keys = ("totalCreditsBalanceUsd", "planInfo", "projectId")
    body = {name: value for name, value in BILLING.items() if name not in keys}
    place.answers["/api/v3/billing/account"] = body if odd == "absent" else body | dict.fromkeys(keys, odd)
    report = BrowserUseAccount(place.api("/api/v3")).read(place.now + FAR).report
    assert report.plan is None
    assert report.credit == {"monthly": 10.0, "additional": 2.5}
    assert report.quotas[0].project == ("1" if odd == "1" else "")


def test_browserbase_tells_projects_limits_and_usage(place: Place) -> None:
    place.answers["/v1/projects"] = [
        {"id": "p1", "name": "one", "concurrency": 25},
        {"id": "p 2/é", "name": None},
    ]
    place.answers["/v1/projects/p1/usage"] = {"browserMinutes": 3, "proxyBytes": 70}
    place.answers["/v1/projects/p 2/é/usage"] = {"browserMinutes": None}
    reading = BrowserbaseAccount(place.api()).read(place.now + FAR)
    assert reading.failure is None
    assert reading.report == AccountReport(
        quotas=(Quota("p 2/é"), Quota("p1", limit=25)),
        projects={"p1": "one"},
        usage=(ProjectUsage("p 2/é"), ProjectUsage("p1", browser_seconds=180, proxy_bytes=70)),
    )
    assert place.counts.requests == {"/v1/projects": 1, "/v1/projects/{id}/usage": 2}


def test_usage_of_many_projects_is_read_in_turn_and_shown_for_ten_minutes(place: Place) -> None:
    ids = [f"p{number:03}" for number in range(25)]
    place.answers["/v1/projects"] = [{"id": name} for name in ids]
    place.answers |= {f"/v1/projects/{name}/usage": {"proxyBytes": 1} for name in ids}
    reader = BrowserbaseAccount(place.api())
    shown = []
    for _ in range(3):
        shown.append(len(reader.read(place.now + FAR).report.usage))
        place.now += 60
    assert shown == [10, 20, 25]
    assert sum(place.asked[f"/v1/projects/{name}/usage"] for name in ids) == 30
    place.answers |= {f"/v1/projects/{name}/usage": 500 for name in ids}
    place.now += 430
    reading = reader.read(place.now + 0.01)
    assert (reason(reading.failure), len(reading.report.usage)) == ("server", 20)
    place.now += 300
    assert reader.read(place.now + 0.01).report.usage == ()


@pytest.mark.parametrize("status", [403, 404])
def test_a_refused_endpoint_is_asked_again_only_after_ten_minutes(place: Place, status: int) -> None:
    place.answers["/v1/projects"] = [{"id": "p1", "concurrency": 5}, {"id": "p2", "concurrency": 6}]
    place.answers["/v1/projects/p1/usage"] = status
    reader = BrowserbaseAccount(place.api())
    for _ in range(3):
        reading = reader.read(place.now + FAR)
        assert reading.failure is not None
        assert [quota.limit for quota in reading.report.quotas] == [5, 6], "the rest is shown"
        place.now += 150
    usage = "/v1/projects/p1/usage", "/v1/projects/p2/usage"
    assert place.asked == {"/v1/projects": 3, usage[0]: 1}
    place.now += 150
    place.answers |= {path: {"proxyBytes": 1} for path in usage}
    assert reader.read(place.now + FAR).failure is None


def test_a_failure_is_told_and_asked_again_at_once(place: Place) -> None:
    place.answers["/api/v3/billing/account"] = 402
    reader = BrowserUseAccount(place.api("/api/v3"))
    assert [reason(reader.read(place.now + FAR).failure) for _ in range(2)] == ["payment"] * 2
    assert place.asked["/api/v3/billing/account"] == 2


def test_a_usage_that_cannot_be_used_leaves_out_no_other_projects(place: Place) -> None:
    place.answers["/v1/projects"] = [{"id": name} for name in "abc"]
    place.answers |= {f"/v1/projects/{name}/usage": {"browserMinutes": 1} for name in "ac"}
    place.answers["/v1/projects/b/usage"] = []
    reading = BrowserbaseAccount(place.api()).read(place.now + FAR)
    assert reason(reading.failure) == "bad_payload"
    assert [one.project for one in reading.report.usage] == ["a", "c"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b"[[[[", b"\xff"])
def test_a_body_that_is_no_object_is_a_bad_payload(place: Place, body: bytes) -> None:
    place.answers["/api/v3/billing/account"] = body
    reading = BrowserUseAccount(place.api("/api/v3")).read(place.now + FAR)
    assert (reason(reading.failure), reading.report) == ("bad_payload", AccountReport())


@pytest.mark.parametrize("name", ["..", ".", "", None, 5, "x" * 101, "\u202e\n"])
def test_a_project_whose_id_would_name_another_path_is_not_asked_for(place: Place, name: object) -> None:
    place.answers["/v1/projects"] = [{"id": name, "concurrency": 3}, {"id": "p1", "concurrency": 4}]
    place.answers["/v1/projects/p1/usage"] = {}
    reading = BrowserbaseAccount(place.api()).read(place.now + FAR)
    assert [quota.limit for quota in reading.report.quotas] == [4]
    assert set(place.asked) == {"/v1/projects", "/v1/projects/p1/usage"}


def test_at_most_a_hundred_projects_are_shown(place: Place) -> None:
    place.answers["/v1/projects"] = [{"id": f"p{number}"} for number in range(300)]
    assert len(BrowserbaseAccount(place.api()).read(place.now + FAR).report.quotas) == 100


def test_projects_that_are_shown_stay_shown_when_others_come(place: Place) -> None:
    place.answers["/v1/projects"] = [{"id": f"p{number:03}"} for number in range(100)]
    reader = BrowserbaseAccount(place.api())
    before = reader.read(place.now + FAR).report.quotas
    place.answers["/v1/projects"] = [{"id": f"a{number}"} for number in range(50)] + [
        {"id": f"p{number:03}"} for number in range(1, 100)
    ]
    after = {quota.project for quota in reader.read(place.now + FAR).report.quotas}
    assert len(after) == 100
    assert {quota.project for quota in before} - after == {"p000"}, "it is not listed any more"


def test_a_project_that_is_listed_twice_is_shown_once(place: Place) -> None:
    place.answers["/v1/projects"] = [
        {"id": "p\u202e1", "name": "in disguise", "concurrency": 1},
        {"id": "p1", "name": "first", "concurrency": 2},
        {"id": "p1", "name": "again", "concurrency": 3},
        {"id": "p1\u200b", "name": "in disguise", "concurrency": 4},
    ]
    place.answers["/v1/projects/p1/usage"] = {"proxyBytes": 1}
    reading = BrowserbaseAccount(place.api()).read(place.now + FAR)
    assert reading.report == AccountReport(
        quotas=(Quota("p1", limit=2),), projects={"p1": "first"}, usage=(ProjectUsage("p1", None, 1),)
    )
    assert set(place.asked) == {"/v1/projects", "/v1/projects/p1/usage"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\u202eevil\x1b[31m\n", "evil[31m"),
        ('a"b\\c{}', 'a"b\\c{}'),
        ("x" * 5000, "x" * 100),
        ("\u2028\x00", None),
        ("", None),
        ("  ", None),
    ],
)
def test_names_are_printable_and_bounded(place: Place, name: str, shown: str | None) -> None:
    place.answers["/v1/projects"] = [{"id": "p1", "name": name}]
    report = BrowserbaseAccount(place.api()).read(place.now + FAR).report
    assert report.projects == ({} if shown is None else {"p1": shown})
    place.answers["/api/v3/billing/account"] = BILLING | {"planInfo": {"planName": name}, "projectId": name}
    billing = BrowserUseAccount(place.api("/api/v3")).read(place.now + FAR).report
    assert (billing.plan, billing.quotas[0].project) == (shown, "  " if name == "  " else shown or "")


def test_a_name_that_was_cut_within_a_character_is_read(place: Place) -> None:
    place.answers["/v1/projects"] = rb'[{"id": "p1", "name": "a\ud83d", "concurrency": 5}]'
    report = BrowserbaseAccount(place.api()).read(place.now + FAR).report
    assert (report.quotas, report.projects) == ((Quota("p1", limit=5),), {"p1": "a\ufffd"})


def test_a_project_that_always_fails_keeps_no_other_from_its_turn(place: Place) -> None:
    place.answers["/v1/projects"] = [{"id": name} for name in ("p1", "p2", "p3")]
    place.answers |= {f"/v1/projects/{name}/usage": {"proxyBytes": 1} for name in ("p2", "p3")}
    place.answers["/v1/projects/p1/usage"] = b"nonsense"
    reader = BrowserbaseAccount(place.api())
    readings = []
    for _ in range(2):
        readings.append(reader.read(place.now + FAR))
        place.now += 15
    assert [reason(one.failure) for one in readings] == ["bad_payload"] * 2
    assert [usage.project for usage in readings[1].report.usage] == ["p2", "p3"]


HUGE = b'{"planInfo": [' + b"0," * 1_000_000 + b"0]}"


@pytest.mark.parametrize("body", [HUGE, b'{"name": "' + b"x" * (5 << 20) + b'"}'])
def test_an_answer_that_is_far_too_long_is_not_decoded(place: Place, body: bytes) -> None:
    place.answers["/api/v3/billing/account"] = place.answers["/v1/projects"] = body
    for reader in (BrowserUseAccount(place.api("/api/v3")), BrowserbaseAccount(place.api())):
        tracemalloc.start()
        reading = reader.read(place.now + FAR)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (reason(reading.failure), reading.report) == ("bad_payload", AccountReport())
        assert most < 4 * len(body)


@pytest.mark.parametrize("status", [401, 402, 429, 500])
def test_what_is_refused_for_now_is_shown_again_once_it_is_not(place: Place, status: int) -> None:
    """A key that was rotated, for example: 401 is not remembered."""
    place.answers["/v1/projects"] = [{"id": "p1", "concurrency": 5}]
    place.answers["/v1/projects/p1/usage"] = {"proxyBytes": 1}
    reader, told = BrowserbaseAccount(place.api()), []
    for answer in ([{"id": "p1"}], status, [{"id": "p1"}], [{"id": "p2"}]):
        place.answers["/v1/projects"] = answer
        place.answers["/v1/projects/p2/usage"] = {"proxyBytes": 2}
        reading = reader.read(place.now + 0.1)
        told.append((len(reading.report.quotas), [one.proxy_bytes for one in reading.report.usage]))
        place.now += 15
    assert told == [(1, [1]), (0, [1]), (1, [1]), (1, [2])], "the last figures are shown meanwhile"


@pytest.mark.parametrize("figure", [b"1" * 400, b"1e400", b"-1e400", b"NaN"])
def test_a_figure_that_no_float_holds_is_left_out(place: Place, figure: bytes) -> None:
    body = b'{"totalCreditsBalanceUsd": %b, "concurrentSessionLimit": %b, "activeSessionCount": 3}'
    place.answers["/api/v3/billing/account"] = body % (figure, figure)
    reading = BrowserUseAccount(place.api("/api/v3")).read(place.now + FAR)
    if reading.failure is None:
        assert reading.report == AccountReport(quotas=(Quota("", used=3),))
    else:
        assert reason(reading.failure) == "bad_payload"


@given(JSON)
def test_fields_are_figures_in_bounds_or_nothing(value: Any) -> None:
    """`True` is no number, NaN no amount."""
    checks: list[tuple[Callable[[object], object], type]] = [(whole, int), (amount, float), (label, str)]
    for check, kind in checks:
        found = check(value)
        assert found is None or (type(found) is kind and found == found)  # noqa: PLR0124 - NaN is not itself
    assert whole(value) is None or whole(value) == value
