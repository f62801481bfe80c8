from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart import measure_drift
from headstart.errors import DataError, ModelError
from headstart.models.bundle import read_ensemble
from headstart.saved_models import evaluate_models
from headstart.study.analysis import best_model
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.study.unlabelled import DriftReport
from tests.study.conftest import draw
from tests.support.multispectral import BANDS, scene, write_folder, write_tiff

SPLIT = {"validation": 0.4, "test": 0.3}


def study_of(place: Path, runs: dict[str, Any], **more: Any) -> Path:
    spec = {"name": "checked", "seeds": 1, "audit": False, "explain": {"mistakes": 0}, "runs": runs, **more}
    spec |= {"data": {"source": str(draw(place / "pictures", 40)), "split": SPLIT}}
    spec |= {"defaults": {"backbone": "lenet5", "weights": "none"}}
    return run_study(load_study(spec), place / "out", device="cpu").root


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unlabelled")


@pytest.fixture(scope="module")
def study(place: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(place / "cache"))
        return study_of(place, {"ridge": {"strategy": "ridge"}})


@pytest.fixture(autouse=True)
def one_cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(place / "cache"))


def flat(season: Path, to: Path, light: float = 1.0, classes: tuple[str, ...] = ("blue", "green", "red")) -> Path:
    """Put the pictures of a season into one folder, perhaps darker."""
    to.mkdir()
    for name in classes:
        for file in sorted((season / name).iterdir()):
            pixels = np.asarray(Image.open(file)) * light
            Image.fromarray(pixels.astype(np.uint8)).save(to / f"{name}-{file.name}")
    return to


@pytest.fixture
def season(tmp_path: Path) -> Path:
    return draw(tmp_path / "season", 15, seed=9)


def measured(study: Path, images: Path, tmp_path: Path) -> DriftReport:
    return measure_drift(study, images, tmp_path / "out", device="cpu", command="headstart evaluate …")


def test_new_pictures_of_the_same_kind_are_not_reported(study: Path, season: Path, tmp_path: Path) -> None:
    found = measured(study, flat(season, tmp_path / "new"), tmp_path)
    assert not found.drift.compared.found and found.images == 45 and found.notes == ()
    assert (found.drift.compared.held_out, found.drift.compared.new) == (34, 45)
    assert found.report.is_file() and found.report.parent == found.folder
    assert "Are the images of new like those of checked?" in found.report.read_text(encoding="utf-8")


def test_darker_ones_without_red_are_and_what_changed_is_named(study: Path, season: Path, tmp_path: Path) -> None:
    found = measured(study, flat(season, tmp_path / "new", light=0.5, classes=("blue", "green")), tmp_path)
    changed = {each.what for each in found.drift.compared.changes if each.found}
    assert {"brightness", "predicted classes"} <= changed
    said = found.to_dict()
    assert said["labels"] is False and said["n"] == 30 and json.dumps(said)
    assert [each["image"] for each in said["least_familiar"]] == [name for name, _ in found.least]
    facts = json.loads((found.folder / "drift.json").read_text())
    assert [each["name"] for each in facts["models"][0]["least"]] == [name for name, _ in found.least]
    assert facts["models"][0]["drift"] == said["drift"] and facts["command"] == "headstart evaluate …"


def test_what_the_model_learned_from_and_what_is_no_image_is_left_out(
    study: Path, place: Path, season: Path, tmp_path: Path
) -> None:
    images = flat(season, tmp_path / "new")
    for name in ("blue", "red"):
        for number in range(40):
            shutil.copy(place / "pictures" / name / f"{number:03d}.png", images / f"own-{name}-{number}.png")
    (images / "broken.png").write_bytes(b"no picture")
    found = measured(study, images, tmp_path)
    learned, unusable = found.notes[::-1]
    count = int(learned.split()[2])
    assert learned.endswith("images that the model was fitted or chosen on") and found.images == 45 + 80 - count
    assert 40 < count < 80 and unusable.startswith("left out: 1 unusable, such as broken.png: ")
    shutil.rmtree(images)
    images.mkdir()
    rows = np.load(next(study.glob("runs/*/seed-0")) / "split.npz")["train"]
    own = sorted((place / "pictures").rglob("*.png"))
    shutil.copy(own[rows[0]], images / "own.png")
    with pytest.raises(
        DataError, match="no image is left to measure drift on; left out: 1 images that the model was fitted"
    ):
        measured(study, images, tmp_path)


def test_with_labels_the_same_is_measured_beside_the_accuracy(study: Path, season: Path, tmp_path: Path) -> None:
    found = evaluate_models(study, season, tmp_path / "out", device="cpu")
    alone = measured(study, flat(season, tmp_path / "new"), tmp_path)
    (model,) = found.models
    assert model.drift is not None and model.no_drift == ""
    assert model.drift.to_dict() == alone.drift.to_dict()
    page = found.report.read_text(encoding="utf-8")
    assert 'id="drift"' in page and "No difference from the images that the model was checked on" in page
    run = evaluate_models(next(study.glob("runs/*/seed-0")), season, tmp_path / "out", device="cpu").models[0]
    assert run.drift is None and "holds no images to compare new ones with" in run.no_drift
    few = evaluate_models(study, draw(tmp_path / "few", 2, seed=4), tmp_path / "out", device="cpu").models[0]
    assert few.drift is None and few.no_drift.startswith("6 new images are too few")


def test_an_ensemble_is_judged_by_its_first_network(
    season: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best_model, "choose", lambda found, ensembles, metric: ("a+b", "the test"))
    runs = {"a": {"strategy": "ridge"}, "b": {"strategy": "knn"}}
    root = study_of(tmp_path / "two", runs, ensembles={"a+b": ["a", "b"]})
    assert len(read_ensemble(root).members) == 2
    found = measured(root, flat(season, tmp_path / "new"), tmp_path)
    assert found.drift.compared.held_out == 34 and len(found.least) == 24


def test_a_model_without_held_out_images_is_refused_with_the_reason(study: Path, season: Path, tmp_path: Path) -> None:
    run = next(study.glob("runs/*/seed-0"))
    with pytest.raises(ModelError, match="holds no images to compare new ones with"):
        measured(run, flat(season, tmp_path / "new"), tmp_path)


def test_a_model_of_many_bands_reads_its_bands_of_images_without_labels(place: Path, tmp_path: Path) -> None:
    """Scenes of the same kind, and noise; a file that has three bands is left out."""
    data = {"source": str(write_folder(place / "scenes", 40)), "split": SPLIT, "bands": ["B04", "B08", "B11"]}
    runs = {"ridge": {"backbone": "lenet5", "weights": "none", "strategy": "ridge"}}
    spec = {"name": "banded", "seeds": 1, "audit": False, "explain": {"mistakes": 0}, "runs": runs, "data": data}
    study = run_study(load_study(spec), place / "out", device="cpu").root
    generator = np.random.default_rng(0)
    for folder in ("same", "noise"):
        (tmp_path / folder).mkdir()
        for number in range(30):
            drawn = generator.integers(0, 9000, (24, 24, 13)).astype(np.uint16)
            numbers = scene(number % 3, 100 + number) if folder == "same" else drawn
            write_tiff(tmp_path / folder / f"{number}.tif", numbers, BANDS)
    Image.new("RGB", (24, 24)).save(tmp_path / "same" / "picture.png")
    same, noise = (measured(study, tmp_path / folder, tmp_path) for folder in ("same", "noise"))
    assert (same.images, noise.images) == (30, 30)
    assert [note for note in same.notes if "picture.png" in note]
    assert same.drift.compared.p > 0.05 >= noise.drift.compared.p
    assert noise.report.is_file()
