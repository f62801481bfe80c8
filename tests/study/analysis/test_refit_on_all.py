from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression, Ridge

from headstart.api import Results
from headstart.data.decoding.decode import decode
from headstart.deploy.classifier import Classifier
from headstart.deploy.export.facts import licence_of
from headstart.errors import RunFailed, SpecError
from headstart.models.bundle import MODEL, read_ensemble
from headstart.models.create import create_backbone
from headstart.models.preprocessing import as_tensor, normalise
from headstart.models.refitted import REFITTED, refitted_of
from headstart.report.read.conclusion import plain
from headstart.report.read.summary import load_summary
from headstart.saved_models import evaluate_models, update_study
from headstart.storage.files import read_json
from headstart.study.analysis import best_model, refit_on_all
from headstart.study.analysis.refit_on_all import INDEX
from headstart.study.comparison import compare_spec
from headstart.study.results.tested import find_tested
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.transfer.frozen.views import view_of
from tests.study.conftest import COLOURS, draw

Run = Callable[..., Path]
STANDARDISED = {"normalise": "standardise"}


@pytest.fixture
def run(pictures: Path, tmp_path: Path) -> Run:
    """Return a function that runs a study of 42 pictures, 8 of which are test images, and returns its folder."""

    def made(runs: dict[str, Any], **more: Any) -> Path:
        known = {"name": "small", "data": str(pictures), "seeds": 1, "audit": False, "refit": "all"}
        spec = {**known, "defaults": {"backbone": "lenet5", "weights": "none"}, "runs": runs, **more}
        return run_study(load_study(spec), tmp_path / "out", device="cpu").root

    return made


def scored(study: Path, run: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(study / "runs" / run / "seed-0" / "result.json")
    return found


@torch.inference_mode()
def features_of(model: Classifier, pictures: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of every picture by the model's network, and the classes."""
    files = sorted(pictures.rglob("*.png"))
    needs = model.bundle.preprocessing
    pixels = np.stack([decode(file.read_bytes(), view_of(needs)) for file in files])
    found = model.bundle.network.backbone(normalise(as_tensor(pixels), needs)).flatten(1)
    return found.double().numpy(), np.array([sorted(COLOURS).index(file.parent.name) for file in files])


@torch.inference_mode()
def test_the_delivered_ridge_head_is_scikit_learn_s_fit_on_all_pictures(run: Run, pictures: Path) -> None:
    study = run({"ridge": {"strategy": "ridge", "head": {**STANDARDISED, "temperature": 1.0}}})
    model, chosen = Classifier.load(study), scored(study, "ridge")["chosen"]
    wide, labels = features_of(model, pictures)
    assert len(wide) == 42
    standard = (wide - wide.mean(0)) / wide.std(0)
    theirs = Ridge(alpha=chosen["penalty"] * 42).fit(standard, np.eye(3)[labels]).predict(standard)
    ours = model.bundle.network.head(torch.from_numpy(wide).float()).numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    tested = Classifier.load(study / "runs" / "ridge" / "seed-0")
    other = tested.bundle.network.head(torch.from_numpy(wide).float()).numpy()
    assert np.abs(other - theirs).max() > 1e-3  # which has not learned from the test images


@torch.inference_mode()
def test_the_delivered_logistic_head_is_scikit_learn_s_fit_with_the_tested_temperature(
    run: Run, pictures: Path
) -> None:
    study = run({"logistic": {"strategy": "logistic", "head": STANDARDISED}})
    model, result = Classifier.load(study), scored(study, "logistic")
    wide, labels = features_of(model, pictures)
    standard = (wide - wide.mean(0)) / wide.std(0)
    theirs = LogisticRegression(C=1 / (result["chosen"]["penalty"] * 42), tol=1e-9, max_iter=5000)
    logits = theirs.fit(standard, labels).decision_function(standard) / result["temperature"]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = np.stack([each.probabilities for each in model.predict(sorted(pictures.rglob("*.png")))])
    assert np.abs(found - expected).max() < 2e-3
    assert model.bundle.temperature == result["temperature"]


def test_the_tested_run_keeps_its_model_and_scores(run: Run, tmp_path: Path) -> None:
    plain_study = run({"ridge": {"strategy": "ridge"}}, refit=None, name="plain")
    study = run({"ridge": {"strategy": "ridge"}})
    for name in ("result.json", "head.safetensors"):
        one, other = (place / "runs" / "ridge" / "seed-0" / name for place in (plain_study, study))
        if name == "result.json":
            assert read_json(one)["metrics"] == read_json(other)["metrics"]
        else:
            heads = [Classifier.load(each.parent).bundle.network.head.state_dict() for each in (one, other)]
            assert all(torch.equal(heads[0][key], heads[1][key]) for key in heads[0])
    assert refitted_of(Classifier.load(study / "runs" / "ridge" / "seed-0").bundle.provenance) is None


def test_what_is_delivered_names_the_licence_that_its_weights_name(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(create_backbone("lenet5", "none", seed=0)[0].state_dict(), file, metadata={"license": "cc-by-nc-4.0"})
    study = run({"ridge": {"strategy": "ridge", "weights": {"path": str(file)}}})
    for place in (study, study / "runs" / "ridge" / "seed-0"):
        assert licence_of(read_ensemble(place, agreed=True)) == "cc-by-nc-4.0"


def test_what_is_delivered_says_that_it_is_not_tested(run: Run) -> None:
    study = run({"ridge": {"strategy": "ridge"}, "floor": {"backbone": "pixels", "strategy": "majority"}})
    score = scored(study, "ridge")["metrics"]["test"]["accuracy"]
    found = refitted_of(Classifier.load(study).bundle.provenance)
    assert found is not None and (found["images"], found["run"], found["n_test"]) == (42, "ridge", score["n"])
    assert (found["value"], found["low"], found["high"]) == (score["value"], score["low"], score["high"])
    results = Results(study)
    assert results.refitted == found == results.to_dict()["refitted"]
    assert results.tested == study / "runs" / "ridge" / "seed-0"
    assert "refitted on all images, test images included" in results.kept
    said = plain(load_summary(study).findings)
    assert "all 42 labelled images" in said and "not tested" in said and f"accuracy {score['value']:.4f}" in said
    assert "has no prediction sets and guarantees no accuracy" in said


def test_an_ensemble_is_refitted_member_by_member_and_keeps_its_temperature(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"ridge": {"strategy": "ridge"}, "near": {"strategy": "prototypes"}}
    alone = {name: run({name: settings}, name=name) for name, settings in runs.items()}
    monkeypatch.setattr(best_model, "choose", lambda *given: ("both", "order of the test"))
    study = run(runs, ensembles={"both": ["ridge", "near"]}, name="together")
    assert read_json(study / "study.json")["best"]["run"] == "both"
    model = Classifier.load(study)
    assert model.ensemble.temperature == scored(study, "both")["temperature"]
    for name, member in zip(runs, model.ensemble.members, strict=True):
        own = Classifier.load(alone[name]).bundle
        mine, its = member.network.head.state_dict(), own.network.head.state_dict()
        assert all(torch.equal(mine[key], its[key]) for key in its), name
        assert refitted_of(member.provenance) is not None


def test_a_second_run_refits_nothing_unless_the_model_is_gone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    study = run({"ridge": {"strategy": "ridge"}})
    before, calls = (study / MODEL).read_bytes(), []
    fit = refit_on_all.fit_heads
    monkeypatch.setattr(refit_on_all, "fit_heads", lambda *given: calls.append(1) or fit(*given))
    assert run({"ridge": {"strategy": "ridge"}}) == study and not calls
    assert Results(study).refitted is not None and (study / MODEL).read_bytes() == before
    (study / MODEL).unlink()
    run({"ridge": {"strategy": "ridge"}})
    assert calls and Results(study).refitted is not None and (study / MODEL).is_file()


def test_without_refit_the_tested_model_is_delivered_again(run: Run) -> None:
    study = run({"ridge": {"strategy": "ridge"}})
    assert (study / INDEX).is_file()
    assert run({"ridge": {"strategy": "ridge"}}, refit=None) == study
    assert not (study / INDEX).exists() and Results(study).refitted is None
    delivered, tested = (Classifier.load(place).bundle for place in (study, study / "runs" / "ridge" / "seed-0"))
    assert delivered.provenance == tested.provenance and Results(study).tested == study / MODEL


def test_a_fraction_s_refit_learns_from_all_images_too(run: Run) -> None:
    study = run({"ridge": {"strategy": "ridge", "fraction": 0.5}})
    found = refitted_of(Classifier.load(study).bundle.provenance)
    assert found is not None and found["images"] == 42


def test_a_cross_validated_model_is_refitted_on_all_folds(run: Run, pictures: Path) -> None:
    data = {"source": str(pictures), "split": {"folds": 3, "fold": "seed"}}
    study = run({"ridge": {"strategy": "ridge"}}, data=data, seeds=3)
    found = refitted_of(Classifier.load(study).bundle.provenance)
    assert found is not None and found["images"] == 42 and found["n_test"] == 14


def test_a_refit_that_fails_leaves_the_tested_model_and_says_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> Any:
        raise RunFailed("not enough memory")

    monkeypatch.setattr(refit_on_all, "fit_heads", broken)
    study = run({"ridge": {"strategy": "ridge"}})
    assert refitted_of(Classifier.load(study).bundle.provenance) is None and Results(study).refitted is None
    assert "the tested model is delivered: not enough memory" in plain(load_summary(study).findings)


def test_a_model_that_learns_nothing_is_delivered_as_tested(run: Run) -> None:
    study = run({"first": {"strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8}},
                 "again": {"strategy": "as_is", "weights": {"run": "first"}}}, seeds=1)  # fmt: skip
    best = read_json(study / "study.json")["best"]["run"]
    assert (Results(study).refitted is None) == (best == "again")


def test_evaluate_leaves_out_what_the_delivered_model_has_learned_and_names_the_tested_score(
    run: Run, pictures: Path, tmp_path: Path
) -> None:
    study = run({"ridge": {"strategy": "ridge"}})
    season = draw(tmp_path / "season", 5, seed=9)
    shutil.copytree(pictures / "red", season / "red", dirs_exist_ok=True)  # all of which it has learned from
    found = evaluate_models(study, season, tmp_path / "out", device="cpu")
    (model,) = found.models
    assert model.own is not None and model.own.refitted and model.metrics["accuracy"]["n"] == 10
    assert model.own.metrics["accuracy"] == scored(study, "ridge")["metrics"]["test"]["accuracy"]
    tested = find_tested(study / "runs" / "ridge" / "seed-0")
    assert tested is not None and not tested.refitted and len(tested.learned) + len(tested.test) == 42


@pytest.mark.long
def test_an_update_compares_the_tested_models_and_refits_again(run: Run, tmp_path: Path) -> None:
    study = run({"ridge": {"strategy": "ridge"}})
    more = draw(tmp_path / "more", 8, seed=5)
    done = update_study(study, more, tmp_path / "out", device="cpu")
    assert done.results.refitted is not None and done.results.refitted["images"] == 66
    assert done.evaluation is not None
    n = {model.metrics["accuracy"]["n"] for model in done.evaluation.models}
    assert n == {scored(study, "ridge")["n_test"] + done.new["test"]}
    assert not any(model.own is not None and model.own.refitted for model in done.evaluation.models)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"refit": "train+validation"}, "refit: 'train+validation' is unknown; the study accepts only 'all'"),
        ({"defaults": {"refit": "all"}}, "refit: 'all' is a setting of the study; write `refit: all` beside `runs`"),
    ],
)
def test_a_refit_in_the_wrong_place_is_one_line(wrong: dict[str, Any], said: str) -> None:
    spec = {"name": "small", "data": "pictures", "runs": {"ridge": {"strategy": "ridge"}}, **wrong}
    with pytest.raises(SpecError, match=re.escape(said)) as error:
        load_study(spec)
    assert "\n" not in str(error.value)


def test_a_comparison_can_ask_for_it(pictures: Path) -> None:
    assert compare_spec(str(pictures), refit="all")["refit"] == "all" and compare_spec(str(pictures))["refit"] is None


@pytest.mark.slow
def test_a_tuned_tail_is_trained_on_all_images_for_the_chosen_epochs(run: Run) -> None:
    recipe = {"epochs": 2, "batch_size": 8, "lr": {"grid": [0.01, 0.05]}}
    study = run({"tail": {"strategy": "lp_ft", "freeze_until": "conv2", "recipe": recipe}})
    model, result = Classifier.load(study), scored(study, "tail")
    assert model.bundle.temperature == result["temperature"]
    tested = Classifier.load(study / "runs" / "tail" / "seed-0").bundle.network.state_dict()
    mine = model.bundle.network.state_dict()
    frozen = [key for key in mine if "conv1" in key]
    assert frozen and all(torch.equal(mine[key], tested[key]) for key in frozen)
    assert any(not torch.equal(mine[key], tested[key]) for key in mine)
    assert REFITTED in model.bundle.provenance
