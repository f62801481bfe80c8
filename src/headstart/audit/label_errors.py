"""Labels that look wrong: images whose label seems unlikely to a classifier that was not trained on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int
from scipy import special

from headstart.evaluate.metrics.calibration import apply_temperature, fit_temperature
from headstart.progress import Ticker, progress

FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0)  # times the mean eigenvalue of the features' products
_WIDEST = 2048  # wider features are projected at random to this
_BLOCK = 8192
_SHARPNESS = 10.0  # ridge scores are between about 0 and 1; a temperature finds the rest


@dataclass(frozen=True)
class LabelErrors:
    """Images whose label looks wrong, the least likely label first.

    Args:
        rows: int64 [m].
        suggested: int64 [m], the likeliest other class.
        probabilities: float64 [n, classes], out of fold, calibrated.
        accuracy: share of all images whose likeliest class is their label; a weak classifier is a weak judge.
    """

    rows: Int[np.ndarray, " m"]
    suggested: Int[np.ndarray, " m"]
    probabilities: Float[np.ndarray, "n c"]
    accuracy: float


def find_label_errors(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    *,
    groups: Int[np.ndarray, " n"] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> LabelErrors:
    """Find labels that look wrong with a cross-validated ridge classifier on the features.

    Args:
        features: may be memory-mapped.
        labels: index of the class.
        classes: how many there are; those with fewer images than folds are left out.
        groups: rows of one group (copies of one photograph) are held out together.
        folds: of the cross-validation.
        seed: of folds and projection.
    """
    probabilities = out_of_fold(features, labels, classes, groups=groups, folds=folds, seed=seed)
    rows, suggested = rank_labels(probabilities, labels, least=folds)
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    return LabelErrors(rows, suggested, probabilities, accuracy)


def rank_labels(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"], least: int = 1
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the rows whose label looks wrong, the least likely label first, and the likeliest other class of each.

    How many there are is estimated by confident learning (Northcutt, Jiang & Chuang 2021): an image counts if some
    class is likelier than its label, and at least as likely as that class is on average for images that carry it.
    Which they are is decided by the probability of the label alone, which finds more planted errors than the
    margin between both classes (`benchmarks/label_errors.py`).

    Args:
        probabilities: out of fold.
        labels: index of the class.
        least: classes with fewer images are neither judged nor suggested.
    """
    every = np.arange(len(labels))
    own = probabilities[every, labels]
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    usual = np.bincount(labels, own, minlength=len(counts)) / np.maximum(counts, 1)
    others = np.where(counts >= least, probabilities, -1.0)
    others[every, labels] = -1.0
    judged = counts[labels] >= least
    confident = np.where(others >= usual, others, -1.0).max(axis=1)
    wrong = int((judged & (confident > own)).sum())
    suggested = others.argmax(axis=1)
    candidates = np.flatnonzero(judged & (others.max(axis=1) > own))
    rows = candidates[np.argsort(own[candidates], kind="stable")][:wrong]
    return rows, suggested[rows]


def out_of_fold(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    *,
    groups: Int[np.ndarray, " n"] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> Float[np.ndarray, "n c"]:
    """Return the class probabilities of each image by a ridge classifier trained on the other folds.

    The penalty and the temperature are those with the least log loss, out of fold.
    """
    generator = np.random.default_rng(seed)
    fold = _folds(labels, groups, folds, generator)
    with progress("checking labels", 2 * len(labels)) as ticker:
        unit = _Unit(features, generator)
        gram, cross = _products(unit, labels, fold, classes, folds, ticker)
        scores = _scores(unit, gram, cross, fold, ticker)
    best: tuple[float, np.ndarray] | None = None
    for each in scores:
        rough = special.softmax(each.astype(np.float64) * _SHARPNESS, axis=1)
        fitted = apply_temperature(rough, fit_temperature(labels, rough))
        loss = -float(np.log(np.maximum(fitted[np.arange(len(labels)), labels], 1e-12)).mean())
        if best is None or loss < best[0]:
            best = loss, fitted
    assert best is not None
    return best[1]


class _Unit:
    """The features in blocks: projected if very wide, centred, of unit length, with a constant."""

    def __init__(self, features: np.ndarray, generator: np.random.Generator) -> None:
        self.features, (self.n, d) = features, features.shape
        wide = d > _WIDEST
        self.turn = generator.standard_normal((d, _WIDEST)).astype(np.float32) / np.sqrt(d) if wide else None
        some = np.sort(generator.permutation(self.n)[:_BLOCK])
        self.middle = np.asarray(features[some], dtype=np.float32).mean(axis=0)
        self.width = min(d, _WIDEST) + 1

    def rows(self, rows: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m w"]:
        centred = np.asarray(self.features[rows], dtype=np.float32) - self.middle
        if self.turn is not None:
            centred = centred @ self.turn.astype(np.float32)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        block = np.ones((len(rows), self.width), dtype=np.float32)
        np.divide(centred, np.maximum(length, 1e-12), out=block[:, :-1])
        return block


def _folds(
    labels: Int[np.ndarray, " n"], groups: Int[np.ndarray, " n"] | None, folds: int, generator: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """Deal the groups of each class out to the folds in turn."""
    _, first, inverse = np.unique(
        np.arange(len(labels)) if groups is None else groups, return_index=True, return_inverse=True
    )
    order = generator.permutation(len(first))
    order = order[np.argsort(labels[first][order], kind="stable")]
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % folds
    return fold[inverse]


def _products(
    unit: _Unit, labels: Int[np.ndarray, " n"], fold: Int[np.ndarray, " n"], classes: int, folds: int, ticker: Ticker
) -> tuple[Float[np.ndarray, "f w w"], Float[np.ndarray, "f w c"]]:
    gram = np.zeros((folds, unit.width, unit.width), dtype=np.float32)
    cross = np.zeros((folds, unit.width, classes), dtype=np.float32)
    for each in range(folds):
        inside = np.flatnonzero(fold == each)
        for start in range(0, len(inside), _BLOCK):
            rows = inside[start : start + _BLOCK]
            block = unit.rows(rows)
            gram[each] += block.T @ block
            truth = np.zeros((len(rows), classes), dtype=np.float32)
            truth[np.arange(len(rows)), labels[rows]] = 1.0
            cross[each] += block.T @ truth
            ticker.advance(len(rows))
    return gram, cross


def _scores(
    unit: _Unit,
    gram: Float[np.ndarray, "f w w"],
    cross: Float[np.ndarray, "f w c"],
    fold: Int[np.ndarray, " n"],
    ticker: Ticker,
) -> Float[np.ndarray, "p n c"]:
    total, total_cross = gram.sum(axis=0), cross.sum(axis=0)
    strength = float(np.trace(total)) / unit.width
    scores = np.empty((len(PENALTIES), unit.n, cross.shape[2]), dtype=np.float32)
    for each in range(len(gram)):
        others, target = total - gram[each], total_cross - cross[each]
        weights = [
            scipy.linalg.solve(others + np.eye(unit.width, dtype=np.float32) * p * strength, target, assume_a="pos")
            for p in PENALTIES
        ]
        inside = np.flatnonzero(fold == each)
        for start in range(0, len(inside), _BLOCK):
            rows = inside[start : start + _BLOCK]
            block = unit.rows(rows)
            for place, weight in enumerate(weights):
                scores[place, rows] = block @ weight
            ticker.advance(len(rows))
    return scores
