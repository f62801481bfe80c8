"""What the protection of stored and given files costs a study, in CPU seconds: checksums, verification, fsync, damage.

    HEADSTART_DATA=… python benchmarks/safety_cost.py                 1,500 photographs of $HEADSTART_DATA/caltech101
    HEADSTART_DATA=… python benchmarks/safety_cost.py --images 200

Every function whose only purpose is protection is timed wherever it is called, by the CPU time of its thread; time in
one that another one calls counts once. A study of one frozen network and three heads runs twice in a new cache: the
second time everything is verified and nothing computed. What reading JPEGs scan by scan adds is measured apart, against
Pillow's own way. Waiting for the disk is not CPU time: it is shown beside it. Under 3 % is asked for.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.data.decoding import damage, decode, digests, image_store, jpeg, jpeg_structure, pixel_checks
from headstart.models import bundle_checks, bundle_file
from headstart.storage import checksums, files, locks, presence, store
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

GROUPS: dict[str, list[tuple[Any, str]]] = {
    "checksums of what is written": [(checksums, "described"), (checksums, "certify"), (checksums, "sealed")],
    "verification of what is read": [(checksums, "fault"), (checksums, "unsealed"), (checksums, "is_intact")],
    "pixels": [(pixel_checks, "checksums"), (pixel_checks.PixelChecks, "compare"), (image_store, "digest_of")],
    "fsync": [(files, "sync"), (os, "fsync")],
    "locks and presence": [(locks, "acquired"), (locks, "release"), (presence, "clear"), (store, "_stamps")],
    "bounds and damage of images": [
        (damage, "without_damage"),
        (damage, "check_end"),
        (damage, "check_blocks"),
        (jpeg_structure, "scan_ends"),
        (decode, "check_bytes"),
        (decode, "check_header"),
    ],
    "looking at the files before": [(digests, "check")],
    "bundles": [(bundle_file, "tensors_sha256"), (bundle_file, "_sealed"), (bundle_checks, "check_finite")],
}
_inside = threading.local()


class Clock:
    """CPU and wall time of groups of functions."""

    def __init__(self) -> None:
        self.cpu: Counter[str] = Counter()
        self.wall: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def timed(self, group: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a clock around it; a call inside another timed one is part of that."""

        def call(*given: Any, **how: Any) -> Any:
            if getattr(_inside, "it", False):
                return real(*given, **how)
            _inside.it, cpu, wall = True, time.thread_time(), time.perf_counter()
            try:
                return real(*given, **how)
            finally:
                _inside.it = False
                with self._lock:
                    self.cpu[group] += time.thread_time() - cpu
                    self.wall[group] += time.perf_counter() - wall
                    self.calls[group] += 1

        return call

    def reset(self) -> None:
        """Begin to count anew."""
        for counter in (self.cpu, self.wall, self.calls):
            counter.clear()

    def tell(self, title: str, whole: float, scans: float) -> None:
        """Print the share of each group, and of all, in `whole` CPU seconds."""
        print(f"\n{title}, {whole:.1f} s of CPU")
        for group, seconds in self.cpu.most_common():
            print(
                f"  {group}: {seconds:.2f} s = {100 * seconds / whole:.2f} %"
                f" ({self.calls[group]:,} calls, {self.wall[group]:.2f} s by the clock)"
            )
        print(f"  reading JPEGs scan by scan: {scans:.2f} s = {100 * scans / whole:.2f} %")
        print(f"  together: {100 * (sum(self.cpu.values()) + scans) / whole:.2f} %")

    def attach(self) -> None:
        """Put the clocks around all functions of GROUPS, in every module that has imported them."""
        for group, functions in GROUPS.items():
            for owner, name in functions:
                real = getattr(owner, name)
                timed = self.timed(group, real)
                setattr(owner, name, timed)
                for module in [module for key, module in sys.modules.items() if key.startswith("headstart")]:
                    for key, value in list(vars(module).items()):
                        if value is real:
                            setattr(module, key, timed)


def cpu_seconds() -> float:
    """Return the CPU time of this process, of the system on its behalf, too."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def subset(source: Path, target: Path, count: int) -> int:
    """Copy about `count` images, as many of each class as there are, and return how many."""
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    copied = 0
    for folder in classes:
        for path in sorted(folder.glob("*.jpg"))[: -(-count // len(classes))]:
            (target / folder.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / folder.name / path.name)
            copied += 1
    return copied


def reading_scan_by_scan(pictures: Path, sample: int = 300) -> float:
    """Return the CPU seconds an image that `load_jpeg` takes longer than Pillow's `load`."""
    paths = sorted(pictures.glob("*/*.jpg"))
    taken = [0.0, 0.0]
    for number, path in enumerate(paths[:: max(1, len(paths) // sample)]):
        data = path.read_bytes()
        for way in (0, 1) if number % 2 else (1, 0):
            image = decode.open_image(data)
            began = time.thread_time()
            jpeg.load_jpeg(image, data) if way else image.load()
            taken[way] += time.thread_time() - began
    return (taken[1] - taken[0]) / len(paths[:: max(1, len(paths) // sample)])


def main() -> None:
    """Run the study twice and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1500, help="how many photographs (default 1500)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="safety-") as scratch:
        place = Path(scratch)
        count = subset(Path(os.environ["HEADSTART_DATA"]) / "caltech101", place / "pictures", asked.images)
        spec = {
            "name": "safety",
            "data": str(place / "pictures"),
            "seeds": 1,
            "audit": False,
            "defaults": {"backbone": "efficientnet_lite0", "weights": "imagenet"},
            "runs": {kind: {"strategy": kind} for kind in ("linear_probe", "ridge", "knn")},
        }
        scans = reading_scan_by_scan(place / "pictures") * count
        clock = Clock()
        clock.attach()
        for title in ("computed", "verified only"):
            clock.reset()
            store._checked.clear()  # as in a new process
            began = cpu_seconds()
            run_study(load_study(spec), place / "out", store=store.Store(place / "cache"), device="cpu")
            clock.tell(f"{title}: {count:,} images", cpu_seconds() - began, scans if title == "computed" else 0.0)


if __name__ == "__main__":
    main()
