"""Every status and failure has one reason, and words that say what to do."""

import pytest

from exporter.client.errors import (
    NOT_THE_API,
    ApiError,
    AuthError,
    RateLimitedError,
    StatusError,
    status_error,
)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (103, "client"), (204, "client"), (302, "redirect"), (400, "client"), (401, "auth"), (402, "payment"),
        (403, "auth"), (404, "client"), (408, "client"), (429, "rate_limited"), (500, "server"),
        (503, "server"), (599, "server"), (999, "client"),
    ],
)  # fmt: skip
def test_a_status_has_its_reason_and_advice(status: int, reason: str) -> None:
    error = status_error(status)(status)
    assert (error.reason, error.status, error.wait) == (reason, status, None)
    assert str(error) == f"HTTP status {status}: {error.advice}"


def test_a_wait_that_was_asked_for_is_said_in_whole_seconds() -> None:
    asks, suppressed = RateLimitedError(429, 6.2), RateLimitedError(429, 0.3, suppressed=True)
    assert str(asks) == f"HTTP status 429: {asks.advice}; the provider asks to wait for 7 s"
    assert (
        str(suppressed) == f"HTTP status 429: {asks.advice}; Retry-After in force: no request for another 1 s"
    )


def test_an_html_page_is_not_taken_for_the_providers_answer() -> None:
    assert str(AuthError(403, html=True)) == f"HTTP status 403: {NOT_THE_API}"


def leaves(kind: type[ApiError]) -> set[type[ApiError]]:
    return {leaf for below in kind.__subclasses__() for leaf in leaves(below)} or {kind}


def test_every_kind_of_failure_has_a_reason_and_every_status_advice_of_its_own() -> None:
    kinds = leaves(ApiError)
    assert all(kind.reason != "internal" for kind in kinds)
    statuses = {kind for kind in kinds if issubclass(kind, StatusError)}
    assert len({kind.advice for kind in statuses} - {StatusError.advice}) == len(statuses) > 5
