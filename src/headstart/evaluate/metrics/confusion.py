"""Measures that need only counts per class: images of it, predictions of it, and those that agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Counts:
    """Counts per class, each float64 [resamples, classes].

    Args:
        support: images of the class.
        predicted: images predicted to be of it.
        agreed: both.
    """

    support: Float[np.ndarray, "b c"]
    predicted: Float[np.ndarray, "b c"]
    agreed: Float[np.ndarray, "b c"]


def count(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: int) -> Counts:
    """Count one set of predictions: one row."""
    sides = labels, predicted, labels[labels == predicted]
    support, said, agreed = (np.bincount(side, minlength=classes)[None].astype(np.float64) for side in sides)
    return Counts(support, said, agreed)


def count_resampled(
    labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: int, draws: int, seed: int
) -> Counts:
    """Count `draws` bootstrap resamples of the images.

    Images of one class with one prediction count alike: how many of each such kind a resample holds is one
    multinomial draw, whatever the number of images.
    """
    kinds, images = np.unique(labels * classes + predicted, return_counts=True)
    share = images / len(labels)
    held = np.random.default_rng(seed).multinomial(len(labels), share, size=draws).astype(np.float64)
    true, said = np.divmod(kinds, classes)
    one = np.eye(classes)
    return Counts(held @ one[true], held @ one[said], held @ (one[true] * (true == said)[:, None]))


def precision_recall_f1(
    counts: Counts,
) -> tuple[Float[np.ndarray, "b c"], Float[np.ndarray, "b c"], Float[np.ndarray, "b c"]]:
    """Return precision, recall and F1 of every class; NaN for a class without images and predictions.

    A class with images that is never predicted has precision 0, one predicted without images recall 0
    (scikit-learn's `zero_division=0`).
    """
    absent = (counts.support + counts.predicted) == 0
    precision = counts.agreed / np.maximum(counts.predicted, 1)
    recall = counts.agreed / np.maximum(counts.support, 1)
    f1 = 2 * counts.agreed / np.maximum(counts.support + counts.predicted, 1)
    for measure in (precision, recall, f1):
        measure[absent] = np.nan
    return precision, recall, f1


def averages(counts: Counts) -> dict[str, Float[np.ndarray, " b"]]:
    """Return every averaged measure, one number a resample."""
    values: dict[str, np.ndarray] = {}
    total = counts.support.sum(axis=1)
    for name, measure in zip(("precision", "recall", "f1"), precision_recall_f1(counts), strict=True):
        values[f"{name}_macro"] = np.nanmean(measure, axis=1)
        values[f"{name}_weighted"] = (np.nan_to_num(measure) * counts.support).sum(axis=1) / total
    present = counts.support > 0
    recall = counts.agreed / np.maximum(counts.support, 1)
    values["balanced_accuracy"] = (recall * present).sum(axis=1) / present.sum(axis=1)
    values["mcc"] = matthews(counts)
    return values


def effective_images(counts: Counts) -> float:
    """Return how many equally weighted images a mean over classes is worth where classes are equally difficult.

    The variance of such a mean is p (1 - p) Σ 1/n_c / C², that of a share of m images p (1 - p) / m.
    """
    support = counts.support[0][counts.support[0] > 0]
    return float(len(support) ** 2 / (1 / support).sum())


def matthews(counts: Counts) -> Float[np.ndarray, " b"]:
    """Return Matthews' correlation for many classes (Gorodkin 2004); 0 where one side is constant."""
    total = counts.support.sum(axis=1)
    covariance = counts.agreed.sum(axis=1) * total - (counts.support * counts.predicted).sum(axis=1)
    spread = (total**2 - (counts.predicted**2).sum(axis=1)) * (total**2 - (counts.support**2).sum(axis=1))
    return np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)


def confusion_matrix(
    labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: int
) -> Int[np.ndarray, "c c"]:
    """Count images by true class (row) and predicted class (column)."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def image_shares(images: Int[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """Return the share of each prediction in its image: 1 / the number of predictions of that image."""
    _, place, times = np.unique(images, return_inverse=True, return_counts=True)
    return 1.0 / times[place]
