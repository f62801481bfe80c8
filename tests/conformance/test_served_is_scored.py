"""The model that is served is the model that was scored: predict gives the probabilities in predictions.npz."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from told import Told

from headstart.deploy.classifier import Classifier
from headstart.evaluate.metrics.multilabel import THRESHOLD
from headstart.storage.names import folder_name
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.study.spec.schema import AS_IS, EPISODIC, STRATEGIES

pytestmark = pytest.mark.long

COLOURS = {"blue": (70, 80, 150), "green": (80, 140, 90), "red": (150, 85, 80)}
TRAINING = {"epochs": 1, "batch_size": 8, "lr": 0.02}
HEADS: dict[str, dict[str, Any]] = {
    **{kind: {"strategy": kind} for kind in ("logistic", "ridge", "prototypes", "knn", "majority")},
    "sgd": {"strategy": "sgd", "head": {"epochs": 2}},
    "linear probe": {"strategy": "linear_probe", "recipe": {"epochs": 2}},
    "pixels": {"backbone": "pixels", "strategy": "ridge", "input_size": 16},
    "truncated": {"strategy": "ridge", "truncate_at": "conv2"},
    "resized": {"strategy": "logistic", "resize": 40},
    "half": {"strategy": "logistic", "head": {"half": True}},
    "not refitted": {"strategy": "ridge", "refit": "none"},
}
TUNED: dict[str, dict[str, Any]] = {
    "scratch": {"strategy": "scratch"},
    "fine_tune": {"strategy": "fine_tune", "weights": {"run": "scratch"}},
    "gradual": {"strategy": "gradual", "weights": {"run": "scratch"}},
    "lora": {"strategy": "lora", "weights": {"run": "scratch"}},
    "norm_only": {"backbone": "small_cnn", "strategy": "norm_only", "weights": "none", "input_size": 32},
    "lp_ft": {"strategy": "lp_ft", "weights": {"run": "scratch"}},
    "distil": {"strategy": "distil", "teacher": "scratch"},
    "frozen prefix": {"strategy": "fine_tune", "freeze_until": "conv1"},
    "one stage": {"strategy": "fine_tune", "train_only": ["conv2"]},
    "truncated": {"strategy": "fine_tune", "truncate_at": "conv2"},
    "small_cnn": {"backbone": "small_cnn", "strategy": "scratch", "input_size": 32},  # averages over six views
    "flip": {"strategy": "scratch", "recipe": {**TRAINING, "tta": "flip"}},
    "chosen views": {"strategy": "scratch", "recipe": {**TRAINING, "tta": {"grid": ["none", "flip_translate"]}}},
    "whole images": {"strategy": "scratch", "recipe": {**TRAINING, "augment": ["random_crop"]}},
}
FAMILIES = (
    ("resnet18", 32),
    ("convnext_atto", 32),
    ("vit_tiny_patch16_224", 32),
    ("mobilenetv3_small_050", 32),
    ("torchvision/shufflenet_v2_x0_5", 32),
    ("conv4", 32),
)


def picture(colour: tuple[int, ...], draw: np.random.Generator) -> Image.Image:
    noise = draw.normal(0, 70, (44, 52, 3))
    noise[:, :26] *= 0.5  # an image and its mirror image differ
    return Image.fromarray(np.clip(np.array(colour) * draw.uniform(0.6, 1.2) + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            picture(colour, draw).save(tmp_path / "pictures" / name / f"{number:03d}.png")
    return tmp_path / "pictures"


def executed(spec: dict[str, Any], out: Path) -> Path:
    told = Told()
    base = {"name": "served", "seeds": 1, "audit": False, "defaults": {"backbone": "lenet5", "weights": "none"}}
    root = run_study(load_study({**base, **spec}), out, device="cpu", listener=told).root
    assert told.broken == {}
    return root


def gap(folder: Path, files: list[Path], classifier: Classifier | None = None) -> float:
    """Return the largest difference between what is served and what was scored, on the test images."""
    with np.load(folder / "predictions.npz") as arrays:
        rows, scored = arrays["test_rows"], arrays["test_probabilities"]
    served = (classifier or Classifier.load(folder)).predict([files[row] for row in rows])
    return float(np.abs(np.stack([each.probabilities for each in served]) - scored).max())


def check(root: Path, pictures: Path, tolerance: float = 2e-5) -> None:
    files = sorted(pictures.rglob("*.png"))
    folders = sorted(path.parent for path in root.glob("runs/*/*/predictions.npz"))
    gaps = {folder.parent.name: gap(folder, files) for folder in folders}
    assert {name: value for name, value in gaps.items() if not value < tolerance} == {}
    kept = json.loads((root / "study.json").read_text())["best"]
    assert gap(root / kept["folder"], files, Classifier.load(root)) < tolerance


def test_no_strategy_is_left_out() -> None:
    tried = {settings["strategy"] for settings in (*HEADS.values(), *TUNED.values())} | {AS_IS}
    assert tried == set(STRATEGIES) - set(EPISODIC)  # those are scored in episodes


def test_heads(pictures: Path, tmp_path: Path) -> None:
    ensembles = {"averaged": ["logistic", "ridge", "pixels"]}
    check(executed({"data": str(pictures), "runs": HEADS, "ensembles": ensembles}, tmp_path / "out"), pictures)


def test_backbone_families(pictures: Path, tmp_path: Path) -> None:
    runs = {
        name.replace("/", " "): {"backbone": name, "input_size": size, "strategy": "ridge"} for name, size in FAMILIES
    }
    root = executed({"data": str(pictures), "runs": runs, "ensembles": {"all": list(runs)}}, tmp_path / "out")
    check(root, pictures, 1e-3)  # an engine computed the features, and eager PyTorch serves


def test_tuned_networks(pictures: Path, tmp_path: Path) -> None:
    runs = {name: {"recipe": TRAINING, **settings} for name, settings in TUNED.items()}
    ensembles = {"averaged": ["small_cnn", "flip", "fine_tune"]}
    root = executed({"data": str(pictures), "runs": runs, "ensembles": ensembles}, tmp_path / "out")
    check(root, pictures)
    folder = root / "runs" / "small_cnn" / "seed-0"
    assert Classifier.load(folder).bundle.tta == "flip_translate"
    folder = root / "runs" / folder_name("chosen views") / "seed-0"
    chosen = json.loads((folder / "result.json").read_text())["chosen"]
    assert Classifier.load(folder).bundle.tta == chosen["recipe.tta"]


def test_a_network_scored_as_it_is_on_fewer_classes(pictures: Path, tmp_path: Path) -> None:
    two = {"source": str(pictures), "classes": ["blue", "red"]}
    source = {"data": str(pictures), "backbone": "small_cnn", "strategy": "scratch", "recipe": TRAINING}
    direct = {"backbone": "small_cnn", "weights": {"run": "source"}, "strategy": "as_is"}
    root = executed({"data": two, "runs": {"source": source, "direct": direct}}, tmp_path / "out")
    files = sorted(file for name in ("blue", "red") for file in (pictures / name).iterdir())
    assert gap(root / "runs" / "direct" / "seed-0", files) < 2e-5
    assert Classifier.load(root / "runs" / "direct" / "seed-0").classes == ("blue", "red")
    assert gap(root / "runs" / "source" / "seed-0", sorted(pictures.rglob("*.png"))) < 2e-5


def test_several_labels_an_image(pictures: Path, tmp_path: Path) -> None:
    files = sorted(pictures.rglob("*.png"))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        for number, path in enumerate(files):
            labels = [path.parent.name, *(["even"] if number % 2 == 0 else [])]
            writer.writerow([path.relative_to(tmp_path), "|".join(labels)])
    runs: dict[str, Any] = {kind: {"strategy": kind} for kind in ("logistic", "ridge", "knn", "majority")}
    runs["tuned"] = {"strategy": "scratch", "recipe": {**TRAINING, "tta": "flip", "loss": "bce"}}
    spec = {"data": str(tmp_path / "labels.csv"), "runs": runs, "ensembles": {"both": ["logistic", "tuned"]}}
    root = executed(spec, tmp_path / "out")
    check(root, pictures)
    folder = root / "runs" / "knn" / "seed-0"
    with np.load(folder / "predictions.npz") as arrays:
        rows, scored = arrays["test_rows"], arrays["test_probabilities"]
    classifier = Classifier.load(folder)
    expected = ["|".join(np.array(classifier.classes)[row > THRESHOLD]) for row in scored]
    assert [each.label for each in classifier.predict([files[row] for row in rows])] == expected
    assert classifier.bundle.threshold == THRESHOLD
