"""New files count at the next connection and request, broken ones change nothing."""

import asyncio
import os
import ssl
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
from structlog.testing import capture_logs

from exporter.config.loader import ConfigError
from exporter.web.auth import refusal
from exporter.web.reloading import ReloadingWebConfig
from tests.support.certificates import client, put, put_pair, web_file
from tests.support.password_checks import basic

HASH = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
OTHER = bcrypt.hashpw(b"wrong", bcrypt.gensalt(4)).decode()
NOT_TAKEN = "new web configuration not taken, the last good one holds"
TAKEN = "new web configuration taken"


def visit(web_config: ReloadingWebConfig, *headers: bytes) -> int:
    """The status of the answer to a request with these Authorization headers."""
    refused = asyncio.run(refusal(web_config, [*headers]))
    return 200 if refused is None else refused.status


def admits(web_config: ReloadingWebConfig, user: bytes = b"anna", password: bytes = b"right") -> bool:
    return visit(web_config, basic(user, password)) == 200


def trusted(web_config: ReloadingWebConfig, asking: ssl.SSLContext) -> bool:
    """Whether a new connection to the context comes about, as seen by the client."""
    context = web_config.context()
    assert context is not None
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    us = asking.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(3):
        for side in (us, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return us.version() is not None


@contextmanager
def logged(*expected: str) -> Iterator[list[MutableMapping[str, Any]]]:
    """Exactly these messages are logged inside."""
    with capture_logs() as lines:
        yield lines
    assert [line["event"] for line in lines] == list(expected)


def test_users_come_change_and_go_while_it_runs(tmp_path: Path) -> None:
    web_config = ReloadingWebConfig.open(web_file(tmp_path))
    assert visit(web_config) == 200
    for users, who in (
        ({"anna": HASH}, {(b"anna", b"right")}),
        ({"anna": HASH, "bert": OTHER}, {(b"anna", b"right"), (b"bert", b"wrong")}),
        ({"anna": OTHER, "bert": OTHER}, {(b"anna", b"wrong"), (b"bert", b"wrong")}),
        ({"bert": OTHER}, {(b"bert", b"wrong")}),
    ):
        web_file(tmp_path, users=users)
        with logged(TAKEN):
            assert visit(web_config) == 401
            pairs = {(user, word) for user in (b"anna", b"bert") for word in (b"right", b"wrong")}
            assert {pair for pair in pairs if admits(web_config, *pair)} == who


@pytest.mark.parametrize("broken", ["", "basic_auth_users:\n  anna: ", "{}", "tls_server_config: {}", None])
def test_a_file_written_by_half_opens_nothing_and_is_told_once(tmp_path: Path, broken: str | None) -> None:
    path = web_file(tmp_path, users={"anna": HASH})
    web_config = ReloadingWebConfig.open(path)
    if broken is None:
        path.unlink()
    else:
        put(path, broken)
    with logged(NOT_TAKEN) as lines:
        for _ in range(3):
            assert admits(web_config)
            assert visit(web_config) == 401
    assert lines[0]["log_level"] == "warning"
    assert str(path) in lines[0]["error"]
    web_file(tmp_path, users={"anna": OTHER})
    with logged(TAKEN):
        assert admits(web_config, password=b"wrong")
    put(path, broken or "")
    with logged(NOT_TAKEN):
        assert admits(web_config, password=b"wrong")


def test_a_section_without_effect_is_noted(tmp_path: Path) -> None:
    path = web_file(tmp_path, users={"anna": HASH})
    path.write_text(path.read_text() + "http_server_config: {http2: true}\n")
    with capture_logs() as lines:
        assert admits(ReloadingWebConfig.open(path))
    assert [line["event"] for line in lines] == ["http_server_config.http2 has no effect, HTTP/1.1 is served"]


def test_an_empty_file_lets_everybody_in(tmp_path: Path) -> None:
    (tmp_path / "web.yml").touch()
    web_config = ReloadingWebConfig.open(tmp_path / "web.yml")
    assert (web_config.context(), visit(web_config)) == (None, 200)


def test_another_fault_is_told_again_and_the_same_is_not(tmp_path: Path) -> None:
    path = web_file(tmp_path, users={"anna": HASH})
    web_config = ReloadingWebConfig.open(path)
    with logged(NOT_TAKEN, NOT_TAKEN):
        for text in ("", "", "# still nothing", "a: b"):
            put(path, text)
            assert admits(web_config)


def test_tls_comes_and_goes_with_a_restart_only(tmp_path: Path) -> None:
    put_pair(tmp_path, trustme.CA().issue_cert("localhost"))
    plain = ReloadingWebConfig.open(web_file(tmp_path))
    assert plain.context() is None
    web_file(tmp_path, min_version="TLS12")
    with logged(NOT_TAKEN) as lines:
        assert visit(plain) == 200
    fault = f"{tmp_path}/web.yml: tls_server_config: added or removed while running; allowed: at a restart"
    assert lines[0]["error"] == fault
    secure = ReloadingWebConfig.open(tmp_path / "web.yml")
    web_file(tmp_path)
    with logged(NOT_TAKEN):
        assert secure.context() is not None
        assert visit(secure) == 200


def test_a_rotated_certificate_counts_at_the_next_connection_once_both_files_are_there(
    tmp_path: Path,
) -> None:
    old, new = trustme.CA(), trustme.CA()
    put_pair(tmp_path, old.issue_cert("localhost"))
    web_config = ReloadingWebConfig.open(web_file(tmp_path, min_version="TLS13"))
    leaf = new.issue_cert("localhost")
    assert (trusted(web_config, client(old)), trusted(web_config, client(new))) == (True, False)
    put(tmp_path / "server.pem", leaf.cert_chain_pems[0].bytes())
    with logged(NOT_TAKEN) as lines:
        assert trusted(web_config, client(old))
        assert trusted(web_config, client(old))
    assert "is not the key of the certificate in cert_file" in lines[0]["error"]
    put(tmp_path / "server.key", leaf.private_key_pem.bytes())
    with logged(TAKEN):
        assert (trusted(web_config, client(old)), trusted(web_config, client(new))) == (
            False,
            True,
        )


def test_a_rotated_authority_counts_for_clients(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    put_pair(tmp_path, authority.issue_cert("localhost"))
    put(tmp_path / "ca.pem", authority.cert_pem.bytes())
    policy = "RequireAndVerifyClientCert"
    # With TLS 1.3 a client learns only later that its certificate is refused.
    path = web_file(tmp_path, max_version="TLS12", client_auth_type=policy, client_ca_file="ca.pem")
    web_config = ReloadingWebConfig.open(path)
    ours, theirs = (client(authority, each.issue_cert("client@test")) for each in (authority, other))
    assert (trusted(web_config, ours), trusted(web_config, theirs)) == (True, False)
    put(tmp_path / "ca.pem", other.cert_pem.bytes())
    assert (trusted(web_config, ours), trusted(web_config, theirs)) == (False, True)


def test_a_file_that_is_overwritten_where_it_lies_is_read_again(tmp_path: Path) -> None:
    path = web_file(tmp_path, users={"anna": HASH})
    web_config = ReloadingWebConfig.open(path)
    before = path.stat()
    path.write_text(path.read_text().replace(HASH, OTHER))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))  # a clock may be too coarse for it
    assert admits(web_config, password=b"wrong")


def test_a_link_to_another_folder_is_followed_as_kubernetes_moves_it(tmp_path: Path) -> None:
    for name, given in (("first", HASH), ("second", OTHER)):
        (tmp_path / name).mkdir()
        web_file(tmp_path / name, users={"anna": given})
    (tmp_path / "data").symlink_to("first")
    web_config = ReloadingWebConfig.open(tmp_path / "data" / "web.yml")
    assert admits(web_config)
    (tmp_path / "next").symlink_to("second")
    (tmp_path / "next").replace(tmp_path / "data")
    assert admits(web_config, password=b"wrong")


def test_what_is_wrong_at_the_start_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        ReloadingWebConfig.open(web_file(tmp_path, min_version="TLS12"))
    absent = "cannot be read (No such file or directory)"
    assert caught.value.faults == tuple(
        f"{tmp_path}/web.yml: line {line}: tls_server_config.{key}_file: {tmp_path}/server.{end} {absent}"
        for line, key, end in ((2, "cert", "pem"), (3, "key", "key"))
    )


def test_faults_of_users_and_of_the_files_named_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("{basic_auth_users: {me: x}, tls_server_config: {cert_file: no.pem, key_file: no.key}}")
    with pytest.raises(ConfigError) as caught:
        ReloadingWebConfig.open(file)
    assert [fault.split(": ")[2] for fault in caught.value.faults] == [
        "basic_auth_users.me",
        "tls_server_config.cert_file",
        "tls_server_config.key_file",
    ]
