"""The classifier that the labels so far give: a ridge head on the vectors, refitted after every few labels.

It learns from all labels. Its accuracy is measured on the random sample, each image of which is judged by the fit
without it (exact for ridge regression: Allen's PRESS), so that no label is spent on measuring alone. What it is unsure
of, by which further images are chosen, comes from a fit without the sample: otherwise no image like one of the sample
would be chosen, and the fit without that one would look worse than it is on a new image (LOG.md). That fit takes its
penalty from the first, so that it costs one Cholesky decomposition; the learning curve, which costs as much as both, is
computed when the next suggestions can be made already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.data.sources.without_labels import UNKNOWN
from headstart.evaluate.comparison.compare import compare_runs
from headstart.evaluate.comparison.tables import seen_from
from headstart.evaluate.metrics.intervals import Estimate, proportion
from headstart.labelling.suggest import can_judge, margins_of
from headstart.models.heads import LinearHead
from headstart.transfer.heads.feature_rows import BLOCK
from headstart.transfer.heads.fit import HeadFit, HeadJob, fit_heads, probabilities

IntArray = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
PAYS = 1.0  # points that twice the labels must be able to bring, for more labels to be worth it
LEAST = 30  # labels of the random sample from which on a gain is stated
_SMALLEST = 1e-6  # penalty: rounding of the products, whose trace is at most 1, makes the matrix no less definite
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
        """Return whether more labels of the same kind may still bring `PAYS` points."""
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


class Fitter:
    """Fits the classifier of one folder again and again; what does not change with the labels is computed once.

    Args:
        vectors: float32 [n, d], may be memory-mapped.
    """

    def __init__(self, vectors: npt.NDArray[np.float32]) -> None:
        self.vectors = vectors
        lengths = [np.linalg.norm(vectors[start : start + BLOCK], axis=1) for start in range(0, len(vectors), BLOCK)]
        self._shrink = 1 / np.maximum(np.concatenate(lengths), 1e-12).astype(np.float32)[:, None]

    def fit(
        self,
        labels: IntArray,
        at_random: Bools,
        classes: tuple[str, ...],
        *,
        margins: bool = True,
    ) -> ClassifierSoFar | None:
        """Fit a ridge head, its penalty by leave-one-out, without the curve and the gain; see `fit_so_far`.

        Args:
            labels, at_random, classes: as `fit_so_far` takes them.
            margins: also say which images it is unsure of.
        """
        taught = np.flatnonzero(labels != UNKNOWN)
        if len(np.unique(labels[taught])) < 2:
            return None
        measured = np.flatnonzero((labels != UNKNOWN) & at_random)
        fit, judged = _fitted(self.vectors, labels, taught, measured, len(classes))
        accuracy = _accuracy(judged.argmax(axis=1) == labels[measured])
        heads, chosen = [fit.head], taught[~at_random[taught]]
        if margins and len(np.unique(labels[chosen])) > 1 and can_judge(len(chosen), len(classes)):
            heads.append(self._with_penalty_of(fit, labels, chosen, len(classes)))
        found = self._probabilities(heads)
        unsure = margins_of(found[1]) if len(found) > 1 else None
        return ClassifierSoFar(classes, found[0], unsure, len(taught), accuracy, ((len(taught), accuracy),), None)

    def with_curve(
        self,
        fitted: ClassifierSoFar,
        labels: IntArray,
        at_random: Bools,
        classes: tuple[str, ...],
        order: IntArray | None = None,
    ) -> ClassifierSoFar:
        """Return the same with the learning curve and the gain, for which smaller heads are fitted."""
        taught = np.flatnonzero(labels != UNKNOWN)
        measured = np.flatnonzero((labels != UNKNOWN) & at_random)
        if len(measured) < LEAST:
            return fitted
        now = _fitted(self.vectors, labels, taught, measured, len(classes))[1].argmax(axis=1) == labels[measured]
        first = taught if order is None else taught[np.argsort(order[taught], kind="stable")]
        curve, gain = [], None
        for count in (len(first) // 4, len(first) // 2):
            part = np.sort(first[:count])
            if len(np.unique(labels[part])) > 1:
                before = _fitted(self.vectors, labels, part, measured, len(classes))[1].argmax(axis=1)
                curve.append((count, _accuracy(before == labels[measured])))
                gain = _gain(before == labels[measured], now, len(first) - count)
        return replace(fitted, curve=(*curve, *fitted.curve[-1:]), gain=gain)

    def _with_penalty_of(self, fit: HeadFit, labels: IntArray, train: IntArray, classes: int) -> LinearHead:
        """Return the head of some rows with the penalty and the temperature that were chosen on all, by Cholesky."""
        penalty, scale = float(fit.chosen["penalty"]), float(fit.chosen["temperature"])
        rows = torch.from_numpy(self.vectors[train] * self._shrink[train])
        targets = torch.nn.functional.one_hot(torch.from_numpy(labels[train]), classes).float()
        middle, mean, n = rows.mean(0), targets.mean(0), len(train)
        centred, wide = rows - middle, rows.shape[1] > n
        gram = ((centred @ centred.T if wide else centred.T @ centred) / n).double()
        gram.diagonal().add_(max(penalty, _SMALLEST))
        right = (targets - mean) / n if wide else centred.T @ (targets - mean) / n
        solved = torch.cholesky_solve(right.double(), torch.linalg.cholesky(gram)).float()
        weight = centred.T @ solved if wide else solved
        head = LinearHead(rows.shape[1], classes, l2=True)
        head.weight.data, head.bias.data = scale * weight.T, scale * (mean - middle @ weight)
        return head

    def _probabilities(self, heads: Sequence[nn.Module]) -> list[npt.NDArray[np.float32]]:
        """Return the probabilities [n, C] of all images by each head, in one pass over the vectors."""
        weights = torch.cat([head.weight for head in heads]).detach().T  # type: ignore[misc]
        biases = torch.cat([head.bias for head in heads]).detach()  # type: ignore[misc]
        found = np.empty((len(self.vectors), len(biases)), dtype=np.float32)
        for start in range(0, len(found), BLOCK):
            block = torch.from_numpy(
                np.array(self.vectors[start : start + BLOCK], dtype=np.float32)
            )  # they may be read-only
            scores = block @ weights * torch.from_numpy(self._shrink[start : start + BLOCK]) + biases
            each = scores.reshape(len(block), len(heads), -1).softmax(dim=2)
            found[start : start + len(block)] = each.reshape(len(block), -1).numpy()
        return np.split(found, len(heads), axis=1)


def fit_so_far(
    vectors: npt.NDArray[np.float32],
    labels: IntArray,
    at_random: Bools,
    classes: tuple[str, ...],
    order: IntArray | None = None,
) -> ClassifierSoFar | None:
    """Fit the classifier with its curve and gain; None while fewer than two classes have labels.

    Args:
        vectors: [n, d].
        labels: int64 [n], indices into the classes or `UNKNOWN`.
        at_random: bool [n], the labelled images of the random sample.
        classes: their names.
        order: int64 [n], the place of each labelled image in the order of the labels; by default that of the rows.
    """
    fitter = Fitter(vectors)
    fitted = fitter.fit(labels, at_random, classes)
    return None if fitted is None else fitter.with_curve(fitted, labels, at_random, classes, order)


def _accuracy(right: Bools) -> Estimate:
    return proportion(int(right.sum()), len(right))


def _fitted(
    vectors: npt.NDArray[np.float32], labels: IntArray, train: IntArray, judged: IntArray, classes: int
) -> tuple[HeadFit, npt.NDArray[np.float32]]:
    """Return a fit and the probabilities [m, C] of some rows, each by a fit that has not learned from it.

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
    return fit, found


def _gain(before: Bools, now: Bools, labels: int) -> Gain:
    compared = compare_runs({_NOW: now[None], _HALF: before[None]}, deterministic=(_NOW, _HALF))
    (pair,) = compared["pairwise"]
    return Gain(labels, *(100 * points for points in seen_from(_NOW, pair)))
