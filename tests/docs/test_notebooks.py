"""The notebooks are sound, linked from the site, and run from the first cell to the last on a few images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from tests.docs.running import REPOSITORY
from tests.docs.test_links import HOME

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
COLAB = "https://colab.research.google.com/github/headstart-ml/headstart/blob/main/notebooks/"
PATH = re.compile(r"(?:/home/|/Users/|/work/|/root/|/tmp/|[A-Z]:\\)")

# For each notebook: its parameters in this test, what stands in for the internet, and what must hold at its end.
SMALL: dict[str, tuple[dict[str, int], str, str]] = {
    "01-my-own-folder": (
        {"PER_CLASS": 6, "SEEDS": 1},
        "",
        "assert len(data) == 36 and classifier.classes == tuple(wanted) and best['mean'] > 0.6, best",
    ),
    "02-pretrained-or-not": (
        {"PER_CLASS": 8, "EPOCHS": 2, "SEEDS": 1},
        "",
        "assert not results.failed() and len(results.ranking()) == 5\n"
        "assert results.ranking()[0]['run'] == 'pretrained' and len(history) == EPOCHS",
    ),
    "03-five-pictures-a-class": (
        {"CLASSES": 5, "PER_CLASS": 16, "EPISODES": 100},
        "",
        "assert len(scores.rows) == 12 and score > 0.6, score\n"
        "assert all(a < b for a, b in zip(*[[row.accuracy for row in scores.rows if row.shots == k] for k in (1, 5)]))",
    ),
    "04-look-before-you-train": (
        {"PER_CLASS": 9},
        "",
        "leaked = audit['leaks']['test']\nassert leaked['exact'] == 1 and leaked['near'] >= 2, leaked\n"
        "assert any(skip['name'].endswith('broken.jpg') for skip in audit['skipped'] + audit['unreadable'])\n"
        "assert any(row['name'].endswith('wrong.jpg') for row in audit['label_errors']), audit['label_errors']",
    ),
    "05-why-did-it-say-that": (
        {"PER_CLASS": 12},
        "smaller_pictures(_Patch(), 224)  # as they are: the label is small",
        "assert plain.count('south') <= 3 and labelled.count('south') >= 6, (plain, labelled)",
    ),
    "06-from-model-to-web-page": (
        {"PER_CLASS": 8},
        "from headstart.deploy.export import page as page_export\n"
        "from tests.docs.readers_files import check_here, export_once\n"
        "export_once(_Patch())  # both formats are of one model\n"
        "check_here(_Patch())\n"
        "from headstart.deploy.export.page_runtime import Runtime\n"
        "page_export.runtime_of = lambda given: Runtime(b'export const env = 1;', b'\\0asm')",
        "assert (onnx.folder / 'model.onnx').is_file() and any(page.folder.glob('*.html'))",
    ),
    "07-a-study-from-python": (
        {"CLASSES": 3, "PER_CLASS": 20, "SEEDS": 1},
        "",
        "assert {shots: len(rows) for shots, rows in curve.items()} == {'ridge': 4, 'prototypes': 4}, curve",
    ),
    "08-beside-scikit-learn": (
        {"DIGITS": 80, "PER_CLASS": 6},
        "",
        "assert sorted(classifier.classes) == sorted(set(kinds)) and search.best_score_ > 0.7, search.best_score_",
    ),
    "09-beside-a-pytorch-loop": (
        {"PER_CLASS": 10, "EPOCHS": 2},
        "",
        "assert mine > theirs - 0.15 and theirs > 0.6 and len(activations) == 60, (mine, theirs)",
    ),
}

QUICK = f"""
import sys
from pytest import MonkeyPatch as _Patch
if {str(REPOSITORY)!r} not in sys.path:
    sys.path.insert(0, {str(REPOSITORY)!r})
from headstart.study import comparison
from headstart.study.planning import microbenchmarks
from tests.docs.readers_files import smaller_pictures

smaller_pictures(_Patch())
comparison.FOLDS, microbenchmarks._PATIENCE = 3, 0.01
"""  # the size of the pictures, the folds of cross-validation, the accuracy of a plan's figures


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call,no-any-return]


def test_every_notebook_is_run_here() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(SMALL)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_without_outputs_and_linked(path: Path) -> None:
    book, text = read(path), path.read_text(encoding="utf-8")
    nbformat.validate(book)  # type: ignore[no-untyped-call]
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert PATH.search(text) is None and path.stat().st_size < 30_000
    assert f"]({COLAB}{path.name})" in book.cells[0].source and book.cells[0].source.startswith("# ")
    assert code[0].source.startswith("import importlib.util") and "%pip install" in code[0].source
    assert [cell.metadata.get("tags") for cell in code].count(["parameters"]) == 1
    page = (REPOSITORY / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert f"{HOME}/blob/main/notebooks/{path.name}" in page and f"{COLAB}{path.name}" in page
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", "".join(c.source for c in book.cells if c.cell_type == "markdown"))
    assert [link for link in linked if not (path.parent / link).is_file()] == []


def small(path: Path, folder: Path) -> list[NotebookNode]:
    """Return a notebook's cells with its parameters made small, in a folder of its own and without earlier names."""
    parameters, before, after = SMALL[path.stem]
    new = "import gc\ngc.freeze()  # the reset looks through all objects\n%reset -f\nimport os"
    start = f"{new}\nos.makedirs({str(folder)!r})\nos.chdir({str(folder)!r})\n{QUICK}\n{before}"
    cells = [_cell(start, path)]
    for cell in read(path).cells:
        cells.append(cell)
        cell.metadata["from"] = path.stem
        if cell.metadata.get("tags") == ["parameters"]:
            assert all(re.search(rf"^{name} = ", cell.source, re.MULTILINE) for name in parameters)
            cells.append(_cell("\n".join(f"{name} = {value}" for name, value in parameters.items()), path))
    return [*cells, _cell(after, path)]


def _cell(source: str, path: Path) -> NotebookNode:
    return new_code_cell(source, metadata={"from": path.stem})  # type: ignore[no-untyped-call,no-any-return]


@pytest.mark.docs
def test_all_notebooks_run_and_show_what_they_say(tmp_path: Path) -> None:
    """One kernel runs them all, one after the other: starting nine would take longer than what they do."""
    cells = [cell for path in NOTEBOOKS for cell in small(path, tmp_path / path.stem)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # once in the whole
    whole = new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    NotebookClient(whole, timeout=300, allow_errors=True, kernel_name="python3").execute()
    failed = [
        f"{cell.metadata['from']}: {cell.source[:200]!r}: {output.ename}: {output.evalue}"
        for cell in whole.cells
        for output in cell.get("outputs", ())
        if output.output_type == "error"
    ]
    assert failed == []
    shown = {path.stem: "".join(_html(whole, path.stem)) for path in NOTEBOOKS}
    assert [name for name, html in shown.items() if 'class="hs"' not in html] == []
    assert "Anjou" in shown["01-my-own-folder"] and "data:image/jpeg" in shown["05-why-did-it-say-that"]


def _html(whole: NotebookNode, name: str) -> list[str]:
    outputs: list[Any] = [
        output for cell in whole.cells if cell.metadata["from"] == name for output in cell.get("outputs", ())
    ]
    return [output.data["text/html"] for output in outputs if "data" in output and "text/html" in output.data]
