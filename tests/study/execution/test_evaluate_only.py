"""Another run's network, evaluated only: if the class names agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import DataError, SpecError
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

TRAIN = {"epochs": 1, "batch_size": 8}


@pytest.fixture
def study(pictures: Path) -> dict[str, Any]:
    return {
        "name": "as it is",
        "data": {"source": str(pictures), "classes": ["blue", "red"]},
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": {
            "source": {"data": str(pictures), "strategy": "scratch", "recipe": TRAIN},
            "direct": {"weights": {"run": "source"}, "strategy": "as_is"},
        },
    }


def test_classes_that_the_network_knows_are_scored_and_the_others_left_out(
    study: dict[str, Any], tmp_path: Path
) -> None:
    root = run_study(load_study(study), tmp_path / "out", device="cpu").root
    folder = root / "runs" / "direct" / "seed-0"
    result = json.loads((folder / "result.json").read_text())
    assert result["parameters"]["learned"] == 0 and "evaluated only" in result["notes"][-1]
    with np.load(folder / "predictions.npz") as arrays:
        found, labels = arrays["test_probabilities"], arrays["test_labels"]
    assert found.shape == (len(labels), 2) and np.allclose(found.sum(1), 1)
    assert result["metrics"]["test"]["accuracy"]["value"] == pytest.approx((found.argmax(1) == labels).mean())


def test_a_network_that_knows_other_classes_is_refused_in_one_line_with_what_to_do(
    study: dict[str, Any], tmp_path: Path, pictures: Path
) -> None:
    for name in ("blue", "green", "red"):
        (pictures / name).rename(pictures / f"{name} bird")
    study["data"] = str(pictures)
    other = tmp_path / "other"
    for name in ("cat", "dog"):
        (other / name).mkdir(parents=True)
        for number, file in enumerate(sorted((pictures / "blue bird").iterdir())):
            (other / name / f"{number}.png").write_bytes(file.read_bytes() + name.encode())
    study["runs"]["source"]["data"] = str(other)
    with pytest.raises(DataError) as told:
        run_study(load_study(study), tmp_path / "out", device="cpu")
    said = str(told.value)
    assert said.startswith("run 'direct' ('source' on pictures): the model cannot be scored here: 3 of")
    assert "'blue bird'" in said and "it knows 2 ('cat', 'dog')" in said and "Train a new head" in said
    assert "\n" not in said and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weights": "none"}, "as_is' evaluates another run's network"),
        ({"recipe": {"epochs": 2}}, "learns nothing and chooses nothing"),
        ({"backbone": "small_cnn"}, "which is a lenet5; set backbone: lenet5"),
    ],
)
def test_what_makes_no_sense_is_refused(
    study: dict[str, Any], tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    study["runs"]["direct"] |= change
    with pytest.raises(SpecError, match=says):
        run_study(load_study(study), tmp_path / "out", device="cpu")
