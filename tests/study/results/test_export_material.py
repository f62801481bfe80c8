from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.api import Study
from headstart.data.decoding.decode import decode
from headstart.models.bundle import read_ensemble
from headstart.study.results.export_material import material_of
from headstart.study.results.tested import run_folder
from tests.docs.readers_files import draw


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return the folder of a study of raw pixels, one of which is an ensemble."""
    photos = draw(tmp_path / "photos", classes=2, per_class=10, size=24)
    runs = {"ridge": {"strategy": "ridge"}, "means": {"strategy": "prototypes"}}
    spec = {
        "name": "flowers",
        "data": str(photos),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "pixels", "input_size": 8},
        "runs": runs,
        "ensembles": {"both": ["ridge", "means"]},
    }
    return Study(spec).run(tmp_path / "runs", report=False).folder


def test_a_studys_own_images_are_its_material(study: Path) -> None:
    run = study / "runs" / "ridge" / "seed-0"
    found = material_of(run, read_ensemble(run))
    with np.load(run / "predictions.npz") as arrays:
        np.testing.assert_array_equal(found.test.labels, arrays["test_labels"])
        scores = arrays["test_probabilities"]
    assert found.test.what == "the 4 test images of photos" and found.seen
    assert found.train is not None and found.validation is not None
    assert (found.train.count + found.validation.count, found.data["counts"]["test"]) == (16, 4)
    right = (scores.argmax(1) == found.test.labels).mean()
    assert found.results["accuracy"]["value"] == pytest.approx(right)
    first = decode(found.test.read(0))
    files = sorted((study.parent.parent / "photos").rglob("*.jpg"))
    assert sum(np.array_equal(first, decode(file)) for file in files) == 1


def test_a_model_is_looked_up_in_its_study_by_folder_or_file(study: Path, tmp_path: Path) -> None:
    kept = run_folder(study)
    assert kept is not None and kept.parent.parent == study / "runs" and kept == run_folder(study / "model.safetensors")
    assert run_folder(study / "runs" / "both" / "seed-0") == study / "runs" / "both" / "seed-0"
    assert material_of(study / "runs" / "both" / "seed-0", read_ensemble(study)).seen
    shutil.copy(study / "model.safetensors", tmp_path / "copy.safetensors")
    assert run_folder(tmp_path / "copy.safetensors") is None


def test_pictures_given_or_noise_take_the_place_of_images_that_are_gone(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = read_ensemble(study)
    some = material_of(study, model, most=3)
    assert (some.test.what, some.test.count) == ("3 of the 4 test images of photos", 3)
    given = material_of(study, model, tmp_path / "photos" / "lily", 5)
    assert given.test.count == 5 and given.test.labels is None and given.train is not None
    assert capsys.readouterr().err == ""
    picture = next((tmp_path / "photos").rglob("*.jpg"))
    Image.new("RGB", (24, 24)).save(picture)
    changed = material_of(study, model)
    assert changed.test.what == "16 pictures of random noise" and changed.train is None and changed.results
    said = capsys.readouterr().err
    assert "have changed since the study" in said and "checked on random noise only, not on pictures" in said
    shutil.rmtree(tmp_path / "photos")
    assert material_of(study, model).validation is None
    assert "the study's images cannot be read" in capsys.readouterr().err
