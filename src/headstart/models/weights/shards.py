"""A checkpoint that is divided among several files, as the Hugging Face hub writes large ones, and their index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.errors import WeightsError
from headstart.models.contents import BEGINNING, other_content
from headstart.storage.checksums import sha256_of

ENDING = ".index.json"
_AGAIN = "download the folder again"


class _TwiceError(ValueError):
    """A key that an object has twice."""


def shards_of(index: Path) -> dict[Path, tuple[str, ...]]:
    """Return the files that an index such as `model.safetensors.index.json` names, sorted by name, and their tensors.

    Raises:
        WeightsError: it cannot be understood, names a tensor twice, a file outside of its folder, or one that is not
            there.
    """
    placed = _weight_map(index)
    names = sorted(set(placed.values()))
    if not names:
        raise WeightsError(f"{index}: names no file of weights; {_AGAIN}")
    if outside := next((name for name in names if Path(name).name != name or "\\" in name), None):
        raise WeightsError(f"{index}: names {outside!r}, which is not in its folder")
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise WeightsError(
            f"{index.parent}: {missing[0]} is missing, {len(missing)} of {len(names)} files that {index.name} names;"
            f" {_AGAIN}"
        )
    tensors: dict[str, list[str]] = {name: [] for name in names}
    for tensor, name in placed.items():
        tensors[name].append(tensor)
    return {index.parent / name: tuple(found) for name, found in tensors.items()}


def check_shard(index: Path, file: Path, named: Sequence[str], found: Mapping[str, Any]) -> None:
    """Refuse a file that lacks a tensor which the index places in it.

    Raises:
        WeightsError: which, and how many.
    """
    if missing := [tensor for tensor in named if tensor not in found]:
        raise WeightsError(
            f"{file}: the tensor {missing[0]!r} is missing, {len(missing)} of {len(named)} that {index.name} places"
            f" there; {_AGAIN}"
        )


def digest_of_files(files: Sequence[Path]) -> str:
    """Return the sha256 of one file; of several, that of their sha256s in this order.

    Raises:
        WeightsError: one cannot be read.
    """
    found = []
    for path in files:
        try:
            found.append(sha256_of(path))
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    return found[0] if len(found) == 1 else hashlib.sha256(bytes.fromhex("".join(found))).hexdigest()


def _weight_map(index: Path) -> dict[str, str]:
    """Return the name of the file of each tensor."""
    try:
        content = index.read_bytes()
        if reason := other_content(content[:BEGINNING]):
            raise WeightsError(f"{index}: {reason}")
        placed = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_once)["weight_map"]
        return {str(tensor): str(name) for tensor, name in placed.items()}
    except OSError as error:
        raise WeightsError(f"{index}: cannot be read ({error.strerror})") from error
    except _TwiceError as error:
        raise WeightsError(f"{index}: names {error.args[0]!r} twice; {_AGAIN}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{index}: is not an index of weights; {_AGAIN}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise _TwiceError(key)
        found[key] = value
    return found
