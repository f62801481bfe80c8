"""LIME on superpixels: which pieces of the image does the prediction rest on (Ribeiro et al. 2016)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from headstart.errors import DataError, SpecError
from headstart.explain.scope import Predict, as_pixels
from headstart.explain.superpixels import slic
from headstart.progress import progress
from headstart.transfer.finetune.malloc import large_blocks_kept


@dataclass(frozen=True)
class LimeExplanation:
    """A linear model of the prediction around one image.

    Args:
        segments: int64 [h, w], the piece of each pixel.
        weights: float64 [pieces], what showing a piece adds to the probability of the target.
        intercept: the model's prediction with every piece hidden.
        fit: weighted R² of the linear model on its samples, at most 1.
        probability: what the network gives the target on the whole image.
    """

    segments: Int[np.ndarray, "h w"]
    weights: Float[np.ndarray, " pieces"]
    intercept: float
    fit: float
    probability: float

    def map(self) -> Float[np.ndarray, "h w"]:
        """Return each pixel's weight."""
        return np.asarray(self.weights[self.segments])

    def top(self, count: int) -> list[int]:
        """Return the pieces that speak most for the target, the first most."""
        return [int(piece) for piece in np.argsort(-self.weights, kind="stable")[:count]]


def lime(
    network: nn.Module,
    images: Float[Tensor, "n 3 h w"],
    targets: Int[Tensor, " n"],
    *,
    seed: int = 0,
    samples: int = 500,
    pieces: int = 60,
    batch: int = 32,
    engine: bool | None = None,
) -> Float[np.ndarray, "n h w"]:
    """Return the LIME weight of each pixel's superpixel (see `explain_pixels`).

    Args:
        engine: run the network through ONNX Runtime (equal within 1e-3); None: where there is enough work.
    """
    pixels, predict = as_pixels(network, images, len(images) * samples, engine)
    segments = [slic(image if image.dtype == np.uint8 else _stretched(image), pieces) for image in pixels]
    chosen = [int(target) for target in targets]
    found = explain_pixels(predict, pixels, chosen, segments, samples=samples, batch=batch, seed=seed)
    return np.stack([explanation.map() for explanation in found]).astype(np.float32)


def explain_pixels(
    predict: Predict,
    images: Shaped[np.ndarray, "n h w 3"],
    targets: Sequence[int],
    segments: Sequence[Int[np.ndarray, "h w"]] | None = None,
    *,
    samples: int = 500,
    batch: int = 32,
    seed: int = 0,
    width: float = 0.25,
    ridge: float = 1.0,
    shown: Sequence[Bool[np.ndarray, "samples _"]] | None = None,
) -> list[LimeExplanation]:
    """Explain each image by a weighted ridge regression on which of its superpixels are shown.

    A hidden superpixel takes its mean colour. With the same `segments` and `shown` the result is that of
    the lime package's LimeImageExplainer. Memory: one batch of images.

    Args:
        predict: images [b, h, w, 3] of the same type as `images` to probabilities [b, classes].
        images: uint8, or floats as `predict` takes them.
        targets: the class to explain, for each image.
        segments: numbered 0, 1, … for each image; default: about 60 by SLIC.
        samples: perturbed images for each image, the first of which is the whole image.
        batch: images for each call of `predict`.
        width: of the kernel exp(-d² / width²)^½ over the cosine distance d from the whole image.
        ridge: penalty on the weights (not the intercept).
        shown: bool [samples, pieces] for each image, in place of random ones.

    Raises:
        SpecError: fewer than two samples.
        DataError: segments or targets that do not belong to the images.
    """
    if samples < 2:
        raise SpecError(f"LIME with {samples} samples: it needs at least 2, and some hundreds to be steady")
    cut = [slic(image) for image in images] if segments is None else list(segments)
    if not len(cut) == len(images) == len(targets):
        raise DataError(f"{len(images)} images, {len(cut)} segmentations, {len(targets)} targets for LIME")
    found = []
    with progress("LIME", len(images) * samples) as ticker, large_blocks_kept():
        for i, (image, pieces, target) in enumerate(zip(images, cut, targets, strict=True)):
            masks = _draw(pieces, samples, [seed, i]) if shown is None else np.asarray(shown[i])
            hidden = mean_colours(image, pieces)
            column = np.empty(len(masks))
            for start in range(0, len(masks), batch):
                mask = masks[start : start + batch]
                probabilities = predict(compose(image, hidden, pieces, mask))
                column[start : start + batch] = probabilities[:, target]
                ticker.advance(len(mask))
            weights, intercept, fit = local_ridge(masks, column, width=width, ridge=ridge)
            found.append(LimeExplanation(pieces, weights, intercept, fit, float(column[0])))
    return found


def mean_colours(image: Shaped[np.ndarray, "h w 3"], segments: Int[np.ndarray, "h w"]) -> Shaped[np.ndarray, "h w 3"]:
    """Return the image with each piece in its mean colour (of uint8: rounded down, as the lime package does)."""
    flat = segments.ravel()
    counts = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, image[..., c].ravel()) / counts for c in range(3)], axis=1)
    return np.asarray(means.astype(image.dtype)[segments])


def compose(
    image: Shaped[np.ndarray, "h w 3"],
    hidden: Shaped[np.ndarray, "h w 3"],
    segments: Int[np.ndarray, "h w"],
    shown: Bool[np.ndarray, "b _"],
) -> Shaped[np.ndarray, "b h w 3"]:
    """Return the image once for each row of `shown`, pieces that are not shown taken from `hidden`."""
    piece = np.repeat(segments.ravel(), image.shape[2])  # of every number: one flat choice is the fastest
    flat = np.where(shown[:, piece], image.ravel(), hidden.ravel())
    return flat.reshape(len(shown), *image.shape)


def local_ridge(
    shown: Bool[np.ndarray, "samples pieces"],
    values: Float[np.ndarray, " samples"],
    *,
    width: float = 0.25,
    ridge: float = 1.0,
) -> tuple[Float[np.ndarray, " pieces"], float, float]:
    """Return (weights, intercept, weighted R²) of the weighted ridge regression of values on shown pieces."""
    from scipy.linalg import cho_factor, cho_solve

    x = shown.astype(np.float64)
    distance = 1 - np.sqrt(x.mean(1))  # the cosine distance from a row of ones
    weight = np.sqrt(np.exp(-(distance**2) / width**2))
    penalty = ridge / weight.sum()
    weight /= weight.sum()
    x_mean, y_mean = weight @ x, float(weight @ values)
    x_centred, y_centred = x - x_mean, values - y_mean
    gram = (x_centred * weight[:, None]).T @ x_centred
    gram[np.diag_indices_from(gram)] += penalty
    weights = cho_solve(cho_factor(gram), (x_centred * weight[:, None]).T @ y_centred)
    residual = float(weight @ (y_centred - x_centred @ weights) ** 2)
    total = float(weight @ y_centred**2)
    fit = 1 - residual / total if total > 0 else 0.0
    return weights, y_mean - float(x_mean @ weights), fit


def _draw(segments: np.ndarray, samples: int, seed: Sequence[int]) -> np.ndarray:
    shown = np.random.default_rng(seed).random((samples, int(segments.max()) + 1)) < 0.5
    shown[0] = True
    return shown


def _stretched(image: np.ndarray) -> np.ndarray:
    """Return a float image as uint8 from its least to its largest value: good enough to cut into pieces."""
    low, high = float(image.min()), float(image.max())
    return ((image - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
