"""A study of shards with an audit, successive halving and few-shot training, planned before it runs.

It stores what the small study of `scene` does not: shards, inspections, rungs, measurements, the state of
a few-shot training.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any
from unittest import mock

import headstart
from headstart.storage.store import Store
from headstart.study.results.folder import StudyFolder
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from tests.siege import scene

COLOURS = {**scene.COLOURS, "grey": (120, 120, 120), "violet": (150, 40, 190), "yellow": (210, 200, 60)}
MOMENTS = {
    "the inspection": "headstart.audit.inspection_store.InspectionWriter.append",
    "few-shot training": "headstart.fewshot.training.save_state",
}


def draw(folder: Path) -> Path:
    """Draw pictures of six colours into two shards."""
    pictures = scene.draw(folder.with_name("drawn"), per_class=12, colours=COLOURS)
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"pictures-{number:06d}.tar", "w") as shard:
            for path in sorted(pictures.glob("*/*.png"))[number::2]:
                name = f"{path.parent.name}{path.stem}"
                for suffix, content in (("png", path.read_bytes()), ("cls", path.parent.name.encode())):
                    member = tarfile.TarInfo(f"{name}.{suffix}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
    return folder


def spec(shards: Path) -> dict[str, Any]:
    """Return the study."""
    return {
        "name": scene.NAME,
        "data": str(shards),
        "seeds": 1,
        "audit": True,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {
            "pixels": {"backbone": "pixels", "strategy": "ridge"},
            "ridge": {"strategy": "ridge"},
            "knn": {"strategy": "knn"},
            "episodes": {
                "strategy": "protonet",
                "episodes": {
                    "ways": 2,
                    "shots": 1,
                    "queries": 2,
                    "episodes": 10,
                    "split": {"base": ["blue", "green"], "validation": ["grey", "red"], "novel": ["violet", "yellow"]},
                },
                "recipe": {"steps": 2},
            },
        },
        "halving": {"eta": 2, "rungs": 1, "runs": ["ridge", "knn"]},
    }


def run(shards: Path, place: Path) -> StudyFolder:
    """Plan the study and run it in `place`: its cache is in `cache`, its folder in `out`."""
    cache = place / "cache"
    with mock.patch.dict(os.environ, HEADSTART_CACHE=str(cache)):
        headstart.Study(spec(shards)).plan(place / "out", device="cpu")
        return run_study(load_study(spec(shards)), place / "out", store=Store(cache), device="cpu")
