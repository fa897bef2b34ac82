"""Certificates for tests of the front: an authority, and the files that a web configuration names."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
import yaml

NAMES = ("localhost", "127.0.0.1")


def put(path: Path, data: bytes | str) -> None:
    """Put a file into its place as a whole, as tools that rotate certificates do."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(data.encode() if isinstance(data, str) else data)
    fresh.replace(path)


def pem(leaf: trustme.LeafCert) -> bytes:
    """The certificate and those above it."""
    return b"".join(blob.bytes() for blob in leaf.cert_chain_pems)


def put_pair(folder: Path, leaf: trustme.LeafCert, name: str = "server") -> None:
    put(folder / f"{name}.pem", pem(leaf))
    put(folder / f"{name}.key", leaf.private_key_pem.bytes())


def expired(authority: trustme.CA) -> trustme.LeafCert:
    then = datetime.now(UTC) - timedelta(days=1)
    return authority.issue_cert("client@test", not_before=then - timedelta(days=1), not_after=then)


def web_file(folder: Path, *, users: dict[str, str] | None = None, **tls: str) -> Path:
    """A web configuration in its place: `server.pem` and `server.key` if any key of TLS is given."""
    document: dict[str, Any] = {"basic_auth_users": users} if users else {}
    if tls:
        document["tls_server_config"] = {"cert_file": "server.pem", "key_file": "server.key"} | tls
    put(folder / "web.yml", yaml.safe_dump(document))
    return folder / "web.yml"


def client(authority: trustme.CA, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """A client's context: trusts the authority, and shows a certificate if it has one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if leaf is not None:
        leaf.configure_cert(context)
    return context
