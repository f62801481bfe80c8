"""How much faster two nodes of a Ray cluster are than one, at one pass of a frozen network that they divide.

    python benchmarks/nodes.py --data $HEADSTART_DATA/caltech101    2,048 photographs, EfficientNet-Lite0, three rounds
    python benchmarks/nodes.py --data FOLDER --small                1,024 photographs, one round: does it run?

Both nodes are on this machine, with one thread each (`pip install 'headstart[ray]'`; two cores at least). Where the
system allows it (Linux), each node is held to a core of its own, with all that it starts, and who asks for the study to
that of the first: a node that decodes on the core of another is not one of a single thread (--free leaves them free).
A round is the same study, one network and a ridge head, on one node and then on two, each with an empty cache, after a
study of 512 other photographs. Efficiency is the time on one node over twice the time on two:

study   the time of `run_study`, with all that one process does: connecting, checking the nodes, the head, the report.
pass    from the first job until the features are whole and kept, with the start of the nodes' processes, which import
        PyTorch for each study.

The processors of a machine share memory, caches and perhaps cores, so that two processes without Ray and without
anything in common also slow each other down: `bound` is how fast each of two such processes passes 512 photographs,
over how fast one does alone. Efficiency on this machine cannot be higher than that.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from headstart.data.sources.load import load_dataset
from headstart.models.create import create_backbone
from headstart.study.parallel import ray as ray_module
from headstart.study.parallel.jobs import FEATURES, Job
from headstart.study.parallel.messages import Finished, Message
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.transfer.frozen.feature_index import features_of
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


class TimedPool(ray_module.RayPool):
    """Workers on Ray, and how long the last pass took them."""

    took = 0.0

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._began, self._whole = 0.0, -1

    def start(self, job: Job) -> None:
        """Give a job to an idle worker; the first job of a study begins its pass."""
        self._began = self._began or time.perf_counter()
        if job.stage == FEATURES:
            self._whole = job.number
        super().start(job)

    def listen(self, patience: float) -> list[tuple[int, Message]]:
        """Return the messages; the pass is over when the job that puts its parts together has ended."""
        found = super().listen(patience)
        if any(number == self._whole and isinstance(message, Finished) for number, message in found):
            TimedPool.took = time.perf_counter() - self._began
        return found


@contextlib.contextmanager
def held_to(core: int | None) -> Iterator[None]:
    """Hold this process, and what it starts meanwhile, to one core; None leaves it free."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def seconds(nodes: int, folders: Sequence[Path], backbone: str, place: Path, *, held: bool) -> tuple[float, float]:
    """Return how long the study of the last folder takes, and its pass, after the others, on a new cluster."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
    with held_to(0 if held else None):
        cluster = Cluster(initialize_head=True, head_node_args=node)
    took = math.nan
    try:
        for number in range(1, nodes):
            with held_to(number if held else None):
                cluster.add_node(**node)
        for folder in folders:
            TimedPool.took = math.nan
            os.environ["HEADSTART_CACHE"] = str(place / f"cache of {folder.name}")
            began = time.perf_counter()
            with held_to(0 if held else None):
                run_study(load_study(study_of(folder, backbone)), place / "runs", device="cpu", on=cluster.address)
            took = time.perf_counter() - began
    finally:
        cluster.shutdown()
    return took, TimedPool.took


def pass_apart(folder: Path, backbone: str, cache: Path, begin: Any, took: Any, core: int | None) -> None:
    """Pass the images of a folder through the network when all others are ready to, and put how long it took."""
    if core is not None:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    os.environ["HEADSTART_CACHE"] = str(cache)
    dataset, network = load_dataset(folder), create_backbone(backbone, "imagenet", seed=0)[0].eval()
    features_of(load_dataset(folder, limit=1), network, "cpu")
    begin.wait()
    began = time.perf_counter()
    features_of(dataset, network, "cpu")
    took.put(time.perf_counter() - began)


def bound(folder: Path, backbone: str, place: Path, *, held: bool) -> float:
    """Return the speed of each of two processes that have nothing in common, over that of one alone."""
    context, means = multiprocessing.get_context("spawn"), []
    for count in (1, 2):
        begin, took = context.Barrier(count), context.Queue()
        caches = [place / f"apart {number} of {count}" for number in range(1, count + 1)]
        processes = [
            context.Process(target=pass_apart, args=(folder, backbone, cache, begin, took, core if held else None))
            for core, cache in enumerate(caches)
        ]
        for process in processes:
            process.start()
        means.append(statistics.mean(took.get(timeout=600) for _ in processes))
        for process in processes:
            process.join()
    return means[0] / means[1]


def main() -> int:
    """Print the times of each round and the efficiencies; status 1 if that of the pass is below what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with one folder per class")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--free", action="store_true", help="do not hold each node to a core of its own")
    parser.add_argument("--small", action="store_true", help="1,024 images, one round")
    asked = parser.parse_args()
    images, rounds = (2 * FEW, 1) if asked.small else (asked.images, asked.rounds)
    os.environ |= {"HEADSTART_THREADS": "1", "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    held = hasattr(os, "sched_setaffinity") and not asked.free
    ray_module.RayPool = TimedPool  # type: ignore[misc]
    print(f"{machine()}; each node {'held to a core of its own' if held else 'free to use all cores'}")
    whole, passes, bounds = [], [], []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as place:
            at = Path(place)
            each = {"few": (0, FEW), "all": (FEW, images)}
            folders = [copied(asked.data, *rows, at / name) for name, rows in each.items()]
            bounds.append(bound(folders[0], asked.backbone, at, held=held))
            one, two = (seconds(nodes, folders, asked.backbone, at / f"{nodes} nodes", held=held) for nodes in (1, 2))
        whole.append(one[0] / (2 * two[0]))
        passes.append(one[1] / (2 * two[1]))
        print(
            f"round {number}, one node and two: study {one[0]:.1f} and {two[0]:.1f} s, efficiency"
            f" {whole[-1]:.2f}; pass {one[1]:.1f} and {two[1]:.1f} s, {passes[-1]:.2f}; bound {bounds[-1]:.2f}",
            flush=True,
        )
    middle = statistics.median(passes)
    print(
        f"{images:,} images, {asked.backbone}: efficiency of the study {statistics.median(whole):.2f}, "
        f"of the pass {middle:.2f} ({ENOUGH} asked), bound {statistics.median(bounds):.2f} (medians of {rounds})"
    )
    return 0 if middle >= ENOUGH or asked.small else 1


if __name__ == "__main__":
    sys.exit(main())
