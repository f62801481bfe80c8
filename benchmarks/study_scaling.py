"""How the time of a whole study grows with images, with configurations and with workers, drawn.

    python benchmarks/study_scaling.py                       1k to 8k drawn images, 1 to 1,000 configurations
    python benchmarks/study_scaling.py --small               at a size that takes a minute or two: does it run?
    python benchmarks/study_scaling.py --data $HEADSTART_DATA/caltech101 --backbone efficientnet_lite0
    python benchmarks/study_scaling.py --save scaling.json

Every time is that of `run_study` on an empty store, in this process (workers: and in those it starts):
  images          frozen features and two heads: decoding, the pass of the network, fits, scores, thumbnails
  configurations  a grid of learning rates of one head on 1,000 images whose features are there already
  workers         four networks trained from scratch, 1 worker against 2, each with its share of the cores
A step is worse than linear if the time grows by more than the size does, with a tenth allowed for noise; the
script says which, and ends with status 1 if there is one. It draws study_scaling.svg beside itself; the
dashed line is time in proportion to size, and to one over the number of workers.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import study_heads
from PIL import Image

from headstart import threads
from headstart.data.decoding.decode import SUFFIXES
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from study import machine

NOISE = 1.1
CLASSES = 10
Runs = dict[str, dict[str, Any]]
SIZES = {
    False: {"images": (1000, 2000, 4000, 8000), "configurations": (1, 10, 100, 1000), "workers": (1, 2), "rows": 1000},
    True: {"images": (100, 200, 400), "configurations": (1, 10, 100), "workers": (1, 2), "rows": 200},
}


def drawn(folder: Path, count: int) -> list[Path]:
    """Draw so many noisy pictures of ten colours and return their files."""
    draw = np.random.default_rng(0)
    colours = draw.integers(40, 216, (CLASSES, 3))
    files = []
    for number in range(count):
        label = number % CLASSES
        pixels = np.clip(colours[label] + draw.normal(0, 70, (72, 80, 3)), 0, 255).astype(np.uint8)
        path = folder / f"class {label}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=1)
        files.append(path)
    return files


def found(folder: Path, count: int) -> list[Path]:
    """Return so many images of a folder with one folder for each class, drawn with a fixed seed."""
    every = sorted(path for path in folder.glob("*/*") if path.suffix.lower().lstrip(".") in {s[1:] for s in SUFFIXES})
    order = np.random.default_rng(0).permutation(len(every))
    if len(every) < count:
        sys.exit(f"{folder}: has {len(every)} images, {count} are needed")
    return [every[number] for number in order[:count]]


def part(files: Sequence[Path], count: int, place: Path) -> Path:
    """Return a folder with links to the first so many files."""
    for path in files[:count]:
        link = place / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
    return place


class Bench:
    """Times studies, each in an empty store."""

    def __init__(self, work: Path, files: list[Path], backbone: str) -> None:
        self.work, self.files = work, files
        self.defaults = {"backbone": backbone, "weights": "imagenet" if backbone.startswith("eff") else "none"}
        self._numbers = itertools.count()

    def seconds(
        self, count: int, runs: dict[str, Any], workers: int = 1, before: dict[str, Any] | None = None
    ) -> float:
        """Return how long a study of these runs on so many images takes; `before` is done before the clock starts."""
        place = self.work / f"{next(self._numbers)}"
        os.environ["HEADSTART_CACHE"] = str(place / "cache")
        data = {"source": str(part(self.files, count, place / "data")), "name": "images"}
        spec = {"data": data, "seeds": 1, "audit": False, "defaults": self.defaults}
        if before is not None:
            run_study(load_study({**spec, "name": "before", "runs": before}), place / "out", device="cpu")
        began = time.perf_counter()
        run_study(load_study({**spec, "name": "timed", "runs": runs}), place / "out", device="cpu", workers=workers)
        return time.perf_counter() - began

    def images(self, sizes: Sequence[int]) -> list[float]:
        """Return the time of a frozen network with two heads, by the number of images."""
        return [self.seconds(size, {"heads": {"strategy": {"each": ["ridge", "prototypes"]}}}) for size in sizes]

    def configurations(self, sizes: Sequence[int], rows: int) -> list[float]:
        """Return the time of one head, by the number of learning rates that are tried."""
        before = {"features": {"strategy": "prototypes"}}
        return [self.seconds(rows, {"grid": _grid(size)}, before=before) for size in sizes]

    def workers(self, sizes: Sequence[int], rows: int) -> list[float]:
        """Return the time of four trained networks, by the number of workers."""
        recipe = {"epochs": 3, "batch_size": 32, "lr": 0.01}
        runs = {f"net {k}": {"backbone": "small_cnn", "strategy": "scratch", "recipe": recipe} for k in range(4)}
        for number, settings in enumerate(runs.values()):
            settings["recipe"] = {**recipe, "lr": 0.01 * (1 + number)}
        return [self.seconds(rows, runs, workers) for workers in sizes]


def _grid(size: int) -> dict[str, Any]:
    rates = np.geomspace(1e-3, 1.0, size).tolist() if size > 1 else [0.1]
    return {"strategy": "linear_probe", "recipe": {"epochs": 3, "batch_size": 64, "lr": {"grid": rates}}}


def worse_than_linear(sizes: Sequence[int], seconds: Sequence[float]) -> list[str]:
    """Return the steps at which the time grew by more than the size did, with a tenth allowed for noise."""
    pairs = itertools.pairwise(zip(sizes, seconds, strict=True))
    return [
        f"{a:,} to {b:,}: {t / s:.2f} times the time for {b / a:.2f} times the size"
        for (a, s), (b, t) in pairs
        if t / s > NOISE * b / a
    ]


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a minute or two")
    parser.add_argument("--data", type=Path, help="a folder with one folder of images for each class; default: drawn")
    parser.add_argument("--backbone", default="small_cnn", help="the frozen network")
    parser.add_argument("--save", type=Path, help="write the results as JSON")
    options = parser.parse_args()
    sizes = SIZES[options.small]
    results: dict[str, Any] = {"machine": machine(), "backbone": options.backbone, "data": str(options.data or "drawn")}
    with tempfile.TemporaryDirectory(prefix="headstart-scaling-") as work:
        most = max(*sizes["images"], sizes["rows"])
        files = found(options.data, most) if options.data else drawn(Path(work) / "drawn", most)
        bench = Bench(Path(work), files, options.backbone)
        bench.images([sizes["images"][0] // 2])  # what is imported and loaded once
        seconds = {
            "images": bench.images(sizes["images"]),
            "configurations": bench.configurations(sizes["configurations"], sizes["rows"]),
            "workers": bench.workers(sizes["workers"], sizes["rows"]),
        }
    worse: list[str] = []
    for name, times in seconds.items():
        results[name] = {f"{size}": round(value, 3) for size, value in zip(sizes[name], times, strict=True)}
        if name != "workers":
            worse += [f"{name}, {step}" for step in worse_than_linear(sizes[name], times)]
    first, last = seconds["workers"][0], seconds["workers"][-1]
    results["workers"]["threads each"] = [threads.share(count) for count in sizes["workers"]]
    results["workers"]["speed of 2 against 1"] = round(first / last, 2)
    results["steps worse than linear"] = worse or "none"
    results["drawn in"] = study_heads.draw(
        {name: (sizes[name], seconds[name]) for name in seconds}, Path(__file__).with_suffix(".svg")
    )
    text = json.dumps(results, indent=1, ensure_ascii=False)
    print(text)
    print("no step worse than linear" if not worse else "worse than linear: " + "; ".join(worse))
    if options.save:
        options.save.write_text(text + "\n")
    sys.exit(1 if worse else 0)


if __name__ == "__main__":
    main()
