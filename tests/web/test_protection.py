"""TLS and passwords of the installed command, tried with curl and a real Prometheus."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme

from tests.support.certificates import expired, put, put_pair, web_file
from tests.support.misbehaviour import answer, replying
from tests.support.processes import (
    COMMAND,
    KEYS,
    LOCAL,
    Exporter,
    configuration,
    exporter,
    program,
    prometheus,
    run,
    wait_until,
)

NO_BROWSERS = b'{"items": [], "totalItems": 0, "pageNumber": 1, "pageSize": 100}'
HASHES = {word: bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode() for word in ("right", "wrong")}
# What curl calls its failures.
NO_TLS, UNTRUSTED = 35, 60
BROKEN_OFF = (35, 52, 55, 56)  # which one depends on what it was doing


def reply(head: bytes) -> bytes:
    """Both providers, without sessions."""
    return answer(NO_BROWSERS if b"/api/v3/" in head else b"[]")


class House:
    """An exporter with certificates, and those who come to see it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, trustme.CA()
        self.serve_as(self.authority)
        put(folder / "ca.pem", self.authority.cert_pem.bytes())
        for name, leaf in (
            ("good", self.authority.issue_cert("client@test")),
            ("expired", expired(self.authority)),
            ("foreign", trustme.CA().issue_cert("client@test")),
        ):
            put_pair(folder, leaf, name)

    def serve_as(self, authority: trustme.CA) -> None:
        """Put a certificate of that authority into its place."""
        put_pair(self.folder, authority.issue_cert("localhost", LOCAL))

    @contextmanager
    def open(self, web: Path) -> Iterator[Exporter]:
        with replying(reply) as self.providers:
            config = configuration(self.folder, self.providers.url)
            with exporter("--config.file", config, "--web.config.file", web) as process:
                yield process

    def curl(self, port: int, *flags: str, scheme: str = "https", path: str = "/metrics") -> int:
        """Curl's code of failure; if there was none, the status of the answer."""
        code, status, _ = run(
            program("curl", "curl"),
            *("--silent", "--output", os.devnull, "--write-out", "%{http_code}", "--max-time", "60"),
            *("--cacert", str(self.folder / "ca.pem"), *flags, f"{scheme}://{LOCAL}:{port}{path}"),
        )
        return code or int(status)

    def shows(self, name: str) -> tuple[str, ...]:
        """Curl's flags to show a client's certificate."""
        return "--cert", str(self.folder / f"{name}.pem"), "--key", str(self.folder / f"{name}.key")

    def scrapes(self, password: str, name: str) -> dict[str, Any]:
        """Prometheus's way to scrape with a password and a client's certificate."""
        tls = {"ca_file": "ca.pem", "cert_file": f"{name}.pem", "key_file": f"{name}.key"}
        return {
            "scheme": "https",
            "basic_auth": {"username": "anna", "password": password},
            "tls_config": {key: str(self.folder / file) for key, file in tls.items()},
        }


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_curl_needs_the_authority_a_version_of_today_and_the_password(house: House) -> None:
    web = web_file(house.folder, users={"anna": HASHES["right"]}, min_version="TLS12")
    with house.open(web) as process:
        known = ("--user", "anna:right")
        assert house.curl(process.port) == 401
        for flags in (
            ("--user", "anna:wrong"),
            ("--user", "bert:right"),
            ("-H", "Authorization: Basic !"),
        ):
            for path in ("/metrics", "/", "/-/healthy", "/elsewhere"):
                assert house.curl(process.port, *flags, path=path) == 401
        assert house.curl(process.port, "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0", *known) == NO_TLS
        assert house.curl(process.port, "--cacert", str(house.folder / "foreign.pem"), *known) == UNTRUSTED
        assert house.curl(process.port, *known, scheme="http") in BROKEN_OFF
        assert house.providers.requests == [], "nobody who is refused has the providers asked"
        for version in ("1.2", "1.3"):
            assert house.curl(process.port, f"--tlsv{version}", "--tls-max", version, *known) == 200
        assert house.providers.requests
        assert house.curl(process.port, *known, path="/elsewhere") == 404


def test_curl_needs_a_certificate_of_the_authority_where_one_is_asked_for(house: House) -> None:
    policy = "RequireAndVerifyClientCert"
    web = web_file(house.folder, client_ca_file="ca.pem", client_auth_type=policy)
    with house.open(web) as process:
        assert house.curl(process.port, *house.shows("good")) == 200
        for flags in ((), house.shows("expired"), house.shows("foreign")):
            assert house.curl(process.port, *flags) in BROKEN_OFF


def test_passwords_and_certificates_are_rotated_under_way(house: House) -> None:
    web = web_file(house.folder, users={"anna": HASHES["right"]}, min_version="TLS12")
    with house.open(web) as process:
        right, wrong = ("--user", "anna:right"), ("--user", "anna:wrong")
        assert house.curl(process.port, *right) == 200
        web_file(house.folder, users={"anna": HASHES["wrong"]}, min_version="TLS12")
        assert [house.curl(process.port, *flags) for flags in (right, wrong)] == [401, 200]
        put(web, "basic_auth_users: {")
        assert [house.curl(process.port, *flags) for flags in (right, wrong)] == [401, 200]
        web_file(house.folder, users={"anna": HASHES["right"]}, min_version="TLS12")
        assert [house.curl(process.port, *flags) for flags in (right, wrong)] == [200, 401]
        house.serve_as(trustme.CA())
        assert house.curl(process.port, *right) == UNTRUSTED
        house.serve_as(house.authority)
        assert house.curl(process.port, *right) == 200
    assert process.log.count("new web configuration not taken") == 1
    assert not [word for word in ("right", "wrong", *HASHES.values()) if word in process.log]


@pytest.mark.slow
def test_prometheus_scrapes_with_password_and_certificate_and_not_without(house: House) -> None:
    users, policy = {"anna": HASHES["right"]}, "RequireAndVerifyClientCert"
    web = web_file(house.folder, users=users, client_ca_file="ca.pem", client_auth_type=policy)
    good = house.scrapes("right", "good")
    ways = {
        "good": good,
        "wrong": house.scrapes("wrong", "good"),
        "expired": house.scrapes("right", "expired"),
        "foreign": house.scrapes("right", "foreign"),
        "uncertified": good | {"tls_config": {"ca_file": str(house.folder / "ca.pem")}},
        "nameless": {key: value for key, value in good.items() if key != "basic_auth"},
        "plain": good | {"scheme": "http", "tls_config": {}},
    }
    with house.open(web) as process, prometheus(process.port, house.folder, ways) as monitor:
        seen = wait_until(lambda: everybody(monitor.query("up"), len(ways)), "a scrape in each way")
        shown = monitor.query('cloud_browser_up{job="good"} == 1')
    assert seen == {way: way == "good" for way in ways}
    assert len(shown) == len(KEYS)


def everybody(up: list[dict[str, Any]], ways: int) -> dict[str, bool] | None:
    """Of each job whether its last scrape succeeded, once all have scraped."""
    seen = {one["metric"]["job"]: one["value"][1] == "1" for one in up}
    return seen if len(seen) == ways else None


def test_a_file_that_is_not_valid_ends_the_start_with_a_line_for_each_fault(house: House) -> None:
    web = house.folder / "web.yml"
    put(web, "basic_auth_users: {anna: hunter2, bert: hunter2}\ntls_server_config: {cert_file: a}\n")
    config = configuration(house.folder, "http://127.0.0.1:1")
    code, _, errors = run(COMMAND, "--config.file", config, "--web.config.file", web)
    fault = "not a bcrypt hash; allowed: what `htpasswd -nB NAME` prints after the colon"
    assert (code, sorted(errors.splitlines())) == (
        2,
        [
            f"{web}: line 1: basic_auth_users.anna: {fault}",
            f"{web}: line 1: basic_auth_users.bert: {fault}",
            f"{web}: line 2: tls_server_config.key_file: missing; add this key",
        ],
    )
