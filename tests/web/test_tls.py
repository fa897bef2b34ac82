"""TLS contexts: versions, client certificates, and files that are not what they should be."""

import asyncio
import os
import socket
import ssl
import threading
import warnings
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from exporter.config.loader import ConfigError
from exporter.config.web import TlsConfig
from exporter.web.tls import live_context, server_context
from tests.support.certificates import client, expired, pem, put, put_pair

NO_CERTIFICATE = "holds no certificate in PEM"
NO_KEY = "holds no private key in PEM"
ABSENT = "cannot be read (No such file or directory)"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    put_pair(tmp_path, authority.issue_cert("localhost"))
    put(tmp_path / "ca.pem", authority.cert_pem.bytes())
    return tmp_path


def config(folder: Path, **keys: str) -> TlsConfig:
    files = {"cert_file": "server.pem", "key_file": "server.key"}
    files |= {key: value for key, value in keys.items() if key.endswith("_file")}
    rest = {key: value for key, value in keys.items() if not key.endswith("_file")}
    return TlsConfig(**rest, **{key: str(folder / file) for key, file in files.items()})  # type: ignore[arg-type]  # the decoder has checked the words


def greeted(server: ssl.SSLContext, asking: ssl.SSLContext) -> str | None:
    """The version of TLS in which the client got the server's greeting; None when it got none."""
    ours, theirs = socket.socketpair()

    def greet() -> None:
        with ours:
            try:
                with server.wrap_socket(ours, server_side=True) as wrapped:
                    wrapped.sendall(b"hello")
                    wrapped.recv(1)
            except OSError:
                pass

    thread = threading.Thread(target=greet)
    thread.start()
    try:
        with theirs, asking.wrap_socket(theirs, server_hostname="localhost") as wrapped:
            return wrapped.version() if wrapped.recv(5) == b"hello" else None
    except OSError:
        return None
    finally:
        theirs.close()
        thread.join()


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """The same context, for one version; old ones need OpenSSL's leave."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.parametrize(
    ("allowed", "version", "expected"),
    [
        (("TLS12", "TLS13"), ssl.TLSVersion.TLSv1_1, None),
        (("TLS12", "TLS13"), ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        (("TLS12", "TLS13"), ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        (("TLS13", "TLS13"), ssl.TLSVersion.TLSv1_2, None),
        (("TLS13", "TLS13"), ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        (("TLS12", "TLS12"), ssl.TLSVersion.TLSv1_3, None),
    ],
)
def test_versions(
    folder: Path,
    authority: trustme.CA,
    allowed: tuple[str, str],
    version: ssl.TLSVersion,
    expected: str | None,
) -> None:
    made = config(folder, min_version=allowed[0], max_version=allowed[1])
    server = server_context(made, place)
    server.set_ciphers("ALL:@SECLEVEL=0")  # that the version alone decides
    assert greeted(server, only(client(authority), version)) == expected
    able = only(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), version)
    able.load_cert_chain(folder / "server.pem", folder / "server.key")
    assert greeted(able, only(client(authority), version)), "the client is able"


@pytest.mark.parametrize(
    ("policy", "admitted"),
    [
        ("NoClientCert", {"none", "good", "expired", "foreign"}),
        ("VerifyClientCertIfGiven", {"none", "good"}),
        ("RequireAndVerifyClientCert", {"good"}),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates(
    folder: Path, authority: trustme.CA, policy: str, admitted: set[str], version: ssl.TLSVersion
) -> None:
    file = {} if policy == "NoClientCert" else {"client_ca_file": "ca.pem"}
    server = server_context(config(folder, client_auth_type=policy, **file), place)
    shown = {
        "none": None,
        "good": authority.issue_cert("client@test"),
        "expired": expired(authority),
        "foreign": trustme.CA().issue_cert("client@test"),
    }
    clients = {name: only(client(authority, leaf), version) for name, leaf in shown.items()}
    assert {name for name, asking in clients.items() if greeted(server, asking)} == admitted


def place(key: str) -> str:
    return f"web.yml: tls.{key}"


def encrypted(leaf: trustme.LeafCert) -> bytes:
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(folder: Path, authority: trustme.CA) -> None:
    leaf = authority.issue_cert("localhost")
    put(folder / "server.pem", pem(leaf))
    put(folder / "server.key", encrypted(leaf))
    with pytest.raises(ConfigError) as caught:
        server_context(config(folder), place)
    fault = "is encrypted; allowed: a key without a password"
    assert caught.value.faults == (f"web.yml: tls.key_file: {folder}/server.key {fault}",)


@pytest.mark.parametrize(
    ("files", "faults"),
    [
        ({"cert_file": "absent"}, [("cert_file", ABSENT)]),
        (
            {"cert_file": "absent", "key_file": "absent", "client_ca_file": "."},
            [("cert_file", ABSENT), ("key_file", ABSENT), ("client_ca_file", "is not a file")],
        ),
        ({"cert_file": "garbage", "client_ca_file": "garbage"}, None),
        ({"cert_file": "server.key"}, [("cert_file", NO_CERTIFICATE)]),
        ({"key_file": "garbage"}, [("key_file", NO_KEY)]),
        ({"key_file": "server.pem"}, [("key_file", NO_KEY)]),
        ({"key_file": "other.key"}, [("key_file", "is not the key of the certificate in cert_file")]),
        ({"client_ca_file": "empty"}, [("client_ca_file", NO_CERTIFICATE)]),
    ],
)
def test_every_fault_of_a_file_is_named(
    folder: Path, files: dict[str, str], faults: list[tuple[str, str]] | None
) -> None:
    put(folder / "garbage", b"-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    put(folder / "empty", b"")
    put_pair(folder, trustme.CA().issue_cert("localhost"), "other")
    policy = {"client_auth_type": "RequireAndVerifyClientCert"} if "client_ca_file" in files else {}
    with pytest.raises(ConfigError) as caught:
        server_context(config(folder, **policy, **files), place)
    faults = faults or [(key, NO_CERTIFICATE) for key in files]
    expected = [f"web.yml: tls.{key}: {folder / files[key]} {fault}" for key, fault in faults]
    assert list(caught.value.faults) == expected


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(ConfigError, match="is not a file"):
        server_context(config(folder, key_file="pipe"), place)


def test_a_live_context_is_what_it_stands_for_at_each_connection(tmp_path: Path) -> None:
    contexts, authorities = [], [trustme.CA(), trustme.CA()]
    for number, each in enumerate(authorities):
        put_pair(tmp_path, each.issue_cert("localhost"), str(number))
        keys = {"cert_file": f"{number}.pem", "key_file": f"{number}.key"}
        contexts.append(server_context(config(tmp_path, **keys), place))

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def asked() -> list[list[bool]]:
        now = contexts[:1]
        server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=live_context(lambda: now[0]))
        async with server:
            seen = [[await trusted(server, each) for each in authorities]]
            now[0] = contexts[1]
            seen.append([await trusted(server, each) for each in authorities])
        return seen

    async def trusted(server: asyncio.Server, each: trustme.CA) -> bool:
        port = server.sockets[0].getsockname()[1]
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client(each), server_hostname="localhost"
            )
        except ssl.SSLCertVerificationError:
            return False
        said = await reader.read()
        writer.close()
        await writer.wait_closed()
        return said == b"hello"

    assert asyncio.run(asked()) == [[True, False], [False, True]]
