"""Pickles read as plain data: what they name beyond tensors becomes an empty shell, so that nothing in them runs.

A file of `torch.save(network)`, a fastai export, or the arguments of a training script beside a state dict are read
without importing a class of theirs or calling a function. Only torch's own reader of tensors is at work.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# No network and no setting is of these modules: a file that names one was made to run something.
_HOSTILE = re.compile(
    r"(os|posix|nt|sys|subprocess|commands|shutil|importlib|runpy|socket|ctypes|pty|code|marshal|pickle|webbrowser)(\.|$)"
    r"|_?io\.open$|builtins\.(eval|exec|execfile|compile|open|__import__|input|breakpoint)$"
)
_UNSUPPORTED = re.compile(r"Unsupported global: GLOBAL (\S+) was not")
_MOST_NAMES = 500


class Shell:
    """An object of a class that is not imported: what would have made it, and its state."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any, **_: Any) -> Shell:
        """Keep the arguments; call nothing."""
        shell = super().__new__(cls)
        shell.args, shell.state = args, {}
        return shell

    def __init__(self, *args: Any, **_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class PlainDict:
    """Stands for the dicts of libraries: a new one is a plain dict."""

    def __new__(cls, *_: Any) -> Any:
        """Return an empty dict, which is filled afterwards."""
        return {}


def load_inert(path: Path) -> Any:
    """Return what is in a file of `torch.save`, its objects as shells.

    Raises:
        UnpicklingError: it names something that a checkpoint has no use for, or that no shell can stand for.
        RuntimeError, EOFError, OSError, ValueError, …: it is no such file, or is damaged.
    """
    names: set[str] = set()
    while True:
        shells: Any = [(PlainDict if name.lower().endswith("dict") else Shell, name) for name in sorted(names)]
        try:
            with path.open("rb") as file, warnings.catch_warnings(), torch.serialization.safe_globals(shells):
                warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
                return torch.load(file, map_location="cpu", weights_only=True)  # of a path, torch would judge the name
        except pickle.UnpicklingError as error:
            name = _wanted(str(error))
            if name is None or name in names or len(names) >= _MOST_NAMES:
                raise
            if _HOSTILE.match(name):
                raise pickle.UnpicklingError(f"weights_only: GLOBAL {name}") from error
            names |= {name, *_all_names(path)}


def tensors_of(shell: Shell) -> dict[str, Tensor]:
    """Return the state dict of a network that was saved whole; nothing if the shell is of something else."""
    state: dict[str, Tensor] = {}
    if isinstance(shell.state, Mapping):
        _collect(shell.state, "", state, depth=0)
    return state


def first_name(path: Path) -> str | None:
    """Return the first class that a file of `torch.save` names beside tensors and dicts, read without executing it."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            content = archive.read(member)
        found = (
            str(value).replace(" ", ".") for code, value, _ in pickletools.genops(content) if code.name == "GLOBAL"
        )
        return next((name for name in found if not name.startswith(("collections.", "torch."))), None)
    except (zipfile.BadZipFile, StopIteration, OSError, ValueError, KeyError):
        return None


def _collect(module: Mapping[str, Any], prefix: str, state: dict[str, Tensor], depth: int) -> None:
    hidden = module.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, value in (module.get(kind) or {}).items():
            if isinstance(value, Tensor) and name not in hidden:
                state[f"{prefix}{name}"] = value.detach()
    for name, child in (module.get("_modules") or {}).items():
        if isinstance(child, Shell) and isinstance(child.state, Mapping) and depth < 100:
            _collect(child.state, f"{prefix}{name}.", state, depth + 1)


def _wanted(message: str) -> str | None:
    """Return the full name of what the reader of tensors refused, if that is why it stopped."""
    found = _UNSUPPORTED.search(message)
    if found is None:
        return None
    return found[1] if "." in found[1] else f"builtins.{found[1]}"


def _all_names(path: Path) -> list[str]:
    """Return every name in the file that has a shell; nothing of the format before PyTorch 1.6, read one by one."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except (ValueError, RuntimeError, pickle.UnpicklingError):
        return []
    return [name for name in names if not _HOSTILE.match(name)][:_MOST_NAMES]
