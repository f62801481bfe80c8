"""Scores that predict which source transfers, from features and labels, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from headstart.errors import DataError, choose

_ROWS = 4096  # feature rows taken to double precision at a time
_ROUNDS, _TOLERANCE = 200, 1e-7  # of LogME's fixed point
_LIMIT = 1e12  # of the ratio of LogME's precisions, beyond which a class counts as pure noise
_LEAST = 1e-300  # the smallest probability whose logarithm is taken
_SATURATED = 0.9  # rank of the features, as a share of the images less one, from which the H-score says nothing
_EQUAL = 1e-9  # scores that differ by less than this share of the largest are equal: the rest is rounding

Features = Float[np.ndarray, "n d"]
Labels = Int[np.ndarray, " labels"]  # as many as rows; `_check` says so in words


@dataclass(frozen=True)
class TransferScores:
    """Transferability scores of one network on one target.

    Args:
        values: score by name; of each, more is better.
        left_out: why a score is not given, by name.
    """

    values: dict[str, float]
    left_out: dict[str, str]


@dataclass(frozen=True)
class RankAgreement:
    """How well a predicted order agrees with a measured one: 1 the same, 0 unrelated, -1 reversed.

    Args:
        tau: Kendall's τ-b.
        weighted_tau: the same with more weight on the best (Vigna 2015).
        n: how many names were ordered.
    """

    tau: float
    weighted_tau: float
    n: int


def transferability(
    features: Features,
    labels: Labels,
    *,
    source_probabilities: Float[np.ndarray, "n z"] | None = None,
    neighbours: int = 5,
) -> TransferScores:
    """Return every score that the input allows, and the reason for those that it does not.

    Args:
        features: the frozen network's output for the target's training images.
        labels: classes 0, 1, … of the target; a class without images is ignored.
        source_probabilities: the source's own classifier on the same images; needed for "leep".
        neighbours: k of "knn".

    Raises:
        DataError: fewer than two classes, lengths that differ, values that are not finite.
    """
    plain, shrunk, rank = _h_scores(features, labels)
    values = {"logme": logme(features, labels), "h_score": plain, "h_score_shrunk": shrunk}
    values["knn"] = knn_accuracy(features, labels, k=neighbours)
    left_out = {}
    if rank >= _SATURATED * (len(features) - 1):
        del values["h_score"]
        left_out["h_score"] = (
            f"{len(features)} images with {rank} independent features: these explain any labels, so the H-score is"
            " nearly the same for every network"
        )
    if source_probabilities is None:
        left_out["leep"] = "it needs the probabilities of the source's own classifier"
    else:
        values["leep"] = leep(source_probabilities, labels)
    return TransferScores(values, left_out)


def logme(features: Features, labels: Labels) -> float:
    """Return the log evidence per image of Bayesian linear regression to each class, averaged over classes.

    The fixed-point algorithm of You et al. 2021 (LogME, ICML; You et al. 2022, JMLR), for all classes together
    from one eigendecomposition of the smaller Gram matrix.
    """
    counts = _check(features, labels)
    spectrum, projected = _spectrum(features, labels, centre=np.zeros(features.shape[1]))
    n, d = features.shape
    squares = projected**2
    unexplained = np.maximum(counts - squares.sum(0), 0.0)
    alpha, beta = _precisions(spectrum, squares, unexplained, n)
    ratio = alpha / beta
    length, residual = _posterior(spectrum, squares, unexplained, ratio)
    determinant = np.log(alpha + beta * spectrum[:, None]).sum(0) + (d - len(spectrum)) * np.log(alpha)
    evidence = (
        d * np.log(alpha) + n * np.log(beta) - determinant - beta * residual - alpha * length - n * np.log(2 * np.pi)
    ) / 2
    return float(evidence.mean() / n)


def h_score(features: Features, labels: Labels) -> float:
    """Return tr(cov(f)⁺ cov(E[f | y])), between 0 and classes - 1 (Bao et al. 2019, ICIP).

    With as many independent features as images less one, it is classes - 1 whatever the features are.
    """
    return _h_scores(features, labels)[0]


def shrunk_h_score(features: Features, labels: Labels) -> float:
    """Return the H-score on a Ledoit–Wolf covariance, which also ranks with few images (Ibrahim et al. 2022)."""
    return _h_scores(features, labels)[1]


def leep(source_probabilities: Float[np.ndarray, "n z"], labels: Labels) -> float:
    """Return the mean log probability of the label through the source's classes (Nguyen et al. 2020, LEEP).

    Raises:
        DataError: rows that are not probabilities.
    """
    counts = _check(source_probabilities, labels)
    theta = source_probabilities.astype(np.float64)
    if (theta < 0).any() or np.abs(theta.sum(1) - 1).max() > 1e-3:
        raise DataError("LEEP needs probabilities over the source's classes: rows >= 0 that sum to 1")
    place = np.unique(labels, return_inverse=True)[1]
    joint = np.zeros((len(counts), theta.shape[1]))
    np.add.at(joint, place, theta)
    conditional = joint / np.maximum(joint.sum(0), _LEAST)
    expected = np.einsum("nz,nz->n", conditional[place], theta)
    return float(np.log(np.maximum(expected, _LEAST)).mean())


def knn_accuracy(features: Features, labels: Labels, *, k: int = 5, asked: int = 5000, seed: int = 0) -> float:
    """Return the share of images whose k most similar others (by cosine) vote for their class.

    Among classes with equally many votes, the one whose votes are more similar wins. Of more than `asked` images, a
    sample of that size is classified, by all others: with 5,000 the standard error is at most 0.7 points.
    """
    _check(features, labels)
    n = len(features)
    k = min(k, n - 1)
    place = np.unique(labels, return_inverse=True)[1]
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = (features / np.maximum(lengths, 1e-12)).astype(np.float32)
    right = 0
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:asked])
    for some in np.array_split(chosen, -(-len(chosen) // max(1, min(_ROWS, 2**26 // n)))):
        similar = unit[some] @ unit.T
        own = np.arange(len(similar))
        similar[own, some] = -np.inf
        nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(similar), place.max() + 1))
        # a cosine adds at most half a vote in all, so that it only decides among equal numbers of votes
        weight = 1 + np.take_along_axis(similar, nearest, axis=1) / (2 * k + 1)
        np.add.at(votes, (own[:, None], place[nearest]), weight)
        right += int((votes.argmax(1) == place[some]).sum())
    return right / len(chosen)


def rank_agreement(predicted: Mapping[str, float], measured: Mapping[str, float]) -> RankAgreement:
    """Compare the order that a score predicts with the order that was measured, name by name.

    Values that differ by rounding only (a billionth of the largest) count as equal.

    Raises:
        DataError: fewer than two names, names that differ, or all values equal: then there is no order.
    """
    from scipy.stats import kendalltau, weightedtau

    if set(predicted) != set(measured):
        odd = sorted(set(predicted) ^ set(measured))
        raise DataError(f"a predicted and a measured order need the same names; only on one side: {odd}")
    names = sorted(predicted)
    x, y = (_ranks(np.array([side[name] for name in names], dtype=np.float64)) for side in (predicted, measured))
    if len(names) < 2 or len(set(x)) < 2 or len(set(y)) < 2:
        raise DataError(f"{len(names)} names with {len(set(x))} scores and {len(set(y))} results have no order")
    return RankAgreement(float(kendalltau(x, y).statistic), float(weightedtau(x, y).statistic), len(names))


def predicted_order(scores: Mapping[str, TransferScores], by: str) -> list[str]:
    """Return the sources' names, the most promising first, by one score; equal ones in alphabetical order.

    Raises:
        SpecError: a source lacks this score.
    """
    names = sorted(scores)
    found = np.array([choose("transferability score", by, scores[name].values) for name in names], dtype=np.float64)
    return [names[place] for place in np.argsort(-_ranks(found), kind="stable")]


def order_in_words(proxy: Mapping[str, Any]) -> tuple[str, str]:
    """Return the order that a proxy pass gave networks, and how sure it is, each as a sentence without its end.

    Args:
        proxy: "images", how many; "networks", each with "network" and "logme", in order; "pairs" of them, and how many
            of these two halves of the images order "alike".
    """
    names = "; ".join(f"{row['network']}: {row['logme']:.3f}" for row in proxy["networks"])
    return (
        f"most promising networks first, by LogME on {proxy['images']} training images, more is better: {names}",
        f"two halves of these images order {proxy['alike']} of {proxy['pairs']} pairs of networks alike; by chance"
        " it would be half of them",
    )


def _ranks(values: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return ranks from 0 for the least; values that differ by rounding only share a rank."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order]) > _EQUAL * np.abs(values).max()
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(steps)])
    return ranks


def _check(values: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, " c"]:
    """Return the number of images of each class present, in the order of the labels."""
    if len(values) != len(labels):
        raise DataError(f"{len(values)} rows of features and {len(labels)} labels: each image needs both")
    counts = np.unique(labels, return_counts=True)[1].astype(np.float64)
    if len(counts) < 2:
        raise DataError(f"transferability needs at least 2 classes with images; there are {len(counts)}")
    for start in range(0, len(values), _ROWS):
        finite = np.isfinite(values[start : start + _ROWS]).all(1)
        if not finite.all():
            raise DataError(f"features of image {start + int(finite.argmin())} are not finite")
    return counts


def _h_scores(features: np.ndarray, labels: np.ndarray) -> tuple[float, float, int]:
    """Return the H-score, its shrunk form, and the rank of the centred features, from one decomposition."""
    counts = _check(features, labels)
    n, d = features.shape
    mean = np.asarray(features.mean(0, dtype=np.float64))
    spectrum, projected = _spectrum(features, labels, centre=mean)
    explained = (projected**2 / counts).sum(1)
    variances = spectrum / n
    shrinkage = _ledoit_wolf(features, mean, variances)
    kept = (1 - shrinkage) * variances
    share = kept / (kept + shrinkage * variances.sum() / d)
    return float(explained.sum()), float(share @ explained), len(spectrum)


def _spectrum(
    features: np.ndarray, labels: np.ndarray, centre: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k c"]]:
    """Return the squared singular values of the features, and their left vectors' products with each class."""
    n, d = features.shape
    place = np.unique(labels, return_inverse=True)[1]
    classes = int(place.max()) + 1
    wide = n < d
    gram, sums = np.zeros((d, d)) if not wide else np.empty((0, 0)), np.zeros((classes, d))
    if wide:
        centred = features.astype(np.float64) - centre
        gram = centred @ centred.T
    else:
        for start in range(0, n, _ROWS):
            block = features[start : start + _ROWS].astype(np.float64) - centre
            gram += block.T @ block
            np.add.at(sums, place[start : start + _ROWS], block)
    values, vectors = np.linalg.eigh(gram)
    kept = values > max(values[-1], 0.0) * max(n, d) * np.finfo(np.float64).eps
    values, vectors = values[kept], vectors[:, kept]
    if wide:
        return values, vectors.T @ np.eye(classes)[place]
    return values, (vectors.T @ sums.T) / np.sqrt(values)[:, None]


def _posterior(
    spectrum: np.ndarray, squares: np.ndarray, unexplained: np.ndarray, ratio: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared length of each class's weights, and its squared residual, at a ratio α / β."""
    s = spectrum[:, None]
    length = (s * squares / (s + ratio) ** 2).sum(0)
    residual = (squares * (ratio / (s + ratio)) ** 2).sum(0) + unexplained
    return length, residual


def _precisions(
    spectrum: np.ndarray, squares: np.ndarray, unexplained: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the precisions of weights and of noise that maximise each class's evidence (MacKay's updates)."""
    classes = squares.shape[1]
    alpha, beta = np.ones(classes), np.ones(classes)
    tiny = np.finfo(np.float64).tiny
    for _ in range(_ROUNDS):
        ratio = np.clip(alpha / beta, 1 / _LIMIT, _LIMIT)
        length, residual = _posterior(spectrum, squares, unexplained, ratio)
        effective = (spectrum[:, None] / (spectrum[:, None] + ratio)).sum(0)
        beta = np.maximum(n - effective, 1e-9) / np.maximum(residual, 1e-12)
        alpha = np.clip(effective / np.maximum(length, tiny), beta / _LIMIT, beta * _LIMIT)
        if (np.abs(alpha / beta - ratio) <= _TOLERANCE * ratio).all():
            break
    return alpha, beta


def _ledoit_wolf(features: np.ndarray, mean: np.ndarray, variances: np.ndarray) -> float:
    """Return how far to shrink the covariance towards a multiple of the identity (Ledoit & Wolf 2004)."""
    n, d = features.shape
    fourth = 0.0
    for start in range(0, n, _ROWS):
        block = features[start : start + _ROWS].astype(np.float64) - mean
        fourth += float((np.einsum("nd,nd->n", block, block) ** 2).sum())
    squared = float((variances**2).sum())
    distance = squared - float(variances.sum()) ** 2 / d
    if distance <= 0:
        return 1.0
    return float(np.clip((fourth / n - squared) / n / distance, 0.0, 1.0))
