"""Which network a run takes its features from, or begins to learn from: what it depends on, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.study.spec.schema import WeightsSpec

IMAGENET = WeightsSpec(name="imagenet")


@dataclass(frozen=True)
class NetworkSpec:
    """A backbone and what fills it.

    Args:
        backbone: name of the architecture.
        weights: where its weights come from.
        truncate_at: the last stage that is kept, or None.
        input_size: side of the square input in px, or None for the architecture's own.
        resize: length of the shorter side in px before the crop, or None for the weights' own.
        redrawn: random weights are drawn anew for each seed (networks that are trained); otherwise once.
    """

    backbone: str
    weights: WeightsSpec = IMAGENET
    truncate_at: str | None = None
    input_size: int | None = None
    resize: int | None = None
    redrawn: bool = False

    def random_seed(self, seed: int) -> int:
        """Return the seed of random weights in a run with this seed."""
        return seed if self.redrawn else 0


@dataclass(frozen=True)
class Subset:
    """How much of the training part a run learns from: a share of it, or so many images a class; None: all."""

    fraction: float | None = None
    shots: int | None = None
