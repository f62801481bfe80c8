from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from told import Told

from headstart.deploy.classifier import Classifier
from headstart.errors import ModelError, SpecError
from headstart.evaluate.metrics.calibration import apply_temperature
from headstart.models.bundle import read_bundle, shared_backbones
from headstart.report.read.summary import load_summary
from headstart.study.comparison import compare_spec
from headstart.study.run import run_study
from headstart.study.spec.load import load_study

pytestmark = pytest.mark.long


@pytest.fixture
def study(small_study: dict[str, Any]) -> dict[str, Any]:
    runs = {
        "probe": {"backbone": "conv4", "strategy": "ridge", "input_size": 32},
        "other": {"backbone": "lenet5", "strategy": "prototypes"},
        "tuned": {"backbone": "lenet5", "strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8}},
    }
    ensembles = {"both": ["probe", "other"], "all": ["probe", "other", "tuned"]}
    return {**small_study, "seeds": 2, "runs": runs, "ensembles": ensembles}


def execute(spec: dict[str, Any], out: Path, *overrides: str) -> tuple[Path, Told]:
    told = Told()
    return run_study(load_study(spec, list(overrides)), out, device="cpu", listener=told).root, told


def arrays(root: Path, run: str, seed: int = 0) -> dict[str, np.ndarray]:
    return dict(np.load(root / "runs" / run / f"seed-{seed}" / "predictions.npz"))


def result(root: Path, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "runs" / run / "seed-0" / "result.json").read_text())
    return found


def test_an_ensemble_is_the_calibrated_mean_of_its_members(study: dict[str, Any], tmp_path: Path) -> None:
    root, told = execute(study, tmp_path / "out")
    assert len(told.ran) == 10 and told.broken == {}
    mean = np.mean([arrays(root, name)["test_probabilities"] for name in ("probe", "other")], axis=0)
    expected = apply_temperature(mean.astype(np.float32), result(root, "both")["temperature"])
    np.testing.assert_allclose(arrays(root, "both")["test_probabilities"], expected, atol=1e-6)
    ranking = {row["run"]: row for row in load_summary(root).ranking()}
    assert ranking["all"]["seeds"] == 2 and len(ranking) == 5
    learned = sum(result(root, name)["parameters"]["learned"] for name in ("probe", "other", "tuned"))
    assert result(root, "all")["parameters"]["learned"] == learned
    _, again = execute(study, tmp_path / "out")
    assert again.ran == [] and len(again.found) == 10


def test_an_ensemble_that_comes_later_leaves_out_the_same_broken_image(study: dict[str, Any], tmp_path: Path) -> None:
    path = next(Path(study["data"]).rglob("*.png"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF  # whole to look at, spoilt inside: only decoding finds it
    path.write_bytes(content)
    ensembles = study.pop("ensembles")
    execute(study, tmp_path / "out")
    root, told = execute({**study, "ensembles": ensembles}, tmp_path / "out")  # a new process: nothing is decoded
    assert len(told.ran) == 4 and told.broken == {}
    parts = {name: np.load(root / "runs" / name / "seed-0" / "split.npz") for name in ("both", "probe")}
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(parts["both"][part], parts["probe"][part])


def test_an_ensemble_can_be_used_and_saved_as_one_file(study: dict[str, Any], tmp_path: Path) -> None:
    root, _ = execute(study, tmp_path / "out")
    place = root / "runs" / "all" / "seed-1"
    classifier = Classifier.load(place)
    split = arrays(root, "all", 1)
    pictures = sorted(Path(study["data"]).rglob("*.png"))
    said = np.stack([each.probabilities for each in classifier.predict(pictures)])
    np.testing.assert_allclose(said[split["test_rows"]], split["test_probabilities"], atol=1e-3)
    saved = Classifier.load(classifier.save(tmp_path / "one.safetensors"))
    again = np.stack([each.probabilities for each in saved.predict(pictures)])
    np.testing.assert_allclose(again, said, atol=1e-5)
    assert saved.classes == classifier.classes
    for model in (place, tmp_path / "one.safetensors"):
        with pytest.raises(ModelError, match="averages 3 networks"):
            read_bundle(model)


def test_the_best_model_may_be_an_ensemble_and_one_network_is_explained(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.study.results.folder import StudyFolder

    def score(self: StudyFolder, run: str, seed: int, part: str, metric: str = "accuracy") -> float:
        return {"all": 0.9, "probe": 0.8}.get(run, 0.5)

    monkeypatch.setattr(StudyFolder, "score", score)
    root, _ = execute(study, tmp_path / "out")
    facts = json.loads((root / "study.json").read_text())
    assert facts["best"]["run"] == "all" and facts["best_network"]["run"] == "probe"
    assert len(Classifier.load(root).ensemble.members) == 3
    kept = "The model is all, chosen by the highest validation accuracy. On the test images it reaches "
    assert load_summary(root).to_dict()["findings"].startswith(kept)


def test_networks_that_differ_by_their_head_share_one_pass(study: dict[str, Any], tmp_path: Path) -> None:
    probe = study["runs"]["probe"]
    study["runs"] = {"probe": probe, "second": {**probe, "strategy": "prototypes"}, "other": study["runs"]["other"]}
    study["ensembles"] = {"mean": ["probe", "other", "second"]}
    root, _ = execute(study, tmp_path / "out")
    classifier = Classifier.load(root / "runs" / "mean" / "seed-0")
    members = classifier.ensemble.members
    assert shared_backbones(members) == [0, 1, 0]
    probe, other, second, mean = (result(root, name) for name in ("probe", "other", "second", "mean"))
    assert (
        mean["parameters"]["total"]
        == sum(each["parameters"]["total"] for each in (probe, other)) + second["parameters"]["learned"]
    )
    own = sum(each["cost"]["seconds"] for each in (probe, other, second))
    shared = probe["cost"]["shared_seconds"] + other["cost"]["shared_seconds"]
    assert mean["cost"]["shared_seconds"] == pytest.approx(own + shared)
    pictures = sorted(Path(study["data"]).rglob("*.png"))
    said = np.stack([each.probabilities for each in classifier.predict(pictures)])
    split = arrays(root, "mean")
    np.testing.assert_allclose(said[split["test_rows"]], split["test_probabilities"], atol=1e-3)
    passes: list[int] = []
    for number, bundle in enumerate(members):
        bundle.network.backbone.register_forward_hook(lambda *_, n=number: passes.append(n))
    classifier.predict(pictures[:3])
    assert passes == [0, 1]
    path = classifier.save(tmp_path / "one.safetensors")
    with safe_open(str(path), "pt") as file:
        assert {key.split(".")[0] for key in file.keys() if ".backbone." in key} == {"0", "1"}  # noqa: SIM118
    again = np.stack([each.probabilities for each in Classifier.load(path).predict(pictures)])
    np.testing.assert_array_equal(again, said)


def test_an_ensemble_without_one_of_its_members_is_left_out(study: dict[str, Any], tmp_path: Path) -> None:
    study["runs"]["tuned"]["recipe"] |= {"lr": 1000.0, "schedule": "none", "weight_decay": 10.0, "epochs": 5}
    root, told = execute(study, tmp_path / "out")
    assert "tuned (seed 0)" in told.broken and "both (seed 1)" in told.ran
    facts = json.loads((root / "study.json").read_text())
    assert facts["left_out"][0] == {"run": "all", "seed": 0, "why": "averages 'tuned', which was skipped or failed"}
    assert not load_summary(root).missing


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (["probe", "othr"], "unknown run 'othr'; did you mean 'other'"),
        (["probe", "probe"], "names a run twice"),
        (["probe"], "at least 2 items"),
    ],
)
def test_an_impossible_ensemble_is_refused(study: dict[str, Any], members: list[str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        load_study({**study, "ensembles": {"both": members}})


def test_an_ensemble_needs_a_name_of_its_own_and_the_same_images(study: dict[str, Any], pictures: Path) -> None:
    with pytest.raises(SpecError, match="a run already has this name"):
        load_study({**study, "ensembles": {"probe": ["probe", "other"]}})
    study["runs"]["other"]["data"] = {"source": str(pictures), "limit": 4}
    with pytest.raises(SpecError, match="tested on different images"):
        load_study(study)


def test_compare_averages_the_networks_that_it_has(pictures: Path) -> None:
    networks = ["lenet5", "conv4"]
    both = [f"{network} {head}" for network in networks for head in ("logistic", "ridge")]
    assert load_study(compare_spec(pictures, backbones=networks)).spec.ensembles == {"networks together": both}
    one = load_study(compare_spec(pictures, backbones=networks, heads=["logistic", "knn"])).spec.ensembles
    assert one == {"networks together": ["lenet5 logistic", "conv4 logistic"]}
    assert load_study(compare_spec(pictures, backbones=["lenet5"])).spec.ensembles == {}
    assert load_study(compare_spec(pictures, backbones=["lenet5", "conv4"], heads=["knn"])).spec.ensembles == {}


def test_compare_cross_validates_where_a_class_has_few_images(tmp_path: Path, pictures: Path) -> None:
    few = compare_spec(pictures, backbones=["lenet5"], seeds=2)
    assert (few["data"]["split"], few["seeds"]) == ({"folds": 5, "fold": "seed"}, 10)
    for name, count in (("one", 50), ("two", 60)):
        (tmp_path / "enough" / name).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", (8, 8), (k, count, 0)).save(tmp_path / "enough" / name / f"{k}.png")
    enough = compare_spec(tmp_path / "enough", backbones=["lenet5"], seeds=2)
    assert "split" not in enough["data"] and enough["seeds"] == 2
    next((tmp_path / "enough" / "one").iterdir()).unlink()  # 49 of them: fewer than ten would be tested
    assert compare_spec(tmp_path / "enough", backbones=["lenet5"], seeds=2)["seeds"] == 10
