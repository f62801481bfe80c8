from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.errors import SpecError
from headstart.study.comparison import compare_spec
from tests.docs.readers_files import draw
from tests.support.weights_cache import empty_caches


def test_two_sets_of_images_are_two_studies() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), np.uint8)
    labels = ["blue", "red"] * 3
    one = compare_spec(headstart.load_dataset({"images": images, "labels": labels}), backbones=["lenet5"])
    other = compare_spec({"images": 255 - images, "labels": labels}, backbones=["lenet5"])
    assert one["name"] != other["name"] and one["name"].startswith("compare-images-")
    assert one == compare_spec({"images": list(images), "labels": labels}, backbones=["lenet5"])


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("a/photos", "compare-photos"),
        ("a/photos/", "compare-photos"),
        ("v1.0", "compare-v1.0"),
        ("v1.1", "compare-v1.1"),
        ("my pets", "compare-my-pets"),
        (".", "compare-here.2"),
    ],
)
def test_a_comparison_is_named_after_the_whole_name_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, name: str
) -> None:
    (tmp_path / "here.2").mkdir()
    monkeypatch.chdir(tmp_path / "here.2")
    draw(place, classes=2, per_class=2, size=16)
    assert compare_spec(place, backbones=["lenet5"])["name"] == name
    assert compare_spec(Path(place), backbones=["lenet5"], name="mine")["name"] == "mine"


def test_a_comparison_fits_images_with_several_labels(tmp_path: Path) -> None:
    files = sorted(draw(tmp_path / "photos", classes=2, per_class=8, size=16).rglob("*.jpg"))
    rows = [f"{path},{path.parent.name}|{'odd' if row % 2 else 'even'}" for row, path in enumerate(files)]
    (tmp_path / "many.csv").write_text("\n".join(["path,label", *rows]))
    spec = compare_spec(tmp_path / "many.csv", backbones=["efficientnet_lite0"], budget="5min")
    strategies = [run["strategy"] for run in spec["runs"].values()]
    assert strategies == ["majority", "logistic", "logistic", "ridge", "knn", "lp_ft"]
    assert spec["runs"]["efficientnet_lite0 tuned"]["recipe"]["loss"] == "bce"


@pytest.mark.parametrize(("per_class", "batch"), [(1, 2), (4, 2), (12, 8), (33, 16), (100, None)])
def test_a_comparison_with_a_budget_fits_its_batches_to_few_photographs(
    tmp_path: Path, per_class: int, batch: int | None
) -> None:
    """Of 64 % that are trained on, two batches fill an epoch: 36 photographs, 23 for training, batches of 8."""
    place = draw(tmp_path / "photos", classes=3, per_class=per_class, size=16)
    spec = compare_spec(place, backbones=["efficientnet_lite0"], budget="5min")
    assert spec["runs"]["efficientnet_lite0 tuned"]["recipe"].get("batch_size") == batch


def test_strong_with_a_budget_lets_a_proxy_pass_decide_which_network_is_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty_caches(monkeypatch, tmp_path)
    photos = draw(tmp_path / "photos", classes=2, per_class=4, size=16)
    assert compare_spec(photos, networks="strong", budget="5min")["proxy"] == 400
    assert compare_spec(photos, networks=["strong"], budget="5min")["proxy"] == 400
    assert "proxy" not in compare_spec(photos, networks="fast", budget="5min")
    assert "without a budget" not in capsys.readouterr().err
    assert "proxy" not in compare_spec(photos, networks="strong")
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("without a budget, each of these networks is run on all images; with one, such as --budget")


def test_a_budget_that_is_no_duration_is_refused_before_anything_is_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = draw(tmp_path / "photos", classes=2, per_class=4, size=16)
    monkeypatch.setattr("headstart.study.comparison.require", lambda *_: pytest.fail("an extra was asked for"))
    with pytest.raises(SpecError, match="budget: 'soon' is not a duration; write a number with s, min or h"):
        compare_spec(photos, backbones=["efficientnet_lite0"], budget="soon")
    assert capsys.readouterr() == ("", "")
