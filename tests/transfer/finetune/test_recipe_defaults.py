"""Default recipes: they name their source, and none of them ends below its start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tuning_subject import CLASSES, TRAIN, VALIDATION, Pictures, fitted_head, job, network

from headstart.models.network import Network
from headstart.transfer.finetune.finetune import finetune
from headstart.transfer.finetune.recipe_defaults import _FAMILIES, default_layer_decay, default_recipe, family_of
from headstart.transfer.frozen.predict import predict_probabilities
from headstart.transfer.strategy import KINDS, Strategy

ROWS = np.arange(TRAIN, TRAIN + VALIDATION)


@pytest.mark.parametrize("family", _FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_family_has_a_default_recipe_that_names_its_source(family: str, kind: str) -> None:
    assert default_recipe(family, kind).origin


def test_names_find_their_family() -> None:
    names = ["timm/tf_efficientnet_lite0", "resnext50_32x4d", "deit_small", "efficientnet_lite0[:stage3]", "xception"]
    assert [family_of(name) for name in names] == ["efficientnet", "resnet", "vit", "efficientnet", "resnet"]
    current = ["eva02_tiny", "dinov3_small", "vit_pe_core_tiny_patch16_384", "hiera_tiny_224", "fastvit_t8", "pe_small"]
    assert [family_of(name) for name in current] == ["vit", "vit", "vit", "swin", "convnext", "vit"]
    assert family_of("mobilenetv4_small") == "mobilenet" and family_of("convnextv2_nano") == "convnext"
    assert default_layer_decay("vit_base_patch16_224") == 0.75 and default_layer_decay("resnet18") == 1.0


@pytest.mark.parametrize("family", _FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_default_clips_gradients_to_norm_one(family: str, kind: str) -> None:
    assert default_recipe(family, kind).clip == 1.0


@pytest.mark.parametrize("family", _FAMILIES)
def test_fine_tuning_a_fitted_head_takes_a_third_of_the_rate_and_the_statistics_of_the_source(family: str) -> None:
    recipe = default_recipe(family, "lp_ft")
    assert recipe.lr == pytest.approx(default_recipe(family).lr / 3) and recipe.norm_statistics == "frozen"


def test_rates_are_those_of_the_table_in_the_docs() -> None:
    rates = {name: default_recipe(name).lr for name in ("resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224")}
    assert rates == {"resnet18": 0.03, "tf_efficientnet_lite0": 0.03, "vit_tiny_patch16_224": 3e-4}
    scratch = {name: default_recipe(name, "scratch").lr for name in ("resnet18", "alexnet", "vit_small", "small_cnn")}
    assert scratch == {"resnet18": 0.05, "alexnet": 5e-3, "vit_small": 5e-4, "small_cnn": 0.2}


def fitted_network() -> Network:
    """Return the tiny network with a head that was fitted on its features, as lp_ft starts from."""
    return Network(network().eval(), fitted_head()).eval()


def accuracy(made: Network) -> float:
    shown = predict_probabilities(made, Pictures(), ROWS, made.backbone.preprocessing)
    return float((shown.argmax(1) == Pictures().labels[ROWS]).mean())


@pytest.mark.parametrize("harmful", [False, True], ids=["", "wrong labels"])
@pytest.mark.parametrize("family", _FAMILIES)
def test_no_default_recipe_ends_below_its_start(family: str, harmful: bool, tmp_path: Path) -> None:
    start = fitted_network()
    recipe = replace(default_recipe(family, "lp_ft"), epochs=2, batch_size=8, warmup_epochs=0.0)
    labels = Pictures().labels.copy()
    if harmful:  # every step of training hurts
        labels[:TRAIN] = (labels[:TRAIN] + 1) % CLASSES
    strategy = Strategy("lp_ft", probe_epochs=0, layer_decay=default_layer_decay(family))
    result = finetune(job(tmp_path, strategy, recipe, initial_head=start.head, labels=labels, loggers=()))
    before, after = accuracy(start), accuracy(result.network)
    assert before > 0.5 and after >= before
    assert result.start is not None and result.start["validation_accuracy"] == pytest.approx(before)
