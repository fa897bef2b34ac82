"""Which account a probe means, and what service discovery lists."""

import pytest

from exporter.model import Account
from exporter.web.discovery import Refusal, find_account, target_groups

BOTH = Account("browserbase", "both"), Account("browser_use", "both")
ALONE = Account("browserbase", "a b/c?&é")
ACCOUNTS = (*BOTH, ALONE)


@pytest.mark.parametrize(
    ("query", "account"),
    [
        ({"target": ALONE.name}, ALONE),
        ({"target": ALONE.name, "provider": ""}, ALONE),
        ({"target": "both", "provider": "browserbase"}, BOTH[0]),
        ({"target": "both", "provider": "browser_use"}, BOTH[1]),
    ],
)
def test_a_name_that_is_unique_with_what_else_is_said_finds_its_account(
    query: dict[str, str], account: Account
) -> None:
    assert find_account(query, ACCOUNTS) == account


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({}, 400, ["/probe?target=ACCOUNT"]),
        ({"target": ""}, 400, ["/probe?target=ACCOUNT"]),
        ({"provider": "browserbase"}, 400, ["/probe?target=ACCOUNT"]),
        ({"target": "both"}, 400, ["provider=browserbase", "provider=browser_use"]),
        ({"target": "other"}, 404, ["/sd"]),
        ({"target": "both", "provider": "netscape"}, 404, ["/sd"]),
        ({"target": ALONE.name, "provider": "browser_use"}, 404, ["/sd"]),
    ],
)
def test_what_names_no_account_is_refused_with_what_to_do(
    query: dict[str, str], status: int, words: list[str]
) -> None:
    found = find_account(query, ACCOUNTS)
    assert isinstance(found, Refusal)
    assert found.status == status
    for word in words:
        assert word in found.text
    assert "other" not in found.text.replace("another", ""), "what was asked for is not repeated"


def test_each_account_is_a_group_of_its_own() -> None:
    groups = target_groups(ACCOUNTS, "exporter.example:10925", "/probe")
    assert [group["targets"] for group in groups] == [["exporter.example:10925"]] * 3
    assert groups[1]["labels"] == {
        "__metrics_path__": "/probe",
        "__param_target": "both",
        "__param_provider": "browser_use",
        "instance": "browser_use/both",
    }
