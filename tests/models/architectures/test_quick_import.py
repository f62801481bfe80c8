"""timm and torchvision imported without PyTorch's compiler."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.models.architectures import quick_import
from headstart.models.architectures.quick_import import import_quickly

LIBRARIES = """
import sys
from headstart.models.architectures.quick_import import import_quickly

import_quickly()
import timm, torch, torchvision

assert "torch._dynamo" not in sys.modules, "the compiler was imported"
boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
print(torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), boxes, 1).item())
marked = timm.models.naflexvit.NaFlexEmbeds._apply_learned_naflex_pos_embed
assert marked.__module__ == "timm.models.naflexvit" and marked.__wrapped__ is not marked
"""


@pytest.fixture
def finders(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    found = [each for each in sys.meta_path if type(each).__module__ != quick_import.__name__]
    monkeypatch.setattr(sys, "meta_path", found)
    return found


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that takes `dear` from one that cannot be imported, and a cheap name."""
    (tmp_path / "library_of_the_test.py").write_text(
        "from absent_compiler import dear\nfrom math import floor, sqrt as root\nimport math\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    monkeypatch.delitem(sys.modules, "library_of_the_test", raising=False)
    return "library_of_the_test"


def test_a_module_gets_the_functions_named_instead(
    module: str, finders: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(quick_import._INSTEAD, module, ("absent_compiler", {"dear": abs}))
    import_quickly()
    found = importlib.import_module(module)
    assert found.dear(-3) == 3 and found.floor(2.5) == 2 and found.root(9) == 3 and found.math.pi > 3


def test_other_names_of_the_same_import_are_the_real_ones(
    module: str, finders: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(quick_import._INSTEAD, module, ("math", {"floor": abs}))
    monkeypatch.setitem(sys.modules, "absent_compiler", type(sys)("absent_compiler"))
    monkeypatch.setattr(sys.modules["absent_compiler"], "dear", max, raising=False)
    import_quickly()
    found = importlib.import_module(module)
    assert found.floor is abs and found.root(9) == 3 and found.dear is max


def test_a_module_is_left_as_it_is_where_the_compiler_is_loaded(
    module: str, finders: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(quick_import._INSTEAD, module, ("absent_compiler", {"dear": abs}))
    monkeypatch.setitem(sys.modules, "torch._dynamo", type(sys)("torch._dynamo"))
    import_quickly()
    with pytest.raises(ModuleNotFoundError, match="absent_compiler"):
        importlib.import_module(module)


def test_the_compiler_is_asked_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler, utils, asked = type(sys)("torch.compiler"), type(sys)("torch._dynamo.utils"), list[object]()
    monkeypatch.setitem(sys.modules, "torch.compiler", compiler)
    monkeypatch.setitem(sys.modules, "torch._dynamo.utils", utils)
    monkeypatch.setattr(compiler, "disable", lambda f: asked.append(f) or (lambda *a: -f(*a)), raising=False)
    monkeypatch.setattr(utils, "is_compile_supported", "cuda".__eq__, raising=False)
    larger = quick_import._disable_compiler(max)
    assert asked == []
    assert (larger(2, 3), larger(4, 1), asked) == (-3, -4, [max])
    assert quick_import._is_compile_supported("cuda") and not quick_import._is_compile_supported("cpu")


def test_modules_are_found_in_another_way_once(finders: list[object]) -> None:
    before = len(finders)
    import_quickly()
    import_quickly()
    assert len(finders) == before + 1


@pytest.mark.long
def test_both_libraries_do_without_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", LIBRARIES], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1.0\n"
