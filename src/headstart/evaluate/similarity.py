"""How alike are two sets of features: Fréchet distance between sets, linear CKA between stages of networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headstart.errors import DataError
from headstart.models.backbone import Backbone

_ROWS = 4096  # rows taken to double precision at a time


@dataclass(frozen=True)
class StageSimilarity:
    """Linear CKA of each stage of one network with each stage of another.

    Args:
        first, second: the stages' names.
        cka: float [first stages, second stages]; 1 is the same up to rotation and scale, about 0 unrelated.
        n: how many images it is computed from.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    cka: Float[np.ndarray, "a b"]
    n: int


def frechet_distance(first: Float[np.ndarray, "n d"], second: Float[np.ndarray, "m d"]) -> float:
    """Return |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½) of Gaussians fitted to two feature sets (Heusel et al. 2017).

    The trace of the root is the sum of the singular values of Σ₁^½ Σ₂^½, so that nothing is squared or
    inverted: it is steady for singular covariances, with any numbers of images.

    Raises:
        DataError: fewer than two rows, or values that are not finite.
    """
    (mean_a, root_a, trace_a), (mean_b, root_b, trace_b) = _gaussian(first), _gaussian(second)
    overlap = float(np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum())
    distance = float(((mean_a - mean_b) ** 2).sum()) + trace_a + trace_b - 2 * overlap
    return max(distance, 0.0)


def linear_cka(first: Float[np.ndarray, "n d1"], second: Float[np.ndarray, "m d2"], *, unbiased: bool = False) -> float:
    """Return linear centred kernel alignment of two views of the same images (Kornblith et al. 2019).

    Args:
        first, second: activations; row i of both belongs to image i.
        unbiased: estimate each dependence without the bias that few images and many features bring
            (Song et al. 2012); it may then be slightly below zero, and needs at least 4 images.

    Raises:
        DataError: different or too few images, or values that are not finite.
    """
    return float(_alignment(_dependences([first], [second], unbiased))[0, 0])


class StreamedCKA:
    """Unbiased linear CKA of many stages, gathered batch by batch (Nguyen, Raghu & Kornblith 2021).

    The estimate does not depend on the size of the batches, except for its variance.
    """

    def __init__(self) -> None:
        self._sums: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self.n = 0

    def add(
        self,
        first: Sequence[Float[np.ndarray, "_ _"]],
        second: Sequence[Float[np.ndarray, "_ _"]],
    ) -> None:
        """Add a batch of at least 4 images: the activations of each stage of the two networks."""
        found = _dependences(first, second, unbiased=True)
        self._sums = found if self._sums is None else _added(self._sums, found)
        self.n += len(first[0])

    def result(self) -> Float[np.ndarray, "a b"]:
        """Return CKA of every stage of the first network with every stage of the second.

        Raises:
            DataError: nothing was added.
        """
        if self._sums is None:
            raise DataError("CKA of no images: add at least one batch of 4")
        return _alignment(self._sums)


@torch.inference_mode()
def compare_stages(first: Backbone, second: Backbone, batches: Iterable[tuple[Tensor, Tensor]]) -> StageSimilarity:
    """Compare two networks stage by stage on the same images.

    Args:
        first, second: in evaluation mode; may be the same architecture or two.
        batches: the same images, normalised for the first and for the second: float [n, 3, h, w] each; a last
            batch of fewer than 4 is passed over.

    Raises:
        DataError: no batch with 4 images.
    """
    streamed = StreamedCKA()
    for left, right in batches:
        if len(left) >= 4:
            streamed.add(_stage_activations(first, left), _stage_activations(second, right))
    return StageSimilarity(first.stage_names, second.stage_names, streamed.result(), streamed.n)


def _stage_activations(backbone: Backbone, images: Tensor) -> list[np.ndarray]:
    """Return each stage's activations of the images, averaged over positions where there are any."""
    found, activations = [], images
    for stage in backbone.stages:
        activations = stage(activations)
        pooled = activations if activations.ndim == 2 else _pooled(backbone, activations)
        found.append(pooled.float().cpu().numpy())
    return found


def _pooled(backbone: Backbone, activations: Tensor) -> Tensor:
    pooled: Tensor = backbone.reduce(activations) if backbone.reduce is not None else activations
    return pooled.flatten(1)


def _gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mean [d], a matrix [k, d] with root' · root = covariance, and the covariance's trace."""
    n, d = features.shape
    if n < 2:
        raise DataError(f"a Fréchet distance needs at least 2 images on each side; there is {n}")
    _check_finite(features)
    mean = features.mean(0, dtype=np.float64)
    if n <= d:
        root = (features.astype(np.float64) - mean) / np.sqrt(n - 1)
        return mean, root, float((root**2).sum())
    scatter = np.zeros((d, d))
    for start in range(0, n, _ROWS):
        block = features[start : start + _ROWS].astype(np.float64) - mean
        scatter += block.T @ block
    scatter /= n - 1
    values, vectors = np.linalg.eigh(scatter)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return mean, root, float(np.trace(scatter))


def _dependences(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], unbiased: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return HSIC of each pair [a, b], and of each view with itself: [a] and [b]."""
    images = {len(view) for view in (*first, *second)}
    if len(images) != 1:
        raise DataError(f"CKA compares the same images; these views have {sorted(images)} rows")
    least = 4 if unbiased else 2
    if min(images) < least:
        raise DataError(f"CKA needs at least {least} images; there are {min(images)}")
    a, b = [_centred(view) for view in first], [_centred(view) for view in second]
    hsic = _unbiased_hsic if unbiased else _biased_hsic
    return (
        np.array([[hsic(x, y) for y in b] for x in a]),
        np.array([hsic(x, x) for x in a]),
        np.array([hsic(y, y) for y in b]),
    )


def _added(
    a: tuple[np.ndarray, np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _alignment(dependences: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    cross, own_a, own_b = dependences
    scale = np.sqrt(np.maximum(np.outer(own_a, own_b), 0.0))
    return np.asarray(np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0))


def _centred(view: np.ndarray) -> np.ndarray:
    _check_finite(view)
    return np.asarray(view - view.mean(0, dtype=np.float64))


def _check_finite(view: np.ndarray) -> None:
    if not np.isfinite(view).all():
        raise DataError(f"features of image {int(np.isfinite(view).all(1).argmin())} are not finite")


def _inner(x: np.ndarray, y: np.ndarray) -> float:
    """Return the inner product of the Gram matrices xx' and yy', through the smaller of the two ways."""
    if x.shape[1] * y.shape[1] <= len(x) * (x.shape[1] + y.shape[1]):
        return float(((x.T @ y) ** 2).sum())
    return float(((x @ x.T) * (y @ y.T)).sum())


def _biased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    return _inner(x, y) / (len(x) - 1) ** 2


def _unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Return HSIC₁ of Song et al. 2012, from features: Gram matrices without their diagonals never formed."""
    n = len(x)
    own_x, own_y = np.einsum("nd,nd->n", x, x), np.einsum("nd,nd->n", y, y)
    # centred rows: a row of the whole Gram matrix sums to zero, so without its diagonal to minus that
    product = _inner(x, y) - float(own_x @ own_y)
    totals = float(own_x.sum() * own_y.sum()) / ((n - 1) * (n - 2))
    rows = 2 * float(own_x @ own_y) / (n - 2)
    return (product + totals - rows) / (n * (n - 3))
