"""Read and split a manifest of a million rows that name a few hundred real files: seconds and peak memory.

    python benchmarks/million_rows.py [--rows 1000000] [--format csv|parquet] [--images FOLDER]

Bound: under 30 seconds and 1.5 GB. The images are made here unless a folder of class folders is given.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.sources.folders import walk
from headstart.data.sources.layout import is_image_name
from headstart.data.sources.load import load_dataset
from headstart.data.splits import make_split, subsample

CLASSES, FILES = 20, 400


def make_images(folder: Path) -> list[tuple[str, str]]:
    """Write small JPEGs; return (path, label) of each."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(FILES):
        label = f"class {number % CLASSES:02d}"
        path = folder / label / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
        made.append((str(path), label))
    return made


def found_images(folder: Path) -> list[tuple[str, str]]:
    """Return (path, label) of a few hundred images in class folders, spread over all of them."""
    names = sorted(name for name in walk(folder) if is_image_name(name) and "/" in name)
    chosen = names[:: max(1, len(names) // FILES)][:FILES]
    return [(str(folder / name), name.split("/")[-2]) for name in chosen]


def write_manifest(path: Path, images: list[tuple[str, str]], rows: int) -> None:
    """Write a manifest whose rows go round the images; every ten rows are a group."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    chosen = np.arange(rows) % len(images)
    table = pyarrow.table(
        {
            "path": pyarrow.array([image for image, _ in images]).take(pyarrow.array(chosen)),
            "label": pyarrow.array([label for _, label in images]).take(pyarrow.array(chosen)),
            "group": pyarrow.array(np.char.add("g", (np.arange(rows) // 10).astype(str))),
        }
    )
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv")
    parser.add_argument("--images", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["HEADSTART_CACHE"] = f"{place}/cache"
        images = found_images(options.images) if options.images else make_images(Path(place) / "images")
        manifest = Path(place) / f"manifest.{options.format}"
        if os.fork() == 0:  # the writer's memory is not the reader's
            write_manifest(manifest, images, options.rows)
            os._exit(0)
        os.wait()
        started = time.perf_counter()
        dataset = load_dataset(manifest)
        loaded = time.perf_counter()
        split = make_split(dataset)
        tenth = subsample(split, dataset, fraction=0.1)
        done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{len(dataset):,} rows, {len(images)} files, {len(dataset.classes)} classes, {options.format}")
    print(
        f"read {loaded - started:.1f} s, split {done - loaded:.1f} s, in all {done - started:.1f} s, peak {peak:.2f} GB"
    )
    print(f"train {len(split.train):,}, validation {len(split.validation):,}, test {len(split.test):,}")
    print(f"a tenth of train {len(tenth.train):,}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
