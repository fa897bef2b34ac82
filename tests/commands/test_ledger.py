"""`ledger show` and `ledger copy`, in this process."""

import json
import re
import signal
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from exporter.cli import main
from exporter.commands.ledger import COLUMNS
from exporter.ledger.postgres import CREATE_LOCK
from exporter.ledger.store import Ledger
from exporter.model import SECOND, Usage
from tests.support.listings import MINUTE, T0, listing, session
from tests.support.postgres import Cluster
from tests.support.processes import COMMAND, Process, run, wait_until
from tests.support.recording import record

PASSWORD, CORE = "Pl4nted%2FPa55", "Pl4nted"


def fill(url: str) -> None:
    done = session(
        id="done", status="stopped", ending="stopped", ended=T0 + 90 * SECOND,
        usage=Usage(90 * SECOND, 1000, 250_000_000, 750_000_000),
    )  # fmt: skip
    with closing(Ledger(url)) as ledger:
        record(ledger, listing(done, session(usage=Usage(30 * SECOND, 500)), time=T0 + 2 * MINUTE))


def configured(folder: Path, url: str) -> str:
    path = folder / "exporter.yml"
    path.write_text(
        "accounts: [{name: a, provider: browserbase, api_key_env: NOT_SET}]\n" + f"ledger: {{url: '{url}'}}\n"
    )
    return str(path)


def test_show_prints_a_line_for_each_account(ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(ledger_url)
    assert main(["ledger", "show", "--ledger.url", ledger_url]) == 0
    said = capsys.readouterr()
    title, header, row = said.out.splitlines()
    assert title.endswith(": 1 accounts")
    assert re.split(r"\s{2,}", header.strip()) == [*COLUMNS]
    figures = ["2", "1", "120", "1500", "1.0000", "2"]
    assert row.split() == ["browserbase", "production", "complete", *figures, "1970-01-01", "00:00:01"]
    assert said.err == ""


def test_show_prints_json_in_base_units(ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(ledger_url)
    assert main(["ledger", "show", "--json", "--ledger.url", ledger_url]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["accounts"] == [
        {
            "provider": "browserbase",
            "account": "production",
            "history_complete": True,
            "last_success": 1.5,
            "sessions_held": 2,
            "rejected_sessions_held": 0,
            "totals": {
                "sessions_started": 2,
                "sessions_ended": {"stopped": 1},
                "session_seconds": 120.0,
                "proxy_bytes": 1500,
                "cost_usd": {"browser": 0.25, "proxy": 0.75},
                "downward_revisions": 0,
            },
        }
    ]


def test_copy_prints_what_it_compared(
    ledger_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(ledger_url)
    target = f"sqlite:///{tmp_path}/copy.db"
    assert main(["ledger", "copy", "--from", ledger_url, "--to", target]) == 0
    first, header, *rows, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"copied .* to .*/copy\.db, and compared:", first)
    assert header.split() == ["provider", "account", "total", "source", "target"]
    assert ["browserbase", "production", "proxy_bytes", "1500", "1500"] in [row.split() for row in rows]
    assert ["browserbase", "production", "ended", "stopped", "1", "1"] in [row.split() for row in rows]
    assert last.startswith("all equal; rows in each: 1 accounts, ")
    assert main(["ledger", "copy", "--from", ledger_url, "--to", target]) == 1
    assert "holds a ledger of 1 accounts; name an empty database" in capsys.readouterr().err


def test_a_configuration_file_names_the_ledger_that_no_flag_names(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = f"sqlite:///{tmp_path}/ledger.db", cluster.empty()
    fill(source)
    config = configured(tmp_path, target)
    assert main(["ledger", "copy", "--from", source, "--config.file", config]) == 0
    capsys.readouterr()
    assert main(["ledger", "show", "--config.file", config]) == 0
    of_file = capsys.readouterr().out
    assert main(["ledger", "show", "--config.file", config, "--ledger.url", target]) == 0
    assert capsys.readouterr().out == of_file
    back = f"sqlite:///{tmp_path}/back.db"
    assert main(["ledger", "copy", "--config.file", config, "--to", back]) == 0


def test_no_password_is_shown(cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.set_password("Pl4nted/Pa55")
    url = cluster.empty().replace("postgres@", f"secret:{PASSWORD}@")
    fill(url)
    for word, code in (("Pa55", 0), ("wrong", 1)):
        config = configured(tmp_path, url.replace("Pa55", word))
        assert main(["ledger", "show", "--log.level", "debug", "--config.file", config]) == code
        assert main(["ledger", "show", "--json", "--config.file", config]) == code
        to = f"sqlite:///{tmp_path}/{word}.db"
        assert main(["ledger", "copy", "--config.file", config, "--to", to]) == code
    assert main(["ledger", "show", "--ledger.url", url]) == 2
    assert main(["ledger", "copy", "--from", url, "--to", url]) == 2
    said = capsys.readouterr()
    assert CORE not in said.out + said.err
    assert "postgresql://secret@/postgres: " in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "--ledger.url", "sqlite:///nowhere.db"], 1, "nowhere.db: there is no ledger"),
        (
            ["show", "--ledger.url", "nowhere.db"],
            2,
            "--ledger.url: a text of 10 characters is not a file of SQLite; allowed:",
        ),
        (
            ["copy", "--from", "sqlite:///nowhere.db"],
            2,
            "--from, --to: needs two ledgers; allowed: both flags",
        ),
        (["copy"], 2, "--from, --to: needs two ledgers; allowed: both flags"),
        (
            ["copy", "--from", "x", "--to", "y"],
            2,
            "--from: a text of 1 character is not a file of SQLite; allowed:",
        ),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", *arguments]) == code
    said = capsys.readouterr()
    assert (words in said.err, said.out) == (True, "")


def test_without_the_driver_it_is_said_how_to_install_it() -> None:
    """As after an installation without the extra `postgres`."""
    without = "import sys; sys.modules['psycopg'] = None; "
    without += "from exporter.cli import main; sys.exit(main(sys.argv[1:]))"
    for command in (["ledger", "show"], ["serve"]):
        flags = ["--ledger.url", "postgresql://u@h/d"]
        code, _, errors = run(sys.executable, "-c", without, *command, *flags)
        assert code == 1
        assert errors.splitlines()[-1] == (
            "cloud-browser-exporter: PostgreSQL needs psycopg 3, which is not installed: "
            "pip install 'cloud-browser-exporter[postgres]'"
        )


@pytest.mark.slow
def test_ctrl_c_ends_a_copy_and_leaves_the_target_as_it_was(cluster: Cluster, tmp_path: Path) -> None:
    source, target = f"sqlite:///{tmp_path}/ledger.db", cluster.empty()
    fill(source)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"
    with closing(psycopg.connect(target)) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [CREATE_LOCK])
        with Process(COMMAND, "ledger", "copy", "--from", source, "--to", target) as copying:
            wait_until(lambda: cluster.execute(waiting), "the copy to begin")
            copying.signal(signal.SIGINT)
            assert copying.wait() == 130
            assert copying.log == ""
    assert main(["ledger", "copy", "--from", source, "--to", target]) == 0
