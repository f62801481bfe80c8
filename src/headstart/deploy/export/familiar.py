"""How familiar an image is, as a part of an exported graph: the scores of `evaluate.uncertainty.familiarity`, in torch.

The training images that a score compares with are kept in eight bits, one scale an image: the cosine of two images
changes by less than a thousandth, and a page stays small. Large matrices are in half precision, as in a model's file.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from headstart.evaluate.uncertainty.answers import Uncertainty
from headstart.evaluate.uncertainty.familiarity import DEFAULT, DISTANCES_COUNT, NEEDS, WITH_SOURCE
from headstart.evaluate.uncertainty.stored import HALVED, halved

FAMILIARITY = "familiarity"
_BYTE = 127
_FLOOR = 1e-12


class Familiar(nn.Module):
    """Which share of familiar images is no more familiar than each image, as `Uncertainty.shares` gives it.

    Args:
        uncertainty: with a score.
    """

    location: Tensor
    spread: Tensor
    ranked: Tensor

    def __init__(self, uncertainty: Uncertainty) -> None:
        super().__init__()
        reference = uncertainty.reference
        assert reference is not None, "a model that cannot tell has no such part"
        self.score = uncertainty.score
        familiar = np.log(uncertainty.familiar) if self.score == "softmax" else uncertainty.familiar
        self.register_buffer("ranked", _floats(np.sort(familiar)))
        self.register_buffer("location", _floats(reference.location))
        self.register_buffer("spread", _floats(reference.spread))
        for name in NEEDS[self.score]:
            array = getattr(reference, name)
            if name == "bank":
                scale = np.maximum(np.abs(array).max(1, keepdims=True), _FLOOR) / _BYTE
                self.register_buffer("bank_bytes", torch.from_numpy(np.round(array / scale).astype(np.int8)))
                self.register_buffer("bank_scale", _floats(scale))
            elif name in HALVED:
                half, largest = halved(array)
                self.register_buffer(f"{name}_half", torch.from_numpy(half))
                self.register_buffer(f"{name}_largest", _floats(np.asarray(largest)))
            else:
                self.register_buffer(name, _floats(array))

    def forward(self, features: Float[Tensor, "n d"], logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
        """Return the shares of images with these embeddings and logits of the first network."""
        unit = features / features.norm(dim=1, keepdim=True).clamp(min=_FLOOR)
        below = (self.ranked <= self._scores(unit, logits)[:, None]).sum(1)
        return (1 + below).float() / (len(self.ranked) + 1)

    def _scores(self, unit: Tensor, logits: Tensor) -> Tensor:
        if self.score == "softmax":
            return _log_of_largest(logits)
        if self.score == "neighbour":
            return self._neighbour(unit)
        if self.score == "mahalanobis":
            return self._mahalanobis(unit)
        energy = logits.logsumexp(1)
        if self.score == "energy":
            return energy
        if self.score == "vim":
            return energy - self.spread[0] / self.spread[3] * self._residual(unit)
        assert self.score in (DEFAULT, WITH_SOURCE)
        total = self._scaled(0, energy).clamp(max=0)
        distances = self._scaled(1, self._neighbour(unit)) + self._scaled(2, self._mahalanobis(unit))
        total = total + DISTANCES_COUNT * distances
        return total + self._scaled(4, self._source(unit)) if self.score == WITH_SOURCE else total

    def _scaled(self, place: int, part: Tensor) -> Tensor:
        return (part - self.location[place]) / self.spread[place]

    def _halved(self, name: str) -> Tensor:
        return self.get_buffer(f"{name}_half").float() * self.get_buffer(f"{name}_largest")

    def _neighbour(self, unit: Tensor) -> Tensor:
        bank = self.get_buffer("bank_bytes").float() * self.get_buffer("bank_scale")
        return (unit @ bank.T).amax(1)

    def _mahalanobis(self, unit: Tensor) -> Tensor:
        means = self.get_buffer("means")
        white = (unit - self.get_buffer("centre")) @ self._halved("whitening")
        return -((white**2).sum(1, keepdim=True) - 2 * white @ means.T + (means**2).sum(1)).amin(1)

    def _residual(self, unit: Tensor) -> Tensor:
        centred = unit - self.get_buffer("centre")
        return ((centred**2).sum(1) - ((centred @ self._halved("principal")) ** 2).sum(1)).clamp(min=0).sqrt()

    def _source(self, unit: Tensor) -> Tensor:
        head = self._halved("source")
        roots = (unit @ head[:-1] + head[-1]).softmax(1).sqrt()
        return (roots @ self._halved("shown")).amax(1)


def _log_of_largest(logits: Tensor) -> Tensor:
    """Return the logarithm of the largest probability: single precision takes many of them for 1."""
    largest = logits.argmax(1, keepdim=True)
    others = (logits - logits.amax(1, keepdim=True)).exp().scatter(1, largest, 0.0)
    return -others.sum(1).log1p()


def _floats(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))
