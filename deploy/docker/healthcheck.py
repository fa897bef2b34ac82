"""The container's health check: whether the exporter answers at /-/healthy.

    python healthcheck.py [HOST [PORT]]

It asks by HTTP, and by HTTPS where that fails: --web.config.file may have switched TLS on. The certificate is
not verified, since nothing is sent and nothing of the answer is used. 401 is an answer, too. Proxies of the
environment are not asked.
"""

import http.client
import ssl
import sys

TIMEOUT = 2.0  # seconds, for each of the two


def status(connection: http.client.HTTPConnection) -> int:
    """Returns the status of the answer. Raises OSError or HTTPException if there is none."""
    connection.request("GET", "/-/healthy")
    return connection.getresponse().status


def is_healthy(host: str, port: int) -> bool:
    """Whether the exporter answers, by HTTP or HTTPS."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    for connection in (
        http.client.HTTPConnection(host, port, timeout=TIMEOUT),
        http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=unverified),
    ):
        try:
            return status(connection) in (200, 401)
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return False


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    sys.exit(not is_healthy(given.get(0, "127.0.0.1"), int(given.get(1, "10925"))))
