"""Checkpoints read from disk without executing anything in them."""

from __future__ import annotations

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from headstart.errors import WeightsError

_NESTS = ("state_dict", "model_state_dict", "model", "net", "network", "backbone", "encoder", "teacher")


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file by name, its sha256 and the metadata of a safetensors file."""

    path: Path
    state: dict[str, Tensor]
    sha256: str
    metadata: dict[str, str]


def read_checkpoint(place: str | Path, sha256: str | None = None) -> Checkpoint:
    """Read a safetensors file, a state dict (.pt, .pth), or the model of a run folder.

    Args:
        place: the file, or a folder that holds `model.safetensors`.
        sha256: what the file must hash to.

    Raises:
        WeightsError: absent, of another hash, cut short, no tensors in it, or a pickle that would run code.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if sha256 is not None and found != sha256.lower():
        raise WeightsError(f"{path}: sha256 is {found}, expected {sha256.lower()}; the file is altered or another one")
    safe = path.suffix == ".safetensors"
    state, metadata = _read_safetensors(path) if safe else (_read_state_dict(path), {})
    if not state:
        raise WeightsError(f"{path}: holds no tensors")
    return Checkpoint(path, state, found, metadata)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: is cut short or no safetensors file ({error})") from error


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():  # of old pickles; what cannot be read raises all the same
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower():
            reason = _refusal(str(error))
            raise WeightsError(
                f"{path}: refused, because reading it would run code ({reason}); save its state_dict() instead"
            ) from error
        raise WeightsError(f"{path}: is cut short or no checkpoint ({_brief(error)})") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: is cut short or no checkpoint ({_brief(error)})") from error
    return _tensors(content)


def _refusal(text: str) -> str:
    """Return the part of torch's long message that names what the pickle wanted."""
    for line in text.splitlines():
        if "Unsupported" in line or "GLOBAL" in line or "global" in line:
            return line.replace("WeightsUnpickler error:", "").strip().split(" was not ")[0].rstrip(".")
    return text.splitlines()[0]


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _tensors(content: Any) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, found under the usual names of its state dict."""
    while isinstance(content, Mapping):
        tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
        nest = next((name for name in _NESTS if isinstance(content.get(name), Mapping)), None)
        if nest is None:
            break
        content = content[nest]
    return {}
