"""What SECURITY.md says, held against the code."""

import re
from pathlib import Path

from exporter import api, browser_use_rows, config, document, passwords, words
from exporter.exchange import Limits

TEXT = (Path(__file__).parent.parent / "SECURITY.md").read_text()


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
        browser_use_rows.MOST_PAGE_BYTES,
        words.VALUES_PER_LABEL,
        words.PROJECTS,
        len(words.word("x" * 1000)),
        len(words.line("x" * 1000)),
    ]
    assert f"at most {api.CONNECTIONS} requests" in " ".join(TEXT.split())
    assert f"quotes {len(document.shown('x' * 20)) - 2} characters at most" in " ".join(TEXT.split())
    assert "x" not in document.shown("x" * 21)
