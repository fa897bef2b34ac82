"""The programs that `make tools` builds with Go."""

import pytest

from tests.support.rules import ROOT

TOOLS = ROOT / ".tools"


def tool(name: str) -> str:
    """Returns the path of a program that `make tools` builds; without it the test is skipped."""
    path = TOOLS / name
    if not path.is_file():
        pytest.skip(f"{path} is missing; `make tools` builds it, with Go")
    return str(path)
