"""A further provider needs its own module and a line in the registry: nothing else knows any by name."""

import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from exporter.providers import PROVIDERS
from tests.support.misbehaviour import answer, replying
from tests.support.pages import Page
from tests.support.processes import LOCAL, Exporter
from tests.support.toy_provider import NOW, TOY

PACKAGE = Path(__file__).parents[2] / "exporter"
FLEET = {
    "a": ("spinning", NOW - 60, None),
    "b": ("fallen", NOW - 7200, NOW - 3600),
    "c": ("caught", NOW - 7200, NOW - 7000),
}
TOY_EXPORTER = sys.executable, "-m", "tests.support.toy_provider"


@contextmanager
def toy_exporter(folder: Path, **options: object) -> Iterator[Page]:
    """The page of an exporter that has the toy provider beside the others."""
    with replying(lambda _: answer(json.dumps(FLEET).encode())) as server:
        account = {"name": "ours", "provider": "toy", "api_key_env": "TOY_API_KEY", "base_url": server.url}
        document = {"accounts": [account | options], "ledger": {"url": f"sqlite:///{folder}/ledger.db"}}
        path = folder / "toy.yml"
        path.write_text(yaml.safe_dump(document))
        flags = f"--web.listen-address={LOCAL}:0", f"--config.file={path}"
        environ = {"TOY_API_KEY": "spin", "PYTHONPATH": str(PACKAGE.parent)}
        with Exporter(*TOY_EXPORTER, *flags, environ=environ) as process:
            process.port = int(process.wait_for_log(r"msg=serving .*\bport=([0-9]+)")[1])
            yield Page(process.get())
            process.signal(signal.SIGTERM)
            assert process.wait() == 0
        assert {re.search(rb"(?i)x-toy-key: (\w+)", head)[1] for head in server.requests} == {b"spin"}  # type: ignore[index]  # a head without it fails


def test_a_further_provider_is_served_end_to_end(tmp_path: Path) -> None:
    with toy_exporter(tmp_path, zone="south", pricing={"browser_usd_per_hour": 3600}) as page:
        assert page.sum("toy", "up") == 1
        assert page.sum("toy", "sessions", region="south", status="spinning") == 1
        assert page.sum("toy", "sessions", region="south", status="fallen") == 1
        assert page.sum("toy", "sessions_started_total") == 3
        assert page.sum("toy", "sessions_ended_total", status="caught") == 1
        assert page.sum("toy", "session_seconds_total", region="south") == 60 + 3600 + 200
        assert page.sum("toy", "exporter_api_requests_total", endpoint="/fleet", code="200") == 1
        assert page.sum("toy", "cost_usd_total", kind="browser", source="estimated") == 60 + 3600 + 200


def test_what_is_known_in_advance_of_it_stands_at_0(tmp_path: Path) -> None:
    with toy_exporter(tmp_path) as page:
        assert page.sum("toy", "sessions_ended_total", region="south", status="fallen") == 0
        assert page.sum("toy", "sessions", region="south", status="spinning") == 0
        assert not page.of("toy", "keep_alive_sessions"), "it has no such sessions"
        assert not page.of("toy", "cost_usd_total"), "there are no prices"


def test_its_key_in_the_environment_makes_an_account(tmp_path: Path) -> None:
    with replying(lambda _: answer(json.dumps(FLEET).encode())) as server:
        environ = {"TOY_API_KEY": "spin", "TOY_BASE_URL": server.url, "PYTHONPATH": str(PACKAGE.parent)}
        flags = f"--web.listen-address={LOCAL}:0", f"--ledger.url=sqlite:///{tmp_path}/ledger.db"
        with Exporter(*TOY_EXPORTER, *flags, environ=environ) as process:
            process.port = int(process.wait_for_log(r"msg=serving .*\bport=([0-9]+)")[1])
            assert Page(process.get()).sum("toy", "up", account="default") == 1


def modules() -> list[Path]:
    own = {"providers", "simulator"}
    return [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in own]


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_outside_providers_and_simulator_names_a_provider(module: Path) -> None:
    text = module.read_text()
    named = [name for name in PROVIDERS if re.search(rf"\b{name}\b", text)]
    assert not named


def test_providers_that_share_a_configuration_key_give_it_one_type() -> None:
    fields: dict[str, object] = {}
    for provider in (*PROVIDERS.values(), TOY):
        for name, kind in provider.options.__annotations__.items():
            shared, *_ = kind.__metadata__  # what follows parses a provider's own form of it
            assert fields.setdefault(name, (kind.__origin__, shared)) == (kind.__origin__, shared)
