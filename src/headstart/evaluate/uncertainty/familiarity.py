"""How familiar an image is to a model: scores of its embedding and logits, the best chosen without foreign images.

All scores are larger for familiar images. What they compare with are training images, so that a threshold from
validation images stays honest. Embeddings are divided by their length first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int
from scipy import linalg, special, stats

from headstart.errors import DataError, choose
from headstart.evaluate.metrics.auc import roc_area
from headstart.evaluate.metrics.intervals import Estimate

MOST_NEIGHBOURS = 2000  # training images that are kept to compare with
MOST_REJECTED = 0.05  # of familiar images
DEFAULT = "energy+neighbour"  # where there are too few classes to choose on
_DRAWS, _HELD_OUT, _FEWEST = 3, 0.2, 5  # of leave-classes-out: draws, share of the classes, classes needed
_MOST_ROWS = 1000  # that it looks at
_MOST_PRINCIPAL = 512
_FLOOR = 1e-12

Logits = Callable[[np.ndarray], np.ndarray]  # embeddings [n, d] -> logits [n, C]


@dataclass(frozen=True)
class Reference:
    """What is kept of the training images; arrays that the score in use does not need may be empty.

    Args:
        centre: [d], the mean of the embeddings, each of length one.
        whitening: [d, d]: (embedding - centre) @ whitening has unit covariance within each class.
        means: [C, d], the mean of each class there.
        bank: [m, d], embeddings of length one to compare with.
        principal: [d, s]: an orthonormal basis of the directions in which training images vary most; the rest is the
            residual space.
        location, spread: [4], mean and standard deviation on training images of energy, nearest neighbour, Mahalanobis
            distance and residual norm.
    """

    centre: np.ndarray
    whitening: np.ndarray
    means: np.ndarray
    bank: np.ndarray
    principal: np.ndarray
    location: np.ndarray
    spread: np.ndarray


def fit_reference(
    embeddings: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    logits: Float[np.ndarray, "n c"],
    *,
    score: str | None = None,
    most: int = MOST_NEIGHBOURS,
    seed: int = 0,
) -> Reference:
    """Return what the scores, or one of them, need of labelled training images.

    The covariance within classes is shrunk towards a multiple of the identity (Ledoit & Wolf 2004), so that it can be
    inverted with fewer images than dimensions. Half of the directions are principal, but no more than half as many as
    images, and 512 at most. No more than `most` images, drawn at random, are kept in the bank.

    Args:
        embeddings: as the network gives them.
        labels: any whole numbers.
        logits: of the classifier head.
        score: compute only what this one needs.

    Raises:
        DataError: there are fewer than two images.
    """
    if len(embeddings) < 2:
        raise DataError(f"{len(embeddings)} training images are too few to say what is familiar; give two or more")
    unit = unit_length(embeddings)
    rows = np.sort(np.random.default_rng(seed).permutation(len(unit))[:most])
    centre, bank, nothing = unit.mean(0), unit[rows], np.zeros(0)
    needs = NEEDS[score] if score is not None else tuple(each.name for each in fields(Reference))
    whitening, means = _gaussian(unit, labels, centre) if "whitening" in needs else (nothing, nothing)
    principal = _principal(unit - centre) if "principal" in needs else nothing
    none = np.zeros(4)
    plain = Reference(centre, whitening, means, bank, principal, none, none + 1)
    own = [
        energy(plain, bank, logits[rows]),
        _leave_one_out(bank) if "bank" in needs else none,
        mahalanobis(plain, bank, logits[rows]) if "whitening" in needs else none,
        _residual(plain, bank) if "principal" in needs else none,
    ]
    spread = np.maximum([each.std() for each in own], _FLOOR)
    return Reference(centre, whitening, means, bank, principal, np.array([each.mean() for each in own]), spread)


def unit_length(embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Return each row divided by its length, float64; a row of zeros stays one."""
    exact = embeddings.astype(np.float64)
    return np.asarray(exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), _FLOOR))


def discriminant(embeddings: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]) -> Logits:
    """Return the logits of a Gaussian discriminant: a normal distribution a class, one covariance for all."""
    unit = unit_length(embeddings)
    centre = unit.mean(0)
    whitening, means = _gaussian(unit, labels, centre)
    offset = (means**2).sum(1) / 2

    def logits(others: np.ndarray) -> np.ndarray:
        return np.asarray((unit_length(others) - centre) @ whitening @ means.T - offset)

    return logits


def softmax(reference: Reference, unit: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the largest probability (Hendrycks & Gimpel 2017)."""
    return np.asarray(special.softmax(logits.astype(np.float64), axis=1).max(1))


def energy(reference: Reference, unit: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of the exponentials of the logits (Liu et al. 2020)."""
    return np.asarray(special.logsumexp(logits.astype(np.float64), axis=1))


def neighbour(reference: Reference, unit: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the cosine of the nearest kept training image (Sun et al. 2022, with k = 1)."""
    return np.asarray((unit @ reference.bank.T).max(1))


def mahalanobis(reference: Reference, unit: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return minus the squared Mahalanobis distance to the nearest class (Lee et al. 2018).

    Embeddings of length one make it more even over classes and images (Mueller & Hein 2025).
    """
    white = (unit - reference.centre) @ reference.whitening
    distances = (white**2).sum(1)[:, None] - 2 * white @ reference.means.T + (reference.means**2).sum(1)
    return np.asarray(-distances.min(1))


def vim(reference: Reference, unit: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the energy less the norm in the residual space (virtual-logit matching, Wang et al. 2022).

    The norm is scaled by the ratio of the spreads on training images, not of the means as in the paper: the logits of
    some heads have no fixed zero.
    """
    scale = reference.spread[0] / reference.spread[3]
    return np.asarray(energy(reference, unit, logits) - scale * _residual(reference, unit))


def energy_and_neighbour(reference: Reference, unit: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the sum of energy and nearest neighbour, each in standard deviations on training images."""
    return _sum(reference, {0: energy(reference, unit, logits), 1: neighbour(reference, unit, logits)})


def energy_and_mahalanobis(reference: Reference, unit: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the sum of energy and Mahalanobis distance, each in standard deviations on training images."""
    return _sum(reference, {0: energy(reference, unit, logits), 2: mahalanobis(reference, unit, logits)})


Score = Callable[[Reference, np.ndarray, np.ndarray], np.ndarray]
SCORES: dict[str, Score] = {
    "softmax": softmax,
    "energy": energy,
    "neighbour": neighbour,
    "mahalanobis": mahalanobis,
    "vim": vim,
    "energy+neighbour": energy_and_neighbour,
    "energy+mahalanobis": energy_and_mahalanobis,
}
NEEDS: dict[str, tuple[str, ...]] = {  # which arrays of the reference, besides location and spread
    "softmax": (),
    "energy": (),
    "neighbour": ("bank",),
    "mahalanobis": ("centre", "whitening", "means"),
    "vim": ("centre", "principal"),
    "energy+neighbour": ("bank",),
    "energy+mahalanobis": ("centre", "whitening", "means"),
}


def familiarity(
    name: str, reference: Reference, embeddings: Float[np.ndarray, "n d"], logits: Float[np.ndarray, "n c"]
) -> Float[np.ndarray, " n"]:
    """Return a score of each image; the larger, the more familiar.

    Raises:
        SpecError: an unknown score.
    """
    return choose("familiarity score", name, SCORES)(reference, unit_length(embeddings), logits)


def only_needed(reference: Reference, name: str) -> Reference:
    """Return the reference with the arrays that a score does not need empty."""
    kept = (*NEEDS[name], "location", "spread")
    return Reference(
        *(getattr(reference, each.name) if each.name in kept else np.zeros(0) for each in fields(Reference))
    )


def choose_score(
    embeddings: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    fit: Callable[[np.ndarray, np.ndarray], Logits] = discriminant,
    *,
    seed: int = 0,
) -> tuple[str, dict[str, float]]:
    """Return the score that best finds classes left out, and the mean AUROC of each; no foreign image is needed.

    Three times a fifth of the classes, drawn at random, is left out. A head is fitted on half of the images of the
    others; the other half are familiar, and the images of the classes left out are not. The score with the best mean
    AUROC is chosen. With fewer than five classes there is nothing to choose on, and the default is returned.

    Args:
        embeddings, labels: of training images.
        fit: makes a head like the model's from embeddings [n, d] and labels 0 … C - 1.
    """
    names, sizes = np.unique(labels, return_counts=True)
    if len(names) < _FEWEST or sizes.max() < 2:
        return DEFAULT, {}
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in SCORES}
    for draw in range(_DRAWS):
        rows = generator.permutation(len(labels))[:_MOST_ROWS]
        left_out = np.isin(labels[rows], generator.choice(names, max(1, round(_HELD_OUT * len(names))), replace=False))
        inside, foreign = rows[~left_out], rows[left_out]
        half = len(inside) // 2
        learned, codes = inside[:half], np.unique(labels[inside[:half]], return_inverse=True)[1]
        if half < 2 or codes.max() < 1 or not len(foreign):
            continue
        logits = fit(embeddings[learned], codes)
        reference = fit_reference(embeddings[learned], codes, logits(embeddings[learned]), seed=draw)
        judged = embeddings[np.concatenate([inside[half:], foreign])]
        known = np.arange(len(judged)) < len(inside) - half
        unit, said = unit_length(judged), logits(judged)
        for name, score in SCORES.items():
            found[name].append(roc_area(score(reference, unit, said), known)[0])
    means = {name: float(np.mean(each)) for name, each in found.items() if each}
    return (max(means, key=means.__getitem__) if means else DEFAULT), means


@dataclass(frozen=True)
class Rejection:
    """Which scores are too low to be familiar.

    Args:
        below: rejected are the images whose score is below this; minus infinity rejects none.
        share: of familiar images that it rejects, as far as the calibration images can tell: the expected share, and
            the exact interval that holds the true one with a probability of 95 %.
    """

    below: float
    share: Estimate


def rejection(scores: Float[np.ndarray, " n"], most: float = MOST_REJECTED, level: float = 0.95) -> Rejection:
    """Return the threshold that rejects a familiar image with a probability of at most `most`.

    It is the calibration score of rank k = ⌊(n + 1) most⌋ from below: a further familiar image is below it with a
    probability of k / (n + 1) at most, over the draw of the calibration images too; for the calibration images at
    hand that probability is a draw of a Beta(k, n + 1 - k) (Vovk 2012). With fewer than 19 images none is rejected.

    Args:
        scores: of images that the model has not learned from.
    """
    n = len(scores)
    rank = math.floor((n + 1) * most + 1e-9)
    if rank < 1:
        return Rejection(-math.inf, Estimate(value=0.0, low=0.0, high=0.0, n=n))
    tails = stats.beta(rank, n + 1 - rank).ppf([(1 - level) / 2, (1 + level) / 2])
    share = Estimate(value=rank / (n + 1), low=float(tails[0]), high=float(tails[1]), n=n)
    return Rejection(float(np.sort(scores)[rank - 1]), share)


def familiar_share(
    scores: Float[np.ndarray, " m"], calibration: Sequence[float] | Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Return which share of familiar images is no more familiar than each: (1 + #{calibration ≤ score}) / (n + 1).

    It is the conformal p-value: familiar images have at most a share t below any t.
    """
    ranked = np.sort(np.asarray(calibration))
    return np.asarray((1 + np.searchsorted(ranked, scores, side="right")) / (len(ranked) + 1))


def _gaussian(unit: np.ndarray, labels: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what whitens the embeddings within classes, and the whitened means of the classes."""
    _, codes = np.unique(labels, return_inverse=True)
    sums = np.zeros((codes.max() + 1, unit.shape[1]))
    np.add.at(sums, codes, unit)
    means = sums / np.bincount(codes)[:, None]
    whitening = _whitening(unit - means[codes])
    return whitening, (means - centre) @ whitening


def _whitening(centred: np.ndarray) -> np.ndarray:
    """Return the inverse square root of the Ledoit–Wolf covariance of rows with mean zero, [d, d].

    From the inner products of the rows or of the columns, whichever are fewer.
    """
    n, d = centred.shape
    values, directions = _spectrum(centred)
    squares = (centred**2).sum(1)
    mean = float(squares.sum()) / (n * d)
    size = float((values**2).sum()) / n**2  # the squared norm of the empirical covariance
    distance = size / d - mean**2
    error = (float((squares**2).sum()) / n - size) / (d * n)
    shrinkage = min(error, distance) / distance if distance > 0 else 1.0
    floor = max(mean * 1e-6, _FLOOR)
    scales = 1 / np.sqrt((1 - shrinkage) * values / n + shrinkage * mean + floor)
    rest = 1 / math.sqrt(shrinkage * mean + floor)
    return np.asarray((directions * (scales - rest)) @ directions.T + rest * np.eye(d))


def _principal(centred: np.ndarray) -> np.ndarray:
    n, d = centred.shape
    directions = _spectrum(centred)[1]
    return directions[:, : min(max(1, d // 2), max(1, n // 2), _MOST_PRINCIPAL)]


def _spectrum(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of rows' @ rows that are not zero, the largest first, and their directions [d, r]."""
    n, d = rows.shape
    values, vectors = linalg.eigh(rows @ rows.T if n < d else rows.T @ rows)
    kept = np.flatnonzero(values > max(float(values[-1]) * 1e-10, _FLOOR))[::-1]
    values, vectors = values[kept], vectors[:, kept]
    return values, vectors if n >= d else rows.T @ vectors / np.sqrt(values)


def _residual(reference: Reference, unit: np.ndarray) -> np.ndarray:
    centred = unit - reference.centre
    rest = (centred**2).sum(1) - ((centred @ reference.principal) ** 2).sum(1)
    return np.asarray(np.sqrt(np.maximum(rest, 0.0)))


def _sum(reference: Reference, parts: dict[int, np.ndarray]) -> np.ndarray:
    return np.asarray(sum((each - reference.location[k]) / reference.spread[k] for k, each in parts.items()))


def _leave_one_out(bank: np.ndarray) -> np.ndarray:
    """Return the cosine of the nearest other image of the bank."""
    cosines = bank @ bank.T
    np.fill_diagonal(cosines, -np.inf)
    return np.asarray(cosines.max(1))
