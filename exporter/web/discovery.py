"""Accounts as targets of their own: what `/sd` lists, and which account `/probe` means. Pure.

Each account is a target with a scrape interval and timeout of its own, which Prometheus spreads over any
number of replicas. Targets are names of the configuration: no key and no provider's address is in a URL.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from exporter.model import Account


class Refusal(msgspec.Struct, frozen=True):
    """Why a request names no account: the status, and what to do."""

    status: int
    text: str


def find_account(query: Mapping[str, str], accounts: Sequence[Account]) -> Account | Refusal:
    """Returns the account that `target` and `provider` of a query name, or what is wrong with them."""
    name, provider = query.get("target", ""), query.get("provider", "")
    if not name:
        return Refusal(400, "No target: /probe?target=ACCOUNT names an account of the configuration.")
    found = [one for one in accounts if one.name == name and provider in ("", one.provider)]
    if not found:
        return Refusal(404, "No such account in the configuration; /sd lists those there are.")
    if len(found) > 1:
        both = " or ".join(f"provider={one.provider}" for one in sorted(found))
        return Refusal(400, f"Accounts of several providers have this name; add {both}.")
    return found[0]


def target_groups(accounts: Iterable[Account], host: str, path: str) -> list[dict[str, Any]]:
    """Returns a group for each account, in the form of Prometheus's HTTP service discovery.

    Args:
        accounts: those to scrape.
        host: the address under which Prometheus reaches this exporter.
        path: of a scrape of one account.
    """
    return [
        {
            "targets": [host],
            "labels": {
                "__metrics_path__": path,
                "__param_target": account.name,
                "__param_provider": account.provider,
                # Else all accounts of an exporter would share one `up`, and series would break when an
                # account moves to another replica.
                "instance": f"{account.provider}/{account.name}",
            },
        }
        for account in accounts
    ]
