"""Basic authentication, as a middleware in front of every path."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from exporter.web.passwords import BusyError
from exporter.web.reloading import ReloadingWebConfig

REALM = 'Basic realm="cloud-browser-exporter", charset="UTF-8"'


def basic_auth(config: ReloadingWebConfig) -> Middleware:
    """Returns a middleware that requires a user's password, while the configuration has users."""

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = [value for name, value in request.raw_headers if name.lower() == b"authorization"]
        refused = await refusal(config, given)
        return await handler(request) if refused is None else refused

    return authenticated


async def refusal(config: ReloadingWebConfig, given: list[bytes]) -> web.Response | None:
    """Returns the answer that refuses these Authorization headers, 401 or 503; None if they pass."""
    passwords = config.passwords()
    if not passwords:
        return None
    try:
        if len(given) == 1 and await passwords.authenticate(given[0]):
            return None
    except BusyError:
        headers = {hdrs.RETRY_AFTER: "1"}
        return web.Response(text="Busy: too many passwords to check.\n", status=503, headers=headers)
    return web.Response(text="Unauthorized\n", status=401, headers={hdrs.WWW_AUTHENTICATE: REALM})
