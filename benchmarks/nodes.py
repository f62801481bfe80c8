"""How much faster two nodes of a Ray cluster are than one, at one pass of a frozen network that they divide.

    python benchmarks/nodes.py --data $HEADSTART_DATA/caltech101    2,048 photographs, EfficientNet-Lite0, three rounds
    python benchmarks/nodes.py --data FOLDER --small                1,024 photographs, one round: does it run?

Both nodes are on this machine, with one thread each (`pip install 'headstart[ray]'`; two cores at least). A round is
three studies of one network and a ridge head, on one node and then on two, each with an empty cache: 512 photographs,
so that the nodes' processes have loaded PyTorch; 512 others; and all the rest. The time is that of `run_study`:
decoding, the pass, putting its parts together, sending results back, the head and the report's material. Efficiency
is the time on one node over twice the time on two: of the last study, which includes what takes as long for
few images (connecting, checking the nodes, the head), and of the pass, for which the second study's time is
subtracted from the last one's: what each further image takes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from study import machine

ENOUGH = 0.85
FEW = 512


def copied(data: Path, first: int, images: int, folder: Path) -> Path:
    """Copy so many images of a folder of classes, one of each in turn, after the first few; return the folder."""
    classes = [
        sorted(path for path in each.iterdir() if path.is_file()) for each in sorted(data.iterdir()) if each.is_dir()
    ]
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*classes))
    for path in itertools.islice((path for path in rounds if path is not None), first, first + images):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.parent.name)
    return folder


def study_of(data: Path, backbone: str) -> dict[str, Any]:
    """Return a study of one frozen network."""
    return {
        "name": data.name,
        "data": str(data),
        "seeds": 1,
        "audit": False,
        "explain": 0,
        "defaults": {"backbone": backbone},
        "runs": {"frozen": {"strategy": "ridge"}},
    }


def seconds(nodes: int, folders: Sequence[Path], backbone: str, place: Path) -> list[float]:
    """Return how long the study of each folder takes, one after the other, on a new cluster of so many nodes."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    took = []
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**node)
        for folder in folders:
            os.environ["HEADSTART_CACHE"] = str(place / f"cache of {folder.name}")
            began = time.perf_counter()
            run_study(load_study(study_of(folder, backbone)), place / "runs", device="cpu", on=cluster.address)
            took.append(time.perf_counter() - began)
    finally:
        cluster.shutdown()
    return took


def main() -> int:
    """Print the times of each round and the efficiencies; status 1 if that of the pass is below what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with one folder per class")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="1,024 images, one round")
    asked = parser.parse_args()
    images, rounds = (2 * FEW, 1) if asked.small else (asked.images, asked.rounds)
    os.environ |= {"HEADSTART_THREADS": "1", "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    print(machine())
    whole, passes = [], []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as place:
            at = Path(place)
            each = {"warm": (0, FEW), "few": (FEW, FEW), "all": (2 * FEW, images)}
            folders = [copied(asked.data, *rows, at / name) for name, rows in each.items()]
            one, two = (seconds(nodes, folders, asked.backbone, at / f"{nodes} nodes") for nodes in (1, 2))
        whole.append(one[2] / (2 * two[2]))
        passes.append((one[2] - one[1]) / (2 * (two[2] - two[1])))
        print(
            f"round {number}: {FEW} images {one[1]:.1f} and {two[1]:.1f} s, {images:,} images {one[2]:.1f} and "
            f"{two[2]:.1f} s on one node and two; efficiency of the study {whole[-1]:.2f}, of the pass {passes[-1]:.2f}"
        )
    middle = statistics.median(passes)
    print(
        f"{images:,} images, {asked.backbone}: efficiency of the study {statistics.median(whole):.2f}, "
        f"of the pass {middle:.2f} (medians of {rounds}; {ENOUGH} asked of the pass)"
    )
    return 0 if middle >= ENOUGH or asked.small else 1


if __name__ == "__main__":
    sys.exit(main())
