"""The layout that CONTRIBUTING.md shows is the layout on disk."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "headstart"
TREE = re.compile(r"^## The layout\s+```\nsrc/headstart/\n(?P<lines>.*?)^```", re.MULTILINE | re.DOTALL)
SCREEN = 55  # lines


def listed(text: str) -> list[str]:
    """Return the paths of an indented tree, one `name  description` a line, folders with a slash at their end."""
    found: list[str] = []
    above: list[str] = []
    for line in text.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        above[depth:] = [name]
        found.append("".join(above))
    return found


def on_disk() -> set[str]:
    """Return every package, and every module at the top; `__init__.py` and `__main__.py` need no explanation."""
    packages = {f"{path.parent.relative_to(SOURCE).as_posix()}/" for path in SOURCE.glob("*/**/__init__.py")}
    return packages | {path.name for path in SOURCE.glob("*.py") if not path.name.startswith("__")}


def test_a_tree_is_read_by_its_indentation() -> None:
    assert listed("  a/  x\n    b/\n      c/  y\n    d/\n  e.py  z\n") == ["a/", "a/b/", "a/b/c/", "a/d/", "e.py"]


def test_the_layout_in_contributing_is_the_layout_on_disk() -> None:
    match = TREE.search((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert match is not None, "CONTRIBUTING.md has no tree under '## The layout'"
    shown = listed(match["lines"])
    assert len(shown) == len(set(shown)) <= SCREEN
    missing, gone = on_disk() - set(shown), set(shown) - on_disk()
    assert (missing, gone) == (set(), set()), "CONTRIBUTING.md, The layout: add what is missing, remove what is gone"


def test_every_file_that_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w./]+/[\w./]*\.(?:py|md|toml|yaml))`", text) if "NAME" not in name}
    assert "transfer/heads/fit.py" in named
    absent = {name for name in named if not any((place / name).is_file() for place in (ROOT, SOURCE))}
    assert absent - {"x/y.py", "tests/x/test_y.py"} == set()


def test_every_name_that_contributing_says_to_extend_is_in_its_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text[text.index("## How to add") : text.index("## Test")]
    checked = set()
    for step in re.split(r"\n\d\. ", section):
        constants = set(re.findall(r"`(_?[A-Z]{3,}(?:_[A-Z]+)*)`", step)) - {"NAME"}
        files = [file for file in re.findall(r"`([\w./]+\.py)`", step) if "NAME" not in file]
        code = "\n".join(map(_source, files))
        absent = {name for name in constants if not re.search(rf"^{name}\b.*=", code, re.MULTILINE)}
        assert absent == set(), (absent, files)
        checked |= constants
    assert {"SOLVERS", "METHODS", "EXPLAINERS", "HEADS", "BUILDERS"} <= checked


def _source(file: str) -> str:
    """Return the text of a file that CONTRIBUTING.md names, by its path or, if that is the only one, by its name."""
    named = [path for place in (ROOT, SOURCE) if (path := place / file).is_file()]
    found = named or list(SOURCE.rglob(file))
    assert len(found) == 1, file
    return found[0].read_text(encoding="utf-8")
