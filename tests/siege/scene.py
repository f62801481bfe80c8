"""A small study with a pass, heads, a tuning and an ensemble, and all that is said of it: what attacks aim at."""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from headstart.errors import HeadstartError
from headstart.report.read.summary import load_summary
from headstart.storage.store import Store
from headstart.study.results.folder import StudyFolder
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 70), "red": (210, 50, 40)}
NAME = "siege"
VOLATILE = {"created", "seconds", "shared_seconds", "total_seconds", "seconds_per_image"}
VOLATILE |= {"images_per_second", "peak_memory_bytes"}
CHEAPER = re.compile(
    r", such as the cheaper [^.]+|: [^.:]+, which is cheaper| \S+ costs less, .*"
)  # in the answer, by the time that was measured


def draw(
    folder: Path, per_class: int = 8, size: int = 36, colours: Mapping[str, tuple[int, int, int]] = COLOURS
) -> Path:
    """Draw noisy pictures of three colours, or of others."""
    generator = np.random.default_rng(0)
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            noise = generator.normal(0, 70, (size, size + 4, 3))
            pixels = np.clip(np.array(colour) * generator.uniform(0.6, 1.0) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.png")
    return folder


def spec(pictures: Path) -> dict[str, Any]:
    """Return the study: baselines, heads on the features of one pass, a small grid of trainings, an ensemble."""
    return {
        "name": NAME,
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {
            "pixels": {"backbone": "pixels", "strategy": "ridge"},
            "ridge": {"strategy": "ridge"},
            "knn": {"strategy": "knn"},
            "tuned": {"strategy": "scratch", "recipe": {"epochs": 2, "batch_size": 8, "lr": {"grid": [0.01, 0.05]}}},
        },
        "ensembles": {"together": ["ridge", "tuned"]},
    }


def run(
    pictures: Path, place: Path, described: Callable[[Path], dict[str, Any]] = spec, out: str = "out"
) -> StudyFolder:
    """Run the study in `place`: its cache is in `cache`, its folder in `out`."""
    cache = place / "cache"
    with mock.patch.dict(os.environ, HEADSTART_CACHE=str(cache)):  # what is known of files is kept there, too
        return run_study(load_study(described(pictures)), place / out, store=Store(cache), device="cpu")


MOMENTS = {
    "decoding": "headstart.data.decoding.journal.Journal.append",
    "the pass": "headstart.transfer.frozen.features.write_json",
    "a training": "headstart.transfer.finetune.checkpoint.CheckpointWriter._write",
    "the runs": "headstart.study.results.folder.StudyFolder.write_run",
}
"""Functions after whose first call a study can be interrupted."""


class Stopped(BaseException):
    """Ends a study as a signal does: nothing on the way may catch it."""


def interrupt(pictures: Path, place: Path, function: str, run: Callable[[Path, Path], object] = run) -> None:
    """Run the study in `place` until the function was called once; what it had done by then remains."""
    target, name = function.rsplit(".", 1)
    owner = pkgutil.resolve_name(target)
    real = getattr(owner, name)

    def last(*given: Any, **how: Any) -> None:
        real(*given, **how)
        raise Stopped

    with mock.patch.object(owner, name, last), contextlib.suppress(Stopped):
        run(pictures, place)


def results(place: Path) -> dict[str, Any]:
    """Return what a study says, without what depends on time: the bits of each prediction, and the whole summary."""
    root = place / "out" / NAME
    found: dict[str, Any] = {"summary": _timeless(json.loads(json.dumps(load_summary(root).to_dict(), default=str)))}
    for path in sorted(root.glob("runs/*/seed-*/*.npz")):
        with np.load(path) as arrays:
            found[str(path.relative_to(root))] = {name: arrays[name].tobytes().hex() for name in arrays.files}
    return found


def stale(place: Path) -> list[str]:
    """Return the temporary files and locks that are left below `place`."""
    names = ("*.tmp", "*.lock", ".at-work", "*.pruned", "*.partial")
    found = (path for name in names for path in place.rglob(name))
    return sorted(path.relative_to(place).as_posix() for path in found)


def one_line(error: HeadstartError) -> str:
    """Return what an error says.

    Raises:
        AssertionError: it is more than a line.
    """
    said = str(error)
    assert said and "\n" not in said, f"not one line: {said!r}"
    return said


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Return where two results differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = sorted({*one, *other})
        return [d for key in keys for d in differences(one.get(key), other.get(key), f"{place}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [d for n, (a, b) in enumerate(zip(one, other, strict=True)) for d in differences(a, b, f"{place}/{n}")]
    return [] if one == other else [f"{place}: {str(one)[:60]} != {str(other)[:60]}"]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in VOLATILE}
    if isinstance(value, str):
        return CHEAPER.sub("", value)
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value
