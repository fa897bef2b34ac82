"""Passwords, their hashes and private keys are looked for in every output, as the providers' keys are."""

import base64
import signal
from pathlib import Path

import bcrypt
import pytest
import yaml

from tests.support.certificates import put, web_file
from tests.support.misbehaviour import answer, replying
from tests.support.planted_secrets import CORES, KEYS, found, outputs, serving
from tests.support.processes import COMMAND, run, wait_until

PASSWORD, CORE = CORES["a user's password"], CORES["a misplaced key"]
HASHED = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
PLANTED = CORES | {"a hash": HASHED[30:-3]}
MISPLACED = {
    "a password for a hash": f"basic_auth_users: {{a: {CORE}}}",
    "a hash for a name": f"basic_auth_users: {{{HASHED}: a}}",
    "a hash cut short": f"basic_auth_users: {{a: {HASHED[:-3]}}}",
    "a password that is an alias": f"basic_auth_users: {{a: *{CORE}}}",
    "a hash among the rest": f"{{basic_auth_users: {{a: {HASHED}}}, {HASHED}: x}}",
    "a password for a word": f"tls_server_config: {{client_auth_type: sk-live-{CORE}}}",
    "a key for a file's name": f'tls_server_config: {{cert_file: a, key_file: "--BEGIN KEY--\\n{CORE}\\n"}}',
    "a key of TLS's in the file": f"tls_server_config: {{key: sk-live-{CORE}}}",
}


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_no_output_of_a_guarded_front_shows_a_password_or_a_hash(tmp_path: Path, form: str) -> None:
    """The right password, wrong ones, a reload that is refused, and new files that are not taken."""
    (tmp_path / "state").mkdir()
    web, path = web_file(tmp_path, users={"known-user": HASHED}), tmp_path / "exporter.yml"
    account = {"name": "known", "provider": "browserbase", "api_key_env": "GOOD"}
    right = {"Authorization": f"Basic {base64.b64encode(f'known-user:{PASSWORD}'.encode()).decode()}"}
    wrong = {"Authorization": f"Basic {base64.b64encode(f'{CORE}:{CORE}'.encode()).decode()}"}
    flags = ("--config.file", path, "--web.config.file", web, "--web.enable-lifecycle")
    with replying(lambda _: answer()) as provider:
        good = yaml.safe_dump({"accounts": [account | {"base_url": provider.url}]})
        path.write_text(good)
        with serving(tmp_path, form, *flags, environ={"GOOD": KEYS["browserbase"]}) as process:
            assert process.get(**right).status_code == 200
            assert process.get(**wrong).status_code == 401
            shown = {f"let in, {name}": text for name, text in outputs(process, tmp_path, **right).items()}
            shown |= {f"shut out, {name}": text for name, text in outputs(process, tmp_path, **wrong).items()}
            path.write_text(good + f"api_key: {CORE}\nsk-live-{CORE}: x\n")
            refused = process.get("/-/reload", method="POST", **right)
            assert (refused.status_code, "unknown key" in refused.text) == (500, True)
            process.signal(signal.SIGHUP)
            put(web, yaml.safe_dump({"basic_auth_users": {"known-user": f"sk-live-{CORE}"}}))
            assert process.get(**right).status_code == 200
            wait_until(lambda: process.log.count("configuration not reloaded") == 2, "SIGHUP's reload")
            assert "new web configuration not taken" in process.log
            shown |= {"refused": refused.content} | outputs(process, tmp_path, **right)
    assert ("let in, metrics", "known") in found(shown, {"known": 'account="known"'})
    assert found(shown, PLANTED) == []


@pytest.mark.parametrize("where", MISPLACED)
def test_no_fault_of_a_web_configuration_shows_a_misplaced_secret(tmp_path: Path, where: str) -> None:
    path = tmp_path / "web.yml"
    path.write_text(MISPLACED[where])
    environ = {"BROWSERBASE_API_KEY": KEYS["browserbase"], "HOME": str(tmp_path)}
    code, output, errors = run(COMMAND, "--web.config.file", path, environ=environ)
    assert (code, output, str(path) in errors) == (2, "", True)
    assert found({"errors": errors.encode()}, PLANTED) == []
