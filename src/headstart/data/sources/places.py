"""Where datasets are on this machine: the user's data folders, and the one that downloads go to."""

from __future__ import annotations

import os
from pathlib import Path

from headstart.storage.store import cache_root


def data_dir() -> Path:
    """Return where downloads go: `$HEADSTART_DATA_DIR`, else `datasets` in the cache."""
    if place := os.environ.get("HEADSTART_DATA_DIR"):
        return Path(place).expanduser()
    return cache_root() / "datasets"


def places() -> list[Path]:
    """Return the folders that are searched for a dataset by name, in order."""
    folders = [data_dir()]
    if place := os.environ.get("HEADSTART_DATA"):
        folders.insert(0, Path(place).expanduser())
    return folders


def find_local(*names: str) -> Path | None:
    """Return the first of `names` that is in one of the `places`, or None."""
    for folder in places():
        for name in names:
            if (folder / name).exists():
                return folder / name
    return None
