"""One run's trouble is that run's: it fails with its reason, and the study, its ranking and its report continue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

import headstart
from headstart.api import Results
from headstart.errors import DataError
from headstart.study.execution import head_runs
from headstart.transfer.heads.fit import fit_heads
from tests.study.conftest import draw

pytestmark = pytest.mark.long

BROKEN = "layer3.0.conv1.weight"
RESNET = {"backbone": "resnet18", "input_size": 32}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return draw(tmp_path / "pictures", 10)


@pytest.fixture
def manifest(pictures: Path, tmp_path: Path) -> Path:
    """Return a table in which each picture has two labels."""
    files = sorted(pictures.rglob("*.png"))
    rows = [f"{path},{path.parent.name}|{'odd' if number % 2 else 'even'}" for number, path in enumerate(files)]
    (tmp_path / "many.csv").write_text("\n".join(["path,label", *rows]))
    return tmp_path / "many.csv"


def run(data: Path, out: Path, **runs: Any) -> Results:
    always = {"pixels": {"backbone": "pixels", "strategy": "ridge"}}
    study = {"name": "s", "data": str(data), "seeds": 2, "audit": False, "runs": {**always, **runs}}
    study["defaults"] = {"backbone": "lenet5", "weights": "none"}
    return headstart.Study(study).run(out, device="cpu")


def outcome(results: Results) -> tuple[set[str], dict[str, str]]:
    """Return the runs that are ranked, and why the others failed."""
    assert results.report.is_file() and results.model.is_file()
    return {row["run"] for row in results.ranking()}, {row["run"]: row["why"] for row in results.failed()}


def checkpoint(place: Path, value: float) -> str:
    state = torchvision.models.resnet18(weights=None).state_dict()
    state[BROKEN][0, 0, 0, 0] = value
    torch.save(state, place)
    return str(place)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_checkpoint_of_values_that_are_no_numbers(pictures: Path, tmp_path: Path, value: float) -> None:
    path = checkpoint(tmp_path / "broken.pt", value)
    strategies = {"each": ["ridge", "logistic", "knn", "prototypes", "fine_tune"]}
    ranked, failed = outcome(
        run(pictures, tmp_path / "out", broken={**RESNET, "weights": {"path": path}, "strategy": strategies})
    )
    assert ranked == {"pixels"} and set(failed) == {f"broken · {name}" for name in strategies["each"]}
    assert all(
        why.startswith(f"the weights {path} cannot be used: ") and "conv1.weight holds NaN" in why
        for why in failed.values()
    )


def test_features_that_overflow(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = head_runs.Resources.features

    def overflow(self: Any, data: Any, network: Any, seed: int) -> np.ndarray:
        found = real(self, data, network, seed)
        return found if network.backbone == "pixels" else np.where(np.arange(len(found))[:, None] < 2, np.inf, found)

    monkeypatch.setattr(head_runs.Resources, "features", overflow)
    ranked, failed = outcome(run(pictures, tmp_path / "out", probe={"strategy": {"each": ["ridge", "knn"]}}))
    assert ranked == {"pixels"}
    assert (
        set(failed) == {"probe · ridge", "probe · knn"}
        and "features of 2 of 30 images by lenet5" in failed["probe · knn"]
    )


def test_a_head_that_diverges_to_probabilities_of_nan(pictures: Path, tmp_path: Path) -> None:
    ranked, failed = outcome(
        run(pictures, tmp_path / "out", good={"strategy": "ridge"}, wild={"strategy": "sgd", "recipe": {"lr": 1e30}})
    )
    assert ranked == {"pixels", "good"} and "diverged" in failed["wild"]


def test_one_seed_that_cannot_be_fitted_leaves_the_others(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(features: Any, labels: Any, jobs: Any, device: Any = "cpu") -> Any:
        if any(job.kind == "knn" and job.seed == 1 for job in jobs):
            raise DataError("this seed has no neighbours")
        return fit_heads(features, labels, jobs, device)

    monkeypatch.setattr(head_runs, "fit_heads", fit)
    results = run(pictures, tmp_path / "out", knn={"strategy": "knn"})
    assert [(row["run"], row["seed"], row["why"]) for row in results.failed()] == [
        ("knn", 1, "this seed has no neighbours")
    ]
    assert {row["run"]: row["seeds"] for row in results.ranking()} == {"pixels": 2, "knn": 1}


def test_more_images_in_a_batch_than_there_are(pictures: Path, tmp_path: Path) -> None:
    tuned = {"strategy": "scratch", "recipe": {"batch_size": 64, "epochs": 1}}
    ranked, failed = outcome(run(pictures, tmp_path / "out", tuned=tuned))
    assert ranked == {"pixels"}
    assert failed == {"tuned": "19 training images are fewer than one batch of 64; set batch_size: 19 or less"}


def test_labels_that_a_head_or_a_loss_cannot_take(manifest: Path, pictures: Path, tmp_path: Path) -> None:
    short = {"batch_size": 8, "epochs": 1}
    ranked, failed = outcome(
        run(
            manifest,
            tmp_path / "out",
            probe={"strategy": {"each": ["ridge", "prototypes"]}},
            one={"strategy": "scratch", "recipe": short},
            many={"strategy": "scratch", "recipe": {**short, "loss": "bce"}},
        )
    )
    assert ranked == {"pixels", "probe · ridge", "many"}
    assert failed == {
        "probe · prototypes": "prototypes takes one label per image, and these images have several;"
        " use logistic or ridge",
        "one": "images with several labels need recipe loss: bce",
    }
    wrong = {"strategy": "scratch", "recipe": {**short, "loss": "bce"}}
    _, failed = outcome(run(pictures, tmp_path / "other", many=wrong))
    assert failed == {"many": "recipe loss bce needs images with several labels; use cross_entropy"}
