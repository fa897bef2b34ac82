"""The dashboards' files."""

from collections.abc import Iterator
from pathlib import Path

from grafana import errors, exporter, overview, spend
from grafana.board import build, encode

FOLDER = Path(__file__).parent / "dashboards"
BOARDS = (overview.BOARD, spend.BOARD, errors.BOARD, exporter.BOARD)


def files() -> Iterator[tuple[Path, str]]:
    """Each dashboard's path and what is to stand there."""
    for board in BOARDS:
        yield FOLDER / f"{board.uid}.json", encode(build(board))


def write() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in files():
        path.write_text(text)
