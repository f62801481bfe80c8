from __future__ import annotations

import sys
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from headstart import notebook
from headstart.notebook import Output, Shown, import_bars_quietly, in_notebook, show_with


@pytest.fixture
def renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the function that draws when the test is done."""
    monkeypatch.setattr(notebook, "_renderer", None)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Stand in for a notebook's kernel, and collect the states of its only output."""
    states: list[dict[str, str]] = []

    def display(content: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw and display_id and not states
        states.append(content)
        return SimpleNamespace(update=lambda content, raw: states.append(content))

    shell = ModuleType("IPython")
    shell.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    shown = ModuleType("IPython.display")
    shown.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return states


@pytest.mark.usefixtures("renderer")
def test_an_object_is_drawn_by_the_function_that_is_given() -> None:
    class Thing(Shown, dict[str, int]):
        pass

    thing = Thing(a=1)
    assert thing._repr_html_() is None and thing == {"a": 1}
    show_with(lambda value: f"<i>{value['a']}</i>")
    assert thing._repr_html_() == "<i>1</i>"


def test_only_a_kernel_makes_a_notebook(kernel: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace())  # its terminal
    assert not in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)  # imported by a script
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_only_in_a_kernel_bars_are_imported_and_they_do_not_warn(
    kernel: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    imported: list[str] = []

    def warns(name: str) -> ModuleType:
        imported.append(name)
        warnings.warn("IProgress not found", UserWarning, stacklevel=1)
        raise ImportError(name)

    monkeypatch.setattr(notebook, "import_module", warns)
    import_bars_quietly()
    assert imported == ["tqdm.auto"]
    monkeypatch.delitem(sys.modules, "IPython")
    import_bars_quietly()
    assert len(imported) == 1


def test_an_output_is_drawn_in_its_place_and_leaves_nothing(kernel: list[dict[str, str]]) -> None:
    output = Output()
    output.clear()
    assert kernel == []
    output.draw("1 of 2", "<b>1</b>")
    output.draw("2 of 2", "<b>2</b>")
    output.clear()
    assert [state["text/plain"] for state in kernel] == ["1 of 2", "2 of 2", ""]
    assert [state["text/html"] for state in kernel] == ["<b>1</b>", "<b>2</b>", ""]
