"""What SECURITY.md says, held against the code."""

import re
from pathlib import Path

from exporter import labels as words
from exporter.client import api
from exporter.config import loader as document
from exporter.config import settings as config
from exporter.providers.browser_use import wire as browser_use_rows
from exporter.web import passwords
from exporter.web.connection import Limits

TEXT = (Path(__file__).parents[2] / "SECURITY.md").read_text()


def test_the_limits_are_those_of_the_code() -> None:
    limits = Limits()
    assert limits.handshake == limits.head
    assert [int(limit) for limit in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)] == [
        limits.connections,
        limits.head_bytes,
        limits.head,
        limits.answer,
        passwords.WAITING,
        config.Scrape().max_response_bytes,
        browser_use_rows.MAX_PAGE_BYTES,
        words.VALUES_PER_LABEL,
        words.PROJECTS,
        len(words.sanitize_label("x" * 1000)),
        len(words.sanitize_project_id("x" * 1000)),
    ]
    assert f"at most {api.CONNECTIONS} requests" in " ".join(TEXT.split())
    assert f"quotes {len(document.quote('z' * 20)) - 2} characters at most" in " ".join(TEXT.split())
    assert "z" not in document.quote("z" * 21)
