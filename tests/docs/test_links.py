"""Links in the documentation lead somewhere, and those in README also from a package index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOME = "https://github.com/headstart-ml/headstart"
RAW = "https://raw.githubusercontent.com/headstart-ml/headstart/main/"
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for place in ("docs", "benchmarks", "studies") for page in (ROOT / place).rglob("*.md")),
    ]
)


def links(page: Path) -> list[str]:
    return LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(page: Path, link: str) -> bool:
    """Say whether a link to a file of this project leads nowhere; links elsewhere are not looked at."""
    for prefix in (f"{HOME}/blob/main/", f"{HOME}/tree/main/", RAW):
        if link.startswith(prefix):
            page, link = ROOT / "README.md", link.removeprefix(prefix)
    if re.match(r"[a-z]+:", link):
        return False
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors(target)


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A first study: is it `x.py`?\n```\n# no heading\n```\n## Again\n[a](#again) [b](#nowhere) [c](gone.md)\n"
    )
    assert anchors(page) == {"a-first-study-is-it-xpy", "again"}
    assert [link for link in links(page) if broken(page, link)] == ["#nowhere", "gone.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_or_a_heading_leads_there(page: Path) -> None:
    assert [link for link in links(page) if broken(page, link)] == []


def test_links_in_readme_work_on_a_package_index() -> None:
    assert links(ROOT / "README.md")
    assert [link for link in links(ROOT / "README.md") if not link.startswith("https://")] == []
