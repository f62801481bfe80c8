from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.deploy.classifier import Classifier
from headstart.errors import SpecError
from headstart.evaluate.uncertainty.answers import ONE_OF, SURE, UNKNOWN, AnswerOptions
from headstart.models.backbone import Backbone
from headstart.models.bundle import read_ensemble
from headstart.models.weights.registry import Weights
from headstart.study.analysis import best_model
from headstart.study.analysis.uncertainty import FACTS, PART, source_head
from headstart.study.resources import Loaded
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from tests.study.conftest import draw

SPLIT = {"validation": 0.4, "test": 0.3}


def study_of(place: Path, runs: dict[str, Any], **more: Any) -> Path:
    data = {"source": str(draw(place / "pictures", 40)), "split": {**SPLIT, **more.pop("split", {})}}
    spec = {"name": "unsure", "data": data, "seeds": 1, "audit": False, **more}
    spec |= {"defaults": {"backbone": "lenet5", "weights": "none"}, "runs": runs}
    return run_study(load_study(spec), place / "out", device="cpu").root


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    costs = {"ask": 0.2, "confusions": {"red": {"blue": 10}}}
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("unsure")
        patch.setenv("HEADSTART_CACHE", str(place / "cache"))
        return study_of(place, {"ridge": {"strategy": "ridge"}}, costs=costs)


def facts_of(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / FACTS).read_text())
    return found


def test_the_study_s_model_says_how_sure_it_is(finished: Path) -> None:
    classifier = Classifier.load(finished)
    own = classifier.judge
    assert own is not None and len(own.uncertainty.held_out) == 34 and own.uncertainty.score
    (picture,) = classifier.predict(finished.parent.parent / "pictures" / "red" / "000.png")
    assert picture.answer in (SURE, ONE_OF, UNKNOWN) and picture.label in picture.set
    assert picture.familiarity is not None and 0 < picture.familiarity <= 1
    assert picture.decision in (*classifier.classes, "ask") and not picture.withheld


def test_noise_is_not_familiar(finished: Path) -> None:
    """The pictures are of one colour each; noise is of none."""
    noise = [np.random.default_rng(k).integers(0, 256, (40, 48, 3), np.uint8) for k in range(10)]
    found = Classifier.load(finished).predict(noise)
    assert sum(each.answer == UNKNOWN for each in found) >= 8
    assert all(each.familiarity is not None and each.familiarity <= 0.05 for each in found if each.answer == UNKNOWN)


def test_the_probabilities_are_those_of_the_model_without_it(finished: Path) -> None:
    best = json.loads((finished / "study.json").read_text())["best"]["folder"]
    plain, own = Classifier.load(finished / best), Classifier.load(finished)
    assert plain.judge is None and read_ensemble(finished / best, agreed=True).uncertainty is None
    image = Image.open(finished.parent.parent / "pictures" / "blue" / "001.png")
    first, second = plain.predict(image)[0], own.predict(image)[0]
    assert np.array_equal(first.probabilities, second.probabilities) and first.answer == "" and first.set == ()


def test_what_is_measured_on_the_test_images_is_what_the_model_does(finished: Path) -> None:
    facts, classifier = facts_of(finished), Classifier.load(finished)
    best = finished / json.loads((finished / "study.json").read_text())["best"]["folder"]
    said = np.load(best / "predictions.npz")
    items = sorted((finished.parent.parent / "pictures").rglob("*.png"))
    found = classifier.predict([items[row] for row in said["test_rows"]])
    labels = [items[row].parent.name for row in said["test_rows"]]
    assert facts["test"] == len(found) == 36 and facts["held_out"] == 34
    (plain,) = [row for row in facts["sets"] if row["kind"] == "lac" and not row["by_class"]]
    covered = sum(label in each.set for label, each in zip(labels, found, strict=True))
    assert plain["coverage"]["value"] == pytest.approx(covered / 36)
    assert plain["size"] == pytest.approx(np.mean([len(each.set) for each in found]))
    counts = {row["kind"]: row["n"] for row in facts["answers"]}
    assert counts == {kind: sum(each.answer == kind for each in found) for kind in (SURE, ONE_OF, UNKNOWN)}
    rejected = facts["familiarity"]["rejected"]["value"] * 36
    assert rejected == pytest.approx(sum(each.familiarity <= 0.05 for each in found if each.familiarity is not None))
    assert facts["costs"]["least_cost"]["value"] <= facts["costs"]["most_probable"]["value"] + 0.2
    assert facts["costs"]["asked"]["value"] * 36 == pytest.approx(sum(each.decision == "ask" for each in found))
    assert [row["needs"] for row in facts["promises"]] == [29, 59, 149, 299]
    assert all("guaranteed from 34" in row["why"] for row in facts["promises"][1:])


def test_a_run_again_keeps_what_was_calibrated(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(finished.parent.parent / "cache"))
    before = (finished / "model.safetensors").read_bytes()
    costs = {"ask": 0.2, "confusions": {"red": {"blue": 10}}}
    again = study_of(finished.parent.parent, {"ridge": {"strategy": "ridge"}}, costs=costs)
    assert again == finished and (again / "model.safetensors").read_bytes() == before


def test_an_accuracy_that_so_few_images_cannot_guarantee_is_refused(finished: Path) -> None:
    with pytest.raises(SpecError, match=r"0\.99 cannot be guaranteed from 34 held-out images: that takes 299"):
        Classifier.load(finished, asked=AnswerOptions(at_least=0.99))


def test_without_validation_images_nothing_is_guaranteed(tmp_path: Path) -> None:
    root = study_of(tmp_path, {"plain": {"strategy": "majority"}}, split={"validation": 0.0})
    assert not list(root.rglob(FACTS)) and not list(root.rglob(PART))


@pytest.mark.long
def test_a_tuned_network_and_an_ensemble_are_calibrated_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = {"strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8, "lr": {"grid": [0.01, 0.05]}}}
    root = study_of(tmp_path, {"tuned": tuned})
    facts = facts_of(root)
    assert facts["familiarity"]["score"] and any("look more familiar" in note for note in facts["notes"])
    tuned_part = read_ensemble(root).uncertainty
    assert tuned_part is not None and not any(name.startswith("sketch.") for name in tuned_part.tensors)
    monkeypatch.setattr(best_model, "choose", lambda found, ensembles, metric: ("a+b", "the test"))
    root = study_of(
        tmp_path / "e", {"a": {"strategy": "ridge"}, "b": {"strategy": "knn"}}, ensembles={"a+b": ["a", "b"]}
    )
    facts = facts_of(root)
    assert facts["run"] == "a+b" and any("the ensemble's first network, a." in note for note in facts["notes"])
    assert facts["familiarity"]["rejected"]["n"] == 36
    part = read_ensemble(root).uncertainty
    assert part is not None and len(part.tensors["sketch.predicted"]) == 34
    (found,) = Classifier.load(root).predict(np.zeros((40, 40, 3), np.uint8))
    assert found.answer and found.set and found.familiarity is not None


def test_costs_of_unknown_classes_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"costs: .*purple"):
        study_of(tmp_path, {"a": {"strategy": "ridge"}}, costs={"confusions": {"purple": {"red": 2}}})


def loaded_with(head: torch.nn.Module | None, sha256: str | None = "0" * 64) -> Loaded:
    backbone = Backbone("stub", {"pool": torch.nn.Flatten()}, feature_dim=4, classifier=head)
    return Loaded(backbone, Weights("somewhere", sha256, None, backbone.preprocessing), "stub")


def test_the_source_is_a_finite_linear_head_that_the_embeddings_fit_and_that_was_trained() -> None:
    plain = torch.nn.Linear(4, 1000, bias=False)
    found = source_head(loaded_with(plain), 4)
    assert found is not None and found.weight.shape == (1000, 4) and not found.bias.any()
    broken = torch.nn.Linear(4, 3)
    torch.nn.init.constant_(broken.bias, float("nan"))
    assert source_head(loaded_with(broken), 4) is None
    assert source_head(loaded_with(plain), 8) is None
    assert source_head(loaded_with(torch.nn.Linear(4, 1)), 4) is None
    assert source_head(loaded_with(torch.nn.Sequential(plain)), 4) is None
    assert source_head(loaded_with(None), 4) is None
    assert source_head(loaded_with(plain, sha256=None), 4) is None  # random weights
