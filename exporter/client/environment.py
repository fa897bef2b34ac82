"""Proxies and certificate bundles that the environment names: what must be bypassed, or explained in errors.

requests reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE` and
`CURL_CA_BUNDLE`. No value is ever quoted: a proxy's may hold a password.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def is_loopback(url: str) -> bool:
    """Returns whether a URL's host is this machine: `localhost`, or a loopback address."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def missing_ca_bundle(environ: Mapping[str, str] = os.environ) -> str | None:
    """Returns the variable that names a certificate bundle that does not exist; None if there is none."""
    named = next((name for name in CA_VARIABLES if environ.get(name)), None)
    return None if named is None or Path(environ[named]).exists() else named


def proxy_variable(url: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Returns the variable that names the proxy for a URL; None if there is none."""
    scheme = urlsplit(url).scheme
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if environ.get(name)), None)
