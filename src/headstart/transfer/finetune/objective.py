"""What a training minimises: the mean loss of a batch, whose images may be mixed in pairs."""

from __future__ import annotations

from torch import Tensor, nn

from headstart.models.preprocessing import Preprocessing, normalise
from headstart.transfer.augment.augment import DEFAULTS
from headstart.transfer.augment.counter_rng import generator
from headstart.transfer.augment.mixing import mix_batch
from headstart.transfer.finetune.loader import Batch
from headstart.transfer.finetune.losses import LOSSES, total_weight
from headstart.transfer.finetune.recipe import Recipe


class Objective(nn.Module):
    """The loss of a recipe.

    Args:
        recipe: names the loss, the smoothing and the mixing augmentations.
        classes: C.
        class_weights: float [C] or None.
        preprocessing: normalises pixels before they are mixed.
        seed: of mixup and CutMix.
    """

    def __init__(
        self, recipe: Recipe, classes: int, class_weights: Tensor | None, preprocessing: Preprocessing, seed: int
    ) -> None:
        super().__init__()
        self.recipe, self.classes, self.preprocessing, self.seed = recipe, classes, preprocessing, seed
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)
        options = recipe.augment_options
        self.alphas = {name: options.get(name, {}).get("alpha", DEFAULTS[name]["alpha"]) for name in recipe.mixes}

    def targets(self, labels: Tensor) -> Tensor:
        """Return float [n, C]: one-hot rows, or the labels themselves where an image has several."""
        if labels.dim() == 2:
            return labels.float()
        return nn.functional.one_hot(labels, self.classes).float()

    def mixed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of a training batch, mixed where the recipe asks for it."""
        targets = self.wanted(batch)
        if not self.alphas:
            return batch.inputs, targets
        draw = generator(self.seed, batch.epoch, batch.step, "mix")
        return mix_batch(normalise(batch.inputs, self.preprocessing), targets, self.alphas, draw)

    def wanted(self, batch: Batch) -> Tensor:
        """Return the targets of a training batch before mixing."""
        return self.targets(batch.labels)

    def answers(self, batch: Batch) -> Tensor:
        """Return the labels that training accuracy is counted by."""
        return batch.labels

    def total(self, targets: Tensor) -> Tensor:
        """Return what the summed loss of a batch is divided by."""
        return total_weight(targets, self.class_weights, self.recipe.loss)

    def forward(self, logits: Tensor, targets: Tensor, total: Tensor) -> Tensor:
        """Return the training loss of a batch, or its share of the loss if these are a piece of the batch."""
        per_sample = LOSSES[self.recipe.loss]
        return per_sample(logits, targets, self.class_weights, self.recipe.label_smoothing).sum() / total

    def validation_sum(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the summed loss without class weights and smoothing."""
        return LOSSES[self.recipe.loss](logits, self.targets(labels), None, 0.0).sum()
