from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from headstart.data.dataset import Dataset, Split
from headstart.data.sources.in_memory import PictureReader
from headstart.evaluate.metrics.calibration import apply_temperature, fit_temperature
from headstart.models.bundle import HEAD, MODEL
from headstart.storage.store import Store
from headstart.study.results import run_record
from headstart.study.results.folder import StudyFolder
from headstart.study.results.run_record import (
    KIND,
    Fit,
    described,
    judged,
    load_fit,
    result_files,
    save_fit,
    write_failure,
    write_result,
)
from headstart.study.spec.load import load_study
from headstart.study.task import Task

LABELS = np.array([0, 1, 0, 1, 0, 1, 1, 0])
SPLIT = Split(np.array([0, 1]), np.array([2, 3, 4]), np.array([5, 6, 7]), "by hand", 0, ("a note of the split",))
VALIDATION = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]], np.float32)  # the second is wrong
TEST = np.array([[0.2, 0.8], [0.7, 0.3], [0.9, 0.1]], np.float32)  # the second is wrong
WEIGHTS = {"origin": "here", "sha256": None, "licence": None}


def dataset(labels: np.ndarray = LABELS, classes: tuple[str, ...] = ("x", "y")) -> Dataset:
    return Dataset("d", PictureReader(np.zeros((8, 2, 2, 3), np.uint8)), labels, classes, fingerprint="f" * 32)


def judge(fit: Fit, data: Dataset, split: Split = SPLIT, test: np.ndarray = TEST) -> tuple[dict[str, Any], Any]:
    return judged(fit, data, split, test, weights=WEIGHTS, shared={"seconds": 3.0, "engine": "onnx"}, device="cpu")


def test_test_probabilities_are_calibrated_on_validation() -> None:
    result, predictions = judge(Fit(validation=VALIDATION, notes=["a note of the fit"], seconds=2.0), dataset())
    temperature = fit_temperature(LABELS[SPLIT.validation], VALIDATION)
    assert result["temperature"] == pytest.approx(temperature) and temperature != 1
    assert np.allclose(predictions["test_probabilities"], apply_temperature(TEST, temperature))
    assert np.allclose(predictions["validation_probabilities"], apply_temperature(VALIDATION, temperature))
    scores = {part: result["metrics"][part]["accuracy"]["value"] for part in ("test", "validation")}
    assert scores == pytest.approx({"test": 2 / 3, "validation": 2 / 3})
    assert result["notes"] == ["a note of the split", "a note of the fit"]
    assert (result["n_train"], result["n_validation"], result["n_test"]) == (2, 3, 3)
    assert result["cost"]["seconds"] == 2.0 and result["cost"]["shared_seconds"] == 3.0
    assert predictions["test_labels"].tolist() == [1, 1, 0] and predictions["validation_rows"].tolist() == [2, 3, 4]


@pytest.mark.parametrize("case", ["no probabilities", "no validation part"])
def test_without_validation_nothing_is_calibrated(case: str) -> None:
    nothing = np.array([], dtype=np.int64)
    split = SPLIT if case == "no probabilities" else Split(SPLIT.train, nothing, SPLIT.test, "by hand", 0)
    fit = Fit(validation=None if case == "no probabilities" else np.zeros((0, 2), np.float32))
    result, predictions = judge(fit, dataset(), split)
    assert result["temperature"] == 1.0 and result["metrics"]["validation"] == {}
    assert np.array_equal(predictions["test_probabilities"], TEST)


def test_several_labels_are_scored_and_not_calibrated() -> None:
    many = np.stack([LABELS == 0, np.ones(8, dtype=bool)], axis=1)
    result, predictions = judge(Fit(validation=VALIDATION), dataset(many))
    assert result["temperature"] == 1.0 and np.array_equal(predictions["test_probabilities"], TEST)
    assert np.array_equal(predictions["validation_probabilities"], VALIDATION)
    assert result["metrics"]["validation"] != {}


def test_classes_that_were_never_seen_are_noted() -> None:
    classes = tuple("abcdefg")
    unseen = dataset(np.array([0, 1, 0, 1, 0, 4, 1, 6]), classes)
    assert run_record._never_seen(unseen, SPLIT) == ["2 classes are tested but have no training image: e, g"]
    assert run_record._never_seen(dataset(), SPLIT) == []
    rows = np.arange(8)
    split = Split(rows[:1], rows[:0], rows[1:], "by hand", 0)
    labels = np.array([6, 0, 1, 2, 3, 4, 5, 6])
    (note,) = run_record._never_seen(dataset(labels, classes), split)
    assert note == "6 classes are tested but have no training image: a, b, c, d, e, …"
    assert run_record._never_seen(dataset(np.eye(7, dtype=bool)[labels], classes), split) == [note]


FIT = Fit(
    chosen={"penalty": 0.1},
    tried=[{"penalty": 0.1, "validation_accuracy": 0.5}],
    notes=["note"],
    history=[{"epoch": 0}],
    validation=VALIDATION,
    learned=3,
    total=30,
    seconds=1.5,
    refit="none",
)


@pytest.mark.parametrize(("whole", "name"), [(True, MODEL), (False, HEAD)])
def test_a_fit_is_read_as_it_was_saved(tmp_path: Path, whole: bool, name: str) -> None:
    store, fit = Store(tmp_path / "store"), Fit(**{**FIT.__dict__, "whole": whole})
    (tmp_path / "network").write_bytes(b"network")
    with store.building(KIND, "key") as entry:
        assert entry is not None
        save_fit(entry.path, fit, tmp_path / "network")
    found = load_fit(store, "key")
    assert {k: v for k, v in found.__dict__.items() if k != "validation"} == {
        k: v for k, v in fit.__dict__.items() if k != "validation"
    }
    assert np.array_equal(found.validation, VALIDATION)  # type: ignore[arg-type]
    assert (store.path(KIND, "key") / name).read_bytes() == b"network"


def test_a_fit_without_validation_has_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "network").touch()
    with store.building(KIND, "key") as entry:
        save_fit(entry.path, Fit(), tmp_path / "network")  # type: ignore[union-attr]
    assert load_fit(store, "key") == Fit()


def task(**settings: Any) -> Task:
    study = load_study({"name": "s", "data": {"source": "photos", "name": "mine"}, "runs": {"r": settings}})
    return Task(study.runs[0], 4, "key", deterministic=True)


def test_the_settings_of_a_run_are_resolved() -> None:
    found = described(task(strategy="ridge", weights="none", fraction=0.5), dataset())
    assert (found["run"], found["seed"], found["deterministic"]) == ("r", 4, True)
    assert found["weights"] == {"name": "none"} and found["recipe"] == {} and found["strategy"] == "ridge"
    assert found["data"]["source"] == "photos" and found["data"]["fingerprint"] == "f" * 32
    assert found["data"]["name"] == "d"  # as the dataset is called, not as the study file calls it
    assert json.loads(json.dumps(found)) == found


def test_the_recipe_of_a_training_is_complete() -> None:
    recipe = described(task(strategy="scratch", recipe={"epochs": 7}), dataset())["recipe"]
    assert recipe["epochs"] == 7 and {"lr", "batch_size", "optimizer", "schedule"} <= recipe.keys()
    assert isinstance(recipe["lr"], float)
    assert described(task(strategy="scratch", recipe={"lr": "auto"}), dataset())["recipe"]["lr"] == "auto"


def test_a_failure_is_recorded_with_its_settings_and_history(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    write_failure(task(strategy="ridge"), folder, dataset(), "out of memory", [{"epoch": 0, "loss": float("nan")}])
    place = folder.run_folder("r", 4)
    assert folder.manifest("r", 4)["error"] == "out of memory"  # type: ignore[index]
    assert json.loads((place / "history.json").read_text()) == [{"epoch": 0, "loss": None}]
    assert json.loads((place / "spec.json").read_text())["run"] == "r" and not folder.has("r", 4, "key")


def test_a_result_is_a_run_folder_with_the_calibrated_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, str]] = []

    def copy(source: Path, target: Path, *, temperature: float, provenance: dict[str, str]) -> None:
        said.append(provenance)
        target.write_text(f"{source.name} at {temperature:.4f}")

    monkeypatch.setattr(run_record, "copy_with_temperature", copy)
    folder, store = StudyFolder(tmp_path / "study"), Store(tmp_path / "store")
    given: Any = {
        "weights": WEIGHTS,
        "shared": {},
        "device": "cpu",
        "dataset": dataset(),
        "split": SPLIT,
        "study": "birds",
    }
    result = write_result(task(strategy="ridge"), FIT, folder=folder, store=store, test=TEST, **given)
    place = folder.run_folder("r", 4)
    assert folder.has("r", 4, "key")
    assert (place / HEAD).read_text() == f"{HEAD} at {result['temperature']:.4f}"
    assert said == [{"study": "birds", "run": "r", "seed": "4", "dataset": dataset().name}]
    assert json.loads((place / "result.json").read_text())["chosen"] == {"penalty": 0.1}
    with np.load(place / "split.npz") as split, np.load(place / "predictions.npz") as predictions:
        assert split["validation"].tolist() == [2, 3, 4] and predictions["test_rows"].tolist() == [5, 6, 7]
    given["weights"] = {**WEIGHTS, "licence": "cc-by-nc-4.0"}
    write_result(task(strategy="ridge"), FIT, folder=StudyFolder(tmp_path / "other"), store=store, test=TEST, **given)
    assert said[1] == {**said[0], "licence": "cc-by-nc-4.0"}
    named = result_files(result, {}, FIT, SPLIT, "cpu")
    assert {path.name for path in place.iterdir()} == {*named, HEAD, "spec.json", "manifest.json"}
    assert SimpleNamespace(**json.loads(bytes(named["environment.json"]))).device == "cpu"  # type: ignore[arg-type]
