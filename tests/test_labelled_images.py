from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.errors import SpecError
from headstart.fewshot.evaluation import FewShotSpec, LabelledFeatures, run_fewshot
from headstart.labelled_images import audit_images, evaluate_fewshot
from headstart.storage.opening import default_store
from headstart.study.resources import Resources
from headstart.study.spec.network import NetworkSpec
from headstart.study.spec.schema import DataSpec, WeightsSpec
from tests.docs.readers_files import draw


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("photos") / "flowers", classes=2, per_class=10, size=40)


def test_an_audit_finds_a_planted_copy_and_what_another_dataset_shares(photos: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(photos, tmp_path / "own"))
    shutil.copy(own / "daisy" / "00.jpg", own / "lily" / "copy.jpg")
    audit = audit_images(own, [photos], backbone="pixels", device="cpu")
    assert (audit["n"], audit["others"], audit["counts"]["exact"]) == (21, ["flowers"], 20)
    (conflict,) = [group for group in audit["exact"] if group["conflict"]]
    assert {place["label"] for place in conflict["places"][:3]} == {"daisy", "lily"}
    assert audit["leaks"]["others"][0]["exact"] == 21
    assert headstart.audit_images is audit_images


def test_episodes_score_as_on_the_features_themselves(photos: Path) -> None:
    asked = FewShotSpec(2, (1, 3), 4, 50, ("prototypes", "ridge"), 7)
    found = evaluate_fewshot(
        photos, backbone="lenet5", weights="none", ways=2, shots=[1, 3], queries=4, episodes=50,
        methods=["prototypes", "ridge"], seed=7, device="cpu",
    )  # fmt: skip
    resources, spec = Resources(default_store(), "cpu"), DataSpec(source=str(photos))
    features = resources.features(spec, NetworkSpec("lenet5", WeightsSpec(name="none")), 7)
    dataset = resources.dataset(spec)
    flat = np.asarray(features).reshape(len(dataset), -1)
    own = run_fewshot(LabelledFeatures(dataset.labels, dataset.classes, flat), asked)
    assert [(row.method, row.shots, row.accuracy) for row in found.rows] == [
        (row.method, row.shots, row.accuracy) for row in own.rows
    ]
    assert found.name == "flowers" and headstart.evaluate_fewshot is evaluate_fewshot


def test_a_loaded_dataset_keeps_its_name(photos: Path) -> None:
    data = headstart.load_dataset(photos)
    found = evaluate_fewshot(
        data, backbone="lenet5", weights="none", ways=2, shots=[1], queries=2, episodes=5, device="cpu"
    )
    audit = audit_images(data, [data], backbone="pixels", device="cpu")
    assert (found.name, audit["name"], audit["others"]) == ("flowers", "flowers", ["flowers"])


def test_an_unknown_method_is_refused_before_any_work(photos: Path, own_store: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'ridge'"):
        evaluate_fewshot(photos, methods=["ridg"])
    assert not any(own_store.rglob("*.npy"))
