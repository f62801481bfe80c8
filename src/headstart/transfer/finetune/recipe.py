"""A recipe: how the learned part of a network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from headstart.errors import SpecError, unknown_name
from headstart.models.test_time_augmentation import TTA
from headstart.transfer.augment.augment import AUGMENTATIONS, check_options
from headstart.transfer.augment.mixing import MIXES
from headstart.transfer.finetune.losses import LOSSES
from headstart.transfer.finetune.optimizers import OPTIMIZERS
from headstart.transfer.schedules import SCHEDULES

PRECISIONS = ("32", "bf16-mixed", "16-mixed")
STATISTICS = ("batch", "frozen")
MONITORS = ("validation_score", "validation_accuracy", "validation_loss")

_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": tuple(OPTIMIZERS),
    "schedule": tuple(SCHEDULES),
    "loss": tuple(LOSSES),
    "precision": PRECISIONS,
    "monitor": MONITORS,
    "norm_statistics": STATISTICS,
    "tta": tuple(TTA),
}
_BOUNDS: dict[str, tuple[float, float]] = {  # at least, at most
    "lr": (0.0, 1e3),
    "momentum": (0.0, 0.9999),
    "weight_decay": (0.0, 10.0),
    "step_size": (1, 10**6),
    "gamma": (0.0, 1.0),
    "warmup_epochs": (0.0, 10**6),
    "epochs": (1, 10**6),
    "batch_size": (1, 10**6),
    "accumulate": (1, 10**5),
    "label_smoothing": (0.0, 0.999),
    "head_lr_factor": (0.0, 1e4),
    "dropout": (0.0, 0.99),
    "ema": (0.0, 0.999999),
}


@dataclass(frozen=True)
class Recipe:
    """How the learned part is trained; every value has a default, and `default_recipe` returns good ones by family.

    Args:
        optimizer: sgd, adam, adamw or muon.
        momentum, nesterov: of sgd and muon.
        lr: the peak learning rate, per optimiser step.
        head_lr_factor: the head learns at this factor times `lr`.
        weight_decay: decoupled, except for sgd and adam; norms, biases and other vectors are spared.
        schedule: none, step, multistep, cosine, onecycle or plateau.
        step_size, gamma, milestones: of step, multistep and plateau (epochs; `step_size` is plateau's patience).
        warmup_epochs: epochs (may be a fraction) over which the rate rises linearly from near 0; for onecycle the
            length of its rise.
        epochs, batch_size: an epoch takes every training image once.
        accumulate: batches in one optimiser step.
        clip: largest norm of all gradients together (1 by default); None turns clipping off.
        label_smoothing: as in Szegedy et al. 2016.
        class_weights: "balanced" (inverse frequency), one weight a class, or None.
        balanced_sampling: draw images so that classes are equally frequent.
        augment: names, in the order in which they are applied; see headstart.transfer.augment.augment and mixing.
        augment_options: by name, such as {"rotation": {"degrees": 30}}.
        dropout: in front of the head.
        ema: decay of the moving average of the weights, which is then what is validated and kept; 0 is off.
        early_stopping: epochs without improvement after which training stops; None never stops.
        precision: 32, bf16-mixed or 16-mixed.
        tta: test-time augmentation: none, flip or flip_translate.
        norm_statistics: batch norms in what is learned use and follow the statistics of the batches ("batch"), or
            keep the source's, while their scales and shifts learn ("frozen").
        loss: cross_entropy, or bce for targets with several labels.
        monitor: decides the best epoch: validation_score (by the study's metric), validation_accuracy or
            validation_loss.
        origin: where the values come from.
    """

    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    lr: float = 0.01
    head_lr_factor: float = 1.0
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    step_size: int = 10
    gamma: float = 0.1
    milestones: tuple[int, ...] = ()
    warmup_epochs: float = 0.0
    epochs: int = 10
    batch_size: int = 32
    accumulate: int = 1
    clip: float | None = 1.0
    label_smoothing: float = 0.0
    class_weights: str | tuple[float, ...] | None = None
    balanced_sampling: bool = False
    augment: tuple[str, ...] = ()
    augment_options: dict[str, dict[str, float]] = field(default_factory=dict)
    dropout: float = 0.0
    ema: float = 0.0
    early_stopping: int | None = None
    precision: str = "32"
    tta: str = "none"
    norm_statistics: str = "batch"
    loss: str = "cross_entropy"
    monitor: str = "validation_score"
    origin: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def mixes(self) -> tuple[str, ...]:
        """The augmentations that mix pairs of images."""
        return tuple(name for name in self.augment if name in MIXES)

    @property
    def pixel_augment(self) -> tuple[str, ...]:
        """The augmentations that change one image at a time."""
        return tuple(name for name in self.augment if name not in MIXES)


def recipe_from(values: Mapping[str, Any], base: Recipe | None = None) -> Recipe:
    """Return `base` (else the plain defaults) with these values.

    Raises:
        SpecError: an unknown key, with the nearest known one, or an invalid value.
    """
    known = {entry.name for entry in fields(Recipe)}
    for key in values:
        if key not in known:
            raise SpecError(unknown_name("recipe key", key, known, limit=40))
    kinds = {entry.name: str(entry.type) for entry in fields(Recipe)}
    changed: dict[str, Any] = {key: _converted(key, kinds[key], value) for key, value in values.items()}
    return replace(base or Recipe(), **changed)


def _converted(key: str, kind: str, value: Any) -> Any:
    """Return a value as the field's type: files give whole numbers for fractions, and lists for tuples."""
    try:
        if value is None and "None" in kind:
            return None
        if key == "augment_options":
            return {str(name): {str(k): float(v) for k, v in options.items()} for name, options in value.items()}
        if key == "class_weights":
            return value if isinstance(value, str) else tuple(float(weight) for weight in value)
        if kind.startswith("tuple"):
            if isinstance(value, str):
                raise TypeError("a list is needed")
            item = str if "str" in kind else int
            if not all(isinstance(each, item) and not isinstance(each, bool) for each in value):
                raise TypeError(f"a list of {'names' if item is str else 'whole numbers'} is needed")
            return tuple(value)
        if kind.startswith("float"):
            return float(value)
        if kind.startswith("int") and (isinstance(value, bool) or int(value) != value):
            raise TypeError("a whole number is needed")
        if kind == "bool" and not isinstance(value, bool):
            raise TypeError("true or false is needed")
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SpecError(f"recipe: {key} cannot be {repr(value)[:80]} ({str(error)[:200]})") from error
    return str(value) if kind == "str" else value


def _check(recipe: Recipe) -> None:
    for name, known in _CHOICES.items():
        if getattr(recipe, name) not in known:
            raise SpecError(f"recipe: {unknown_name(name, getattr(recipe, name), known)}")
    for name, (low, high) in _BOUNDS.items():
        value = getattr(recipe, name, None)
        if value is not None and not low <= value <= high:
            raise SpecError(f"recipe: {name} must be between {low:g} and {high:g}, not {value}")
    for name in recipe.augment:
        if name not in AUGMENTATIONS and name not in MIXES:
            raise SpecError(f"recipe: {unknown_name('augmentation', name, (*AUGMENTATIONS, *MIXES))}")
    check_options(recipe.augment, recipe.augment_options)
    if recipe.schedule == "multistep" and not recipe.milestones:
        raise SpecError("recipe: schedule multistep needs milestones, such as [30, 60]")
    if recipe.clip is not None and recipe.clip <= 0:
        raise SpecError(f"recipe: clip must be over 0, not {recipe.clip}; set clip: null to turn clipping off")
    if recipe.early_stopping is not None and recipe.early_stopping < 1:
        raise SpecError("recipe: early_stopping must be at least 1 epoch; leave it out to disable early stopping")
    if isinstance(recipe.class_weights, str) and recipe.class_weights != "balanced":
        raise SpecError(f"recipe: class_weights is 'balanced' or a list of numbers, not {recipe.class_weights!r}")
    if recipe.class_weights is not None and recipe.balanced_sampling:
        raise SpecError("recipe: class_weights and balanced_sampling correct the same imbalance; choose one")
    if recipe.loss == "bce" and recipe.balanced_sampling:
        raise SpecError("recipe: balanced_sampling needs one label an image; loss bce has several")
    if recipe.schedule == "plateau" and recipe.warmup_epochs >= recipe.epochs:
        raise SpecError("recipe: warmup_epochs is as long as the training; shorten it")
