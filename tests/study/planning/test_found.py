from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.storage.opening import default_store
from headstart.study.planning.found import found_lines
from headstart.study.planning.planner import make_plan
from headstart.study.resources import Resources
from headstart.study.spec.load import load_study
from tests.study.conftest import draw


def lines_of(study: dict[str, Any]) -> list[str]:
    resources = Resources(default_store(), "cpu")
    return found_lines(make_plan(load_study(study), resources), resources)


def test_each_dataset_of_a_chain_is_told_once_and_the_own_one_first(
    small_study: dict[str, Any], tmp_path: Path
) -> None:
    source = draw(tmp_path / "source", 5, seed=3)
    runs = {"before": {"data": str(source), "strategy": "ridge"}, "probe": {"strategy": {"each": ["ridge", "knn"]}}}
    assert lines_of({**small_study, "runs": runs}) == [
        "pictures: 42 images, 3 classes: blue, green, red; 14 images of each",
        "split: test 20 % (seed 0); validation 20 % of the rest (seed 0): 27 train, 7 validation, 8 test",
        "source: 15 images, 3 classes: blue, green, red; 5 images of each",
        "split: test 20 % (seed 0); validation 20 % of the rest (seed 0): 10 train, 2 validation, 3 test",
    ]


def test_a_long_chain_is_told_of_in_part(small_study: dict[str, Any], tmp_path: Path) -> None:
    runs = {f"r{n}": {"data": str(draw(tmp_path / f"d{n}", 5, seed=n)), "strategy": "ridge"} for n in range(6)}
    lines = lines_of({**small_study, "runs": runs})
    assert [line.split(":")[0] for line in lines[:-1:2]] == ["d0", "d1", "d2", "d3"]
    assert lines[-1] == "and 2 more datasets"


def test_cross_validation_of_the_training_part_is_told_as_that(small_study: dict[str, Any], tmp_path: Path) -> None:
    root = draw(tmp_path / "parts" / "train", 10).parent
    draw(root / "test", 4, seed=1)
    split = {"folds": 5, "fold": "seed"}
    study = {**small_study, "data": {"source": str(root), "split": split}, "runs": {"a": {"strategy": "ridge"}}}
    assert lines_of(study)[1] == (
        "split: given by the folders test, train; 5-fold cross-validation, so that every image is validated once:"
        " 24 train, 6 validation, 12 test in the first fold"
    )


def test_episodes_have_no_split_of_the_images(small_study: dict[str, Any]) -> None:
    run = {"episodes": {"ways": 2, "shots": 1, "queries": 3, "episodes": 5}}
    assert lines_of({**small_study, "runs": {"few": run}})[1] == "split: none is given; the run draws episodes"
