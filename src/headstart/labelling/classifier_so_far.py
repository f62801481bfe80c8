"""The classifier that the labels so far give: a ridge head on the vectors, refitted after every few labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.data.sources.without_labels import UNKNOWN
from headstart.evaluate.comparison.compare import compare_runs
from headstart.evaluate.metrics.intervals import Estimate, proportion
from headstart.transfer.heads.fit import HeadJob, fit_heads, probabilities

IntArray = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
PAYS = 1.0  # points that twice the labels must be able to bring, for more labels to be worth it
LEAST = 30  # labels of the random sample from which on a gain is stated
_NOW, _HALF = "now", "half"


@dataclass(frozen=True)
class Gain:
    """Points of accuracy that the second half of the labels brought, with a 95 % interval."""

    labels: int
    points: float
    low: float
    high: float

    @property
    def pays(self) -> bool:
        """Say whether more labels of the same kind may still bring `PAYS` points."""
        return self.high >= PAYS


@dataclass(frozen=True)
class ClassifierSoFar:
    """A classifier fitted to the labels so far.

    Args:
        classes: in the order of the probabilities.
        probabilities: float32 [n, C], of every image.
        taught: number of labels that it learned from; those of the random sample are not among them.
        accuracy: on the random sample; undefined while that is empty.
        curve: (number of labels, accuracy on the same images) for the first quarter and half of the labels, and all.
        gain: of the second half of the labels, or None while there are too few.
    """

    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    taught: int
    accuracy: Estimate
    curve: tuple[tuple[int, Estimate], ...]
    gain: Gain | None


def fit_so_far(
    vectors: npt.NDArray[np.float32],
    labels: IntArray,
    at_random: Bools,
    classes: tuple[str, ...],
    order: IntArray | None = None,
) -> ClassifierSoFar | None:
    """Fit a ridge head, its penalty by leave-one-out; None while fewer than two classes have labels to learn from.

    Args:
        vectors: [n, d].
        labels: int64 [n], indices into the classes or `UNKNOWN`.
        at_random: bool [n], the labelled images of the random sample: they measure and do not teach.
        classes: their names.
        order: int64 [n], the place of each labelled image in the order of the labels; by default that of the rows.
    """
    taught = np.flatnonzero((labels != UNKNOWN) & ~at_random)
    measured = np.flatnonzero((labels != UNKNOWN) & at_random)
    if len(np.unique(labels[taught])) < 2:
        return None
    found = _fitted(vectors, labels, taught, np.arange(len(vectors)), len(classes))
    right = found[measured].argmax(axis=1) == labels[measured]
    first = taught if order is None else taught[np.argsort(order[taught], kind="stable")]
    curve, gain = [], None
    for count in (len(first) // 4, len(first) // 2) if len(measured) >= LEAST else ():
        if len(np.unique(labels[first[:count]])) > 1:
            scores = _fitted(vectors, labels, first[:count], measured, len(classes))
            before = scores.argmax(axis=1) == labels[measured]
            curve.append((count, _accuracy(before)))
            gain = _gain(before, right, len(first) - count)
    accuracy = _accuracy(right)
    return ClassifierSoFar(classes, found, len(taught), accuracy, (*curve, (len(taught), accuracy)), gain)


def _accuracy(right: Bools) -> Estimate:
    return proportion(int(right.sum()), len(right))


def _fitted(
    vectors: npt.NDArray[np.float32], labels: IntArray, train: IntArray, rows: IntArray, classes: int
) -> npt.NDArray[np.float32]:
    """Return the probabilities [m, C] of some rows by a head that learned from others."""
    none = np.zeros(0, dtype=np.int64)
    job = HeadJob("ridge", train, none, classes, {"leave_one_out": True, "normalise": ["l2-centre"]}, refit=False)
    (fit,) = fit_heads(vectors, np.maximum(labels, 0), [job])
    return probabilities(fit.head, vectors, rows)


def _gain(before: Bools, now: Bools, labels: int) -> Gain:
    compared = compare_runs({_NOW: now[None], _HALF: before[None]}, _HALF, deterministic=(_NOW, _HALF))
    (row,) = compared["against_baseline"]
    return Gain(labels, 100 * row["difference"] + 0.0, 100 * row["low"], 100 * row["high"])
