from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.api import Results, compare_spec, source_of
from headstart.errors import SpecError, StoreError
from headstart.storage.names import folder_name
from tests.docs.readers_files import draw, draw_one
from tests.support.weights_cache import empty_caches


def colours(count: int = 10) -> tuple[np.ndarray, list[str]]:
    draw = np.random.default_rng(0)
    kinds = {"blue": (40, 60, 200), "red": (210, 50, 40)}
    images = [np.clip(c + draw.normal(0, 20, (24, 24, 3)), 0, 255) for _ in range(count) for c in kinds.values()]
    return np.stack(images).astype(np.uint8), list(kinds) * count


def test_compare_takes_images_from_python(tmp_path: Path) -> None:
    images, labels = colours()
    data = {"images": list(images), "labels": labels}
    results = headstart.compare(data, tmp_path, backbones=["efficientnet_lite0"], heads=["ridge"], seeds=1, name="x y")
    assert (
        isinstance(results, Results)
        and results.folder == tmp_path / folder_name("x y")
        and results.report.is_file()
        and results.model.is_file()
    )
    assert {row["run"] for row in results.ranking()} == {"majority class", "raw pixels", "efficientnet_lite0 ridge"}
    assert [p.label for p in results.classifier().predict(images[:2])] == ["blue", "red"]
    assert results.kept.split(", chosen by ")[0] in ("raw pixels", "efficientnet_lite0 ridge")


def test_two_sets_of_images_are_two_studies() -> None:
    images, labels = colours(3)
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


def test_two_folders_of_one_name_and_a_changed_one_keep_their_studies(tmp_path: Path) -> None:
    """Also: the same images again are the same study, wherever they are."""
    places = [
        draw(tmp_path / side / "photos", classes=2, per_class=4, size=16, seed=seed) for seed, side in enumerate("ab")
    ]
    shutil.copytree(places[0], tmp_path / "c" / "photos")
    runs = {"floor": {"backbone": "pixels", "strategy": "majority"}}

    def folder(place: Path) -> str:
        study = {"name": "photos", "data": str(place), "seeds": 1, "audit": False, "runs": runs}
        return headstart.Study(study).run(tmp_path / "out", report=False).folder.name

    first, second, copied = (folder(place) for place in (*places, tmp_path / "c" / "photos"))
    assert first == copied == "photos" and second.startswith("photos-") and len(second) == len("photos-") + 6
    draw_one(places[0] / "daisy" / "more.png")
    third = folder(places[0])
    assert len({first, second, third}) == 3 and folder(places[0]) == third and folder(places[1]) == second


def test_a_run_that_the_file_no_longer_has_is_not_ranked(tmp_path: Path) -> None:
    place = draw(tmp_path / "photos", classes=2, per_class=4, size=16)
    floor, pixels = {"backbone": "pixels", "strategy": "majority"}, {"backbone": "pixels", "strategy": "ridge"}

    def ranked(seeds: int, **runs: object) -> set[tuple[str, int]]:
        study = headstart.Study({"name": "s", "data": str(place), "seeds": seeds, "audit": False, "runs": runs})
        return {(row["run"], row["seeds"]) for row in study.run(tmp_path / "out").ranking()}

    assert ranked(2, floor=floor, pixels=pixels) == {("floor", 2), ("pixels", 2)}
    assert ranked(2, floor=floor, other=pixels) == {("floor", 2), ("other", 2)}
    assert ranked(2, floor=floor) == {("floor", 2)}
    assert ranked(1, floor=floor) == {("floor", 1)}
    assert ranked(2, floor=floor, pixels=pixels) == {("floor", 2), ("pixels", 2)}


def test_a_study_from_a_mapping_takes_images_from_python(tmp_path: Path) -> None:
    images, labels = colours(5)
    runs = {"pixels": {"backbone": "pixels", "strategy": "ridge"}}
    held = {"images": images, "labels": labels}
    for data in (held, headstart.load_dataset(held), {"source": held}, Path(source_of(held))):
        study = headstart.Study({"name": "small", "data": data, "seeds": 1, "runs": runs})
        assert study.plan(tmp_path)[0]["images"] == 10


def test_what_holds_no_images_is_named() -> None:
    with pytest.raises(SpecError, match=r"data is a path, the name of a dataset, .* not list"):
        headstart.compare([1, 2])  # type: ignore[arg-type]


def test_results_without_a_model_say_so(tmp_path: Path) -> None:
    images, labels = colours(5)
    study = headstart.Study(
        {
            "name": "small",
            "data": {"source": {"images": images, "labels": labels}, "split": {"validation": 0}},
            "seeds": 1,
            "audit": False,
            "runs": {"pixels": {"backbone": "pixels", "strategy": "ridge", "head": {"penalty": 1.0}}},
        }
    )
    results = study.run(tmp_path, report=False)
    assert results.kept == "none" and not results.report.exists() and results.failed() == results.problems() == []
    with pytest.raises(StoreError, match="has no best model"):
        results.classifier()


def test_strong_with_a_budget_lets_a_proxy_pass_decide_which_network_is_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_caches(monkeypatch, tmp_path)
    photos = draw(tmp_path / "photos", classes=2, per_class=4, size=16)
    assert compare_spec(photos, networks="strong", budget="5min")["proxy"] == 400
    assert "proxy" not in compare_spec(photos, networks="strong")
    assert "proxy" not in compare_spec(photos, networks="fast", budget="5min")


def test_a_budget_that_is_no_duration_is_refused_before_anything_is_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = draw(tmp_path / "photos", classes=2, per_class=4, size=16)
    monkeypatch.setattr("headstart.api.require", lambda *_: pytest.fail("an extra was asked for"))
    with pytest.raises(SpecError, match="budget: 'soon' is not a duration; write a number with s, min or h"):
        compare_spec(photos, backbones=["efficientnet_lite0"], budget="soon")
    assert capsys.readouterr() == ("", "")
