"""Labels that look wrong: images whose label seems unlikely to a classifier that was not trained on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
_SAMPLE = 50_000  # images on which penalty and temperature are chosen, where there are more
_SHARPNESS = 10.0  # ridge scores are between about 0 and 1; a temperature finds the rest


@dataclass(frozen=True)
class LabelErrors:
    """Images whose label looks wrong, the least likely label first.

    Args:
        rows: int64 [m].
        suggested: int64 [m], the likeliest other class.
        probabilities: float32 [n, classes], out of fold, calibrated.
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
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    own = probabilities[np.arange(len(labels)), labels]
    usual = np.bincount(labels, own, minlength=len(counts)) / np.maximum(counts, 1)
    suggested = np.empty(len(labels), dtype=np.int64)
    best, confident = np.empty(len(labels)), np.empty(len(labels))
    for start in range(0, len(labels), _BLOCK):
        rows = slice(start, start + _BLOCK)
        others = np.where(counts >= least, probabilities[rows], -1.0)
        others[np.arange(len(others)), labels[rows]] = -1.0
        suggested[rows], best[rows] = others.argmax(axis=1), others.max(axis=1)
        confident[rows] = np.where(others >= usual, others, -1.0).max(axis=1)
    judged = counts[labels] >= least
    wrong = int((judged & (confident > own)).sum())
    candidates = np.flatnonzero(judged & (best > own))
    chosen = candidates[np.argsort(own[candidates], kind="stable")][:wrong]
    return chosen, suggested[chosen]


def out_of_fold(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    classes: int,
    *,
    groups: Int[np.ndarray, " n"] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> Float[np.ndarray, "n c"]:
    """Return the class probabilities of each image by a ridge classifier trained on the other folds, float32.

    The penalty and the temperature are those with the least log loss, out of fold; of very many images, on a sample.
    """
    generator = np.random.default_rng(seed)
    fold = _folds(labels, groups, folds, generator)
    with progress("checking labels", 2 * len(labels)) as ticker:
        unit = _Unit(features, generator)
        weights = _weights(*_products(unit, labels, fold, classes, folds, ticker), unit.directions)
        some = np.arange(unit.n)
        if unit.n > _SAMPLE:
            some = np.sort(generator.permutation(unit.n)[:_SAMPLE])
        weight, temperature = _chosen(unit, weights, labels, fold, some)
        found = np.empty((unit.n, classes), dtype=np.float32)
        for rows in _blocks(fold):
            found[rows] = apply_temperature(_rough(unit, weight, fold, rows), temperature)
            ticker.advance(len(rows))
    return found


def _blocks(fold: Int[np.ndarray, " n"]) -> Iterator[Int[np.ndarray, " m"]]:
    """Yield all rows, some thousand of one fold at a time."""
    for each in range(int(fold.max()) + 1):
        inside = np.flatnonzero(fold == each)
        yield from (inside[start : start + _BLOCK] for start in range(0, len(inside), _BLOCK))


def _rough(
    unit: _Unit, weights: Float[np.ndarray, "f w c"], fold: Int[np.ndarray, " n"], rows: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "m c"]:
    """Return the probabilities, not calibrated yet, of rows of one fold by what was learned from the others."""
    scores = unit.rows(rows) @ weights[fold[rows[0]]]
    return np.asarray(special.softmax(scores.astype(np.float64) * _SHARPNESS, axis=1))


def _chosen(
    unit: _Unit,
    weights: Sequence[Float[np.ndarray, "f w c"]],
    labels: Int[np.ndarray, " n"],
    fold: Int[np.ndarray, " n"],
    some: Int[np.ndarray, " s"],
) -> tuple[Float[np.ndarray, "f w c"], float]:
    """Return the weights of the best penalty and its temperature, judged by some of the rows."""
    best: tuple[float, int, float] | None = None
    blocks = [some[rows] for rows in _blocks(fold[some])]
    truth = labels[np.concatenate(blocks)]
    for place, weight in enumerate(weights):
        rough = np.concatenate([_rough(unit, weight, fold, rows) for rows in blocks])
        temperature = fit_temperature(truth, rough)
        fitted = apply_temperature(rough, temperature)[np.arange(len(truth)), truth]
        loss = -float(np.log(np.maximum(fitted, 1e-12)).mean())
        if best is None or loss < best[0]:
            best = loss, place, temperature
    assert best is not None
    return weights[best[1]], best[2]


class _Unit:
    """The features in blocks: projected if very wide, centred, of unit length, with a constant.

    Where there are fewer images than features, the coordinates in the space of these images take their place: they
    have the same products, and far smaller systems to solve.
    """

    def __init__(self, features: np.ndarray, generator: np.random.Generator) -> None:
        self.features, (self.n, d) = features, features.shape
        few = _are_few(self.n, d)
        wide = d > _WIDEST and not few
        self.turn = generator.standard_normal((d, _WIDEST)).astype(np.float32) / np.sqrt(d) if wide else None
        some = np.sort(generator.permutation(self.n)[:_BLOCK])
        self.middle = np.asarray(features[some], dtype=np.float32).mean(axis=0)
        if few:
            centred = np.asarray(features, dtype=np.float32) - self.middle
            triangle: np.ndarray = np.linalg.qr(centred.T, mode="r")  # type: ignore[assignment]
            self.features, self.middle = triangle.T, np.zeros(self.n, dtype=np.float32)
        self.width = min(d, self.n if few else _WIDEST) + 1
        self.directions = min(d, _WIDEST) + 1  # over which the mean eigenvalue is taken

    def rows(self, rows: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m w"]:
        centred = np.asarray(self.features[rows], dtype=np.float32) - self.middle
        if self.turn is not None:
            centred = centred @ self.turn.astype(np.float32)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        block = np.ones((len(rows), self.width), dtype=np.float32)
        np.divide(centred, np.maximum(length, 1e-12), out=block[:, :-1])
        return block


def _are_few(n: int, d: int) -> bool:
    return n < d and n <= _WIDEST


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


def _weights(
    gram: Float[np.ndarray, "f w w"], cross: Float[np.ndarray, "f w c"], directions: int
) -> list[Float[np.ndarray, "f w c"]]:
    """Return for each penalty what is learned from all folds but one."""
    total, total_cross = gram.sum(axis=0), cross.sum(axis=0)
    step = np.eye(len(total), dtype=np.float32) * (float(np.trace(total)) / directions)
    found = [np.empty_like(cross) for _ in PENALTIES]
    for each in range(len(gram)):
        others, target = total - gram[each], total_cross - cross[each]
        for weights, penalty in zip(found, PENALTIES, strict=True):
            weights[each] = scipy.linalg.solve(others + step * np.float32(penalty), target, assume_a="pos")
    return found
