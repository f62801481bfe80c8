"""A study of a network that is trained on darker images first, measured and explained."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from tests.study.conftest import draw

TRAIN = {"epochs": 1, "batch_size": 8}


@dataclass(frozen=True)
class Finished:
    """The study after it ran: its file, its folder and its cache."""

    spec: dict[str, Any]
    root: Path
    cache: Path

    def changed(self) -> dict[str, Any]:
        """Return a copy of its file, for a test to change."""
        return copy.deepcopy(self.spec)


def make_study(place: Path) -> dict[str, Any]:
    """Draw pictures and darker ones in a folder; return the study of both."""
    pictures, dark = draw(place / "pictures", 14), place / "dark"
    for file in pictures.rglob("*.png"):
        darker = dark / file.relative_to(pictures)
        darker.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(file)) // 3).save(darker)
    return {
        "name": "alike",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {
            "source": {"data": str(dark), "strategy": "scratch", "recipe": TRAIN},
            "carried": {"weights": {"run": "source"}, "strategy": "ridge"},
            "random": {"strategy": "ridge"},
            "scratch": {"strategy": "scratch", "recipe": TRAIN},
            "pixels": {"backbone": "pixels", "strategy": "ridge"},
        },
        "similarity": {"sources": ["source"], "stages": [["source", "scratch"], ["source", "source"]], "images": 14},
        "explain": {"methods": ["occlusion"], "pairs": [["carried", "scratch"]], "images": 4},
    }


@pytest.fixture
def study(tmp_path: Path) -> dict[str, Any]:
    return make_study(tmp_path)


@pytest.fixture(scope="session")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run the study once for all tests of this folder."""
    place = tmp_path_factory.mktemp("alike")
    spec = make_study(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(place / "cache"))
        return Finished(spec, run(spec, place / "out"), place / "cache")


@pytest.fixture
def finished(ran_once: Finished, own_store: Path, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """Return the study that ran; a changed form of it finds what it shares in the cache."""
    monkeypatch.setenv("HEADSTART_CACHE", str(ran_once.cache))
    return ran_once


def run(study: dict[str, Any], out: Path, *overrides: str) -> Path:
    return run_study(load_study(study, overrides), out, device="cpu").root
