"""The classifier that the labels so far give: a ridge head on the vectors, refitted after every few labels.

It learns from all labels. Its accuracy is measured on the random sample, each image of which is judged by the fit
without it (exact for ridge regression: Allen's PRESS), so that no label is spent on measuring alone. What it is unsure
of, by which further images are chosen, comes from a fit without the sample: otherwise no image like one of the sample
would be chosen, and the fit without that one would look worse than it is on a new image (LOG.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from headstart.data.sources.without_labels import UNKNOWN
from headstart.evaluate.comparison.compare import compare_runs
from headstart.evaluate.metrics.intervals import Estimate, proportion
from headstart.labelling.suggest import can_judge, margins_of
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
        margins: float32 [n], the difference of each image's two largest probabilities by the fit without the random
            sample; None while that has too few labels to choose by.
        taught: number of labels that it learned from.
        accuracy: on the random sample, each image judged by the fit without it; undefined while that is empty.
        curve: (number of labels, accuracy on the same images) for the first quarter and half of the labels, and all.
        gain: of the second half of the labels, or None while there are too few.
    """

    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    margins: npt.NDArray[np.float32] | None
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
    """Fit a ridge head, its penalty by leave-one-out; None while fewer than two classes have labels.

    Args:
        vectors: [n, d].
        labels: int64 [n], indices into the classes or `UNKNOWN`.
        at_random: bool [n], the labelled images of the random sample.
        classes: their names.
        order: int64 [n], the place of each labelled image in the order of the labels; by default that of the rows.
    """
    taught = np.flatnonzero(labels != UNKNOWN)
    if len(np.unique(labels[taught])) < 2:
        return None
    measured = np.flatnonzero((labels != UNKNOWN) & at_random)
    head, judged = _fitted(vectors, labels, taught, measured, len(classes))
    right = judged.argmax(axis=1) == labels[measured]
    first = taught if order is None else taught[np.argsort(order[taught], kind="stable")]
    curve, gain = [], None
    for count in (len(first) // 4, len(first) // 2) if len(measured) >= LEAST else ():
        part = np.sort(first[:count])
        if len(np.unique(labels[part])) > 1:
            before = _fitted(vectors, labels, part, measured, len(classes))[1].argmax(axis=1) == labels[measured]
            curve.append((count, _accuracy(before)))
            gain = _gain(before, right, len(first) - count)
    accuracy = _accuracy(right)
    rows = np.arange(len(vectors))
    points = (*curve, (len(taught), accuracy))
    return ClassifierSoFar(
        classes,
        probabilities(head, vectors, rows),
        _margins(vectors, labels, taught[~at_random[taught]], rows, len(classes)),
        len(taught),
        accuracy,
        points,
        gain,
    )


def _margins(
    vectors: npt.NDArray[np.float32], labels: IntArray, train: IntArray, rows: IntArray, classes: int
) -> npt.NDArray[np.float32] | None:
    if len(np.unique(labels[train])) < 2 or not can_judge(len(train), classes):
        return None
    return margins_of(probabilities(_fitted(vectors, labels, train, rows[:0], classes)[0], vectors, rows))


def _accuracy(right: Bools) -> Estimate:
    return proportion(int(right.sum()), len(right))


def _fitted(
    vectors: npt.NDArray[np.float32], labels: IntArray, train: IntArray, judged: IntArray, classes: int
) -> tuple[nn.Module, npt.NDArray[np.float32]]:
    """Return a head and the probabilities [m, C] of some rows, each by a fit that has not learned from it.

    Args:
        train: rows to learn from, in ascending order.
        judged: rows to judge; some may be among those to learn from.
    """
    none = np.zeros(0, dtype=np.int64)
    job = HeadJob("ridge", train, none, classes, {"leave_one_out": True, "normalise": ["l2-centre"]}, refit=False)
    (fit,) = fit_heads(vectors, np.maximum(labels, 0), [job])
    assert fit.left_out is not None, "ridge regression leaves each row out"
    found = probabilities(fit.head, vectors, judged) if len(judged) else np.zeros((0, classes), dtype=np.float32)
    inside = np.isin(judged, train)
    found[inside] = fit.left_out[np.searchsorted(train, judged[inside])]
    return fit.head, found


def _gain(before: Bools, now: Bools, labels: int) -> Gain:
    compared = compare_runs({_NOW: now[None], _HALF: before[None]}, _HALF, deterministic=(_NOW, _HALF))
    (row,) = compared["against_baseline"]
    return Gain(labels, 100 * row["difference"] + 0.0, 100 * row["low"], 100 * row["high"])
