"""An account's prices and limits in the configuration. Money is whole nano-dollars (10^-9 USD)."""

from functools import partial
from typing import Annotated

import msgspec

from exporter.config.loader import DURATION, MINUTE, SECOND, duration, number, parsed_by

NANO_USD = 10**9

_PRICE = partial(number, 0, 1_000_000, 9)
_BUDGET = partial(number, 0, 1_000_000_000, 9)


class Pricing(msgspec.Struct, frozen=True):
    """Nano-dollars for an hour of browser and for 10^9 bytes of proxy; `minimum`: the least time billed."""

    browser_per_hour: Annotated[int, parsed_by(_PRICE, "price of an hour, in USD")] = msgspec.field(
        default=0, name="browser_usd_per_hour"
    )
    proxy_per_gb: Annotated[int, parsed_by(_PRICE, "price of 10^9 bytes of proxy traffic, in USD")] = (
        msgspec.field(default=0, name="proxy_usd_per_gb")
    )
    minimum: Annotated[
        int, parsed_by(partial(number, 0, 86_400, 6), "minimum time billed for a session, in seconds")
    ] = msgspec.field(default=MINUTE, name="minimum_seconds")

    def in_usd(self) -> dict[str, float]:
        """Returns the prices in USD, by unit: an hour of browser, a gigabyte of proxy traffic."""
        return {"hour": self.browser_per_hour / NANO_USD, "gb": self.proxy_per_gb / NANO_USD}


def _positive_duration(text: str) -> int:
    if duration(text) == 0:
        raise ValueError("0 is no limit; leave the key out, or name a duration such as 6h")
    return duration(text)


class Limits(msgspec.Struct, frozen=True):
    """What an account should not exceed, for alerts; None: no limit of its own.

    budget_per_hour, budget_per_month: nano-dollars. open_sessions: how many at once. session_age: how long a
    session may be open, in microseconds.
    """

    budget_per_hour: Annotated[int | None, parsed_by(_BUDGET, "spend in an hour, in USD")] = msgspec.field(
        default=None, name="budget_usd_per_hour"
    )
    budget_per_month: Annotated[int | None, parsed_by(_BUDGET, "spend in a month, in USD")] = msgspec.field(
        default=None, name="budget_usd_per_month"
    )
    open_sessions: Annotated[
        int | None, parsed_by(partial(number, 0, 1_000_000, 0), "sessions that are open at once")
    ] = None
    session_age: Annotated[
        int | None, parsed_by(_positive_duration, "time for which a session is open", **DURATION)
    ] = None

    def in_base_units(self) -> dict[str, float]:
        """Returns the limits that are set, in base units, by the names under which they are exposed."""
        named = {
            "budget_usd_per_hour": (self.budget_per_hour, NANO_USD),
            "budget_usd_per_month": (self.budget_per_month, NANO_USD),
            "open_sessions": (self.open_sessions, 1),
            "session_age_seconds": (self.session_age, SECOND),
        }
        return {name: value / unit for name, (value, unit) in named.items() if value is not None}
