"""Relative paths in a study file start from the folder that the file is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.addresses import is_address
from headstart.data.sources.shard_names import is_pattern
from headstart.errors import SpecError


def from_folder(study: Any, folder: Path) -> Any:
    """Return a study's mapping with the relative paths of its data and weights made absolute.

    A word without a separator, such as `caltech101`, is a path only where something of that name is in the folder;
    otherwise it is a name.

    Raises:
        SpecError: a relative path is not there, but would be there from the current folder.
    """
    if not isinstance(study, dict):
        return study
    return {key: _block(key, value, folder) for key, value in study.items()}


def _block(key: str, value: Any, folder: Path) -> Any:
    if key in ("defaults", "smoke") and isinstance(value, dict):
        return {name: _block(name, inner, folder) for name, inner in value.items()}
    if key == "runs" and isinstance(value, dict):
        return {run: _block("defaults", settings, folder) for run, settings in value.items()}
    if key == "teacher" and isinstance(value, str):  # the name of a run
        return value
    return _read(value, _PATH[key], folder) if key in _PATH else value


_PATH = {
    "data": ("source", "corrections", "unlabelled"),
    "weights": ("path",),
    "teacher": ("path",),
}  # keys that hold paths, where it is a mapping


def _read(value: Any, keys: tuple[str, ...], folder: Path) -> Any:
    if isinstance(value, str):
        return _placed(value, folder)
    if isinstance(value, dict):
        return value | {key: _placed(value[key], folder) for key in keys if isinstance(value.get(key), str)}
    return value


def _placed(text: str, folder: Path) -> str:
    if not text or text.startswith(("~", "$", "hf:")) or is_address(text) or Path(text).is_absolute():
        return text
    place = folder / text
    if is_pattern(text):
        return str(place)
    if _exists(place):
        return str(place)
    if "/" not in text and "\\" not in text:
        return text
    if _exists(Path(text)):
        raise SpecError(f"no {place}: relative paths start from the study file's folder; write {Path(text).absolute()}")
    return str(place)


def _exists(place: Path) -> bool:
    """Return whether a path exists; one that cannot be, as it is too long or holds a zero byte, does not."""
    try:
        return place.exists()
    except (OSError, ValueError):
        return False
