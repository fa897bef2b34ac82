"""Collects the pages of the documentation's site: the README, and every file that links lead to from it.

    python -m devtools.site FOLDER

The files keep their places, so that links between them work in the repository and on the site. A link to a
folder leads nowhere on a site, and is refused.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
MARKER = re.compile(r"[-*] |\d+\. ")  # of a list's item
CODE = re.compile(r"^```.*?^```$|^    .*?$", re.MULTILINE | re.DOTALL)


def pages(start: Path, root: Path = ROOT) -> list[Path]:
    """Returns a page and all files below a root that it leads to, by links from page to page.

    Raises:
        ValueError: naming the page and a link that leads to no such file.
    """
    found = {start: None}
    waiting = [start]
    while waiting:
        for linked in links(waiting.pop(), root):
            if linked not in found:
                found[linked] = None
                if linked.suffix == ".md":
                    waiting.append(linked)
    return list(found)


def links(page: Path, root: Path) -> Iterator[Path]:
    """Yields the files that a page's relative links lead to. Raises ValueError."""
    for target in LINK.findall(CODE.sub("", page.read_text())):
        if "://" not in target:
            linked = (page.parent / target).resolve()
            if not linked.is_file() or not linked.is_relative_to(root):
                raise ValueError(f"{page.relative_to(root)}: {target} is no file of the repository")
            yield linked


def with_wide_lists(text: str) -> str:
    """Returns a page for Python-Markdown, which wants what belongs to a list's item indented by four spaces.

    GitHub wants it below the item's text: two spaces for `- `, three for `1. `.
    """
    lines, fenced, width = [], False, 0
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        marker = None if fenced else MARKER.match(line)
        if marker:
            width = len(marker[0])
        elif line and not line.startswith(" " * width):
            width = 0
        lines.append(" " * (4 - width) + line if width and line and not marker else line)
    return "\n".join(lines) + "\n"


def collect(folder: Path) -> None:
    """Copies the pages into a folder, in place of what it holds."""
    shutil.rmtree(folder, ignore_errors=True)
    for page in pages(ROOT / "README.md"):
        copy = folder / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".md":
            copy.write_text(with_wide_lists(page.read_text()))
        else:
            shutil.copyfile(page, copy)


if __name__ == "__main__":
    collect(Path(sys.argv[1]))
