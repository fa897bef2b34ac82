"""Commands, flags and exit codes, in this process; test_command runs the installed one."""

from pathlib import Path

import pytest

from exporter import __version__
from exporter.cli import main


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


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--config.file", "FILE"),
        ("--config.file=FILE", "serve"),
        ("--config.file", "FILE"),
        ("--log.level", "debug", "serve", "--config.file", "FILE"),
    ],
)
def test_flags_may_stand_before_or_after_the_command(
    tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("accounts: []\nlegder: {}\n")
    assert exit_code(*(word.replace("FILE", str(file)) for word in arguments)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [[str(file), "accounts"], [str(file), "legder"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--web.listen-address", "nowhere"), "HOST:PORT, such as :10925"),
        (("--web.listen-address", ":99999"), "HOST:PORT, such as :10925"),
        (("--web.telemetry-path", "metrics"), "a path of its own, such as /metrics"),
        (("--web.telemetry-path", "/-/ready"), "a path of its own"),
        (("--log.level", "loud"), "invalid choice"),
        (("--web.telemetry-path", "/-/reload"), "a path of its own"),
        (("check",), "unrecognized arguments"),
        (("simulate", "--fault", "503"), "KIND:SHARE"),
        (("simulate", "--rate", "-1"), "rate"),
        (("simulate", "--retention", "0"), "retention"),
        (("simulate", "--retention", "abc"), "a number of days, such as 7"),
        (("simulate", "--speed", "nan"), "speed must be above 0"),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == 2
    assert words in capsys.readouterr().err


def test_a_ledger_that_is_none_ends_the_start_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROWSERBASE_API_KEY", "key")
    file = tmp_path / "ledger.db"
    file.write_bytes(b"a diary, not a ledger" * 100)
    assert exit_code("--ledger.url", f"sqlite:///{file}") == 1
    assert str(file) in capsys.readouterr().err
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
    assert [line.split(": ")[:2] for line in lines] == [
        [str(file), "basic_auth_users.me"],
        [str(file), "tls"],
    ]
    assert "secret-password" not in "".join(lines)
    assert not ledger.exists()
