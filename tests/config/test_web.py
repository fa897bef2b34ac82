"""The file of `--web.config.file`: what is read, every fault with its text, and nothing secret in one."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.loader import ConfigError
from exporter.config.web import HttpConfig, TlsConfig, load
from tests.support.examples import examples

FILES = Path(__file__).parent / "web_files"
SECRET = "hunter2hunter2hunter2"
HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
NO_HASH = "not a bcrypt hash; allowed: what `htpasswd -nB NAME` prints after the colon"
NO_NAME = "is not a name of 1 to 100 printable characters without a colon"
NO_LINE = "is not one printable line of 1 to 1000 characters"
TLS = "cert_file, client_auth_type, client_ca_file, key_file, max_version, min_version"
SECTIONS = "basic_auth_users, http_server_config, tls_server_config"
MISSING = "missing; add this key"
UNSUPPORTED = "not supported by this exporter; remove it"
VERIFIED = "VerifyClientCertIfGiven, RequireAndVerifyClientCert"
UNVERIFIED = "'RequireAnyClientCert' verifies nothing, and is not supported"

BAD = {
    "client_auth": (f"line 1: tls_server_config.client_ca_file: an empty text {NO_LINE}",),
    "client_ca": (
        f"line 1: tls_server_config.client_ca_file: needs client_auth_type; allowed: {VERIFIED}",
        "line 1: tls_server_config.max_version: below min_version",
    ),
    "empty_tls": (
        f"line 1: tls_server_config.cert_file: {MISSING}",
        f"line 1: tls_server_config.key_file: {MISSING}",
    ),
    "http": (
        "line 2: http_server_config.http2: '2' is not one of true, false",
        "line 3: http_server_config.http_2: unknown key; did you mean http2? allowed: http2",
        f"line 4: http_server_config.headers: {UNSUPPORTED}",
    ),
    "no_client_ca": (
        "line 1: tls_server_config.client_auth_type: RequireAndVerifyClientCert needs client_ca_file",
    ),
    "tls": (
        "line 2: tls_server_config.cert_file: a list; allowed: a single value",
        f"line 3: tls_server_config.key_file: a text of 9 characters, not all of them printable, {NO_LINE}",
        f"line 5: tls_server_config.client_auth_type: {UNVERIFIED}; allowed: NoClientCert, {VERIFIED}",
        "line 6: tls_server_config.min_version: 'TLS11' is not one of TLS12, TLS13; did you mean TLS13?",
        "line 7: tls_server_config.max_version: 'SSL30' is not one of TLS12, TLS13",
        f"line 8: tls_server_config.certfile: unknown key; did you mean cert_file? allowed: {TLS}",
    ),
    "twice": ("line 3: basic_auth_users.prometheus: stands twice, first in line 2; remove one",),
    "unsupported": (
        f"line 1: rate_limit: {UNSUPPORTED}",
        f"line 3: tls_server_config.cert: {UNSUPPORTED}",
        f"line 5: tls_server_config.key: {UNSUPPORTED}",
        f"line 6: tls_server_config.client_ca: {UNSUPPORTED}",
        f"line 7: tls_server_config.cipher_suites: {UNSUPPORTED}",
        f"line 8: tls_server_config.curve_preferences: {UNSUPPORTED}",
        f"line 9: tls_server_config.prefer_server_cipher_suites: {UNSUPPORTED}",
        f"line 10: tls_server_config.client_allowed_sans: {UNSUPPORTED}",
        f"line 2: tls_server_config.cert_file: {MISSING}",
        f"line 2: tls_server_config.key_file: {MISSING}",
    ),
    "user_list": (
        "line 1: basic_auth_users: a list; allowed: a mapping",
        f"line 3: basic_auth_user: unknown key; did you mean basic_auth_users? allowed: {SECTIONS}",
    ),
    "users": (
        f"line 2: basic_auth_users.plain: {NO_HASH}",
        "line 3: basic_auth_users.weak: a bcrypt hash of cost 3; allowed: 4 to 14",
        "line 4: basic_auth_users.slow: a bcrypt hash of cost 15; allowed: 4 to 14",
        f"line 5: basic_auth_users.salt: {NO_HASH}",
        f"line 6: basic_auth_users.short: {NO_HASH}",
        f"line 7: basic_auth_users.old: {NO_HASH}",
        f"line 8: basic_auth_users.sha: {NO_HASH}",
        "line 9: basic_auth_users.empty: empty; allowed: a single value",
        "line 10: basic_auth_users.list: a list; allowed: a single value",
        f"line 11: basic_auth_users[9]: a text of 27 characters {NO_NAME}",
        f"line 12: basic_auth_users[10]: an empty text {NO_NAME}",
        "line 13: basic_auth_users[11]: empty; allowed: a single value",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web_config")


def test_every_bad_file_stands_in_the_table() -> None:
    assert {path.name.removesuffix(".bad.yml") for path in FILES.glob("*.bad.yml")} == BAD.keys()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_names_all_its_faults_and_no_secret(name: str) -> None:
    path = FILES / f"{name}.bad.yml"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.faults == tuple(f"{path}: {fault}" for fault in BAD[name])
    assert SECRET not in str(caught.value)


def test_every_key_is_read_and_paths_begin_at_the_file() -> None:
    read = load(FILES / "full.good.yml")
    assert read.tls_server_config == TlsConfig(
        cert_file=f"{FILES}/server.pem",
        key_file=f"{FILES}/keys/server.key",
        client_ca_file="/etc/ca.pem",
        client_auth_type="RequireAndVerifyClientCert",
        min_version="TLS13",
        max_version="TLS13",
    )
    assert list(read.basic_auth_users) == [b"prometheus", "jörg".encode(), b"no"]
    assert read.basic_auth_users[b"prometheus"].reveal() == HASH


def test_what_is_not_given_has_its_default() -> None:
    read = load(FILES / "tls.good.yml")
    assert read.tls_server_config == TlsConfig(
        cert_file=f"{FILES}/server.pem",
        key_file=f"{FILES}/server.key",
        client_ca_file="",
        client_auth_type="NoClientCert",
        min_version="TLS12",
        max_version="TLS13",
    )
    assert read.basic_auth_users == {}


@pytest.mark.parametrize(
    ("name", "users"),
    [("nothing", 0), ("users", 1), ("comment", 0), ("empty", 0), ("no_users", 0), ("http2", 1)],
)
def test_a_file_may_be_without_tls_and_without_users(name: str, users: int) -> None:
    read = load(FILES / f"{name}.good.yml")
    assert (read.tls_server_config, len(read.basic_auth_users)) == (None, users)


def test_http2_is_read_though_it_has_no_effect() -> None:
    assert load(FILES / "http2.good.yml").http_server_config == HttpConfig(http2=False)
    assert load(FILES / "users.good.yml").http_server_config is None


def test_the_example_of_the_documents_is_valid(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "web.md").read_text()
    example = document.split("\n## TLS and passwords\n")[1].split("```yaml\n")[1].split("```")[0]
    read = load(write(tmp_path, example.encode()))
    assert (read.tls_server_config is not None, list(read.basic_auth_users)) == (True, [b"prometheus"])


def test_no_hash_is_shown() -> None:
    read = load(FILES / "full.good.yml")
    assert "$2" not in f"{read} {read!r}"


def test_a_long_name_is_not_shown_for_it_may_be_a_misplaced_password(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"basic_auth_users": {SECRET: "x"}}).encode())
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.faults == (f"{path}: line 1: basic_auth_users[0]: {NO_HASH}",)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "web.yml"
    path.write_bytes(data)
    return path


def only_faults(path: Path) -> bool:
    """Whether it is read, or refused with faults of one line each."""
    try:
        return load(path) is not None
    except ConfigError as error:
        return bool(error.faults) and all(fault.isprintable() for fault in error.faults)


WORDS = st.sampled_from(
    [*TLS, *UNSUPPORTED, "tls_server_config", "basic_auth_users", "TLS12", HASH, "<<", "~"]
)
SCALARS = WORDS | st.text(max_size=8) | st.none() | st.booleans() | st.integers() | st.floats()
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=10,
)
FILE = st.dictionaries(st.sampled_from(["tls_server_config", "basic_auth_users", "rate_limit"]), TREES)
SEEDS = st.sampled_from([path.read_bytes() for path in sorted(FILES.glob("*.yml"))])
PIECES = st.sampled_from(
    [b"\n", b"  ", b": ", b"- ", b"&a ", b"*a", b"!x ", b"{", b"]", b"'", b"\0", b"\xff"]
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), PIECES | st.binary(max_size=4)), max_size=4)


@examples(2500)
@given(TREES | FILE)
def test_any_tree_is_read_or_refused(folder: Path, tree: object) -> None:
    assert only_faults(write(folder, yaml.safe_dump(tree, allow_unicode=True).encode()))


@examples(2500)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(folder: Path, data: bytes) -> None:
    assert only_faults(write(folder, data))


@examples(5000)
@given(SEEDS, EDITS)
def test_any_file_that_was_tampered_with_is_read_or_refused(
    folder: Path, data: bytes, edits: list[tuple[float, int, bytes]]
) -> None:
    for where, cut, put in edits:
        at = int(where * len(data))
        data = data[:at] + put + data[at + cut :]
    assert only_faults(write(folder, data))
