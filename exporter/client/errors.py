"""What can go wrong between the exporter and a provider, each with the reason it is counted under.

    ApiError
    +-- AnswerTimeoutError   no whole answer by the deadline
    +-- NoKeyError           no key to send
    +-- UnreachableError     no connection, or one that broke
    |   +-- TlsError             a connection that cannot be trusted
    |   +-- StaleConnectionError a kept connection that does not answer any more
    +-- StatusError          an HTTP status other than 200
    |   +-- AuthError 401 403, PaymentError 402, SlowRequestError 408, RateLimitedError 429,
    |       RedirectError 3xx, ServerError 5xx, ClientError any other
    +-- ThrottledError       the rate limit leaves no request until the deadline
    +-- TooLargeError        more bytes than may be read
    +-- PayloadError         a body that is not what the API describes

None carries a key or a body.
"""

from math import ceil
from typing import ClassVar

MORE_TIME = "raise Prometheus's scrape_timeout"
NOT_THE_API = (
    "the answer is HTML, not the API's: a firewall or proxy may have answered; check base_url and the network"
)


class ApiError(Exception):
    """A request that brought no usable answer; `reason` is the label under which it is counted."""

    reason: ClassVar[str] = "internal"

    def __init_subclass__(cls, reason: str = "internal") -> None:
        cls.reason = reason


class AnswerTimeoutError(ApiError, reason="timeout"):
    """No whole answer by the deadline."""


class NoKeyError(ApiError, reason="auth"):
    """The account's key cannot be had, so nothing was sent."""


class UnreachableError(ApiError, reason="unreachable"):
    """No connection, or one that broke."""


class StaleConnectionError(UnreachableError, reason="unreachable"):
    """A connection that had been idle did not answer; another may."""


class TlsError(UnreachableError, reason="tls"):
    """The server's certificate could not be verified."""


class StatusError(ApiError):
    """An HTTP status other than 200.

    Args:
        status: the HTTP status.
        wait: the seconds that the provider asks to wait before the next request.
        suppressed: the answer came earlier; as that wait is not over, no request was sent.
        html: the answer's body is HTML, which no provider's API sends.
    """

    advice: ClassVar[str] = "check base_url"

    def __init__(
        self, status: int, wait: float | None = None, *, suppressed: bool = False, html: bool = False
    ) -> None:
        text = f"HTTP status {status}: {NOT_THE_API if html else self.advice}"
        if suppressed:
            text += f"; Retry-After in force: no request for another {ceil(wait or 0)} s"
        elif wait is not None:
            text += f"; the provider asks to wait for {ceil(wait)} s"
        super().__init__(text)
        self.status, self.wait = status, wait


class AuthError(StatusError, reason="auth"):
    """401 or 403: the key is refused."""

    advice = "check the key"


class PaymentError(StatusError, reason="payment"):
    """402: the account's spending limit is reached."""

    advice = "the account's spending limit is reached; raise it at the provider"


class RateLimitedError(StatusError, reason="rate_limited"):
    """429: too many requests."""

    advice = "scrape less often, or set scrape.min_interval"


class ServerError(StatusError, reason="server"):
    """5xx: the provider's own fault."""

    advice = "the provider's own fault; the next scrape tries again"


class ClientError(StatusError, reason="client"):
    """Any other status: the provider does not know this request."""

    advice = "check base_url and query"


class SlowRequestError(StatusError, reason="client"):
    """408: the request did not arrive in the provider's time."""

    advice = "the request was too slow to arrive; check the network"


class RedirectError(StatusError, reason="redirect"):
    """3xx: never followed, for the key would travel along in its header."""

    advice = "not followed; set base_url to the new address"


class ThrottledError(ApiError, reason="rate_limited"):
    """The rate limit leaves no request until the deadline, so nothing was sent.

    Args:
        wait: the seconds after which a request is left.
    """

    def __init__(self, wait: float) -> None:
        super().__init__(
            f"the provider's rate limit leaves no request for another {ceil(wait)} s; "
            "scrape less often, or set scrape.min_interval"
        )


class TooLargeError(ApiError, reason="too_large"):
    """More bytes than may be read."""


class PayloadError(ApiError, reason="bad_payload"):
    """A body that is not what the API describes."""


def status_error(status: int) -> type[StatusError]:
    """Returns the class for a status."""
    exact = {401: AuthError, 403: AuthError, 402: PaymentError, 408: SlowRequestError, 429: RateLimitedError}
    return exact.get(status) or {3: RedirectError, 5: ServerError}.get(status // 100, ClientError)
