"""How much of an image a network sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import SpecError
from headstart.models.bundle import read_bundle
from headstart.models.bundle_file import find_bundle
from headstart.storage.names import folder_name
from headstart.study.run import run_study
from headstart.study.spec.load import load_study


def study(pictures: Path, resizes: list[int]) -> dict[str, Any]:
    return {
        "name": "views",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none", "strategy": "ridge"},
        "runs": {f"at {resize}": {"resize": resize} for resize in resizes},
    }


def test_resize_changes_the_view_and_is_kept_in_the_network(pictures: Path, tmp_path: Path) -> None:
    root = run_study(load_study(study(pictures, [32, 40])), tmp_path / "out", device="cpu").root
    seen = {}
    for resize in (32, 40):
        folder = root / "runs" / folder_name(f"at {resize}") / "seed-0"
        needs = read_bundle(find_bundle(folder)).preprocessing
        assert (needs.size, needs.resize) == (32, resize)
        with np.load(folder / "predictions.npz") as kept:
            seen[resize] = kept["test_probabilities"]
    assert not np.array_equal(seen[32], seen[40])


def test_a_crop_larger_than_the_image_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="resize: 24 px is less than the network's 32 px"):
        run_study(load_study(study(pictures, [24])), tmp_path / "out", device="cpu")
