"""How each phase gets its inputs: what is stored, what runs in every epoch, and how much room it takes."""

from __future__ import annotations

import pytest
from tuning_subject import network

from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.finetune.routes import activation_bytes, plan_routes
from headstart.transfer.strategy import Strategy, resolve

FROZEN = Strategy("fine_tune", freeze_until="stage1")


@pytest.mark.parametrize(
    ("strategy", "recipe", "room", "mode", "words", "stores_validation"),
    [
        (Strategy("fine_tune"), Recipe(), 1e9, "pixels", "nothing in front", False),
        (FROZEN, Recipe(), 1e9, "stored", "computed once and stored", False),
        (FROZEN, Recipe(), 1e4, "on the fly", "take 0.0 GB of", False),
        (FROZEN, Recipe(epochs=1), 1e9, "on the fly", "for 1 epoch only", False),
        (Strategy("linear_probe"), Recipe(epochs=1), 1e9, "stored", "computed once", False),
        (FROZEN, Recipe(augment=("rotation",)), 1e9, "on the fly", "rotation changes the pixels", True),
        (FROZEN, Recipe(augment=("mixup",)), 1e9, "on the fly", "mixup blends", True),
        (
            Strategy("fine_tune", freeze_until="stage1", views=3),
            Recipe(augment=("rotation",)),
            1e9,
            "views",
            "3 aug",
            False,
        ),
    ],
)
def test_the_route_and_its_reason(
    strategy: Strategy, recipe: Recipe, room: float, mode: str, words: str, stores_validation: bool
) -> None:
    resolved = resolve(strategy, network(), recipe.epochs)
    (route,) = plan_routes(resolved, recipe, room, activation_bytes(resolved, 100))
    assert (route.mode, route.stores_validation) == (mode, stores_validation) and words in route.reason


def test_activations_take_four_bytes_a_value() -> None:
    sizes = activation_bytes(resolve(FROZEN, network()), 100)
    assert sizes == {"stage1": 4 * 100 * 8 * 8 * 8}  # 16 px, halved by the stem, 8 channels
    assert activation_bytes(resolve(Strategy("linear_probe"), network()), 100) == {"pool": 4 * 100 * 16}
    assert activation_bytes(resolve(Strategy("fine_tune"), network()), 100) == {}


def test_measuring_leaves_the_modes_as_they_were() -> None:
    resolved = resolve(FROZEN, network())
    resolved.backbone.stages[1].eval()
    modes = [module.training for module in resolved.backbone.modules()]
    activation_bytes(resolved, 10)
    assert [module.training for module in resolved.backbone.modules()] == modes
