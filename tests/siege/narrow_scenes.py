"""Two studies of one stage each: an audit, and few-shot training. What they store is attacked more cheaply here."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from headstart.storage.store import Store
from headstart.study.results.folder import StudyFolder
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from tests.siege import scene, wide_scene

AUDIT_MOMENTS = {"the inspection": wide_scene.MOMENTS["the inspection"]}
EPISODE_MOMENTS = {"few-shot training": wide_scene.MOMENTS["few-shot training"]}

draw = partial(scene.draw, per_class=12, colours=wide_scene.COLOURS)


def audit(pictures: Path, place: Path) -> StudyFolder:
    """Audit the pictures, and fit one baseline on their pixels."""
    return _run(pictures, place, {"audit": True}, "pixels")


def episodes(pictures: Path, place: Path) -> StudyFolder:
    """Train on episodes."""
    return _run(pictures, place, {"audit": False}, "episodes")


def _run(pictures: Path, place: Path, how: dict[str, Any], run: str) -> StudyFolder:
    wide = wide_scene.spec(pictures)
    spec = {**wide, **how, "runs": {run: wide["runs"][run]}}
    del spec["halving"]
    cache = place / "cache"
    with mock.patch.dict(os.environ, HEADSTART_CACHE=str(cache)):
        return run_study(load_study(spec), place / "out", store=Store(cache), device="cpu")
