from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.deploy.classifier import Classifier
from headstart.errors import DataError, ModelError, SpecError
from headstart.report.read.summary import load_summary
from headstart.saved_models import evaluate_models
from headstart.study.evaluation import Evaluation
from headstart.study.results.facts import read_facts
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from tests.study.conftest import draw


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study on three colours, with two runs and their ensemble."""
    place = tmp_path_factory.mktemp("evaluation")
    spec: dict[str, Any] = {
        "name": "colours",
        "data": str(draw(place / "pictures", 14)),
        "seeds": 1,
        "audit": False,
        "explain": {"mistakes": 0},
        "runs": {
            "ridge": {"backbone": "pixels", "strategy": "ridge", "input_size": 16},
            "near": {"backbone": "pixels", "strategy": "prototypes", "input_size": 8},
        },
        "ensembles": {"both": ["ridge", "near"]},
        "compare": {"metric": "log_loss"},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(place / "cache"))
        return run_study(load_study(spec), place / "out", device="cpu").root


@pytest.fixture
def season(tmp_path: Path) -> Path:
    """Return new pictures of the same three classes."""
    return draw(tmp_path / "season", 5, seed=9)


def evaluated(models: Any, data: Path, tmp_path: Path, **options: Any) -> Evaluation:
    return evaluate_models(models, data, tmp_path / "out", device="cpu", **options)


def runs_of(study: Path) -> dict[str, Path]:
    return {folder.parent.name: folder for folder in study.glob("runs/*/seed-0")}


def test_every_model_answers_as_predict_does(study: Path, season: Path, tmp_path: Path) -> None:
    runs = runs_of(study)
    found = evaluated([runs["ridge"], runs["near"], runs["both"]], season, tmp_path)
    files = [str(season / found.dataset.reader.name(row)) for row in range(len(found.dataset))]
    for name in ("ridge", "near", "both"):
        scored = np.load(found.folder.run_folder(name, 0) / "predictions.npz")
        served = Classifier.load(runs[name]).predict(files)
        assert np.abs(scored["test_probabilities"] - np.stack([p.probabilities for p in served])).max() < 2e-5
    right = [p.label == Path(p.name).parent.name for p in served]
    assert found.models[2].metrics["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert found.models[2].metrics["accuracy"]["n"] == 15


def test_the_change_is_against_the_model_s_own_test_images(study: Path, season: Path, tmp_path: Path) -> None:
    (model,) = evaluated(study, season, tmp_path).models
    assert model.own is not None and model.change is not None and model.own.metric == "log_loss"
    here, there = model.metrics["log_loss"]["value"], model.own.metrics["log_loss"]["value"]
    assert model.change.value == pytest.approx(here - there)
    assert model.change.low < model.change.value < model.change.high and model.shared == 0


def test_the_report_compares_the_models_on_the_same_images(study: Path, season: Path, tmp_path: Path) -> None:
    runs = runs_of(study)
    found = evaluated([runs["ridge"], runs["near"]], season, tmp_path, metric="accuracy")
    (board,) = load_summary(found.folder.root).boards
    for model in found.models:  # one interval for one measure, on the terminal and in the report
        own = model.metrics["accuracy"]
        row = board.row(model.name)
        assert (row["mean"], row["low"], row["high"]) == (pytest.approx(own["value"]), own["low"], own["high"])
    assert not any("picked as the best" in note for note in board.notes)
    gap = [model.metrics["accuracy"]["value"] for model in found.models]
    pair = board.pairwise[0]
    sign = 1 if pair["a"] == "ridge" else -1
    assert sign * pair["difference"] == pytest.approx(gap[0] - gap[1])
    said = load_summary(found.folder.root).to_dict()["findings"]
    assert "; 15 images)" in said and "training" not in said
    assert board.n == 15 and board.baseline == "ridge" and found.report.is_file()


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "there is no model to evaluate"),
        (["gone"], {"metric": "acuracy"}, "unknown metric 'acuracy'"),
        (["gone"], {"baseline": 1}, "baseline = 1: it must be the place of one of the 1 models"),
    ],
)
def test_an_impossible_request_is_refused_before_anything_is_read(
    models: list[str], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message):
        evaluated(models, tmp_path / "nowhere", tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_metric_of_several_labels_is_refused_for_one(study: Path, season: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="f1_micro is not defined for images with one label"):
        evaluated(study, season, tmp_path, metric="f1_micro")
    assert not (tmp_path / "out").exists()


def test_the_baseline_is_the_first_model_unless_another_is_named(study: Path, season: Path, tmp_path: Path) -> None:
    places = [runs_of(study)["ridge"], runs_of(study)["near"]]
    folder = evaluated(places, season, tmp_path, baseline=1).folder
    assert folder.read_study()["compare"] == {"metric": "log_loss", "baseline": "near"}


def test_images_that_the_model_learned_from_are_left_out(study: Path, tmp_path: Path) -> None:
    learned = study.parent.parent / "pictures"
    mixed = tmp_path / "mixed"
    shutil.copytree(learned, mixed)
    found = evaluated(study, mixed, tmp_path)
    own = found.models[0].own
    assert own is not None and len(found.dataset) == len(own.test) == 42 - len(own.learned)
    assert found.notes[0] == f"left out: {len(own.learned)} images that the model was fitted or chosen on"
    assert found.models[0].metrics["log_loss"]["value"] == pytest.approx(own.metrics["log_loss"]["value"], abs=1e-6)
    assert found.models[0].shared == len(own.test) and found.models[0].change is None
    kept = read_facts(found.folder.root / "evaluation.json")
    assert kept["notes"] == list(found.notes) and kept["models"] == [found.models[0].beside_own("log_loss")]
    page = found.report.read_text(encoding="utf-8")
    assert f"these are its own {len(own.test)} test images" in page
    assert f"Left out: {len(own.learned)} images that the model was fitted or chosen on." in page


def test_a_file_outside_of_its_study_has_no_score_of_its_own(study: Path, season: Path, tmp_path: Path) -> None:
    shutil.copy(study / "model.safetensors", tmp_path / "model.safetensors")
    (model,) = evaluated(tmp_path / "model.safetensors", season, tmp_path).models
    assert model.own is None and model.change is None and model.name == "model.safetensors"


def test_classes_that_the_model_does_not_know_are_named_and_left_out(study: Path, season: Path, tmp_path: Path) -> None:
    shutil.copytree(season / "red", season / "violet")
    shutil.rmtree(season / "blue")
    found = evaluated(study, season, tmp_path)
    assert found.notes == (
        "left out: 5 images of classes that the model does not know: 'violet'",
        "known to the model, but without an image here: 'blue'",
    )
    assert found.dataset.classes == ("blue", "green", "red") and len(found.dataset) == 10
    assert found.models[0].metrics["n"] == 10


def test_what_cannot_be_scored_is_refused(study: Path, season: Path, tmp_path: Path) -> None:
    runs = runs_of(study)
    foreign = tmp_path / "foreign"
    for name in ("violet", "yellow"):
        shutil.copytree(season / "red", foreign / name)
    with pytest.raises(DataError, match=r"no image to score; left out: 10 images .* know: 'violet', 'yellow'"):
        evaluated(study, foreign, tmp_path)
    with pytest.raises(DataError, match="comes without a split"):
        evaluated(study, season, tmp_path, part="test")
    with pytest.raises(ModelError, match="given twice"):
        evaluated([runs["ridge"], runs["ridge"]], season, tmp_path)


def test_only_one_part_of_the_data_s_own_split_is_scored(study: Path, season: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        shutil.copytree(season, tmp_path / "parted" / part)
        season = draw(tmp_path / "other", 2, seed=11)
    found = evaluated(study, tmp_path / "parted", tmp_path, part="test")
    assert len(found.dataset) == 6


def test_images_that_cannot_be_decoded_are_left_out_and_named(study: Path, season: Path, tmp_path: Path) -> None:
    broken = season / "red" / "000.png"
    broken.write_bytes(broken.read_bytes()[:200])
    found = evaluated(study, season, tmp_path)
    assert found.models[0].metrics["n"] == 14
    assert any("000.png" in note for note in found.notes)
