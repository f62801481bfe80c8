"""Do decoding and the pass of the network overlap, and are the cores busy but not asked for twice?

    python benchmarks/overlap.py              500 images of Caltech-101 at $HEADSTART_DATA, EfficientNet-Lite0
    python benchmarks/overlap.py --small      60 of them, once: does it run?

The first pass over the images (nothing cached) with every share of the threads between decoding and the network,
several times in turn. `cores busy` is CPU time over wall time: close to the cores, not above. Where the machine has
other work, CPU seconds still say what a division costs; images a second do not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.decoding.image_store import decode_images
from headstart.data.sources.load import load_dataset
from headstart.models.backbone import Backbone
from headstart.models.create import create_backbone
from headstart.storage.store import Store
from headstart.study.resources import PendingImages
from headstart.threads import machine_cores
from headstart.transfer.frozen.features import extract
from headstart.transfer.frozen.views import view_of
from study import machine


def cpu_seconds() -> float:
    """Return the CPU time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def one_pass(dataset: Dataset, backbone: Backbone, decoding: int, network: int) -> tuple[float, float]:
    """Return the wall and CPU seconds of one pass with so many threads for decoding and for the network."""
    view = view_of(backbone.preprocessing)

    def number(count: int) -> Callable[[], int]:
        return lambda: count

    with (
        tempfile.TemporaryDirectory(prefix="headstart-overlap-") as place,
        patch("headstart.data.decoding.image_store.cores", number(decoding)),
        patch("headstart.transfer.frozen.engine.cores", number(network)),
    ):
        store, began, used = Store(Path(place)), time.perf_counter(), cpu_seconds()
        extract(
            PendingImages(len(dataset)),
            backbone.stages,
            backbone.preprocessing,
            key="0" * 32,
            store=store,
            source=lambda take: decode_images(dataset, view, store=store, on_chunk=take),
        )
        return time.perf_counter() - began, cpu_seconds() - used


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="60 images, once")
    options = parser.parse_args()
    count, repeats = (60, 1) if options.small else (500, 3)
    dataset = load_dataset(Path(os.environ["HEADSTART_DATA"]) / "caltech101")
    dataset = dataset.select(np.sort(np.random.default_rng(0).choice(len(dataset), count, replace=False)))
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    backbone.eval()
    cores = machine_cores()
    shares = [(cores, cores), (max(1, cores // 2), cores), (cores, max(1, cores // 2)), (1, 1)]
    found: dict[tuple[int, int], list[tuple[float, float]]] = {share: [] for share in shares}
    for _ in range(repeats):
        for share, times in found.items():
            times.append(one_pass(dataset, backbone, *share))
    rows = []
    for (decoding, network), times in found.items():
        wall, used = (float(np.median(column)) for column in zip(*times, strict=True))
        row = {"decoding threads": decoding, "network threads": network, "images/s": round(count / wall, 1)}
        rows.append({**row, "CPU seconds": round(used, 2), "cores busy": round(used / wall, 2)})
    print(json.dumps({"machine": machine(), "images": count, "repeats": repeats, "passes": rows}, indent=1))


if __name__ == "__main__":
    main()
