"""Every status and failure has one reason, and words that say what to do."""

import pytest

from exporter.errors import ApiError, StatusError, status_error


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (204, "client"), (302, "redirect"), (400, "client"), (401, "auth"), (402, "payment"), (403, "auth"),
        (404, "client"), (408, "client"), (429, "rate_limited"), (500, "server"), (503, "server"),
        (599, "server"), (999, "client"),
    ],
)  # fmt: skip
def test_a_status_has_its_reason_and_advice(status: int, reason: str) -> None:
    error = status_error(status)(status, None)
    assert error.reason == reason
    assert str(status) in str(error)
    assert error.advice in str(error)


def leaves(kind: type[ApiError]) -> set[type[ApiError]]:
    return {leaf for below in kind.__subclasses__() for leaf in leaves(below)} or {kind}


def test_every_kind_of_failure_has_a_reason_of_its_own() -> None:
    kinds = leaves(ApiError)
    assert all(kind.reason != "internal" for kind in kinds)
    assert {kind.advice for kind in kinds if issubclass(kind, StatusError)} >= {"check the key"}
