"""A study of a network that is trained on darker images first, measured and explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.study.run import run_study
from headstart.study.spec.load import load_study

TRAIN = {"epochs": 1, "batch_size": 8}


@pytest.fixture
def study(pictures: Path, tmp_path: Path) -> dict[str, Any]:
    dark = tmp_path / "dark"
    for file in pictures.rglob("*.png"):
        place = dark / file.relative_to(pictures)
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(file)) // 3).save(place)
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


def run(study: dict[str, Any], out: Path, *overrides: str) -> Path:
    return run_study(load_study(study, overrides), out, device="cpu").root
