"""What is public is used by a test: names, attributes that the docs name, verbs and their options."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import parsed
import pytest
import typer.main
from sybil import Document

import headstart
from headstart.cli.main import app
from tests.docs.blocks import Block, blocks_of

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "headstart"
PAGES = [TESTS.parent / "README.md", *sorted((TESTS.parent / "docs").glob("*.md"))]
OF_NO_CONCERN = {"--help", "--install-completion", "--show-completion"}


@cache
def trees() -> list[ast.Module]:
    """Return every test, parsed, but for this one."""
    return [parsed.tree(file) for file in sorted(TESTS.rglob("*.py")) if file != Path(__file__)]


@cache
def blocks(page: Path) -> list[Block]:
    document = Document.parse(str(page), lambda found: blocks_of(found))
    return [example.parsed for example in document.examples()]


@cache
def words_in_tests() -> frozenset[str]:
    """Return every name, attribute, keyword and whole text that stands in a test."""
    found: set[str] = set()
    for node in (node for tree in trees() for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return frozenset(found)


@cache
def commands() -> list[tuple[str, ...]]:
    """Return the texts in every function of a test, and the words of every command on a page."""
    found = []
    for node in (node for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        inside = ast.walk(node)
        found.append(tuple(n.value for n in inside if isinstance(n, ast.Constant) and isinstance(n.value, str)))
    for page in PAGES:
        for block in blocks(page) if is_fenced(page) else ():
            if block.language == "bash" and "parse only" not in block.options:
                lines = block.body.replace("\\\n", " ").splitlines()
                found += [tuple(shlex.split(line, comments=True)) for line in lines]
    return found


def is_fenced(page: Path) -> bool:
    """Say whether the page can be taken apart; one that cannot fails in tests/docs."""
    try:
        blocks(page)
    except Exception:
        return False
    return True


def public_names() -> Iterator[tuple[str, str]]:
    """Yield module and name of everything in an `__all__`."""
    for file in sorted(SOURCE.rglob("*.py")):
        if "__all__" in file.read_text(encoding="utf-8"):
            parts = file.relative_to(SOURCE.parent).with_suffix("").parts
            module = ".".join(part for part in parts if part != "__init__")
            yield from ((module, name) for name in importlib.import_module(module).__all__)


def options() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield verb and spellings of every option of the command line; ("", …) are those before the verb."""
    root = typer.main.get_command(app)
    verbs = {"": root, **root.commands}  # type: ignore[attr-defined]
    for verb, command in verbs.items():
        for parameter in command.params:
            spelled = (*parameter.opts, *parameter.secondary_opts)
            if parameter.param_type_name == "option" and not OF_NO_CONCERN.intersection(spelled):
                yield verb, spelled


def test_every_public_name_is_there_and_used_by_a_test() -> None:
    missing = [f"{module}.{name}" for module, name in public_names() if name not in words_in_tests()]
    assert missing == []
    for name in headstart.__all__:
        assert getattr(headstart, name).__doc__, name


def test_every_attribute_that_the_page_on_python_names_is_used_by_a_test() -> None:
    page = TESTS.parent / "docs" / "python.md"
    code = "\n".join(block.body for block in blocks(page) if block.language == "python")
    named = {node.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    named |= {found[1] for found in re.finditer(r"`([a-z_]+_|[a-z_]+(?=\(\)))(?:\(\))?`", text)}
    named |= {found[1] for row in text.splitlines() if row.startswith("| `") for found in re.finditer(r"`(\w+)`", row)}
    assert sorted(named - words_in_tests()) == []


def test_every_verb_is_used_by_a_test() -> None:
    used = {word for command in commands() for word in command}
    assert sorted({verb for verb, _ in options()} - used - {""}) == []


def test_every_option_of_every_verb_is_used_by_a_test() -> None:
    missing = []
    for verb, spelled in options():
        if not any((not verb or verb in command) and set(spelled) & set(command) for command in commands()):
            missing.append(f"{verb} {spelled[0]}".strip())
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_a_page_names_is_one(page: Path) -> None:
    known = {word for _, spelled in options() for word in spelled}
    for script in (TESTS.parent / "benchmarks").glob("*.py"):  # scripts have options of their own
        known |= set(re.findall(r"--[a-z][a-z0-9-]+", script.read_text(encoding="utf-8")))
    text = re.sub(r"`(?:pip|python|pytest|git|ray)[^`]*`", "", page.read_text(encoding="utf-8"))
    named = {found[1] for found in re.finditer(r"(?:`|headstart[^`\n]*\s)(--[a-z][a-z0-9-]+)", text)}
    assert sorted(named - known) == []
