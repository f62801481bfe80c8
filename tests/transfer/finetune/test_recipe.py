"""Recipes, schedules, optimisers, losses and the moving average, against figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import SpecError
from headstart.transfer.finetune.ema import MovingAverage
from headstart.transfer.finetune.losses import LOSSES, class_weights, correct, total_weight
from headstart.transfer.finetune.optimizers import OPTIMIZERS, Settings, build_optimizer, orthogonalised
from headstart.transfer.finetune.recipe import Recipe, recipe_from
from headstart.transfer.finetune.recipe_defaults import _FAMILIES, default_layer_decay, default_recipe, family_of
from headstart.transfer.schedules import Course, Plateau, factor
from headstart.transfer.strategy import KINDS


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lerning_rate": 1}, "unknown recipe key 'lerning_rate'"),
        ({"weight_decy": 1}, "did you mean 'weight_decay'"),
        ({"optimizer": "adm"}, "did you mean"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"augment": ["horizontal_flp"]}, "did you mean 'horizontal_flip'"),
        ({"lr": -1}, "lr must be between"),
        ({"lr": "fast"}, "lr cannot be 'fast'"),
        ({"epochs": 0}, "epochs must be"),
        ({"schedule": "multistep"}, "needs milestones"),
        ({"clip": 0}, "clip must be over 0"),
        ({"class_weights": "balanced", "balanced_sampling": True}, "choose one"),
        ({"loss": "bce", "balanced_sampling": True}, "several"),
        ({"precision": "8"}, "precision"),
        ({"epochs": 2.5}, "epochs cannot be 2.5"),
        ({"nesterov": "yes"}, "nesterov cannot be 'yes'"),
        ({"augment": "mixup"}, "augment cannot be 'mixup'"),
        ({"augment_options": {"mixup": {"alpha": 1}}}, "not in augment"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(values: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        recipe_from(values)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_recipe_takes_whole_numbers_and_lists_as_files_give_them() -> None:
    recipe = recipe_from({"lr": 1, "augment": ["mixup", "rotation"], "precision": 32}, Recipe(epochs=7))
    assert (recipe.lr, recipe.epochs, recipe.precision) == (1.0, 7, "32")
    assert recipe.mixes == ("mixup",) and recipe.pixel_augment == ("rotation",)


@pytest.mark.parametrize("family", _FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_family_has_a_default_recipe_that_names_its_source(family: str, kind: str) -> None:
    assert default_recipe(family, kind).origin


def test_names_find_their_family() -> None:
    names = ["timm/tf_efficientnet_lite0", "resnext50_32x4d", "deit_small", "efficientnet_lite0[:stage3]", "xception"]
    assert [family_of(name) for name in names] == ["efficientnet", "resnet", "vit", "efficientnet", "resnet"]
    assert default_layer_decay("vit_base_patch16_224") == 0.75 and default_layer_decay("resnet18") == 1.0


def test_schedules_have_the_values_worked_out_by_hand() -> None:
    course = Course(epochs=10, step_size=3, gamma=0.1, milestones=(2, 5))
    assert [factor("step", t, course, 10) for t in (0.0, 2.9, 3.0, 6.0)] == pytest.approx([1, 1, 0.1, 0.01])
    assert [factor("multistep", t, course, 10) for t in (1.9, 2.0, 5.0)] == pytest.approx([1, 0.1, 0.01])
    assert [factor("cosine", t, course, 10) for t in (0.0, 5.0, 10.0)] == pytest.approx([1, 0.5, 0])
    warm = Course(epochs=10, warmup=2.0)
    assert [factor("cosine", t, warm, 10) for t in (0.0, 2.0, 6.0)] == pytest.approx([0.1 / 2.1, 1, 0.5])
    assert [factor("onecycle", t, course, 10) for t in (0.0, 3.0)] == pytest.approx([0.04, 1])
    assert factor("onecycle", 9.99, course, 10) < 0.001
    assert factor("none", 3.0, course, 10) == 1


def test_plateau_lowers_the_rate_after_patience_and_survives_a_checkpoint() -> None:
    plateau = Plateau(patience=1, gamma=0.5)
    factors = []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.8, 0.8, 0.8):
        plateau.observe(loss)
        factors.append(plateau.factor)
        other = Plateau(patience=1, gamma=0.5)
        other.restore(plateau.state())
        plateau = other
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def settings(**changes: float | bool) -> Settings:
    values = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5, "fused": False}
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_spares_norms_and_biases(name: str) -> None:
    layer = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = build_optimizer(name, [("stage", layer.parameters(), 0.5), ("head", [], 1.0)], settings())
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.05)
        assert group["weight_decay"] == (0.5 if all(p.ndim > 1 for p in group["params"]) else 0.0)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = [p.detach().clone() for p in layer.parameters()]
    optimizer.step()
    for old, new in zip(before, layer.parameters(), strict=True):
        assert torch.equal(old, new) == (old.ndim == 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_solves_a_least_squares_problem(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    x, w = torch.randn(64, 6, generator=draw), torch.randn(6, 3, generator=draw)
    weight, bias = nn.Parameter(torch.zeros(3, 6)), nn.Parameter(torch.zeros(3))
    lr = {"sgd": 0.05, "adam": 0.05, "adamw": 0.05, "muon": 0.05}[name]
    optimizer = build_optimizer(name, [("stage", [weight, bias], 1.0)], settings(lr=lr, weight_decay=0.0))
    for step in range(300):
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[-1]["lr"] = lr * (1 - step / 300)
        optimizer.zero_grad()
        loss = (x @ weight.T + bias - x @ w).square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1e-2


def test_our_adam_of_muon_is_torchs_adamw() -> None:
    draw = torch.Generator().manual_seed(0)
    ours, theirs = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    a = build_optimizer("muon", [("stage", [ours], 1.0)], settings(weight_decay=0.0))
    b = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.0)
    for _ in range(5):
        ours.grad = theirs.grad = torch.randn(5, generator=draw)
        a.step()
        b.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((8, 20), (20, 8)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        values = torch.linalg.svdvals(orthogonalised(matrix))
        assert float(values.min()) > 0.5 and float(values.max()) < 1.3


def test_pieces_of_a_batch_add_up_to_the_whole_loss() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(9, 4, generator=draw), torch.arange(9) % 4
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
    targets = nn.functional.one_hot(labels, 4).float()
    whole = total_weight(targets, weights, "cross_entropy")
    parts = [
        LOSSES["cross_entropy"](logits[i], targets[i], weights, 0.1).sum() / whole for i in (slice(4), slice(4, 9))
    ]
    expected = nn.functional.cross_entropy(logits, labels, weight=weights, label_smoothing=0.1)
    assert float(sum(parts)) == pytest.approx(float(expected), rel=1e-6)


def test_binary_cross_entropy_is_torchs() -> None:
    logits, targets = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.eye(5, 3)
    ours = LOSSES["bce"](logits, targets, None, 0.0).mean()
    assert torch.allclose(ours, nn.functional.binary_cross_entropy_with_logits(logits, targets))


def test_balanced_weights_by_hand() -> None:
    labels = np.array([0, 0, 0, 1])
    weights = class_weights("balanced", labels, 3)
    assert weights is not None and weights.tolist() == pytest.approx([4 / 9, 4 / 3, 1.0])
    several = class_weights("balanced", np.array([[True, False], [False, False]]), 2)
    assert several is not None and several.tolist() == [1.0, 1.0]


def test_right_answers_are_counted_for_one_and_for_several_labels() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    assert float(correct(logits, torch.tensor([0, 0]))) == 1
    assert float(correct(logits - 1.5, torch.tensor([[True, False], [True, True]]))) == pytest.approx(1.5)


def test_the_average_follows_with_its_decay_and_swaps_both_ways() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    average = MovingAverage(layer, 0.5)
    expected = 0.0
    for step in range(6):
        with torch.no_grad():
            layer.weight.fill_(float(step))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(average.average["weight"]) == pytest.approx(expected)
    average.swap()
    assert float(layer.weight.detach()) == pytest.approx(expected)
    average.swap()
    assert float(layer.weight.detach()) == 5.0 and not math.isnan(expected)
