"""Commands, flags and exit codes, in this process; test_command runs the installed one."""

import re
import signal
import sys
from pathlib import Path

import pytest
import requests

from exporter import __version__
from exporter.cli import COMMANDS, main, parse
from exporter.providers import PROVIDERS
from tests.support.processes import LOCAL, Process
from tests.support.toy_provider import TOY


def exit_code(*arguments: str) -> int | str | None:
    """The code the process would end with."""
    try:
        return main(arguments)
    except SystemExit as leaving:  # argparse's way out
        return leaving.code


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"cloud-browser-exporter {__version__}\n"


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    assert {"serve", "simulate", "demo"} <= set(capsys.readouterr().out.split())


def test_no_key_names_both_variables_and_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("BROWSERBASE_API_KEY", "BROWSER_USE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert exit_code() == 2
    said = capsys.readouterr().err
    assert all(word in said for word in ("BROWSERBASE_API_KEY", "BROWSER_USE_API_KEY", "demo"))


ADDRESS = "--web.listen-address"


@pytest.mark.parametrize(
    ("line", "name", "told"),
    [
        ("", "serve", {"config": None, "listen": None, "path": "/metrics", "log_level": "info"}),
        ("serve", "serve", {"config": None, "lifecycle": False}),
        ("--config.file F", "serve", {"config": Path("F")}),
        ("serve --config.file F", "serve", {"config": Path("F")}),
        ("--config.file=F serve", "serve", {"config": Path("F")}),
        ("--config.file F --web.enable-lifecycle serve", "serve", {"config": Path("F"), "lifecycle": True}),
        ("--config.file serve", "serve", {"config": Path("serve")}),
        ("--config.file demo serve --ledger.url L", "serve", {"config": Path("demo"), "ledger": "L"}),
        ("--log.level debug serve --log.format json", "serve", {"log_level": "debug", "log_format": "json"}),
        ("--log.level debug serve --log.level warn", "serve", {"log_level": "warn"}),
        (f"{ADDRESS} a:1 demo", "demo", {"listen": [("a", 1)]}),
        (f"demo {ADDRESS} a:1", "demo", {"listen": [("a", 1)]}),
        (f"{ADDRESS} a:1 demo {ADDRESS}=[::1]:2", "demo", {"listen": [("a", 1), ("::1", 2)]}),
        (f"{ADDRESS} :1 {ADDRESS} :2", "serve", {"listen": [("", 1), ("", 2)]}),
        (
            "demo --seed 3",
            "demo",
            {"seed": 3, "billing": "upfront", "simulator": ("127.0.0.1", 10926), "path": "/metrics"},
        ),
        ("ledger show --json", "ledger show", {"json": True, "ledger": None, "config": None}),
        ("--log.level debug ledger copy --from A --to B", "ledger copy", {"source": "A", "target": "B"}),
        ("simulate", "simulate", {"seed": 1, "billing": "metered", "faults": []}),
        ("simulate --billing upfront", "simulate", {"billing": "upfront"}),
        ("--log.level=error simulate --rate 9", "simulate", {"rate": 9.0, "log_level": "error"}),
    ],
)
def test_the_command_is_found_among_its_flags(line: str, name: str, told: dict[str, object]) -> None:
    command, flags = parse(line.split(), PROVIDERS)
    assert command is COMMANDS[name]
    assert {flag: vars(flags)[flag] for flag in told} == told


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_version_belong_to_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: cloud-browser-exporter {name}")
    assert exit_code("--log.level", "debug", name, "--version") == 0
    assert capsys.readouterr().out == f"cloud-browser-exporter {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_every_flag_does_and_its_default(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(name, "--help") == 0
    flags = re.split(r"\n  (?=--)", capsys.readouterr().out)[1:]
    assert len(flags) >= 3
    for flag in flags:
        assert re.fullmatch(r"(?s)\S+( [A-Z:]+| {.*})?\s{2,}\w.*\sdefault:\s.*|--version\s{2,}\w.*", flag)


def test_help_names_the_registered_providers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"], {**PROVIDERS, TOY.name: TOY})
    shown = " ".join(capsys.readouterr().out.split())
    assert "cloud browsers: Browserbase, Browser Use Cloud, Toy." in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--web.listen-address", "nowhere"), "HOST:PORT, such as :10925"),
        (("--web.listen-address", ":99999"), "HOST:PORT, such as :10925"),
        (("--web.telemetry-path", "metrics"), "a path of its own, such as /metrics"),
        (("--web.telemetry-path", "/-/ready"), "a path of its own"),
        (("--web.telemetry-path", "/probe"), "a path of its own"),
        (("--web.telemetry-path", "/sd"), "a path of its own"),
        (("--log.level", "loud"), "invalid choice"),
        (("--web.telemetry-path", "/-/reload"), "a path of its own"),
        (("ledger",), "invalid choice: 'ledger' (choose from"),
        (("ledger", "list"), "invalid choice: 'ledger list' (choose from"),
        (("chek",), "invalid choice: 'chek' (choose from serve, check, "),
        (("--log.level", "debug", "chek", "demo"), "invalid choice: 'chek'"),
        (("serve", "demo"), "unrecognized arguments: demo"),
        (("--seed", "3"), "unrecognized arguments: --seed; --seed is only for simulate, demo"),
        (("serve", "--seed", "3"), "unrecognized arguments: --seed 3"),
        (("--config.file", "F", "demo"), "unrecognized arguments: --config.file F"),
        (("demo", "--config.file=F"), "--config.file=F; --config.file is only for serve"),
        (("--web.config", "F"), "unrecognized arguments: --web.config; did you mean --web.config.file?"),
        (("simulate", "--history-size=9"), "--history-size=9; did you mean --history?"),
        (("serve", "--xyz"), "unrecognized arguments: --xyz; see --help"),
        (("simulate", "--billing", "free"), "invalid choice: 'free'"),
        (("simulate", "--fault", "503"), "KIND:SHARE"),
        (("simulate", "--rate", "-1"), "--rate must be above 0"),
        (("simulate", "--retention", "0"), "--retention must be at least 0.049 days"),
        (("simulate", "--error-ratio", "0.99"), "--error-ratio plus --timeout-ratio must be at most 1"),
        (("simulate", "--wave", "error:0.5:20:10"), "'error:0.5:20:10' ends before it begins"),
        (("simulate", "--retention", "abc"), "a number of days, such as 7"),
        (("simulate", "--speed", "nan"), "--speed must be above 0"),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_ledger_that_is_none_ends_the_start_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROWSERBASE_API_KEY", "key")
    file = tmp_path / "ledger.db"
    file.write_bytes(b"a diary, not a ledger" * 100)
    assert exit_code("--ledger.url", f"sqlite:///{file}") == 1
    said = capsys.readouterr().err
    assert f"{file}: file is not a database; name another file with --ledger.url; or" in said
    assert file.read_bytes().startswith(b"a diary")


def test_an_address_in_use_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROWSERBASE_API_KEY", "key")
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    assert exit_code("--ledger.url", ledger, "--web.listen-address", "192.0.2.1:1") == 1
    assert "cannot listen on 192.0.2.1:1" in capsys.readouterr().err


def test_a_web_configuration_that_is_none_ends_the_start_with_its_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROWSERBASE_API_KEY", "key")
    file = tmp_path / "web.yml"
    file.write_text("basic_auth_users: {me: secret-password}\ntls: {}\n")
    ledger = tmp_path / "ledger.db"
    flags = "--ledger.url", f"sqlite:///{ledger}", "--web.config.file", str(file)
    assert exit_code("--web.listen-address", "127.0.0.1:0", *flags) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:3] for line in lines] == [
        [str(file), "line 1", "basic_auth_users.me"],
        [str(file), "line 2", "tls"],
    ]
    assert "secret-password" not in "".join(lines)
    assert not ledger.exists()


@pytest.mark.parametrize("arguments", [("serve", "--help"), ("--help",), ("--version",)])
def test_help_imports_no_simulator(arguments: tuple[str, ...]) -> None:
    with Process(sys.executable, "-X", "importtime", "-m", "exporter", *arguments) as process:
        assert process.wait() == 0
    assert not simulating(process.log)


def test_serving_imports_no_simulator(tmp_path: Path) -> None:
    environ = {"BROWSERBASE_API_KEY": "key"}
    flags = "--web.listen-address", f"{LOCAL}:0", "--ledger.url", f"sqlite:///{tmp_path}/ledger.db"
    with Process(sys.executable, "-X", "importtime", "-m", "exporter", *flags, environ=environ) as process:
        port = process.wait_for_log(r"msg=serving .*port=(\d+)")[1]
        assert requests.get(f"http://{LOCAL}:{port}/", timeout=60).status_code == 200
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert not simulating(process.log)


def simulating(log: str) -> set[str]:
    """The modules in a log of imports that only `simulate` and `demo` need."""
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", log, re.MULTILINE))
    assert "exporter.cli" in imported
    return {name for name in imported if re.match(r"exporter\.(simulator|demo)\b", name)}
