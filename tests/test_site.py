"""The documentation's site: every page is on it, and no link leads nowhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.site import ROOT, collect, pages, with_wide_lists


def test_every_document_is_reached_from_the_readme() -> None:
    found = {page.relative_to(ROOT).as_posix() for page in pages(ROOT / "README.md")}
    documents = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert documents | {"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"} <= found


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("[here](.)")
    with pytest.raises(ValueError, match=r"page\.md: \. is no file"):
        pages(tmp_path / "page.md", tmp_path)


def test_links_in_code_are_no_links(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("```\n[a](b.md)\n```\n\n    [c](d.md)\n\n[e](https://example.org)\n")
    assert pages(tmp_path / "page.md", tmp_path) == [tmp_path / "page.md"]


def test_what_belongs_to_an_item_of_a_list_is_indented_for_the_site() -> None:
    page = "1. first\n\n       code\n\n10. tenth\n    goes on\n\n- item\n  goes on\n\n  - in\n\nText.\n"
    wide = "1. first\n\n        code\n\n10. tenth\n    goes on\n\n- item\n    goes on\n\n    - in\n\nText.\n"
    assert with_wide_lists(page) == wide
    fenced = "```yaml\n- item\n  key: value\n```\n\n    - code\n      more\n"
    assert with_wide_lists(fenced) == fenced


@pytest.mark.slow
def test_the_site_is_built_strictly(tmp_path: Path) -> None:
    collect(tmp_path / "pages")
    config = tmp_path / "mkdocs.yml"
    text = (ROOT / "mkdocs.yml").read_text()
    config.write_text(text.replace("dist/pages", "pages").replace("dist/site", "site"))
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", config],
        env={"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin"},
        timeout=120,
        check=True,
    )
    page = (tmp_path / "site" / "docs" / "installation" / "index.html").read_text()
    (steps,) = re.findall("<ol>.*?</ol>", page, re.DOTALL)
    assert steps.count("<code>") > steps.count("<pre>") == 2, "code in a list's items"
