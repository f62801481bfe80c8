"""The detectors of pytorch-ood on the features and logits that headstart's familiarity scores are given.

Used by `unsure.py --peers`. Each detector is fitted on the training rows only, with its own defaults; where it has none
(the share of weights that DICE leaves out, the dimensions that ViM keeps), with each value that its authors tried, and
KNN with the nearest image, too. Detectors that clip or scale feature maps see the pooled features as maps of one pixel.
Left out: those that need the pixels (ODIN, gradients, dropout), maps of several layers or more than one pixel (Gram,
RankFeat, NAC), outliers or text to train with (weighted energy, MCM), and with more than 20 classes the Gaussian
mixture, which multiplies by a covariance for each. Mahalanobis distances are those of the fitted detectors, all
classes in one product.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from pytorch_ood import detector as ood
from torch import Tensor, nn

Array = np.ndarray
Unfamiliar = Callable[[Tensor], Tensor]  # features [n, d] -> outlier scores [n]

_CHUNK = 256  # rows at a time: DICE multiplies all of them by all weights
_MOST_MIXED = 20  # classes

logging.getLogger("pytorch_ood").setLevel(logging.WARNING)


def peers(features: Array, codes: Array, head: nn.Module) -> dict[str, Callable[[Array], Array]]:
    """Return for each detector how familiar images are, by their features; fitted on training images.

    Args:
        features: float32 [n, d].
        codes: int64 [n], classes 0 … C - 1.
        head: linear, with `weight` and `bias`.
    """
    x, y = torch.from_numpy(np.ascontiguousarray(features)), torch.from_numpy(codes.astype(np.int64))
    linear = nn.Linear(*reversed(head.weight.shape))
    linear.load_state_dict({"weight": head.weight, "bias": head.bias})
    with torch.inference_mode():
        assert torch.allclose(linear(x[:100]), head(x[:100]), atol=1e-3), "the head is not linear in the features"
        found = {name: make(x, y, linear) for name, make in _DETECTORS.items()}
        if codes.max() < _MOST_MIXED:
            found["GMM"] = ood.GMM(None).fit_features(x, y).predict_features
    return {name: _familiar(score) for name, score in found.items()}


def _familiar(score: Unfamiliar) -> Callable[[Array], Array]:
    """Return minus a detector's score of arrays, in chunks: it may take much memory for each row."""

    def familiar(features: Array) -> Array:
        rows = torch.from_numpy(np.ascontiguousarray(features))
        with torch.inference_mode():
            return -np.concatenate([np.asarray(score(chunk), np.float64) for chunk in rows.split(_CHUNK)])

    return familiar


def _of_logits(make: Callable[[], ood.MaxLogit]) -> Callable[[Tensor, Tensor, nn.Linear], Unfamiliar]:
    """Return how a detector of logits is made."""

    def made(x: Tensor, y: Tensor, head: nn.Linear) -> Unfamiliar:
        detector = make()
        if hasattr(detector, "fit_logits"):
            detector.fit_logits(head(x), y)
        return lambda rows: detector.predict_logits(head(rows))

    return made


def _of_features(make: Callable[[nn.Linear], ood.KNN]) -> Callable[[Tensor, Tensor, nn.Linear], Unfamiliar]:
    """Return how a detector of features is made."""

    def made(x: Tensor, y: Tensor, head: nn.Linear) -> Unfamiliar:
        detector = make(head)
        if detector.requires_fit:
            detector.fit_features(x, y)
        return lambda rows: detector.predict_features(rows)

    return made


def _of_maps(
    make: Callable[[Callable[[Tensor], Tensor]], ood.ReAct],
) -> Callable[[Tensor, Tensor, nn.Linear], Unfamiliar]:
    """Return how a detector of feature maps is made, from features as maps of one pixel."""

    def made(x: Tensor, y: Tensor, head: nn.Linear) -> Unfamiliar:
        detector = make(lambda maps: head(maps.flatten(1)))
        if detector.requires_fit:
            detector.fit_feature_maps(x[:, :, None, None], y)
        return lambda rows: detector.predict_feature_maps(rows[:, :, None, None])

    return made


def _mahalanobis(x: Tensor, y: Tensor, head: nn.Linear) -> Unfamiliar:
    fitted = ood.Mahalanobis(None).fit_features(x, y)
    return lambda rows: _squared(rows, fitted.mu, fitted.precision).amin(1)


def _relative_mahalanobis(x: Tensor, y: Tensor, head: nn.Linear) -> Unfamiliar:
    fitted = ood.RMD(None).fit_features(x, y)

    def score(rows: Tensor) -> Tensor:
        own = _squared(rows, fitted.mu, fitted.precision)
        return (own - _squared(rows, fitted.background_mu[None], fitted.background_precision)).amin(1)

    return score


def _squared(rows: Tensor, means: Tensor, precision: Tensor) -> Tensor:
    """Return the squared distances [n, C] to the fitted means; the detector multiplies once for each class instead."""
    z, m, p = rows.double() - means[0].double(), (means - means[0]).double(), precision.double()
    return ((z @ p) * z).sum(1)[:, None] - z @ (p + p.T) @ m.T + ((m @ p) * m).sum(1)


_DETECTORS: dict[str, Callable[[Tensor, Tensor, nn.Linear], Unfamiliar]] = {
    "MaxSoftmax": _of_logits(lambda: ood.MaxSoftmax(None)),
    "MaxLogit": _of_logits(lambda: ood.MaxLogit(None)),
    "Energy": _of_logits(lambda: ood.EnergyBased(None)),
    "Entropy": _of_logits(lambda: ood.Entropy(None)),
    "GEN": _of_logits(lambda: ood.GEN(None)),
    "KLMatching": _of_logits(lambda: ood.KLMatching(None)),
    "OpenMax": _of_logits(lambda: ood.OpenMax(None)),
    "Mahalanobis": _mahalanobis,
    "relative Mahalanobis": _relative_mahalanobis,
    "KNN 50": _of_features(lambda head: ood.KNN(None)),
    "KNN 1": _of_features(lambda head: ood.KNN(None, k=1)),
    "NNGuide": _of_features(lambda head: ood.NNGuide(None, head)),
    "SHE": _of_features(lambda head: ood.SHE(None, head)),
    "fDBD": _of_features(lambda head: ood.fDBD(None, head)),
    "NCI": _of_features(lambda head: ood.NCI(None, head)),
    "PNML": _of_features(lambda head: ood.PNML(None, head)),
    "LTS": _of_features(lambda head: ood.LTS(None, head)),
    "ReAct": _of_maps(lambda head: ood.ReAct(None, head)),
    "ASH": _of_maps(lambda head: ood.ASH(None, head)),
    "SCALE": _of_maps(lambda head: ood.SCALE(None, head)),
    "VRA": _of_maps(lambda head: ood.VRA(None, head)),
}
for _p in ood.DICE.hyperparameter_space["p"]:
    _DETECTORS[f"DICE {_p}"] = _of_features(lambda head, p=_p: ood.DICE(None, head.weight, head.bias, p))
for _d in ood.ViM.hyperparameter_space["d"]:
    _DETECTORS[f"ViM {_d}"] = _of_features(lambda head, d=_d: ood.ViM(None, d, head.weight, head.bias))
