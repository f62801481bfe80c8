"""How much faster two nodes of a Ray cluster are than one, at one pass of a frozen network that they divide.

    python benchmarks/nodes.py --data $HEADSTART_DATA/caltech101    2,048 photographs, EfficientNet-Lite0, three rounds
    python benchmarks/nodes.py --data FOLDER --small                512 photographs, one round: does it run?

Both nodes are on this machine, with one thread each (`pip install 'headstart[ray]'`; two cores at least). A round is
the same study, one network and a ridge head, on one node and then on two, each with an empty cache; a small study
before each loads PyTorch in the nodes' processes. The time is that of `run_study`: decoding, the pass, putting its
parts together, sending results back, the head and the report's material. Efficiency is the time on one node over twice
the time on two.
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


def copied(data: Path, images: int, folder: Path) -> Path:
    """Copy so many of the images of a folder of classes, as many of each class as there are, and return the folder."""
    classes = [
        sorted(path for path in each.iterdir() if path.is_file()) for each in sorted(data.iterdir()) if each.is_dir()
    ]
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*classes))
    for path in itertools.islice((path for path in rounds if path is not None), images):
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


def seconds(nodes: int, folders: Sequence[Path], backbone: str, place: Path) -> float:
    """Return how long the study of the last folder takes, after the others, on a new cluster of so many nodes."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    took = 0.0
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**node)
        for folder in folders:
            os.environ["HEADSTART_CACHE"] = str(place / f"cache of {folder.name}")
            began = time.perf_counter()
            run_study(load_study(study_of(folder, backbone)), place / "runs", device="cpu", on=cluster.address)
            took = time.perf_counter() - began
    finally:
        cluster.shutdown()
    return took


def main() -> int:
    """Print the times of each round and the efficiency; status 1 if it is below what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with one folder per class")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="512 images, one round")
    asked = parser.parse_args()
    images, rounds = (512, 1) if asked.small else (asked.images, asked.rounds)
    os.environ |= {"HEADSTART_THREADS": "1", "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    print(machine())
    found = []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as place:
            at = Path(place)
            folders = [copied(asked.data, 512, at / "small"), copied(asked.data, images, at / "whole")]
            times = [seconds(nodes, folders, asked.backbone, at / f"{nodes} nodes") for nodes in (1, 2)]
        found.append(times[0] / (2 * times[1]))
        print(f"round {number}: one node {times[0]:.1f} s, two nodes {times[1]:.1f} s, efficiency {found[-1]:.2f}")
    middle = statistics.median(found)
    print(f"{images:,} images, {asked.backbone}: efficiency {middle:.2f} (median of {rounds}; {ENOUGH} asked)")
    return 0 if middle >= ENOUGH or asked.small else 1


if __name__ == "__main__":
    sys.exit(main())
