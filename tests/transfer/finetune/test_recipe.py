"""What a recipe accepts, and what it refuses in one line."""

from __future__ import annotations

import pytest

from headstart.errors import SpecError
from headstart.transfer.finetune.recipe import Recipe, recipe_from


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
