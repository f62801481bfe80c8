"""Files that are never data: hidden ones, those that an operating system left behind, and what headstart writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

_STUDY = "study.json"  # with a folder "runs" beside it, what headstart writes
_DEBRIS = {"headstart-runs", "__pycache__", "lost+found", "thumbs.db", "desktop.ini", "$recycle.bin"}
_DEBRIS |= {"system volume information", "__macosx", "@eadir", "#recycle"}  # of Windows, macOS and network drives


def data_files(paths: Iterable[str]) -> list[str]:
    """Return the paths that are neither debris nor in a study folder, whatever its name, in their order."""
    files = [path for path in paths if not is_debris(path)]
    homes = tuple(path.removesuffix(_STUDY) for path in files if f"/{path}".endswith(f"/{_STUDY}"))
    studies = tuple(home for home in homes if any(path.startswith(f"{home}runs/") for path in files))
    return [path for path in files if not path.startswith(studies)] if studies else files


def is_debris(path: str) -> bool:
    """Return whether a path is hidden, was left by an operating system, or is in headstart's own output folder."""
    return any(part.startswith(".") or part.lower() in _DEBRIS for part in PurePosixPath(path).parts)
