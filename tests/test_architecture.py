from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import parsed

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SOURCE = ROOT / "src" / "headstart"
WITHOUT_LOGIC = {
    "__main__.py": "calls the command line; tests/cli/test_streams.py starts it",
    "cli/options.py": "declarations of options; each verb's test uses them",
    "deploy/serve/limits.py": "default values only",
    "study/parallel/pool.py": "a protocol only",
}


def test_imports_point_downward_only_and_in_no_circle() -> None:
    """The contracts stand in pyproject.toml; imports under TYPE_CHECKING and inside functions count."""
    program = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Contracts: 3 kept, 0 broken." in found.stdout


def test_no_module_is_a_drawer_of_odds_and_ends() -> None:
    names = {path.stem for path in SOURCE.rglob("*.py")}
    assert names.isdisjoint({"utils", "util", "common", "helpers", "misc", "tools"})


def test_every_module_is_under_400_lines() -> None:
    sizes = {str(p.relative_to(SOURCE)): len(p.read_text(encoding="utf-8").splitlines()) for p in SOURCE.rglob("*.py")}
    assert {name: size for name, size in sizes.items() if size >= 400} == {}


def test_every_function_is_under_60_lines() -> None:
    long = {}
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") < 59:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size >= 60:
                    long[f"{path.relative_to(SOURCE)}:{node.name}"] = size
    assert long == {}


def test_every_module_has_a_test_file_of_its_name() -> None:
    """Modules without logic are the exception; each is named above with the reason."""
    modules = {path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.name != "__init__.py"}
    missing = {
        module.as_posix() for module in modules if not (TESTS / module.with_name(f"test_{module.name}")).is_file()
    }
    named = WITHOUT_LOGIC.keys()
    assert sorted(missing - named) == []
    assert sorted(named - missing) == []  # an exception that is none any more


def test_every_test_file_holds_tests() -> None:
    empty = []
    for path in sorted(TESTS.rglob("test_*.py")):
        names = [node.name for node in ast.walk(parsed.tree(path)) if isinstance(node, ast.FunctionDef)]
        if not any(name.startswith("test_") for name in names):
            empty.append(str(path.relative_to(TESTS)))
    assert empty == []


def test_arrow_is_called_through_the_one_module_that_asks_for_memory_first() -> None:
    """Its modules are not kept in a global variable either, or a later call would not ask."""
    importing, kept = [], []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text if "arrow" in text else "")
        for node in ast.walk(tree):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.partition(".")[0] == "pyarrow" for name in named):
                importing.append(path.relative_to(SOURCE).as_posix())
        kept += [
            f"{path.stem}: {ast.unparse(each)}"
            for each in tree.body
            if isinstance(each, ast.Assign | ast.AnnAssign) and "= arrow" in ast.unparse(each)[:200]
        ]
    assert set(importing) == {"storage/arrow.py"}
    assert kept == []


def test_no_character_was_read_in_a_wrong_encoding() -> None:
    """UTF-8 that was read as Latin-1 leaves control characters from U+0080 to U+009F, which no text holds."""
    files = [path for path in SOURCE.rglob("*") if path.suffix in {".py", ".js", ".html", ".css", ".jinja"}]
    wrong = [path.name for path in files if re.search("[\x80-\x9f]", path.read_text(encoding="utf-8"))]
    assert len(files) > 300 and wrong == []
