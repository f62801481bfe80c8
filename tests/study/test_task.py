from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.storage.store import Store
from headstart.study.resources import Resources
from headstart.study.spec.load import load_study
from headstart.study.task import Task, make_task


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of twenty small pictures."""
    generator = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(20):
            pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{k}.png")
    return tmp_path / "photos"


def tasks(photos: Path, split: dict[str, Any], **run: Any) -> list[Task]:
    source = {
        "name": "toy",
        "data": {"source": str(photos), "split": split},
        "runs": {"r": {"backbone": "pixels", **run}},
    }
    study = load_study(source)
    resources = Resources(Store(photos.parent / "store"), "cpu")
    return [make_task(study.runs[0], seed, resources, {}) for seed in (0, 1)]


@pytest.mark.parametrize(
    ("split", "run", "same", "deterministic"),
    [
        ({"validation": 0}, {"strategy": "ridge", "head": {"penalty": 0.1}}, True, True),
        ({"validation": 0}, {"strategy": "sgd", "head": {"lr": 0.1, "weight_decay": 0.0}}, False, False),
        (
            {},
            {"strategy": "ridge"},
            False,
            True,
        ),  # refitted on all but the test images
        ({"folds": 5, "fold": 0}, {"strategy": "knn"}, False, True),
        ({}, {"strategy": "ridge", "head": {"penalty": 0.1}, "refit": "none"}, False, False),
        ({}, {"strategy": "majority"}, False, True),
        ({"folds": 5, "fold": "seed"}, {"strategy": "majority"}, False, False),
    ],
)
def test_a_fit_that_draws_nothing_is_made_once(
    photos: Path, split: dict[str, Any], run: dict[str, Any], same: bool, deterministic: bool
) -> None:
    first, second = tasks(photos, split, **run)
    assert (first.key == second.key) is same
    assert (first.deterministic, second.deterministic) == (deterministic, deterministic)


def test_a_bundle_says_which_run_seed_and_images_it_is_of(photos: Path) -> None:
    task = tasks(photos, {}, strategy="majority")[1]
    dataset = Resources(Store(photos.parent / "store"), "cpu").dataset(task.run.data)
    assert task.provenance(dataset) == {"run": "r", "seed": "1", "dataset": "photos"}


def test_every_seed_tests_its_own_fold_and_every_five_seeds_divide_anew(photos: Path) -> None:
    data = load_study(
        {
            "name": "toy",
            "data": {"source": str(photos), "split": {"folds": 5, "fold": "seed"}},
            "runs": {"r": {"backbone": "pixels", "strategy": "ridge"}},
        }
    ).spec.data
    resources = Resources(Store(photos.parent / "store"), "cpu")
    tested = [resources.split(data, seed).test for seed in range(10)]
    for repeat in (tested[:5], tested[5:]):
        assert np.array_equal(np.sort(np.concatenate(repeat)), np.arange(40))
    assert not np.array_equal(tested[0], tested[5])
