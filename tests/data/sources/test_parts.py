from __future__ import annotations

import pytest

from headstart.data.sources.parts import part_of


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("Train", "train"),
        ("TRAINING", "train"),
        ("training_set", "train"),
        ("trainset", "train"),
        ("train_images", "train"),
        ("train-data", "train"),
        ("val", "validation"),
        ("valid", "validation"),
        ("Validation Set", "validation"),
        ("valset", "validation"),
        ("dev", "validation"),
        ("test", "test"),
        ("test_set", "test"),
        ("testing", "test"),
        ("eval", "test"),
        ("holdout", "test"),
        ("hold-out", "test"),
        ("held_out", "test"),
    ],
)
def test_usual_names_mean_a_part(name: str, part: str) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize(
    "name", ["", "trains", "train2", "test tube", "cat", "set", "data", "unlabeled", "latest", "devil"]
)
def test_other_names_mean_none(name: str) -> None:
    assert part_of(name) is None
