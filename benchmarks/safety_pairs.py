"""What all protection costs a study: the same study with it and without it, side by side, in processor time.

    HEADSTART_DATA=… python benchmarks/safety_pairs.py                       pairs for 11 minutes, 1,500 photographs
    HEADSTART_DATA=… python benchmarks/safety_pairs.py --images 200 --minutes 2

Each pair is two processes that start at once, one thread each, on the photographs of $HEADSTART_DATA/caltech101: one
frozen network and three heads in a new cache. One of the two has its protection taken out, here and not in headstart:
checksums written and compared, fsync, locks, bounds, and all that looks for damaged pictures. Both compute the same
numbers, which is checked. Imports do not count. The first pair warms the disk's cache and does not count, either. The
result is the geometric mean of the ratios with its 95 % interval (Student's t on their logarithms). Machines that do
nothing else give narrower intervals. Under 3 % is asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safety_cost import cpu_seconds, subset
from scipy import stats

from headstart.data.decoding import bounds, damage, decode, image_store, jpeg, pixel_checks
from headstart.models import bundle_checks, bundle_file
from headstart.progress import QUIET, set_verbosity
from headstart.storage import checksums, files, locks, presence
from headstart.storage.store import Store
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.transfer.frozen import features

HEADS = ("linear_probe", "ridge", "knn")


class _Anything:
    """What every digest is equal to."""

    def encode(self) -> _Anything:
        return self

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


def _moved(part: Path, path: Path) -> None:
    os.replace(part, path)


def _read(path: Path, *, strict: bool = False) -> dict[str, Any]:
    facts: dict[str, Any] = files.read_json(path)
    return facts


@contextlib.contextmanager
def _unlocked(*_: object, **__: object) -> Iterator[bool]:
    yield True


@contextlib.contextmanager
def _without_lock(path: Path, wait_message: str | None = None) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    yield


def _nothing(*_: object, **__: object) -> None:
    return None


UNPROTECTED: list[tuple[Any, str, Callable[..., Any]]] = [
    (checksums, "described", lambda folder: {}),
    (checksums, "sealed", lambda facts: dict(facts)),
    (checksums, "unsealed", _read),
    (checksums, "certify", _moved),
    (checksums, "is_intact", lambda path: path.exists()),
    (files, "sync", _nothing),
    (os, "fsync", _nothing),
    (locks, "locked", _without_lock),
    (locks, "tried", _unlocked),
    (presence, "_entered", _nothing),
    (presence, "clear", _nothing),
    (pixel_checks, "checksums", lambda data, sizes: [0] * len(sizes)),
    (pixel_checks.PixelChecks, "compare", _nothing),
    (features, "_checksum", lambda rows: 0),
    (bounds, "check_bytes", _nothing),
    (bounds, "check_header", _nothing),
    (bounds, "memory_of", lambda image: 0),
    (type(bounds.ROOM), "of", _unlocked),
    (damage, "without_damage", lambda data: data),
    (damage, "check_end", lambda data, image: True),
    (damage, "check_blocks", _nothing),
    (decode, "format_fault", _nothing),
    (jpeg, "load_jpeg", lambda image, data: image.load()),
    (bundle_file, "tensors_sha256", lambda tensors: ""),
    (bundle_checks, "check_finite", _nothing),
]
"""Whose only purpose is protection, and what does as little as possible in its place."""


def unprotect() -> None:
    """Take the protection out of this process, wherever it has been imported."""
    image_store.digest_of = lambda data: _Anything()  # compared there; elsewhere it identifies the images
    modules = [module for key, module in sys.modules.items() if key.startswith("headstart")]
    for owner, name, instead in UNPROTECTED:
        real = getattr(owner, name)
        setattr(owner, name, instead)
        for module in modules:
            for key, value in list(vars(module).items()):
                if value is real:
                    setattr(module, key, instead)


def spec(pictures: Path) -> dict[str, Any]:
    """Return the study."""
    return {
        "name": "safety",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "efficientnet_lite0", "weights": "imagenet"},
        "runs": {kind: {"strategy": kind} for kind in HEADS},
    }


def run_one(pictures: Path, place: Path, *, protected: bool) -> None:
    """Run the study twice in a new cache, and print the seconds of both and the scores as JSON.

    A small study comes first, so that imports and first calls do not count.
    """
    set_verbosity(QUIET)
    few = place / "few"
    for folder in sorted(pictures.iterdir())[:3]:
        shutil.copytree(folder, few / "pictures" / folder.name)
    os.environ["HEADSTART_CACHE"] = str(few / "cache")
    run_study(load_study(spec(few / "pictures")), few / "out", store=Store(few / "cache"), device="cpu")
    if not protected:
        unprotect()
    cache = place / "cache"
    os.environ["HEADSTART_CACHE"] = str(cache)
    seconds, scores = [], {}
    for _ in ("computed", "read again"):
        began = cpu_seconds()
        folder = run_study(load_study(spec(pictures)), place / "out", store=Store(cache), device="cpu")
        seconds.append(cpu_seconds() - began)
        scores = {kind: folder.score(kind, 0, "test", "accuracy") for kind in HEADS}
    print(json.dumps({"seconds": seconds, "scores": scores}), flush=True)
    os._exit(0)  # taking everything down takes longer than a small study


def pair(pictures: Path, scratch: Path, first: bool) -> dict[bool, dict[str, Any]]:
    """Run the study with and without protection at the same time; `first` says which of them is started first."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HEADSTART_THREADS": "1"}
    found: dict[bool, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=scratch) as places:
        started = {}
        for protected in (first, not first):
            place = Path(places) / str(protected)
            command = [sys.executable, __file__, "--one", str(place), "--pictures", str(pictures)]
            command += [] if protected else ["--unprotected"]
            started[protected] = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        for protected, process in started.items():
            said, _ = process.communicate()
            if process.returncode:
                raise SystemExit(f"the study ended with {process.returncode}")
            found[protected] = json.loads(said.splitlines()[-1])
    if found[True]["scores"] != found[False]["scores"]:
        raise SystemExit(f"the scores differ: {found}")
    return found


def tell(title: str, pairs: list[tuple[float, float]]) -> None:
    """Print the mean ratio of these pairs of seconds, with and without protection, and its interval."""
    logs = np.log([on / off for on, off in pairs])
    mean, n = float(logs.mean()), len(logs)
    half = float(stats.t.ppf(0.975, n - 1) * logs.std(ddof=1) / math.sqrt(n)) if n > 1 else float("nan")
    on, off = (float(np.mean([each[side] for each in pairs])) for side in (0, 1))
    low, middle, high = (100 * (math.exp(value) - 1) for value in (mean - half, mean, mean + half))
    print(
        f"{title}: {on:.2f} s with, {off:.2f} s without; costs {middle:+.2f} % ({low:+.2f} to {high:+.2f}), {n} pairs"
    )


def main() -> None:
    """Run pairs for the time that is given, and print what protection costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1500, help="how many photographs (default 1500)")
    parser.add_argument("--minutes", type=float, default=11, help="no pair begins that would end later (default 11)")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pictures", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--unprotected", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        run_one(asked.pictures, asked.one, protected=not asked.unprotected)
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="safety-") as scratch:
        pictures = Path(scratch) / "pictures"
        count = subset(Path(os.environ["HEADSTART_DATA"]) / "caltech101", pictures, asked.images)
        print(f"{count:,} photographs", flush=True)
        found: list[dict[bool, dict[str, Any]]] = []
        longest = 0.0
        while time.monotonic() - began + longest < 60 * asked.minutes:
            start = time.monotonic()
            found.append(pair(pictures, Path(scratch), first=len(found) % 2 == 0))
            longest = max(longest, time.monotonic() - start)
            each = {side: " + ".join(f"{s:.2f}" for s in one["seconds"]) for side, one in found[-1].items()}
            print(f"pair {len(found)}: {each[True]} s with, {each[False]} s without", flush=True)
        counted = found[1:] or found
        for number, title in enumerate(("computed", "read again")):
            tell(title, [(one[True]["seconds"][number], one[False]["seconds"][number]) for one in counted])


if __name__ == "__main__":
    main()
