"""What the rest of the exporter knows of a provider: one value of `Provider` for each."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

import msgspec

from exporter.client.api import Api
from exporter.client.errors import ApiError
from exporter.config.loader import parsed_by, printable
from exporter.config.settings import NoOptions, Pricing
from exporter.model import AccountReport, Listing, ProviderTraits, ReadWindow

# Sent with each request for a list, so that only matching sessions are listed. A provider that takes some
# texts only adds what parses them: `Annotated[Query, parsed_by(...)]`.
Query: TypeAlias = Annotated[str | None, printable(2000, "only sessions that match are listed")]

# Prices, of a provider whose API reports no cost.
Prices: TypeAlias = Annotated[
    Pricing | None, parsed_by(Pricing, "prices that estimate the cost, which the API does not report")
]


class AccountReading(msgspec.Struct, frozen=True):
    """What was read of an account beside its sessions, and the first failure, if there was one."""

    report: AccountReport
    failure: ApiError | None = None


class SessionReader(Protocol):
    """Reads one account's list of sessions."""

    def read(self, window: ReadWindow, deadline: float) -> Listing:
        """Returns the sessions that the window includes, by a deadline on the clock `boottime`, in seconds.

        Raises:
            ApiError: when the account could not be read.
        """

    def committed(self) -> None:
        """The listing that was returned last is in the ledger."""


@runtime_checkable
class HistoryReader(SessionReader, Protocol):
    """A reader that can go on with a reading which was not finished, between two calls of `read`."""

    def read_on(self, window: ReadWindow, stop: Future[None]) -> Iterator[Listing]:
        """Yields one listing after the other, each of what was read since the one before.

        When the caller asks for the next one, the one before is in the ledger. Ends when the reading is
        complete, soon after `stop` has a result, or when `read` has to begin anew.

        Raises:
            ApiError: when the account could not be read.
        """


class AccountReader(Protocol):
    """Reads what a provider tells of an account beside its sessions."""

    def read(self, deadline: float) -> AccountReading:
        """Returns what could be read, by a deadline on the clock `boottime`, in seconds, and what failed."""


class Provider(msgspec.Struct, frozen=True):
    """A provider of cloud browsers.

    Args:
        traits: its name, and what is known of its sessions in advance.
        title: its name as people write it.
        base_url: where its API is, unless an account says otherwise.
        key_header: the request header that carries the API key.
        endpoints: the paths that are requested: the `endpoint` label of request metrics.
        open: makes an account's reader, of the account's API, its options, and the labels of its sessions'
            metadata: pairs of a label's name and the key.
        open_account: makes the reader of what there is beside sessions; None where there is none.
        account_endpoints: the paths that it requests, or their templates.
        options: the configuration keys that only this provider takes. A field `pricing` holds a `Pricing`.
            Two providers that share a key give it the same type; each may add what parses its own form.
        requests_per_second: how many requests of an account the provider takes in any second; None where it
            names no limit.
    """

    traits: ProviderTraits
    title: str
    base_url: str
    key_header: str
    endpoints: tuple[str, ...]
    open: Callable[[Api, Any, Sequence[tuple[str, str]]], SessionReader]
    options: type[msgspec.Struct] = NoOptions
    requests_per_second: int | None = None
    open_account: Callable[[Api], AccountReader] | None = None
    account_endpoints: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The `provider` label, and its name in the configuration."""
        return self.traits.name


def pricing_of(options: msgspec.Struct) -> Pricing | None:
    """Returns the prices among an account's options; None where there are none."""
    pricing: Pricing | None = getattr(options, "pricing", None)
    return pricing


def request_options(options: msgspec.Struct) -> msgspec.Struct:
    """Returns the options on which requests depend: all but the prices."""
    return msgspec.structs.replace(options, pricing=None) if pricing_of(options) is not None else options
