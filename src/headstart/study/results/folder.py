"""A study's folder: all results; a run with a manifest is complete.

STUDY/study.json                            the resolved study and its state
STUDY/data/FINGERPRINT/dataset.json, items.parquet, thumbnails.npz, audit.json
STUDY/runs/RUN/seed-K/manifest.json, …      one finished (or failed) run each
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.disclosure import disclosable
from headstart.errors import StoreError
from headstart.progress import say
from headstart.storage.checksums import sealed, sha256_of, unsealed
from headstart.storage.files import disk_errors, read_json, temporary, write_atomic
from headstart.storage.locks import locked
from headstart.storage.names import folder_name
from headstart.storage.pinned import make_folder
from headstart.storage.presence import since
from headstart.storage.store import MANIFEST
from headstart.storage.swap import replace_folder

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
        """Return the manifest of a run that has ended, or None, also where it is damaged."""
        path = self.run_folder(run, seed) / MANIFEST
        if not path.is_file():
            return None
        try:
            return unsealed(path)
        except StoreError:
            return None

    def has(self, run: str, seed: int, key: str) -> bool:
        """Return whether the run with this content key is complete, and each of its files is what was written."""
        manifest = self.manifest(run, seed)
        if manifest is None and (self.run_folder(run, seed) / MANIFEST).is_file():
            say(f"{self.run_folder(run, seed) / MANIFEST}: has changed since it was written; the run is written again")
        if manifest is None or manifest.get("key") != key or manifest["status"] != "complete":
            return False
        folder = self.run_folder(run, seed)
        altered = next((name for name, digest in manifest["files"].items() if not _is(folder / name, digest)), None)
        if altered is not None:
            say(f"{folder / altered}: has changed since it was written; the run is written again")
        return altered is None

    def score(self, run: str, seed: int, part: str, metric: str = "accuracy") -> float | None:
        """Return the score of a run that has ended on "test" or "validation"; None where it has none there."""
        path = self.run_folder(run, seed) / "result.json"
        if not path.is_file():
            return None
        value: float | None = ((read_json(path)["metrics"].get(part) or {}).get(metric) or {}).get("value")
        return value

    def write_study(self, facts: Mapping[str, Any]) -> None:
        """Write study.json."""
        write_atomic(self.root / "study.json", sealed_bytes(facts))

    def read_study(self) -> dict[str, Any]:
        """Read study.json; a study that says that it is running, and at which no process is at work, was interrupted.

        Raises:
            StoreError: there is none, or it is damaged.
        """
        if not self.root.exists():
            raise StoreError(
                f"{self.root}: no such folder; give the folder of a study, as the command that ran it named it"
            )
        if not (self.root / "study.json").is_file():
            raise StoreError(f"{self.root}: no study here (it has no study.json); give the folder of a study")
        facts = unsealed(self.root / "study.json")
        if facts.get("status") == "running" and since(self.root) is None:
            facts["status"] = "interrupted"
        return facts

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

        Who reads the folder meanwhile finds the old one or the new one. If another process has finished the same run
        in the meantime, its folder is kept, also where the run failed here.

        Args:
            run, seed: which run.
            key: the content key of everything that its result depends on.
            files: by name, the content, a file to copy, or a function that writes the file at a given path.
            error: why the run failed, or None.
        """
        final = self.run_folder(run, seed)
        building = temporary(final)
        with disk_errors(final):
            make_folder(building)
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
                write_atomic(building / MANIFEST, sealed_bytes(manifest))
                with locked(final.with_name(f".{final.name}.lock")):  # another process may write the same run
                    if not self.has(run, seed, key):
                        replace_folder(building, final)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return final

    def take_run(self, run: str, seed: int, files: Mapping[str, bytes]) -> None:
        """Write a run's folder that another machine sent: every file by name, including its manifest."""
        manifest = json.loads(files[MANIFEST])
        rest = {name: content for name, content in files.items() if name != MANIFEST}
        self.write_run(run, seed, manifest["key"], rest, error=manifest["error"])


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def _put(path: Path, content: Content) -> str:
    """Write one file; return its sha256."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        content(path)
    return sha256_of(path)


def json_bytes(value: Any) -> bytes:
    """Return indented JSON without credentials and home folder; numbers that are not finite become null."""
    text = json.dumps(_plain(value), indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return (disclosable(text) + "\n").encode()


def sealed_bytes(facts: Mapping[str, Any]) -> bytes:
    """Return facts as `json_bytes` does, with their own sha256: that of what is written, not of what was given."""
    return json_bytes(sealed(json.loads(json_bytes(facts))))


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
