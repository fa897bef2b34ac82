"""Secrets are planted in every input, and looked for in every output, at the level debug."""

import base64
import json
import pickle
import traceback
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
import structlog
import yaml

from exporter import log as logs
from exporter.config import settings as config
from exporter.providers import PROVIDERS
from tests.support.misbehaviour import Reply, answer, broken_off, replying
from tests.support.planted_secrets import CORES, KEYS, found, outputs, serving
from tests.support.postgres import Cluster
from tests.support.processes import COMMAND, LOCAL, TIMEOUT, run

URLS = ("liveUrl", "cdpUrl", "recordingUrl", "connectUrl", "seleniumRemoteUrl")
KEY, CORE, PASSWORD = KEYS["browserbase"], CORES["a misplaced key"], CORES["a proxy's password"]
FORMS = ["logfmt", pytest.param("json", marks=pytest.mark.slow)]
TIMES = {"startedAt": "2026-05-01T12:00:10Z", "timeoutAt": "2026-05-01T13:00:00Z"}


@pytest.mark.parametrize(
    "shown",
    [
        b"{}",
        b"sk/{}+=",
        quote("sk/Pl4ntedBase0Key+=").encode(),
        "Pl4ntedBase0Key".upper().encode(),
        *(base64.b64encode(b"x" * n + b"Pl4ntedBase0Key" + b"y" * m) for n in range(4) for m in range(4)),
        b"Pl4ntedBase0Key".hex().encode(),
    ],
)
def test_the_search_finds_what_is_shown(shown: bytes) -> None:
    text = b"level=info error=" + shown.replace(b"{}", b"Pl4ntedBase0Key") + b"\n"
    assert found({"log": text, "page": b"nothing"}) == [("log", "Browserbase's key")]


def session(**fields: object) -> dict[str, object]:
    """A row of both providers', with everything in it that opens somebody's browser."""
    secret = {name: f"wss://host/?token={CORES[name]}" for name in URLS}
    metadata = {"userMetadata": {"a": CORES["userMetadata"]}, "metadata": {CORES["userMetadata"]: "b"}}
    row = {"id": "s1", "status": "stopped", "createdAt": TIMES["startedAt"], "projectId": "known-project"}
    return row | TIMES | secret | metadata | {"signingKey": CORES["signingKey"]} | fields


def body(provider: str, *rows: object) -> bytes:
    page = {"items": rows, "totalItems": len(rows), "pageSize": 100}
    return json.dumps(rows if provider == "browserbase" else page).encode()


def replies(provider: str) -> dict[str, Reply]:
    """What a provider answers, scrape by scrape; nearly all of it echoes the key."""
    key, words = KEYS[provider], CORES["the provider's words"]
    echo = f"<html>{key} {words}</html>".encode()
    odd: list[object] = [
        session(id="s2", **{name: key}) for name in ("startedAt", "createdAt", "proxyUsedMb", "keepAlive")
    ]
    odd += [session(id=[key]), session(status={key: words}), session(proxyBytes=key, browserCost=key), key]
    head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
    return {
        "good rows": answer(body(provider, session())),
        "rows that make no sense": answer(body(provider, session(), *odd)),
        "what the API does not describe": answer(json.dumps({key: words, "items": {key: key}}).encode()),
        "no JSON": answer(echo),
        "cut short": broken_off(answer(body(provider, session()))[:-40]),
        "a line among the headers": f"{head}{key} {words}\r\nX: {words}\r\n\r\n[]".encode(),
        "a status line": broken_off(f"HTTP/1.1 {key}\r\n\r\n".encode()),
        "a chunk's size": broken_off(
            f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n".encode()
        ),
        "two lengths": broken_off(f"{head}Content-Length: 3,{key}\r\n\r\n[]".encode()),
        "an encoding": answer(echo, Content_Encoding=f"gzip, {key}"),
        "a broken encoding": answer(echo, Content_Encoding="gzip"),
        "headers": answer(
            body(provider, session()),
            Date=key,
            Set_Cookie=f"k={key}; Path=/{words}",
            Content_Type=f"{key}/{words}; charset={key}",
            X_RateLimit_Remaining=key,
        ),
        **{
            f"a status {status}": answer(echo, f"{status} {key}", Location=f"/{key}", WWW_Authenticate=key)
            for status in (302, 401, 402, 403, 404, 500)
        },
        "silence": answer(echo, f"429 {words}", Retry_After=key),
    }


@pytest.mark.parametrize("form", FORMS)
def test_no_answer_of_a_provider_brings_a_secret_to_light(tmp_path: Path, form: str) -> None:
    told, stage = {provider: replies(provider) for provider in KEYS}, "good rows"
    accounts, shown = list[object](), dict[str, bytes]()
    key_file = tmp_path / "browser_use.key"
    key_file.write_text(KEYS["browser_use"])
    (tmp_path / "state").mkdir()
    with (
        replying(lambda _: told["browserbase"][stage]) as browserbase,
        replying(lambda _: told["browser_use"][stage]) as browser_use,
    ):
        for provider, server, source in (
            ("browserbase", browserbase, {"api_key_env": "ODDLY_NAMED"}),
            ("browser_use", browser_use, {"api_key_file": str(key_file)}),
        ):
            account = {"name": f"known-{provider}", "provider": provider, "base_url": server.url, **source}
            accounts.append(account)
        path = tmp_path / "exporter.yml"
        path.write_text(yaml.safe_dump({"accounts": accounts}))
        environ = {"ODDLY_NAMED": KEYS["browserbase"]}
        with serving(tmp_path, form, "--config.file", path, environ=environ) as process:
            for stage in told["browserbase"]:
                before = len(browserbase.requests), len(browser_use.requests)
                shown[stage] = process.get().content
                assert len(browserbase.requests) > before[0], stage
                assert len(browser_use.requests) > before[1], stage
            stage = "good rows"
            shown |= outputs(process, tmp_path)
        assert KEYS["browserbase"].encode() in browserbase.requests[0]
        assert KEYS["browser_use"].encode() in browser_use.requests[0]
    # What must be there is found there; else the search would prove nothing.
    places = {name for name, _ in found(shown, {"known": "known-project"})}
    assert {"good rows", "metrics", "openmetrics", str(tmp_path / "state/ledger.db-wal")} <= places
    assert ("log", "known") in found(shown, {"known": "known-browserbase"})
    assert ("cmdline", "known") in found(shown, {"known": "exporter.yml"})
    assert found(shown) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_proxy_password_stays_between_the_exporter_and_the_proxy(tmp_path: Path, form: str) -> None:
    """Proxies are the environment's, as for any program; one refuses, one is not there, one is no address."""
    words, shown = CORES["the provider's words"], dict[str, bytes]()
    (tmp_path / "state").mkdir()
    with replying(lambda _: answer(words.encode(), f"407 {words}", Proxy_Authenticate=words)) as proxy:
        for index, host in enumerate((f"{LOCAL}:{proxy.port}", f"{LOCAL}:1", "[::1")):
            address = f"http://user:{PASSWORD}@{host}"
            environ = {f"{name.upper()}_API_KEY": key for name, key in KEYS.items()}
            environ |= {"BROWSERBASE_BASE_URL": "http://provider.invalid", "http_proxy": address}
            environ |= {"BROWSER_USE_BASE_URL": "https://provider.invalid", "https_proxy": address}
            with serving(tmp_path, form, environ=environ) as process:
                shown |= {f"{name} {index}": text for name, text in outputs(process, tmp_path).items()}
        password = base64.b64encode(f"user:{PASSWORD}".encode())
        for line in (b"GET http://provider.invalid/v1/sessions ", b"CONNECT provider.invalid:443 "):
            assert [password in head for head in proxy.requests if head.startswith(line)][:1] == [True]
    assert b"reason=client" in shown["log 0"] or b'"reason": "client"' in shown["log 0"]
    assert found(shown) == []


@pytest.mark.slow
@pytest.mark.parametrize("word", ["", "wrong"])
def test_a_database_password_stays_between_the_exporter_and_the_database(
    tmp_path: Path, cluster: Cluster, word: str
) -> None:
    core = CORES["a user's password"]
    cluster.set_password(f"{core}/")
    url = cluster.empty().replace("postgres@", f"secret:{core}%2F{word}@")
    (tmp_path / "state").mkdir()
    path = tmp_path / "exporter.yml"
    account = {"name": "a", "provider": "browserbase", "api_key_env": "KEY", "base_url": f"http://{LOCAL}:1"}
    path.write_text(yaml.safe_dump({"accounts": [account], "ledger": {"url": url}}))
    with serving(tmp_path, "logfmt", "--config.file", path, environ={"KEY": KEY}) as process:
        assert process.get("/-/ready").status_code == (503 if word else 200)
        shown = outputs(process, tmp_path)
    assert (b"postgresql://secret@/postgres: " in shown["log"]) == bool(word)
    assert found(shown) == []


MISPLACED = {
    "for a key that does not exist": "accounts: [{name: a, provider: browserbase, api_key: SECRET}]",
    "for a key": "accounts: [{SECRET: a}]",
    "for a key that stands twice": "{SECRET: a, SECRET: b}",
    "for a provider": "accounts: [{name: a, provider: SECRET, api_key_env: GOOD}]",
    "for a variable": "accounts: [{name: a, provider: browserbase, api_key_env: SECRET}]",
    "for a file": "accounts: [{name: a, provider: browserbase, api_key_file: SECRET}]",
    "in a good variable": "accounts: [{name: a, provider: browserbase, api_key_env: TWO_LINES}]",
    "before a host": "accounts: [{name: a, provider: browserbase, base_url: 'https://user:SECRET@host'}]",
    "in a query": "accounts: [{name: a, provider: browserbase, base_url: 'https://host/?key=SECRET'}]",
    "for what is not its provider's": "accounts: [{name: a, provider: browser_use, query: SECRET}]",
    "for a time": "scrape: {timeout: SECRET}",
    "for a number": "scrape: {max_response_bytes: SECRET}",
    "in the ledger's address": "ledger: {url: 'postgresql://user:SECRET@host/ledger'}",
    "for a word": "ledger: {history: SECRET, settle_after: SECRET}",
    "for a section": "scrape: SECRET",
    "for a list": "accounts: SECRET",
    "for everything": "SECRET",
    "for an alias": "accounts: *SECRET",
    "for a tag": "accounts: !SECRET!x y",
    "in what is no YAML": "accounts: [{name: SECRET, provider: 'SECRET",
    "in what is not UTF-8": "accounts: SECRET\xff",
    "in an escape": 'accounts: "\\SECRET"',
}


@pytest.mark.parametrize("where", MISPLACED)
def test_no_fault_of_a_configuration_shows_a_misplaced_secret(tmp_path: Path, where: str) -> None:
    path = tmp_path / "exporter.yml"
    path.write_bytes(MISPLACED[where].replace("SECRET", f"sk-live-{CORE}").encode("latin-1"))
    environ = {"HOME": "/", "GOOD": KEY, "TWO_LINES": f"{CORE}\n{CORE}"}
    with pytest.raises(config.ConfigError) as caught:
        config.load(path, PROVIDERS, environ)
    error = caught.value
    texts = [str(error), repr(error), *error.faults, *traceback.format_exception(error)]
    assert str(path) in str(error)
    assert found({"fault": "\n".join(texts).encode()}) == []


@pytest.mark.slow
def test_what_ends_the_start_shows_no_secret(tmp_path: Path) -> None:
    path, broken = tmp_path / "exporter.yml", tmp_path / "broken.yml"
    path.write_text(MISPLACED["for a key that does not exist"].replace("SECRET", f"sk-live-{CORE}"))
    broken.write_text(MISPLACED["in what is no YAML"].replace("SECRET", f"sk-live-{CORE}"))
    good = {"BROWSERBASE_API_KEY": KEY, "HOME": str(tmp_path)}
    for environ, flags in (
        (good, ["--config.file", str(path)]),
        (good, ["--config.file", str(broken)]),
        (good | {"BROWSERBASE_BASE_URL": f"https://user:{CORE}@host"}, []),
        (good | {"BROWSERBASE_API_KEY": f"{CORE}\n{CORE}"}, []),
        (good, ["--ledger.url", f"postgresql://user:{CORE}@host/ledger"]),
        (good | {"BROWSERBASE_API_KEY": ""}, []),
    ):
        code, output, errors = run(COMMAND, "--log.level", "debug", *flags, environ=environ)
        assert (code, output) == (2, ""), errors
        assert errors
        assert found({"errors": errors.encode()}) == []


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_no_text_of_the_command_shows_the_environment(flag: str) -> None:
    code, output, errors = run(COMMAND, flag, environ={"BROWSERBASE_API_KEY": KEY})
    assert (code, found({"output": output.encode(), "errors": errors.encode()})) == (0, [])


def test_a_configuration_holds_no_key_in_any_form() -> None:
    environ = {"BROWSERBASE_API_KEY": KEY, "HOME": "/home/me"}
    made = config.from_environment(PROVIDERS, environ)
    forms = {
        "repr": repr(made),
        "str": str(made),
        "json": msgspec.json.encode(made).decode(),
        "msgpack": repr(msgspec.msgpack.encode(made)),
        "asdict": repr(msgspec.to_builtins(made)),
        "pickle": repr(pickle.dumps(made)),
        "its key": repr(made.accounts[0].key(environ)),
    }
    assert found({name: text.encode() for name, text in forms.items()}) == []
    assert made.accounts[0].key(environ).reveal() == KEY


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_traceback_in_the_log_shows_where_and_no_values(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    def failing(key: str) -> None:
        held = [key, {"key": key}]
        raise ValueError(len(held))

    logs.configure("debug", form)
    try:
        failing(KEY)
    except ValueError:
        structlog.get_logger().exception("account failed")
    assert logs.flush(TIMEOUT)
    shown = capsys.readouterr().err
    assert "in failing" in shown
    assert found({"log": shown.encode()}) == []


def test_the_folder_of_the_default_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    environ = {"BROWSERBASE_API_KEY": KEY, "BROWSERBASE_BASE_URL": "http://localhost:1"}
    with serving(tmp_path, "logfmt", environ=environ | {"STATE_DIRECTORY": str(tmp_path / "state")}):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
