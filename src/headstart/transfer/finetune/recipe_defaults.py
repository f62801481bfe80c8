"""Default recipes by backbone family, and where each comes from.

Optimiser, schedule and regularisation follow the papers that `origin` names. The rates of ResNet, EfficientNet, ViT
and the small CNNs are the middle of the range that a sweep found good on two data sets (`benchmarks/recipes.py`;
the table is in docs/recipes.md); the other families take over the rate of their nearest relative. All of them clip
gradients to norm 1: with it a rate three times too high costs a point or two instead of the network.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Strategy

_CROPS = ("random_resized_crop", "horizontal_flip")
_SGD: dict[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": True,
    "lr": 0.03,
    "weight_decay": 1e-4,
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "epochs": 20,
    "batch_size": 32,
    "augment": _CROPS,
}
_ADAMW: dict[str, Any] = {
    "optimizer": "adamw",
    "lr": 1e-4,
    "weight_decay": 0.05,
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "epochs": 20,
    "batch_size": 32,
    "augment": _CROPS,
}
_KORNBLITH = "Kornblith, Shlens, Le 2019 (Nesterov SGD, cosine, random crops and flips)"
_SWEEP = "rate from the sweep in docs/recipes.md"

# family (a prefix of the architecture's name) -> values that differ from the plain Recipe
_FAMILIES: dict[str, dict[str, Any]] = {
    "resnet": {**_SGD, "origin": f"{_KORNBLITH}; {_SWEEP}"},
    "alexnet": {**_SGD, "lr": 1e-3, "origin": f"{_KORNBLITH}; a low rate: no batch norm"},
    "vgg": {**_SGD, "lr": 1e-3, "origin": f"{_KORNBLITH}; a low rate: no batch norm"},
    "densenet": {**_SGD, "origin": f"{_KORNBLITH}; rate of ResNet"},
    "efficientnet": {
        **_SGD,
        "weight_decay": 1e-5,
        "label_smoothing": 0.1,
        "dropout": 0.2,
        "origin": f"{_KORNBLITH}; decay 1e-5, smoothing and dropout of Tan and Le 2019; {_SWEEP}",
    },
    "mobilenet": {
        **_SGD,
        "weight_decay": 4e-5,
        "dropout": 0.2,
        "origin": f"{_KORNBLITH}; decay 4e-5 and dropout of Sandler et al. 2018; rate of EfficientNet",
    },
    "convnext": {
        **_ADAMW,
        "weight_decay": 1e-8,
        "label_smoothing": 0.1,
        "origin": "Liu et al. 2022 (ConvNeXt), table 5: AdamW, decay 1e-8, smoothing 0.1, layer-wise rates",
    },
    "vit": {
        **_ADAMW,
        "lr": 3e-4,
        "label_smoothing": 0.1,
        "origin": f"He et al. 2022 (MAE), table 9: AdamW, decay 0.05, smoothing 0.1, layer decay; shorter; {_SWEEP}",
    },
    "swin": {
        **_ADAMW,
        "weight_decay": 1e-8,
        "label_smoothing": 0.1,
        "origin": "Liu et al. 2021 (Swin), fine-tuning: AdamW, decay 1e-8, smoothing 0.1",
    },
    "lenet5": {
        **_SGD,
        "lr": 0.05,
        "warmup_epochs": 0.0,
        "augment": (),
        "schedule": "onecycle",
        "origin": "LeCun et al. 1998 has no rate of today's kind; one-cycle SGD after Smith and Topin 2018",
    },
    "small_cnn": {
        "optimizer": "sgd",
        "momentum": 0.9,
        "nesterov": True,
        "lr": 0.2,
        "weight_decay": 5e-4,
        "schedule": "onecycle",
        "epochs": 8,
        "batch_size": 128,
        "label_smoothing": 0.2,
        "augment": ("random_crop", "horizontal_flip"),
        "tta": "flip_translate",
        "origin": "Jordan 2024 (airbench): Nesterov SGD, one cycle, flips and shifts, smoothing 0.2, flips in testing",
    },
}
_ALIASES = {  # other beginnings of names
    "resnext": "resnet",
    "regnet": "resnet",
    "wide_resnet": "resnet",
    "tf_efficientnet": "efficientnet",
    "deit": "vit",
    "dinov2": "vit",
    "dinov3": "vit",
    "siglip2": "vit",
    "pe_": "vit",
    "eva": "vit",
    "naflexvit": "vit",
    "beit": "vit",
    "conv4": "lenet5",
    "swinv2": "swin",
    "hiera": "swin",
    "fastvit": "convnext",
    "mobileclip": "convnext",
    "tf_mobilenet": "mobilenet",
    "mnasnet": "mobilenet",
}
# rates for random weights, by family, else by optimiser
_SCRATCH_LR = {"alexnet": 5e-3, "vgg": 5e-3, "sgd": 0.05, "adamw": 5e-4}
_LAYER_DECAY = {"vit": 0.75, "convnext": 0.8, "swin": 0.9}


def family_of(backbone: str) -> str:
    """Return the family whose default recipe serves this architecture ("resnet" for unknown ones)."""
    name = backbone.split("/")[-1].split("[")[0].lower()
    known = {family: family for family in _FAMILIES} | _ALIASES
    for start in sorted(known, key=len, reverse=True):
        if name.startswith(start):
            return known[start]
    return "resnet"


def default_recipe(backbone: str, strategy: Strategy | str = "fine_tune") -> Recipe:
    """Return the recipe of the backbone's family, adapted to what is learned.

    Args:
        backbone: the architecture's name, such as "resnet18" or "timm/vit_base_patch16_224".
        strategy: the strategy or its kind.
    """
    kind = strategy if isinstance(strategy, str) else strategy.kind
    family = family_of(backbone)
    recipe = Recipe(**_FAMILIES[family])
    if kind == "scratch" and family not in ("small_cnn", "lenet5"):
        rate = _SCRATCH_LR.get(family, _SCRATCH_LR[recipe.optimizer])
        origin = f"{recipe.origin}; 90 epochs and a rate for random weights"
        return replace(recipe, epochs=90, warmup_epochs=5.0, lr=rate, origin=origin)
    if kind == "linear_probe":
        return replace(
            recipe,
            optimizer="sgd",
            lr=0.1,
            weight_decay=0.0,
            augment=(),
            dropout=0.0,
            label_smoothing=0.0,
            origin="He et al. 2022 (MAE), linear probing: SGD, no decay, no augmentation; the rate for batches of 32",
        )
    if kind == "lora":
        return replace(
            recipe,
            optimizer="adamw",
            lr=1e-3,
            weight_decay=0.0,
            origin="Hu et al. 2022 (LoRA): AdamW without decay on the additions",
        )
    if kind == "norm_only":
        return replace(
            recipe,
            optimizer="adamw",
            lr=1e-3,
            weight_decay=0.0,
            origin="Frankle, Schwab, Morcos 2021: only the norms learn; AdamW at a higher rate than for all weights",
        )
    if kind == "lp_ft":
        origin = f"{recipe.origin}; Kumar et al. 2022 (LP-FT): a third of the rate, norm statistics of the source"
        return replace(recipe, lr=recipe.lr / 3, norm_statistics="frozen", origin=origin)
    return recipe


def distilled(recipe: Recipe) -> Recipe:
    """Return a recipe for learning from a teacher: three times as long, with mixup, and hard labels as they are."""
    origin = (
        f"{recipe.origin}; Beyer et al. 2022: long, with mixup; no label smoothing, which soft labels replace"
        " (Müller, Kornblith, Hinton 2019)"
    )
    augment = (*recipe.augment, "mixup")
    return replace(recipe, epochs=3 * recipe.epochs, augment=augment, label_smoothing=0.0, origin=origin)


def default_layer_decay(backbone: str) -> float:
    """Return the factor between neighbouring stages' rates that the family's fine-tuning recipe uses."""
    return _LAYER_DECAY.get(family_of(backbone), 1.0)
