"""What is passed on and put together; studies that are really evaluated and updated are in tests/study."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from exported_models import linear, neighbours

import headstart
from headstart import saved_models
from headstart.api import Study
from headstart.deploy.classifier import Classifier
from headstart.errors import ModelError, SpecError
from headstart.explain.compare import Subject, explain_pictures
from headstart.report.render import html
from headstart.saved_models import Updated, evaluate_models, explain_images, update_study
from headstart.storage.presence import since
from headstart.study import evaluation
from headstart.study.results.folder import StudyFolder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect what would be evaluated, and which report would be written."""
    found: list[Any] = []

    def evaluate(places: Any, source: Any, out: Any, **options: Any) -> Any:
        found.append((places, source.source, source.label, out, options))
        return SimpleNamespace(folder=SimpleNamespace(root="root"), report="report")

    monkeypatch.setattr(evaluation, "evaluate_models", evaluate)
    monkeypatch.setattr(html, "write_html", lambda folder, report: found.append(("report", folder, report)))
    return found


def test_the_cache_is_in_use_while_models_are_evaluated_and_updated(
    monkeypatch: pytest.MonkeyPatch, own_store: Path
) -> None:
    class Reached(Exception):
        pass

    def reached(*_: Any, **__: Any) -> None:
        assert since(own_store) is not None
        raise Reached

    monkeypatch.setattr(evaluation, "check_request", reached)
    monkeypatch.setattr(saved_models, "prepare_update", reached)
    for call in (lambda: evaluate_models("model", "photos"), lambda: update_study("study", "photos")):
        with pytest.raises(Reached):
            call()
        assert since(own_store) is None


def test_one_model_or_several_are_evaluated_and_the_report_is_written(asked: list[Any]) -> None:
    evaluate_models("model", "photos", "out", label="l", part="test", metric="f1_macro", device="cpu", command="c")
    options = {"part": "test", "metric": "f1_macro", "baseline": 0, "device": "cpu", "command": "c"}
    assert asked == [(["model"], "photos", "l", "out", options), ("report", "root", "report")]
    asked.clear()
    evaluate_models([Path("a"), "b"], Path("photos"))
    places, source, *_ = asked[0]
    assert (places, source) == ([Path("a"), "b"], "photos")


@pytest.mark.parametrize("same", [True, False])
def test_an_update_is_compared_with_the_former_model_where_it_knows_all_classes(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, same: bool
) -> None:
    spec = {"name": "s", "data": {"source": "all photos"}, "runs": {"r": {"strategy": "ridge"}}}
    prepared = SimpleNamespace(
        study=spec, new={"train": 3, "test": 1}, notes=("a note",), former=SimpleNamespace(metric="f1_macro")
    )
    wanted: list[Any] = []
    monkeypatch.setattr(
        saved_models, "prepare_update", lambda study, data, **how: wanted.append((study, data, how)) or prepared
    )
    classes = ("x", "y") if same else ("x", "y", "z")
    results = SimpleNamespace(
        folder=tmp_path / "new", refitted=None, classifier=lambda: SimpleNamespace(classes=classes[::-1])
    )
    monkeypatch.setattr(StudyFolder, "read_study", lambda self: {})
    monkeypatch.setattr(Study, "run", lambda self, out, **how: wanted.append((self.study.spec.name, out)) or results)
    former = SimpleNamespace(load=lambda place: SimpleNamespace(classes=("x", "y")))
    monkeypatch.setattr(saved_models, "Classifier", former)
    found = update_study(tmp_path / "old", "more photos", "out", label="l", device="cpu")
    assert wanted == [(tmp_path / "old", "more photos", {"label": "l", "refit": None, "device": "cpu"}), ("s", "out")]
    assert found.results is results and (found.new, found.notes) == ({"train": 3, "test": 1}, ("a note",))
    if not same:
        assert found.evaluation is None and asked == []
        return
    places, source, label, out, options = asked[0]
    assert places == [tmp_path / "new", tmp_path / "old"] and (source, label, out) == ("all photos", None, "out")
    assert {key: options[key] for key in ("part", "metric", "baseline")} == {
        "part": "test",
        "metric": "f1_macro",
        "baseline": 1,
    }
    assert found.evaluation is not None


def test_a_model_is_explained_as_its_network_is(tmp_path: Path) -> None:
    classifier = Classifier(linear())
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = explain_images(classifier, [pixels, pixels[::-1]], target="bee")
    assert list(found.maps) == ["grad_cam"]  # by default
    predicted = [each.probabilities for each in classifier.predict([pixels, pixels[::-1]])]
    assert np.allclose(found.probabilities, predicted, atol=1e-6)
    subject = Subject("this model", classifier.bundle.network, classifier.classes)
    (own,) = explain_pictures([subject], [pixels, pixels[::-1]], ["grad_cam"], targets=["bee", "bee"])
    assert (found.maps["grad_cam"] == own.maps["grad_cam"]).all() and found.targets.tolist() == [1, 1]
    saved = explain_images(classifier.save(tmp_path / "insects.safetensors"), pixels, target="bee")
    assert saved.subject.title == "insects.safetensors"
    assert np.allclose(saved.maps["grad_cam"][0], own.maps["grad_cam"][0], atol=1e-6)
    assert headstart.explain_images is explain_images
    with pytest.raises(SpecError, match="did you mean 'bee'"):
        explain_images(classifier, pixels, target="be")


def test_a_model_of_nearest_neighbours_is_explained_by_lime_unless_told_otherwise() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert list(explain_images(Classifier(neighbours()), pixels).maps) == ["lime"]
    with pytest.raises(ModelError, match=r"nearest neighbours \(knn\) has none; use lime or occlusion"):
        explain_images(Classifier(neighbours()), pixels, ["grad_cam"])


def test_an_update_shows_its_study_and_how_the_models_compare() -> None:
    shown: Any = [SimpleNamespace(_repr_html_=lambda text=text: text) for text in ("<p>study", "<p>models")]
    assert Updated(*shown, {}, ())._repr_html_() == "<p>study<p>models"
    assert Updated(shown[0], None, {}, ())._repr_html_() == "<p>study"
