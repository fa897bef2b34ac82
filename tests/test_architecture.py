"""Imports go one way: from the command line down to the domain model."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "exporter"

# What each package, or module at the top, may import of the others.
MAY_IMPORT = {
    "__main__": {"cli"},
    "cli": {"app", "commands", "config", "demo", "ledger", "log", "providers"},
    "commands": {"accounts", "client", "clocks", "config", "history", "ledger", "log", "metrics", "model"}
    | {"providers", "scrape", "threads"},
    "history": {"client", "clocks", "labels", "ledger", "metrics", "model", "providers", "scrape"},
    "demo": {"app", "config", "providers", "simulator"},
    "app": {"accounts", "config", "ledger", "log", "metrics", "providers", "reload", "scrape", "web"},
    "accounts": {"client", "config", "ledger", "metrics", "model", "providers", "scrape"},
    "reload": {"config", "scrape", "threads"},
    "web": {"config", "metrics", "model", "scrape", "threads"},
    "scrape": {"client", "clocks", "labels", "ledger", "metrics", "model", "providers", "threads"},
    "providers": {"client", "config", "labels", "model", "threads"},
    "client": {"clocks", "model"},
    "ledger": {"labels", "metrics", "model"},
    "metrics": {"model"},
    "labels": {"model"},
}


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "exporter":
            yield from (alias.name for alias in node.names if not alias.name.startswith("__"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("exporter."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("exporter.")
            )


@pytest.mark.parametrize(
    "module", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_go_one_way(module: Path) -> None:
    package = module.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert set(imported(module)) <= MAY_IMPORT.get(package, set()) | {package}
