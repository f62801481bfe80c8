"""Near duplicates between test and train of CIFAR, beside the list that Barz & Denzler published (ciFAIR, 2020).

    python benchmarks/near_duplicates.py cifar100 duplicates_cifar100.csv
    python benchmarks/near_duplicates.py cifar10.npz duplicates_cifar10.csv --sheet pairs.png

The images are a dataset that headstart knows by name, or an .npz file with the arrays train and test, uint8
[n, 32, 32, 3], and train_y and test_y, in their published order. The lists are at https://github.com/cvjena/cifair
in meta/: test image, training image, distance, and the judgement 0 (exact), 1 (same shot) or 2 (very similar, another
shot). Recall is over judgements 0 and 1. A list names one training image for each test image and is not complete, so
that pairs that it does not name have to be judged by eye: --sheet draws a sample of them, the least alike first.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.audit.audit import audit_dataset
from headstart.data.dataset import Dataset
from headstart.data.decoding.decode import decode
from headstart.data.sources.load import load_dataset
from headstart.storage.store import Store

COLUMNS, SIDE = 10, 64


class Pixels:
    """Images in memory."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def name(self, row: int) -> str:
        """Return the row number."""
        return f"image {row}"

    def read(self, row: int) -> np.ndarray:
        """Return the pixels."""
        return self.images[row]

    def identity(self, row: int) -> str:
        """Return nothing: this is memory."""
        return ""


def material(source: str) -> Dataset:
    """Return the images with their labels and parts."""
    if not source.endswith(".npz"):
        return load_dataset(source)
    with np.load(source) as arrays:
        images = np.concatenate([arrays["train"], arrays["test"]])
        labels = np.concatenate([arrays["train_y"], arrays["test_y"]]).astype(np.int64)
        parts = np.repeat(["train", "test"], [len(arrays["train"]), len(arrays["test"])])
    classes = tuple(f"class {k:03}" for k in range(int(labels.max()) + 1))
    return Dataset(Path(source).stem, Pixels(images), labels, classes, given_split=parts)


def published(path: Path, dataset: Dataset) -> dict[tuple[int, int], int]:
    """Return the list's judgements by rows of the dataset: (test, train)."""
    assert dataset.given_split is not None
    test, train = (np.flatnonzero(dataset.given_split == part) for part in ("test", "train"))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(int(test[int(r["TestID"])]), int(train[int(r["TrainID"])])): int(r["Judgment"]) for r in rows}


def found_pairs(audit: dict[str, Any]) -> dict[tuple[int, int], float]:
    """Return the similarity of each reported pair of a test and a training image."""
    pairs: dict[tuple[int, int], float] = {}
    for row in audit["near"]:
        sides = {row[side]["split"]: int(row[side]["row"]) for side in ("a", "b")}
        if set(sides) == {"test", "train"}:
            pairs[sides["test"], sides["train"]] = row["similarity"]
    for group in audit["exact"]:
        rows = {part: [p["row"] for p in group["places"] if p["split"] == part] for part in ("test", "train")}
        pairs |= {(test, train): 1.0 for test in rows["test"] for train in rows["train"]}
    return pairs


def sheet(dataset: Dataset, pairs: list[tuple[int, int]], path: Path) -> None:
    """Draw pairs side by side."""
    height = -(-len(pairs) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * (2 * SIDE + 8), height * (SIDE + 8)), "white")
    for k, pair in enumerate(pairs):
        for side, row in enumerate(pair):
            image = Image.fromarray(decode(dataset.reader.read(row))).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            canvas.paste(image, (k % COLUMNS * (2 * SIDE + 8) + side * SIDE, k // COLUMNS * (SIDE + 8)))
    canvas.save(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("list", type=Path)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    dataset = material(arguments.images)
    listed = published(arguments.list, dataset)
    with tempfile.TemporaryDirectory() as place:
        started, worked = time.perf_counter(), time.process_time()
        audit = audit_dataset(dataset, store=Store(Path(place)))
        seconds, processor = time.perf_counter() - started, time.process_time() - worked
    pairs = found_pairs(audit)
    judgement = {test: judged for (test, _), judged in listed.items()}
    copies = [pair for pair, judged in listed.items() if judged < 2]
    images = {test for test, _ in pairs}
    unlisted: dict[int, tuple[float, int]] = {}
    for (test, train), similarity in pairs.items():
        if test not in judgement:
            unlisted[test] = max(unlisted.get(test, (0.0, 0)), (similarity, train))
    result = {
        "images": len(dataset),
        "published copies": len(copies),
        "recall, pairs": round(sum(pair in pairs for pair in copies) / len(copies), 3),
        "recall, test images": round(len(images & {test for test, _ in copies}) / len({test for test, _ in copies}), 3),
        "test images reported": len(images),
        "of these published as copies": sum(judgement.get(test, 9) < 2 for test in images),
        "of these published as very similar": sum(judgement.get(test) == 2 for test in images),
        "of these not published": len(unlisted),
        "all pairs reported": audit["counts"]["near"],
        "seconds": round(seconds, 1),
        "processor seconds": round(processor, 1),
        "peak memory GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}",
    }
    print(json.dumps(result, indent=1))
    if arguments.sheet is not None:
        least = sorted(unlisted, key=lambda test: unlisted[test])[:100]
        sheet(dataset, [(test, unlisted[test][1]) for test in least], arguments.sheet)


if __name__ == "__main__":
    main()
