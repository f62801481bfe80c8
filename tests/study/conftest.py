"""Small pictures that a small network can tell apart, and studies of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from told import Told

from headstart.study.execution.session import Session
from headstart.study.run import begin, open_session
from headstart.study.spec.load import load_study

OpenStudy = Callable[..., Session]

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 70), "red": (210, 50, 40)}


def draw(folder: Path, per_class: int, seed: int = 0, size: int = 40) -> Path:
    generator = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            noise = generator.normal(0, 60, (size, size + 8, 3))
            pixels = np.clip(np.array(colour) * generator.uniform(0.6, 1.0) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.png")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return draw(tmp_path / "pictures", 14)


def small(pictures: Path) -> dict[str, object]:
    """Return a study of baselines, heads and trainings, eight runs in all."""
    return {
        "name": "small",
        "data": str(pictures),
        "seeds": 2,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {
            "pixels": {"backbone": "pixels", "strategy": "ridge"},
            "probe": {"strategy": {"each": ["ridge", "prototypes"]}},
            "tuned": {"strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8, "lr": {"grid": [0.01, 0.05]}}},
        },
    }


@pytest.fixture
def small_study(pictures: Path) -> dict[str, object]:
    return small(pictures)


@pytest.fixture
def open_study(pictures: Path, tmp_path: Path) -> OpenStudy:
    """Return a function that plans a study of small pictures and opens its folder, and runs nothing."""

    def opened(runs: dict[str, Any], **more: Any) -> Session:
        known = {"name": "small", "data": str(pictures), "seeds": 1, "audit": False}
        spec = {**known, "defaults": {"backbone": "lenet5", "weights": "none"}, "runs": runs, **more}
        session = open_session(load_study(spec), tmp_path / "out", device="cpu", listener=Told())
        begin(session)
        return session

    return opened
