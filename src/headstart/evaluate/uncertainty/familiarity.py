"""How familiar an image is to a model: scores of its embedding and logits.

All scores are larger for familiar images. What they compare with are training images, so that a threshold from
validation images stays honest. Embeddings are divided by their length first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from headstart.errors import DataError, choose
from headstart.evaluate.metrics.intervals import Estimate
from headstart.evaluate.uncertainty.gaussian import class_sums, class_weights, gaussian, spectrum, weighted_products

MOST_NEIGHBOURS = 2000  # training images that are kept to compare with
MOST_REJECTED = 0.05  # of familiar images
DEFAULT = "distances+energy"
WITH_SOURCE = f"{DEFAULT}+source"
DISTANCES_COUNT = 2.0  # times in their sum with energy
_MOST_PRINCIPAL = 512
_FLOOR = 1e-12
_FOLDS = 5

Logits = Callable[[np.ndarray], np.ndarray]  # embeddings [n, d] -> logits [n, C]


@dataclass(frozen=True)
class SourceHead:
    """The linear classifier head that a network was pretrained with.

    Args:
        weight: [S, d].
        bias: [S].
    """

    weight: Float[np.ndarray, "s d"]
    bias: Float[np.ndarray, " s"]


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
        source: [d + 1, S], the weights of the classifier head that the network was pretrained with, for embeddings of
            length one, and below them its bias.
        shown: [S, C], what it sees on average in the training images of each class: roots of mean probabilities.
        location, spread: [5], mean and standard deviation on training images of energy, nearest neighbour, Mahalanobis
            distance, residual norm and source.
    """

    centre: np.ndarray
    whitening: np.ndarray
    means: np.ndarray
    bank: np.ndarray
    principal: np.ndarray
    source: np.ndarray
    shown: np.ndarray
    location: np.ndarray
    spread: np.ndarray


def fit_reference(
    embeddings: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    logits: Float[np.ndarray, "n c"],
    *,
    score: str | None = None,
    source: SourceHead | None = None,
    most: int = MOST_NEIGHBOURS,
    seed: int = 0,
) -> Reference:
    """Return what the scores, or one of them, need of labelled training images.

    The covariance within classes, each of which counts the same, is shrunk towards a multiple of the identity (Ledoit &
    Wolf 2004), so that it can be inverted with fewer images than dimensions. Half of the directions are principal, but
    no more than half as many as images, and 512 at most. No more than `most` images are kept in the bank, as many of
    each class as possible: drawn from all alike, they would leave small classes with few, whose images would then be
    far from any. An image is nearer to what was fitted on it than a new one: Mahalanobis distances and the source are
    spread as those of each fifth of the images from the classes of the others, and nearest neighbours as without the
    image itself.

    Args:
        embeddings: as the network gives them.
        labels: any whole numbers.
        logits: of the classifier head.
        score: compute only what this one needs.
        source: the head that the network was pretrained with, where there is one.

    Raises:
        DataError: there are fewer than two images, or the score needs a source and there is none.
    """
    if score is not None and "source" in NEEDS[score] and source is None:
        raise DataError(f"the familiarity score {score!r} needs the head that the network was pretrained with")
    if len(embeddings) < 2:
        raise DataError(f"{len(embeddings)} training images are too few to say what is familiar; give two or more")
    unit = unit_length(embeddings)
    rows = np.sort(np.random.default_rng(seed).permutation(len(unit))[:most])
    centre, bank, nothing = unit.mean(0), unit[_evenly(labels, most, seed)], np.zeros(0)
    needs = NEEDS[score] if score is not None else tuple(each.name for each in fields(Reference))
    whitening, means, distances = nothing, nothing, np.zeros(5)
    if "whitening" in needs:
        whitening, means, distances = _gaussian_and_left_out(unit, labels, centre, seed)
    principal = _principal(unit - centre) if "principal" in needs else nothing
    theirs, shown, alike = nothing, nothing, np.zeros(5)
    if source is not None and "source" in needs:
        theirs = _scaled(source, embeddings)
        shown, alike = _shown_and_left_out(_source_roots(theirs, unit), labels, seed)
    none = np.zeros(5)
    plain = Reference(centre, whitening, means, bank, principal, theirs, shown, none, none + 1)
    seen = Compared(plain, unit[rows], logits[rows])
    own = [
        seen.energy,
        _leave_one_out(bank) if "bank" in needs else none,
        distances,
        seen.residual if "principal" in needs else none,
        alike,
    ]
    spread = np.maximum([each.std() for each in own], _FLOOR)
    return replace(plain, location=np.array([each.mean() for each in own]), spread=spread)


def unit_length(embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Return each row divided by its length, float64; a row of zeros stays one."""
    exact = embeddings.astype(np.float64)
    return np.asarray(exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), _FLOOR))


@dataclass(frozen=True)
class Compared:
    """Images beside the reference: what scores are made of, each part computed once.

    Args:
        reference: of the training images.
        unit: [n, d], embeddings of length one.
        logits: [n, C], of the classifier head.
    """

    reference: Reference
    unit: np.ndarray
    logits: np.ndarray

    @cached_property
    def softmax(self) -> np.ndarray:
        """The largest probability (Hendrycks & Gimpel 2017)."""
        return np.asarray(special.softmax(self.logits.astype(np.float64), axis=1).max(1))

    @cached_property
    def energy(self) -> np.ndarray:
        """The logarithm of the sum of the exponentials of the logits (Liu et al. 2020)."""
        return np.asarray(special.logsumexp(self.logits.astype(np.float64), axis=1))

    @cached_property
    def neighbour(self) -> np.ndarray:
        """The cosine of the nearest kept training image (Sun et al. 2022, with k = 1)."""
        return np.asarray((self.unit @ self.reference.bank.T).max(1))

    @cached_property
    def mahalanobis(self) -> np.ndarray:
        """Minus the squared Mahalanobis distance to the nearest class (Lee et al. 2018).

        Embeddings of length one make it more even over classes and images (Mueller & Hein 2025).
        """
        own = self.reference
        return -_distance((self.unit - own.centre) @ own.whitening, own.means)

    @cached_property
    def residual(self) -> np.ndarray:
        """The norm in the residual space."""
        centred = self.unit - self.reference.centre
        rest = (centred**2).sum(1) - ((centred @ self.reference.principal) ** 2).sum(1)
        return np.asarray(np.sqrt(np.maximum(rest, 0.0)))

    @cached_property
    def source(self) -> np.ndarray:
        """How alike the network sees an image and the most similar class, in the classes that it was pretrained with.

        It is the Bhattacharyya coefficient of its probabilities and the mean ones of the training images of a class. A
        network from ImageNet may take a new animal for one that none of our images shows.
        """
        return np.asarray((_source_roots(self.reference.source, self.unit) @ self.reference.shown).max(1))

    @property
    def vim(self) -> np.ndarray:
        """The energy less the norm in the residual space (virtual-logit matching, Wang et al. 2022).

        The norm is scaled by the ratio of the spreads on training images, not of the means as in the paper: the logits
        of some heads have no fixed zero.
        """
        scale = self.reference.spread[0] / self.reference.spread[3]
        return np.asarray(self.energy - scale * self.residual)

    @property
    def low_energy(self) -> np.ndarray:
        """The energy in standard deviations on training images, only where it is below its mean.

        Noise may have more energy than any training image.
        """
        return np.asarray(np.minimum(self.scaled(0, self.energy), 0.0))

    @property
    def distances(self) -> np.ndarray:
        """The nearest training image and the nearest class, in standard deviations on training images.

        They count twice: to the energy, images from afar may look like any other.
        """
        return np.asarray(DISTANCES_COUNT * (self.scaled(1, self.neighbour) + self.scaled(2, self.mahalanobis)))

    def scaled(self, place: int, part: np.ndarray) -> np.ndarray:
        """Return a part in standard deviations on training images; its place is that in the reference."""
        return np.asarray((part - self.reference.location[place]) / self.reference.spread[place])


SCORES: dict[str, Callable[[Compared], np.ndarray]] = {
    "softmax": lambda images: images.softmax,
    "energy": lambda images: images.energy,
    "neighbour": lambda images: images.neighbour,
    "mahalanobis": lambda images: images.mahalanobis,
    "vim": lambda images: images.vim,
    DEFAULT: lambda images: images.distances + images.low_energy,
    WITH_SOURCE: lambda images: images.distances + images.low_energy + images.scaled(4, images.source),
}
_GAUSSIAN = ("centre", "whitening", "means")
NEEDS: dict[str, tuple[str, ...]] = {  # which arrays of the reference, besides location and spread
    "softmax": (),
    "energy": (),
    "neighbour": ("bank",),
    "mahalanobis": _GAUSSIAN,
    "vim": ("centre", "principal"),
    DEFAULT: ("bank", *_GAUSSIAN),
    WITH_SOURCE: ("bank", *_GAUSSIAN, "source", "shown"),
}


def familiarity(
    name: str, reference: Reference, embeddings: Float[np.ndarray, "n d"], logits: Float[np.ndarray, "n c"]
) -> Float[np.ndarray, " n"]:
    """Return a score of each image; the larger, the more familiar. It is computed in the precision of the reference.

    Raises:
        SpecError: an unknown score.
    """
    unit = unit_length(embeddings).astype(reference.location.dtype)
    return choose("familiarity score", name, SCORES)(Compared(reference, unit, logits))


def only_needed(reference: Reference, name: str) -> Reference:
    """Return the reference with the arrays that a score does not need empty."""
    kept = (*NEEDS[name], "location", "spread")
    return Reference(
        *(getattr(reference, each.name) if each.name in kept else np.zeros(0) for each in fields(Reference))
    )


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
    tails = special.betaincinv(rank, n + 1 - rank, [(1 - level) / 2, (1 + level) / 2])
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


def _evenly(labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return the rows of images drawn at random, as many of each class as possible; of the last ones, any classes'."""
    order = np.random.default_rng(seed).permutation(len(labels))
    _, codes, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
    by_class = np.argsort(codes, kind="stable")
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # within the class
    return np.sort(order[by_class[np.lexsort((by_class, place))[:most]]])


def _principal(centred: np.ndarray) -> np.ndarray:
    n, d = centred.shape
    directions = spectrum(centred)[1]
    return directions[:, : min(max(1, d // 2), max(1, n // 2), _MOST_PRINCIPAL)]


def _scaled(source: SourceHead, embeddings: np.ndarray) -> np.ndarray:
    """Return the source's head for embeddings of length one, [d + 1, S]: they were as long as these on average."""
    length = np.linalg.norm(embeddings.astype(np.float64), axis=1).mean()
    return np.asarray(np.concatenate([source.weight.T.astype(np.float64) * length, source.bias[None]]))


def _source_roots(head: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the square roots of the probabilities of the source's classes [n, S]."""
    return np.asarray(np.sqrt(special.softmax(unit @ head[:-1] + head[-1], axis=1)))


def _folds(n: int, seed: int) -> list[np.ndarray]:
    """Return the rows of five parts drawn at random; of very few rows, all as one."""
    order = np.random.default_rng(seed).permutation(n)
    return np.array_split(order, _FOLDS) if n >= _FOLDS else [order]


def _gaussian_and_left_out(
    unit: np.ndarray, labels: np.ndarray, centre: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whitening and means in which each class counts the same, and how far images are by the other folds."""
    weights = class_weights(labels)
    products = weighted_products(unit, weights) if len(unit) >= unit.shape[1] else None
    white, means = gaussian(unit, labels, centre, weights, products)
    return white, means, _distances_left_out(unit, labels, weights, products, seed)


def _distances_left_out(
    unit: np.ndarray, labels: np.ndarray, weights: np.ndarray, products: np.ndarray | None, seed: int
) -> np.ndarray:
    """Return minus the squared Mahalanobis distance of each image to the nearest class, fitted on the other folds.

    `products` are those of the weighted images, or None with fewer images than dimensions.
    """
    folds, found = _folds(len(unit), seed), []
    for fold in folds:
        learned = np.setdiff1d(np.arange(len(unit)), fold) if len(folds) > 1 else fold
        centre = unit[learned].mean(0)
        rest = None
        if products is not None and len(folds) > 1:
            rest = products - weighted_products(unit[fold], weights[fold])
        white, means = gaussian(unit[learned], labels[learned], centre, weights[learned], rest)
        found.append(_distance((unit[fold] - centre) @ white, means))
    return -np.concatenate(found)


def _shown_and_left_out(roots: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what the source sees in each class [S, C], and how alike each image is to what it sees in other folds."""
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    classes = len(counts)
    sums = class_sums(codes, roots**2, classes)
    folds, found = _folds(len(roots), seed), []
    for fold in folds:
        seen, left = sums, counts
        if len(folds) > 1:
            seen = sums - class_sums(codes[fold], roots[fold] ** 2, classes)
            left = counts - np.bincount(codes[fold], minlength=classes)
        means = np.maximum(seen[left > 0], 0.0) / left[left > 0, None]
        found.append((roots[fold] @ np.sqrt(means).T).max(1))
    return np.sqrt(sums / counts[:, None]).T, np.concatenate(found)


def _distance(white: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the squared distance of whitened rows to the nearest mean."""
    return np.asarray(((white**2).sum(1)[:, None] - 2 * white @ means.T + (means**2).sum(1)).min(1))


def _leave_one_out(bank: np.ndarray) -> np.ndarray:
    """Return the cosine of the nearest other image of the bank."""
    cosines = bank @ bank.T
    np.fill_diagonal(cosines, -np.inf)
    return np.asarray(cosines.max(1))
