"""Mutated manifests: CSV, TSV and Parquet tables, and list files beside a folder."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet

from headstart.data.sources.load import load_dataset
from tests.siege.damaged_files import attack_on_files
from tests.siege.images import picture
from tests.siege.siege import Attack

COLUMNS = {
    "path": [f"images/{'ab'[n % 2]}/{n}.png" for n in range(6)],
    "label": ["a", "b", "a", "b|a", "", "b"],
    "split": ["train", "test", "val", "", "train", "train"],
    "group": ["x", "y", "", "z", "w", "v"],
}


def _table(kind: str, folder: Path) -> bytes:
    """Return a manifest of the pictures in a folder."""
    if kind in ("csv", "tsv"):
        mark = "," if kind == "csv" else "\t"
        rows = zip(*COLUMNS.values(), strict=True)
        return "\n".join([mark.join(COLUMNS), *(mark.join(row) for row in rows)]).encode() + b"\n"
    if kind == "txt":
        return "\n".join(path.removeprefix("images/") for path in COLUMNS["path"][:4]).encode()
    columns: dict[str, list[object]] = {**COLUMNS}
    if kind == "bytes.parquet":
        columns["image"] = [(folder / path).read_bytes() for path in COLUMNS["path"]]
        del columns["path"]
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def prepare(scratch: Path) -> Attack:
    """Return the attack on the readers of manifests."""
    os.environ["HEADSTART_CACHE"] = str(scratch / "cache")
    for number, path in enumerate(COLUMNS["path"]):
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        picture(number, 12, 10).save(scratch / path)
    kinds = ("csv", "tsv", "parquet", "bytes.parquet", "txt")
    sound = {kind: _table(kind, scratch) for kind in kinds}

    def work(path: Path) -> str:
        if path.suffix == ".txt":
            dataset = load_dataset(scratch / "images", lists={"train": path})
        else:
            dataset = load_dataset(path)
        for row in range(len(dataset)):
            dataset.reader.read(row)
        return "left out some" if dataset.skipped else "read"

    return attack_on_files(scratch, sound, work)
