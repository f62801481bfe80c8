"""timm and torchvision imported without PyTorch's compiler, which both load and headstart does not use.

Each has a module that takes one function of the compiler when it is imported. Loading the compiler for it takes two to
three seconds, which every command that needs a network would wait for.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType, SimpleNamespace
from typing import Any


def import_quickly() -> None:
    """Let timm and torchvision, when this process imports them, leave the compiler to whoever calls it.

    For processes that are headstart's own: it changes how modules are found.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _is_compile_supported(device: str) -> Any:
    return importlib.import_module("torch._dynamo.utils").is_compile_supported(device)


def _disable_compiler(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function; the first call has PyTorch mark it as one that is not to be compiled."""

    @functools.cache
    def marked() -> Callable[..., Any]:
        found: Callable[..., Any] = importlib.import_module("torch.compiler").disable(function)
        return found

    @functools.wraps(function)
    def call(*given: Any, **options: Any) -> Any:
        return marked()(*given, **options)

    return call


# module: what it imports from, and the functions that it gets instead
_INSTEAD: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "torchvision.ops.roi_align": ("torch._dynamo.utils", {"is_compile_supported": _is_compile_supported}),
    "timm.models.naflexvit": ("timm.layers", {"disable_compiler": _disable_compiler}),
}


class _Finder:
    """Finds the modules in `_INSTEAD`, unless the compiler is loaded."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _INSTEAD or "torch._dynamo" in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Loads a module as usual, but for the functions that it gets instead of those of the compiler."""

    def exec_module(self, module: ModuleType) -> None:
        importing = functools.partial(_import, *_INSTEAD[self.name])
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": importing}  # where `import` looks
        super().exec_module(module)


def _import(
    source: str,
    instead: Mapping[str, Callable[..., Any]],
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    """Do what an import statement asks for; names in `instead` do not come from `source`."""
    others = [each for each in fromlist or () if each not in instead]
    if name != source or level or len(others) == len(fromlist or ()):
        return builtins.__import__(name, globals, locals, fromlist, level)
    found = builtins.__import__(name, globals, locals, others) if others else None
    return SimpleNamespace(**instead, **{each: getattr(found, each) for each in others})
