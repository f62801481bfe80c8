"""LIME on superpixels: which parts of the image the prediction is based on (Ribeiro et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from headstart.errors import DataError, SpecError
from headstart.evaluate.correlation import rank_correlation
from headstart.explain.scope import Predict, as_pixels
from headstart.explain.superpixels import slic
from headstart.models.network import Network
from headstart.progress import VERBOSE, Ticker, progress, say
from headstart.transfer.finetune.malloc import large_blocks_kept

_SPLITS = 5  # of the samples into halves, to see how well two runs agree


@dataclass(frozen=True)
class LimeOptions:
    """How an image is sampled, and how the linear model is fitted.

    Args:
        samples: perturbed images to begin with, the first of which is the whole image.
        most_samples: with less agreement than asked for, samples are doubled up to this number.
        agreement: rank correlation of the weights with those of another run of as many samples that is enough.
        batch: images for each call of the network.
        seed: of the samples.
        width: of the kernel exp(-d² / width²)^½ over the cosine distance d from the whole image.
        ridge: penalty on the weights (not the intercept).

    Raises:
        SpecError: fewer than two samples, or a limit below them.
    """

    samples: int = 500
    most_samples: int = 500
    agreement: float = 0.8
    batch: int = 32
    seed: int = 0
    width: float = 0.25
    ridge: float = 1.0

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise SpecError(f"LIME with {self.samples} samples: it needs at least 2, and some hundreds to be stable")
        if self.most_samples < self.samples:
            raise SpecError(f"LIME: most_samples {self.most_samples} is less than samples {self.samples}; raise it")


@dataclass(frozen=True)
class LimeExplanation:
    """A linear model of the prediction around one image.

    Args:
        segments: int64 [h, w], the piece of each pixel.
        weights: float64 [pieces], what showing a piece adds to the probability of the target.
        intercept: the model's prediction with every piece hidden.
        fit: weighted R² of the linear model on its samples, at most 1.
        probability: what the network gives the target on the whole image.
        samples: how many perturbed images were run.
        agreement: the rank correlation (Spearman) to expect between these weights and those of another run with as
            many samples, 0 … 1.
    """

    segments: Int[np.ndarray, "h w"]
    weights: Float[np.ndarray, " pieces"]
    intercept: float
    fit: float
    probability: float
    samples: int
    agreement: float

    def map(self) -> Float[np.ndarray, "h w"]:
        """Return each pixel's weight."""
        return np.asarray(self.weights[self.segments])

    def top(self, count: int) -> list[int]:
        """Return the pieces that support the target most, in descending order."""
        return [int(piece) for piece in np.argsort(-self.weights, kind="stable")[:count]]


def lime(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    targets: Int[Tensor, " n"],
    *,
    seed: int = 0,
    samples: int = 500,
    most_samples: int = 4000,
    agreement: float = 0.8,
    pieces: int = 60,
    batch: int = 32,
    engine: bool | None = None,
) -> Float[np.ndarray, "n h w"]:
    """Return the LIME weight of each pixel's superpixel (see `explain_pixels`).

    Says on standard error when an image reached `most_samples` with less agreement than asked for.

    Args:
        samples, most_samples, agreement: see LimeOptions.
        pieces: superpixels to aim at.
        engine: run the network through ONNX Runtime (equal within 1e-3); None: where there is enough work.
    """
    options = LimeOptions(samples, max(samples, most_samples), agreement, batch, seed)
    pixels, predict = as_pixels(network, images, len(images) * samples, engine)
    bands = network.backbone.preprocessing.bands if isinstance(network, Network) else None
    coloured = pixels if bands is None else bands.picture(pixels)
    segments = [slic(image if image.dtype == np.uint8 else _stretched(image), pieces) for image in coloured]
    found = explain_pixels(predict, pixels, [int(target) for target in targets], segments, options)
    _say_agreement(found, options)
    return np.stack([explanation.map() for explanation in found]).astype(np.float32)


def explain_pixels(
    predict: Predict,
    images: Shaped[np.ndarray, "n h w c"],
    targets: Sequence[int],
    segments: Sequence[Int[np.ndarray, "h w"]] | None = None,
    options: LimeOptions | None = None,
    *,
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
        options: how images are sampled.
        shown: bool [samples, pieces] for each image, in place of random ones; no more are drawn then.

    Raises:
        DataError: segments or targets that do not belong to the images.
    """
    options = options or LimeOptions()
    cut = [slic(image) for image in images] if segments is None else list(segments)
    if not len(cut) == len(images) == len(targets):
        raise DataError(f"{len(images)} images, {len(cut)} segmentations, {len(targets)} targets for LIME")
    found = []
    samples = len(images) * options.samples if shown is None else sum(map(len, shown))
    with progress("LIME", samples, "samples") as ticker, large_blocks_kept():
        for i, (image, pieces, target) in enumerate(zip(images, cut, targets, strict=True)):
            given = None if shown is None else np.asarray(shown[i])
            subject = _Perturbed(predict, image, pieces, target, options.batch, ticker)
            found.append(_explain(subject, options, i, given))
    return found


@dataclass(frozen=True)
class _Perturbed:
    """One image, and the network's answer to its perturbed copies."""

    predict: Predict
    image: np.ndarray
    segments: np.ndarray
    target: int
    batch: int
    ticker: Ticker

    @property
    def pieces(self) -> int:
        return int(self.segments.max()) + 1

    def answers(self, masks: Bool[np.ndarray, "b pieces"]) -> Float[np.ndarray, " b"]:
        """Return the target's probability for each mask of shown pieces."""
        hidden = mean_colours(self.image, self.segments)
        found = []
        for start in range(0, len(masks), self.batch):
            some = masks[start : start + self.batch]
            found.append(self.predict(compose(self.image, hidden, self.segments, some))[:, self.target])
            self.ticker.advance(len(some))
        return np.concatenate(found).astype(np.float64)


def _explain(subject: _Perturbed, options: LimeOptions, number: int, given: np.ndarray | None) -> LimeExplanation:
    """Fit the linear model of one image, with more samples until two runs would agree."""
    generator = np.random.default_rng([options.seed, number])
    masks = _draw(generator, options.samples, subject.pieces, first=True) if given is None else given
    values = subject.answers(masks)
    while True:
        agreement = expected_agreement(masks, values, width=options.width, ridge=options.ridge)
        room = options.most_samples - len(masks)
        if given is not None or agreement >= options.agreement or room <= 0:
            break
        more = _draw(generator, min(len(masks), room), subject.pieces)
        subject.ticker.total += len(more)
        masks, values = np.concatenate([masks, more]), np.concatenate([values, subject.answers(more)])
    weights, intercept, fit = local_ridge(masks, values, width=options.width, ridge=options.ridge)
    return LimeExplanation(subject.segments, weights, intercept, fit, float(values[0]), len(masks), agreement)


def expected_agreement(
    shown: Bool[np.ndarray, "samples pieces"],
    values: Float[np.ndarray, " samples"],
    *,
    width: float = 0.25,
    ridge: float = 1.0,
) -> float:
    """Return the expected rank correlation of the weights of two runs with this many samples, 0 to 1.

    The samples are split into halves, the weights of both are compared, and the correlation is stepped up to twice
    the samples (Spearman 1910, Brown 1910); the mean of several splits. The first sample, the whole image, is in both.
    """
    generator = np.random.default_rng(0)
    count = len(shown) - 1
    if count < 4 or np.ptp(values) == 0:
        return 0.0
    found = []
    for _ in range(_SPLITS):
        order = 1 + generator.permutation(count)
        halves = [np.append(0, order[: count // 2]), np.append(0, order[count // 2 :])]
        first, second = (local_ridge(shown[rows], values[rows], width=width, ridge=ridge)[0] for rows in halves)
        found.append(rank_correlation(first, second) if len(first) > 1 else 1.0)
    half = max(0.0, float(np.mean(found)))
    return 2 * half / (1 + half)


def _say_agreement(found: Sequence[LimeExplanation], options: LimeOptions) -> None:
    short = [one for one in found if one.agreement < options.agreement]
    worst = min(found, key=lambda one: one.agreement)
    if short:
        say(
            f"LIME: {len(short)} of {len(found)} images reached the limit of {options.most_samples:,} samples; another"
            f" run would agree with the least stable map at a rank correlation of about {worst.agreement:.2f}"
            f" ({options.agreement:g} is asked for). Raise most_samples, or trust only the strongest pieces"
        )
    else:
        say(f"LIME: another run would agree at a rank correlation of {worst.agreement:.2f} or more", VERBOSE)


def mean_colours(image: Shaped[np.ndarray, "h w c"], segments: Int[np.ndarray, "h w"]) -> Shaped[np.ndarray, "h w c"]:
    """Return the image with each piece in its mean colour (of uint8: rounded down, as the lime package does)."""
    flat = segments.ravel()
    counts = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, image[..., c].ravel()) / counts for c in range(image.shape[-1])], axis=1)
    return np.asarray(means.astype(image.dtype)[segments])


def compose(
    image: Shaped[np.ndarray, "h w c"],
    hidden: Shaped[np.ndarray, "h w c"],
    segments: Int[np.ndarray, "h w"],
    shown: Bool[np.ndarray, "b _"],
) -> Shaped[np.ndarray, "b h w c"]:
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


def _draw(generator: np.random.Generator, samples: int, pieces: int, first: bool = False) -> np.ndarray:
    shown = generator.random((samples, pieces)) < 0.5
    if first:
        shown[0] = True
    return shown


def _stretched(image: np.ndarray) -> np.ndarray:
    """Return a float image as uint8 from its least to its largest value: good enough to cut into pieces."""
    low, high = float(image.min()), float(image.max())
    return ((image - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
