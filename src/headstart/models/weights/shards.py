"""A checkpoint that is divided among several files, as the Hugging Face hub writes large ones, and their index."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from headstart.errors import WeightsError

ENDING = ".index.json"


def shards_of(index: Path) -> list[Path]:
    """Return the files that an index such as `model.safetensors.index.json` names, sorted by name.

    Raises:
        WeightsError: it cannot be understood, names a file outside of its folder, or one that is not there.
    """
    try:
        placed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in placed.values()})
    except OSError as error:
        raise WeightsError(f"{index}: cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index}: is no index of weights; download the folder again") from error
    if not names:
        raise WeightsError(f"{index}: names no file of weights; download the folder again")
    if outside := next((name for name in names if Path(name).name != name or "\\" in name), None):
        raise WeightsError(f"{index}: names {outside!r}, which is not in its folder")
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise WeightsError(
            f"{index.parent}: {missing[0]} is missing, {len(missing)} of {len(names)} files that {index.name} names;"
            " download the folder again"
        )
    return [index.parent / name for name in names]


def digest_of_files(files: list[Path]) -> str:
    """Return the sha256 of one file; of several, that of their sha256s in this order.

    Raises:
        WeightsError: one cannot be read.
    """
    found = []
    for path in files:
        try:
            with path.open("rb") as file:
                found.append(hashlib.file_digest(file, "sha256"))
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    return (
        found[0].hexdigest()
        if len(found) == 1
        else hashlib.sha256(b"".join(each.digest() for each in found)).hexdigest()
    )
