"""Whether a study's table depends on how its work was batched, ordered, spread or killed.

    python benchmarks/three_ways.py                     the embedded groceries, a few minutes
    python benchmarks/three_ways.py --data FOLDER --seeds 3 --kills 8

The same study, floors, heads on EfficientNet-Lite0, a small CNN with a grid of learning rates, is run by
`headstart run` on empty stores, with one thread in every process:
  at once      in one process
  by workers   in two processes
  in pieces    killed (SIGKILL) again and again at random moments, in one process, the runs in the opposite order
  one by one   every run a study of its own with a store of its own, so that nothing is computed together
It prints what the tables say of each run, whether they are equal, and by how much any probability differs from that
of the study at once. It ends with status 1 if a table differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from headstart.api import Results
from headstart.study.comparison import BASELINES

THREADS = "1"  # of every process: with another number, sums have other last bits (docs/many-processes-and-machines.md)
TABLE = ("run", "rank", "mean", "low", "high", "seeds", "tied_with_best")
Runs = dict[str, dict[str, Any]]


def main() -> None:
    """Run the study in every way and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="groceries")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--kills", type=int, default=6)
    options = parser.parse_args()
    study = the_study(options.data, options.seeds)
    with tempfile.TemporaryDirectory() as place:
        work = Work(Path(place))
        whole = work.run("at once", study)
        ways = {"by workers": work.run("by workers", study, "--workers", "2")}
        ways["in pieces"] = work.killed("in pieces", backwards(study), options.kills)
        alone = {name: work.run(f"alone {k}", only(study, name)) for k, name in enumerate(study["runs"])}
        expected = table(whole)
        for row in expected:
            print(f"{row['rank']:2d}  {row['run']:16s} {row['mean']:.4f}  [{row['low']:.4f}, {row['high']:.4f}]")
        same = {way: table(root) == expected for way, root in ways.items()}
        gaps = {way: max(gap(whole, root, name) for name in study["runs"]) for way, root in ways.items()}
        scores = {row["run"]: row["mean"] for row in expected}
        same["one by one"] = all(table(root)[0]["mean"] == scores[name] for name, root in alone.items())
        gaps["one by one"] = max(gap(whole, root, name) for name, root in alone.items())
        for way, equal in same.items():
            said = "the same table" if equal else "ANOTHER TABLE"
            print(f"{way:12s} {said}; a probability differs by at most {gaps[way]:.1e}")
    sys.exit(0 if all(same.values()) else 1)


def the_study(data: str, seeds: int) -> dict[str, Any]:
    """Return floors, four heads, their mean, and a small CNN with two learning rates to choose from."""
    runs: Runs = {name: dict(settings) for name, settings in BASELINES.items()}
    heads = ("logistic", "ridge", "prototypes", "knn")
    runs |= {head: {"backbone": "efficientnet_lite0", "weights": "imagenet", "strategy": head} for head in heads}
    recipe = {"epochs": 2, "batch_size": 32, "lr": {"grid": [0.01, 0.05]}}
    runs["small CNN"] = {"backbone": "small_cnn", "weights": "none", "strategy": "scratch", "recipe": recipe}
    ensembles = {"together": ["logistic", "ridge"]}
    return {"name": "ways", "data": data, "seeds": seeds, "audit": False, "runs": runs, "ensembles": ensembles}


class Work:
    """Runs studies as a user would, each way with a store of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def run(self, way: str, study: Mapping[str, Any], *options: str) -> Path:
        """Run a study to its end and return its folder."""
        if self._start(way, study, *options).wait() != 0:
            sys.exit(f"{way}: failed\n{(self.place / way / 'said.txt').read_text()[-2000:]}")
        return self.place / way / "out" / "ways"

    def killed(self, way: str, study: Mapping[str, Any], times: int) -> Path:
        """Run a study that is killed so many times, and to its end; return its folder."""
        draw = random.Random(0)
        deaths = 0
        for _ in range(times):
            process = self._start(way, study)
            time.sleep(draw.uniform(4, 14))
            if process.poll() is not None:  # it came to its end
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            deaths += 1
        print(f"{way}: killed {deaths} times", flush=True)
        return self.run(way, study)

    def _start(self, way: str, study: Mapping[str, Any], *options: str) -> subprocess.Popen[bytes]:
        folder = self.place / way
        folder.mkdir(exist_ok=True)
        path = folder / "study.yaml"
        path.write_text(yaml.safe_dump(dict(study), sort_keys=False))
        command = [sys.executable, "-m", "headstart", "run", str(path), "--out", str(folder / "out"), *options]
        environment = {**os.environ, "HEADSTART_CACHE": str(folder / "cache"), "HEADSTART_THREADS": THREADS}
        with (folder / "said.txt").open("ab") as said:
            return subprocess.Popen(command, stdout=said, stderr=said, env=environment, start_new_session=True)


def backwards(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study with its runs in the opposite order."""
    return {**study, "runs": dict(reversed(study["runs"].items()))}


def only(study: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the study with one of its runs."""
    return {**study, "runs": {name: study["runs"][name]}, "ensembles": {}}


def table(root: Path) -> list[dict[str, Any]]:
    """Return the ranking without what it cost."""
    return [{key: row[key] for key in TABLE} for row in Results(root).ranking()]


def gap(first: Path, second: Path, name: str) -> float:
    """Return by how much two studies' probabilities of test images differ at most, over the seeds of a run."""
    found = 0.0
    for folder in (first / "runs").glob("*/seed-*"):
        if json.loads((folder / "spec.json").read_text())["run"] == name:
            place = second / folder.relative_to(first)
            one, other = (np.load(f / "predictions.npz")["test_probabilities"] for f in (folder, place))
            found = max(found, float(np.abs(one - other).max()))
    return found


if __name__ == "__main__":
    main()
