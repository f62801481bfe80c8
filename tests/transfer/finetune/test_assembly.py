from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tuning_subject import CLASSES, TRAIN, VALIDATION, Pictures, job, network

from headstart.errors import ModelError
from headstart.models.heads import LinearHead
from headstart.models.preprocessing import Preprocessing
from headstart.transfer.finetune.assembly import make_learner, new_head
from headstart.transfer.finetune.losses import class_weights
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Strategy, resolve

FROZEN = Strategy("fine_tune", freeze_until="stage1")
PLAIN = {"epochs": 3, "batch_size": 8}


def test_a_head_starts_at_zero_on_a_pretrained_network_and_at_random_from_scratch(tmp_path: Path) -> None:
    def head(kind: str, seed: int) -> LinearHead:
        made = job(tmp_path, Strategy(kind), seed=seed)
        return new_head(made, resolve(made.strategy, network()))

    zero = head("fine_tune", 1)
    assert (zero.dim, zero.classes) == (16, CLASSES) and not zero.weight.any() and not zero.bias.any()
    drawn = head("scratch", 1).weight.detach()
    assert drawn.abs().max() <= 16**-0.5 and float(drawn.std()) == pytest.approx(16**-0.5 / 3**0.5, rel=0.3)
    assert torch.equal(drawn, head("scratch", 1).weight) and not torch.equal(drawn, head("scratch", 2).weight)


def test_several_labels_have_sigmoids(tmp_path: Path) -> None:
    labels = np.eye(CLASSES, dtype=bool)[Pictures().labels]
    made = job(tmp_path, labels=labels)
    assert new_head(made, resolve(made.strategy, network())).multi_label


def test_the_job_is_left_as_it_was(tmp_path: Path) -> None:
    given = LinearHead(16, CLASSES)
    made = job(tmp_path, initial_head=given)
    before = {name: value.clone() for name, value in made.backbone.state_dict().items()}
    learner, _ = make_learner(made, "cpu")
    with torch.no_grad():
        for parameter in learner.network.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(before[name], value) for name, value in made.backbone.state_dict().items())
    assert not given.weight.any() and (learner.network.head.weight == 1).all()  # type: ignore[union-attr]


def test_activations_are_stored_where_the_job_allows_it(tmp_path: Path) -> None:
    modes = [make_learner(job(tmp_path, FROZEN, store_activations=allowed), "cpu")[1] for allowed in (True, False)]
    assert [[route.mode for route in routes] for routes in modes] == [["stored"], ["on the fly"]]
    assert list((tmp_path / "store").glob("*/*/manifest.json"))


def test_batches_go_through_the_training_rows_and_validation_in_order(tmp_path: Path) -> None:
    learner, _ = make_learner(job(tmp_path, recipe=Recipe(accumulate=2, **PLAIN)), "cpu")
    order, checked = learner.batches.order, learner.checked
    assert order.batch_size == 16 and sorted(np.concatenate(order.batches(0))) == list(range(TRAIN))
    assert checked is not None
    assert np.concatenate(checked.order.batches(0)).tolist() == list(range(TRAIN, TRAIN + VALIDATION))
    nothing = make_learner(job(tmp_path, validation=np.zeros(0, dtype=np.int64)), "cpu")[0]
    assert nothing.checked is None


def test_rare_classes_are_drawn_and_weighted_as_the_recipe_says(tmp_path: Path) -> None:
    train = np.array([0, 3, 6, 9, 12, 1, 4, 2])  # five of class 0, two of class 1, one of class 2
    balanced = make_learner(job(tmp_path, recipe=Recipe(balanced_sampling=True, **PLAIN), train=train), "cpu")[0]
    assert balanced.batches.order.weights is not None
    assert balanced.batches.order.weights.tolist() == [0.2] * 5 + [0.5] * 2 + [1.0]
    assert balanced.objective.class_weights is None
    weighted = make_learner(job(tmp_path, recipe=Recipe(class_weights="balanced", **PLAIN), train=train), "cpu")[0]
    expected = class_weights("balanced", Pictures().labels[train], CLASSES)
    assert weighted.batches.order.weights is None and expected is not None
    assert torch.equal(weighted.objective.class_weights, expected)  # type: ignore[arg-type]
    assert expected[0] < expected[1] < expected[2]


def test_an_image_too_small_for_the_network_is_refused(tmp_path: Path) -> None:
    small = network()
    small.preprocessing = Preprocessing(size=2, resize=2)
    with pytest.raises(ModelError):
        make_learner(job(tmp_path, backbone=small, images=Pictures(size=2)), "cpu")
