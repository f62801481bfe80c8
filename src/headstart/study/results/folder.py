"""A study's folder: all results; a run with a manifest is complete.

STUDY/study.json                            the resolved study and its state
STUDY/data/FINGERPRINT/dataset.json, items.parquet, thumbnails.npz, audit.json
STUDY/runs/RUN/seed-K/manifest.json, …      one finished (or failed) run each
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from headstart.errors import StoreError
from headstart.storage.files import disk_errors, read_json, write_json
from headstart.storage.names import folder_name
from headstart.storage.store import MANIFEST

Content = bytes | Path | Callable[[Path], None]


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study.

    Args:
        root: the folder itself.
    """

    root: Path

    def run_folder(self, run: str, seed: int) -> Path:
        """Return the folder of one run and seed."""
        return self.root / "runs" / folder_name(run) / f"seed-{seed}"

    def data_folder(self, fingerprint: str) -> Path:
        """Return the folder of one dataset."""
        return self.root / "data" / fingerprint

    def manifest(self, run: str, seed: int) -> dict[str, Any] | None:
        """Return the manifest of a run that has ended, or None."""
        path = self.run_folder(run, seed) / MANIFEST
        value: dict[str, Any] | None = read_json(path) if path.is_file() else None
        return value

    def has(self, run: str, seed: int, key: str) -> bool:
        """Say whether the run with this content key is complete, with every file present."""
        manifest = self.manifest(run, seed)
        if manifest is None or manifest.get("key") != key or manifest["status"] != "complete":
            return False
        folder = self.run_folder(run, seed)
        return all((folder / name).is_file() for name in manifest["files"])

    def score(self, run: str, seed: int, part: str, metric: str = "accuracy") -> float | None:
        """Return the score of a run that has ended on "test" or "validation"; None where it has none there."""
        path = self.run_folder(run, seed) / "result.json"
        if not path.is_file():
            return None
        value: float | None = ((read_json(path)["metrics"].get(part) or {}).get(metric) or {}).get("value")
        return value

    def write_study(self, facts: Mapping[str, Any]) -> None:
        """Write study.json."""
        write_json(self.root / "study.json", facts)

    def read_study(self) -> dict[str, Any]:
        """Read study.json.

        Raises:
            StoreError: there is none.
        """
        if not (self.root / "study.json").is_file():
            raise StoreError(f"{self.root}: is not a study folder (it has no study.json)")
        value: dict[str, Any] = read_json(self.root / "study.json")
        return value

    def write_run(
        self,
        run: str,
        seed: int,
        key: str,
        files: Mapping[str, Content],
        *,
        error: str | None = None,
    ) -> Path:
        """Write a run's folder atomically: files first, the manifest last, then one rename.

        Args:
            run, seed: which run.
            key: the content key of everything that its result depends on.
            files: by name, the content, a file to copy, or a function that writes the file at a given path.
            error: why the run failed, or None.
        """
        final = self.run_folder(run, seed)
        building = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        with disk_errors(final):
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir(parents=True)
            try:
                digests = {name: _put(building / name, content) for name, content in files.items()}
                status = "complete" if error is None else "failed"
                manifest = {
                    "status": status,
                    "error": error,
                    "key": key,
                    "files": digests,
                    "written": time.time(),
                }
                write_json(building / MANIFEST, manifest)
                with FileLock(str(final.with_name(f".{final.name}.lock"))):  # another process may write the same run
                    if final.exists():
                        shutil.rmtree(final)
                    os.replace(building, final)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return final

    def take_run(self, run: str, seed: int, files: Mapping[str, bytes]) -> None:
        """Write a run's folder that another machine sent: every file by name, including its manifest."""
        manifest = json.loads(files[MANIFEST])
        rest = {name: content for name, content in files.items() if name != MANIFEST}
        self.write_run(run, seed, manifest["key"], rest, error=manifest["error"])


def _put(path: Path, content: Content) -> str:
    """Write one file; return its sha256."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        content(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_bytes(value: Any) -> bytes:
    """Return indented JSON; numbers that are not finite become null."""
    return (json.dumps(_plain(value), indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n").encode()


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """Return the arrays as one compressed npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
