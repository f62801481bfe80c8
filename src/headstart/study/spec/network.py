"""The network that a run takes features from or starts from: only what its outputs depend on."""

from __future__ import annotations

from dataclasses import dataclass, field

from headstart.bands import Bands
from headstart.study.spec.schema import DataSpec, WeightsSpec

IMAGENET = WeightsSpec(name="imagenet")


@dataclass(frozen=True)
class NetworkSpec:
    """A backbone and its weights.

    Args:
        backbone: name of the architecture.
        weights: the origin of its weights.
        truncate_at: the last stage kept, or None.
        input_size: side of the square input in px, or None for the architecture's own.
        resize: length of the shorter side in px before the crop, or None for the weights' own.
        redrawn: draw random weights anew for each seed (networks that are trained); otherwise once.
        data: the images whose bands it is made for; None: those of `bands`.
        bands: the bands that it is made for, where they are at hand; None: it takes ordinary pictures.
    """

    backbone: str
    weights: WeightsSpec = IMAGENET
    truncate_at: str | None = None
    input_size: int | None = None
    resize: int | None = None
    redrawn: bool = False
    data: DataSpec | None = field(default=None, hash=False)
    bands: Bands | None = None

    def random_seed(self, seed: int) -> int:
        """Return the seed that random weights are drawn with, in a run with this seed."""
        return seed if self.redrawn else 0


@dataclass(frozen=True)
class Subset:
    """The part of the training images that a run learns from: a fraction, or images per class; None: all of them."""

    fraction: float | None = None
    shots: int | None = None
