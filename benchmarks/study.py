"""What a grid of heads costs here, next to scikit-learn and fastai, in one run on one set of features.

    python benchmarks/study.py                       Caltech-101 at $HEADSTART_DATA, EfficientNet-Lite0
    python benchmarks/study.py --small               the same at a size that takes a minute: does it run?
    python benchmarks/study.py --only grid ridge     some of the sections
    python benchmarks/study.py --full                scikit-learn 288 times instead of a sample, scaled
    python benchmarks/study.py --save results.json

Sections: rate (this machine's float32 matrix products), grid (12 learning rates x 8 weight decays x 3
seeds), sklearn and fastai (the same question to them), ridge (50 penalties), heads (four heads, three
seeds, refitted), pixels (the floor), scaling (time against images and configurations, drawn beside this
file). The grid's optimiser,
batch size and three epochs were picked among some twenty settings, on two of the seeds, as cheap ones
whose best is as good on validation rows as the logistic path; with --epochs 30 the same grid costs ten
times as much. fastai is scaled to the same number of epochs. A peer that is not installed is left out,
and the reason is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import study_heads
import study_peers
import torch
from study_heads import Material

from headstart.data.decoding.image_store import decode_images
from headstart.data.sources.load import load_dataset
from headstart.models.create import create_backbone
from headstart.transfer.frozen.features import extract, features_key
from headstart.transfer.frozen.views import view_of

SECTIONS: dict[str, Callable[[Material, dict[str, Any]], dict[str, Any]]] = {
    "rate": study_heads.rate,
    "grid": study_heads.grid,
    "sklearn": study_peers.sklearn,
    "fastai": study_peers.fastai,
    "ridge": study_heads.ridge,
    "heads": study_heads.heads,
    "pixels": study_heads.pixels,
    "scaling": study_heads.scaling,
}


def material(options: argparse.Namespace) -> Material:
    """Return features, pixels, labels and split: from the store, or what was made before and is named."""
    if options.features:
        parts = np.load(options.split)
        features, labels = np.load(options.features, mmap_mode="r"), np.load(options.labels)
        return Material(features, labels, parts["train"], parts["test"], None, options)
    folder = Path(os.environ["HEADSTART_DATA"]) / "caltech101"
    dataset = load_dataset(folder)
    keep = np.flatnonzero(np.array(dataset.given_split) != "") if dataset.given_split is not None else None
    assert keep is not None, f"{folder}: the lists of the given split are not beside it"
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    how = backbone.preprocessing
    images = decode_images(dataset, view_of(how))
    key = features_key(images.key, backbone.stages, how, "cpu")
    features = extract(images, backbone.stages, how, key=key)
    given = np.array(dataset.given_split)
    return Material(
        features.reshape(len(dataset), -1),
        np.asarray(dataset.labels),
        np.flatnonzero(given == "train"),
        np.flatnonzero(given == "test"),
        images,
        options,
    )


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu": model,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "commit": commit.stdout.strip(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "load": os.getloadavg()[0],
    }


def verdicts(results: dict[str, Any]) -> dict[str, Any]:
    """Return the figures side by side that the sections were run for."""
    found: dict[str, Any] = {}
    grid = results.get("grid", {})
    if "rate" in results and grid:
        found["share of the matrix-product rate"] = round(grid["GFLOP/s"] / results["rate"]["GFLOP/s"], 3)
    for peer in ("sklearn", "fastai"):
        if grid and "scaled seconds" in results.get(peer, {}):
            found[f"times faster than {peer}"] = round(results[peer]["scaled seconds"] / grid["seconds"], 1)
            gap = 100 * (grid["best validation accuracy"] - results[peer]["best validation accuracy"])
            found[f"points of validation accuracy above {peer}"] = round(gap, 2)
    return found


def main() -> None:
    """Run the sections, print a table, and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--features", help="features .npy [n, d] made before, with --labels .npy and --split .npz")
    parser.add_argument("--labels")
    parser.add_argument("--split")
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    given, results = material(options), {"machine": machine()}
    for name in options.only:
        started = time.perf_counter()
        results[name] = SECTIONS[name](given, results)
        print(f"\n{name}  ({time.perf_counter() - started:.1f} s)")
        for key, value in results[name].items():
            print(f"  {key:<44}{value if not isinstance(value, float) else format(value, '.4g')}", flush=True)
    results["verdicts"] = verdicts(results)
    print("\n" + json.dumps(results, indent=1))
    if options.save:
        options.save.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
