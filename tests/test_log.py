"""Log lines: logfmt and JSON, from the exporter and from libraries."""

import json
import logging

import pytest
import structlog

from exporter import log as logs


def test_logfmt_begins_with_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    structlog.get_logger().info("serving", port=1)
    line = capsys.readouterr().err
    assert line.startswith("ts=2")
    assert line.endswith("Z level=info msg=serving port=1\n")


def test_json_has_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger().warning("account failed", reason="auth")
    line = json.loads(capsys.readouterr().err)
    assert {"level": "warning", "msg": "account failed", "reason": "auth"}.items() <= line.items()


def test_less_than_the_level_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("error", "logfmt")
    structlog.get_logger().warning("quiet")
    logging.getLogger("some.library").warning("quiet")
    assert capsys.readouterr().err == ""


def test_a_library_speaks_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "logfmt")
    logging.getLogger("some.library").warning("odd")
    for name in ("urllib3", "aiohttp.server", "aiohttp.access"):
        logging.getLogger(name).error("it may quote a key or a password")
    assert capsys.readouterr().err.endswith(" level=warning msg=odd\n")


def test_a_traceback_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    try:
        int("x")
    except ValueError:
        structlog.get_logger().exception("account failed")
    line = capsys.readouterr().err
    assert "ValueError" in line
    assert line.count("\n") == 1
