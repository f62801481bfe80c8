from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from exported_models import linear, neighbours
from PIL import Image

from headstart.api import Results
from headstart.cli.explain import _checks, _one_network, _reference, _title
from headstart.deploy.classifier import Classifier
from headstart.explain import faithfulness, sanity
from headstart.report.read.summary import load_summary
from tests.cli.conftest import Call


def test_an_ensemble_gives_way_to_the_best_single_network(tmp_path: Path) -> None:
    assert _one_network(tmp_path) == (tmp_path, [])
    best = {"run": "net", "folder": "runs/net/seed-1", "by": "the highest, among single networks"}
    mean = {"run": "mean", "by": "the highest"}
    (tmp_path / "study.json").write_text(json.dumps({"best": mean, "best_network": best}))
    folder, said = _one_network(tmp_path)
    assert folder == tmp_path / "runs" / "net" / "seed-1"
    assert said == [
        "headstart: the model is mean, chosen by the highest",
        "headstart: an ensemble cannot be explained; this is its study's best network, net, chosen by the highest,"
        " among single networks",
    ]
    (tmp_path / "study.json").write_text(json.dumps({"best": {**best, "by": "the highest"}}))
    assert _one_network(tmp_path) == (tmp_path, ["headstart: the model is net, chosen by the highest"])


def test_a_file_is_titled_by_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "seed-0" / "model.safetensors"
    file.parent.mkdir()
    file.touch()
    assert _title(file) == _title(file.parent) == "seed-0"


def test_the_checks_name_faithfulness_and_the_last_randomisation(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("deletion", "random_deletion", "insertion", "random_insertion")
    mean = dict(zip(names, (0.1, 0.2, 0.8, 0.6), strict=True))
    check = {"correlation": [1.0, 0.5, -0.03], "different_images": 0.91}
    monkeypatch.setattr(faithfulness, "faithfulness", lambda *_, **__: {"mean": mean})
    monkeypatch.setattr(sanity, "randomisation_check", lambda *_, **__: check)
    result: Any = SimpleNamespace(subject=SimpleNamespace(network=None), maps={"lime": None}, images=None, targets=None)
    assert _checks(result, "lime", 0) == (
        "deletion 0.100 (random map 0.200), insertion 0.800 (random map 0.600);"
        " rank correlation after the weights are shuffled -0.03 (maps of two different images: 0.91)"
    )
    assert _reference({"different_images": None}) == ""


@pytest.mark.usefixtures("shared_cache")
def test_explain_sets_two_models_side_by_side_and_checks_them(
    call: Call, finished: Path, photos: Path, tmp_path: Path
) -> None:
    image, one, two = photos / "daisy" / "00.jpg", *(finished / "runs" / name / "seed-0" for name in ("one", "two"))
    common = ("--method", "grad_cam", "--seed", 1, "--target", "lily")
    code, out, said = call("explain", one, image, *common, "--out", tmp_path / "one.png")
    assert code == 0 and ": lily " in out and "deletion" not in out, said
    assert out.splitlines()[-1] == f"written: {tmp_path / 'one.png'}"
    code, out, _ = call("explain", one, image, *common, "--against", two, "--checks", "--out", tmp_path / "two.png")
    assert code == 0 and out.count(": lily ") == 2 and out.count("deletion ") == 2
    with Image.open(tmp_path / "one.png") as first, Image.open(tmp_path / "two.png") as second:
        assert second.width > first.width
    code, _, said = call("explain", one, image, "--out", tmp_path / "one.jpg")
    assert code == 2 and "one.jpg: choose a name that ends in .png" in said
    code, _, said = call("explain", one, image, "--target", "rose")
    assert code == 2 and "rose" in said


def test_the_probability_is_the_one_that_predict_shows(call: Call, photos: Path, tmp_path: Path) -> None:
    model = Classifier(linear(temperature=4.0, tta="flip")).save(tmp_path / "model.safetensors")
    image = photos / "daisy" / "00.jpg"
    code, out, said = call("explain", model, image, "--method", "grad_cam", "--out", tmp_path / "why.png")
    assert code == 0, said
    _, rows, _ = call("predict", model, image, "--format", "json")
    (row,) = json.loads(rows)
    assert row["probability"] < 0.99 and f": {row['class']} {row['probability']:.3f}\n" in out


def test_a_model_without_gradients_is_explained_by_lime_and_a_line_says_why(
    call: Call, photos: Path, tmp_path: Path
) -> None:
    model = Classifier(neighbours()).save(tmp_path / "votes.safetensors")
    code, _, said = call("explain", model, photos / "daisy" / "00.jpg", "--out", tmp_path / "why.png")
    assert code == 0 and (tmp_path / "why.png").exists()
    assert said.count("headstart: grad_cam is left out: Grad-CAM needs gradients") == 1


@pytest.mark.usefixtures("shared_cache")
def test_the_seed_decides_what_is_drawn(call: Call, finished: Path, photos: Path, tmp_path: Path) -> None:
    pictures = []
    for seed in (0, 0, 1):
        call("explain", finished / "runs" / "one" / "seed-0", photos / "daisy" / "00.jpg", "--method", "lime",
             "--seed", seed, "--out", tmp_path / "why.png")  # fmt: skip
        with Image.open(tmp_path / "why.png") as picture:
            pictures.append(np.asarray(picture))
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[0] != pictures[2]).any()


@pytest.mark.usefixtures("shared_cache")
def test_explain_predict_and_the_report_speak_of_the_same_model(
    call: Call, finished: Path, photos: Path, tmp_path: Path
) -> None:
    image = photos / "daisy" / "00.jpg"
    _, _, explained = call("explain", finished, image, "--method", "grad_cam", "--out", tmp_path / "one.png")
    _, _, predicted = call("predict", finished, image)
    kept = Results(finished).kept
    assert f"headstart: the model is {kept}\n" in explained
    assert predicted.startswith(f"headstart: 1 image read; the model is {kept}\n")
    assert f"The model is {kept}. On the test images" in load_summary(finished).to_dict()["findings"]
    assert kept.split(",")[0] == next(row["run"] for row in Results(finished).ranking() if row["chosen"])
