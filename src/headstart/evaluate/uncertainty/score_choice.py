"""Which familiarity score a model uses: the default, with the source if that helps to find classes left out.

No foreign image is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from headstart.evaluate.metrics.auc import roc_area
from headstart.evaluate.uncertainty.familiarity import (
    DEFAULT,
    SCORES,
    WITH_SOURCE,
    Compared,
    Logits,
    SourceHead,
    fit_reference,
    unit_length,
)
from headstart.evaluate.uncertainty.gaussian import gaussian

_DRAWS, _HELD_OUT, _FEWEST = 6, 0.2, 5  # of leave-classes-out: draws, share of the classes, classes needed
_MOST_ROWS = 1000  # that it looks at


def discriminant(embeddings: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]) -> Logits:
    """Return the logits of a Gaussian discriminant: a normal distribution a class, one covariance for all."""
    unit = unit_length(embeddings)
    centre = unit.mean(0)
    whitening, means = gaussian(unit, labels, centre, np.ones(len(unit)))
    offset = (means**2).sum(1) / 2

    def logits(others: np.ndarray) -> np.ndarray:
        return np.asarray((unit_length(others) - centre) @ whitening @ means.T - offset)

    return logits


def choose_score(
    embeddings: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    fit: Callable[[np.ndarray, np.ndarray], Logits] = discriminant,
    *,
    source: SourceHead | None = None,
    seed: int = 0,
) -> tuple[str, dict[str, float]]:
    """Return the score that best finds classes left out, and the mean AUROCs; no foreign image is needed.

    Six times a fifth of the classes, drawn at random, is left out. A head is fitted on half of the images of the
    others; the other half are familiar, and the images of the classes left out are not. The source is added to the
    default if that is better by more than the standard error of the mean difference of AUROCs. With fewer than five
    classes there is nothing to choose on, and the default is returned. The AUROC of the largest softmax is for
    comparison.

    Args:
        embeddings, labels: of training images.
        fit: makes a head like the model's from embeddings [n, d] and labels 0 … C - 1.
        source: the head that the network was pretrained with; without one, the default is the only candidate.
    """
    names, sizes = np.unique(labels, return_counts=True)
    if len(names) < _FEWEST or sizes.max() < 2:
        return DEFAULT, {}
    generator = np.random.default_rng(seed)
    whole = DEFAULT if source is None else WITH_SOURCE
    found: dict[str, list[float]] = {name: [] for name in dict.fromkeys(("softmax", DEFAULT, whole))}
    for draw in range(_DRAWS):
        rows = generator.permutation(len(labels))[:_MOST_ROWS]
        left_out = np.isin(labels[rows], generator.choice(names, max(1, round(_HELD_OUT * len(names))), replace=False))
        inside, foreign = rows[~left_out], rows[left_out]
        half = len(inside) // 2
        learned, codes = inside[:half], np.unique(labels[inside[:half]], return_inverse=True)[1]
        if half < 2 or codes.max() < 1 or not len(foreign):
            continue
        logits = fit(embeddings[learned], codes)
        own = embeddings[learned]
        reference = fit_reference(own, codes, logits(own), score=whole, source=source, seed=draw)
        judged = embeddings[np.concatenate([inside[half:], foreign])]
        known = np.arange(len(judged)) < len(inside) - half
        seen = Compared(reference, unit_length(judged), logits(judged))
        for name, areas in found.items():
            areas.append(roc_area(SCORES[name](seen), known)[0])
    return _best(found)


def _best(found: Mapping[str, Sequence[float]]) -> tuple[str, dict[str, float]]:
    """Return the default, or the sum with the source where that is clearly better, and the mean of every score."""
    means = {name: float(np.mean(each)) for name, each in found.items() if each}
    if len(found.get(WITH_SOURCE, ())) < 2:  # no source, or too few draws to know the error
        return DEFAULT, means
    gains = np.subtract(found[WITH_SOURCE], found[DEFAULT])
    better = gains.mean() > gains.std(ddof=1) / math.sqrt(len(gains))
    return (WITH_SOURCE if better else DEFAULT), means
