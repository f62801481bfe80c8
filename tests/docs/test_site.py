"""The site has every page, the API page every public name, and the page of messages no message that is gone."""

from __future__ import annotations

import ast
import importlib.util
import re

import headstart
from tests.docs.running import REPOSITORY

DOCS = REPOSITORY / "docs"


def test_the_navigation_has_every_page_once() -> None:
    settings = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"([\w-]+\.md)$", settings.partition("\nnav:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))


def test_the_api_page_has_every_public_name() -> None:
    named = re.findall(r"^::: headstart\.(\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == headstart.__all__


def test_every_message_that_is_explained_is_one_of_the_program() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(shown) > 10
    texts = "\n".join(_texts())
    pieces = [piece.strip("() ") for message in shown for piece in message.split("…")]
    assert [piece for piece in pieces if piece not in texts] == []


def test_pages_do_not_ask_for_the_stars_of_the_repository() -> None:
    found = importlib.util.spec_from_file_location("site_hooks", REPOSITORY / ".ci" / "site.py")
    assert found is not None and found.loader is not None
    hooks = importlib.util.module_from_spec(found)
    found.loader.exec_module(hooks)
    link = '<a href="https://github.com/a/b" class="md-source" data-md-component="source">'
    without = '<a href="https://github.com/a/b" class="md-source">'
    assert hooks.on_post_page(link, page=None, config=None) == without
    assert hooks.on_post_template(link, template_name="404.html", config=None) == without


def _texts() -> list[str]:
    """Return every text of the program, with … for each value that is filled in."""
    found = []
    for path in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [each.value if isinstance(each, ast.Constant) else "…" for each in node.values]
                found.append("".join(str(each) for each in parts))
    return found
