"""How accurate a model may be on images without labels: two estimates that fail differently, and what they leave open.

Without labels an accuracy cannot be known: a model may be as sure of new images as of old ones and be wrong. Average
thresholded confidence trusts its probabilities; the agreement with the nearest training images trusts its embeddings.
The truth is taken to be between them, give or take what so few images leave open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from headstart.evaluate.metrics.intervals import normal_quantile, wilson_at
from headstart.evaluate.uncertainty.drift import Sketch, nearest_labels
from headstart.evaluate.uncertainty.familiarity import MOST_REJECTED
from headstart.units import percent

FEWEST = 30  # images on either side
MOST_APART = 0.1  # of the two estimates: their middle is then within 5 points of what is between them
MOST_UNFAMILIAR = 0.25  # share of the images
MOST_FALLEN = 0.25  # below the held-out images: both estimates tend to see too little of a large fall


@dataclass(frozen=True)
class Guess:
    """An accuracy without labels.

    Args:
        value: the middle of the estimates; None where it is not knowable.
        low, high: the estimates with their 95 % intervals; where more images are unfamiliar than of the same kind would
            be, these may all be wrong. 0 and 1 where there are no estimates.
        before: on the held-out images.
        estimates: each by its name.
        why: why it is not knowable, or "".
    """

    value: float | None
    low: float
    high: float
    before: float
    estimates: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


def guess_accuracy(
    sketch: Sketch,
    held_confidence: Float[np.ndarray, " h"],
    held_correct: Bool[np.ndarray, " h"],
    confidence: Float[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    embeddings: Float[np.ndarray, "n k"],
    unfamiliar: float = 0.0,
) -> Guess:
    """Return what the accuracy may be on images without labels.

    Args:
        sketch: of the held-out images.
        held_confidence, held_correct: the largest probability of each held-out image, and whether it was right.
        confidence, predicted, embeddings: of the new images; embeddings in the directions of the sketch.
        unfamiliar: which share of them is unfamiliar, at least.
    """
    h, n, before = len(held_correct), len(predicted), float(np.mean(held_correct))
    if min(h, n, len(sketch)) < FEWEST:
        which = f"{n} images" if n < FEWEST else f"{min(h, len(sketch))} held-out images"
        return Guess(None, 0.0, 1.0, before, why=f"{which} are too few; at least {FEWEST} are needed")
    estimates = {
        "confidence": thresholded_confidence(held_confidence, held_correct, confidence),
        "neighbours": agreement(sketch, before, embeddings, predicted),
    }
    reach, effective = normal_quantile(), n * h / (n + h)
    low = wilson_at(min(estimates.values()), effective, reach)[0]
    high = wilson_at(max(estimates.values()), effective, reach)[1]
    low = max(0.0, low - max(0.0, unfamiliar - MOST_REJECTED))
    why = ""
    if unfamiliar > MOST_UNFAMILIAR:
        why = f"at least {percent(unfamiliar, 0)} of the images are unfamiliar, and may be of no class that it knows"
    elif max(estimates.values()) - min(estimates.values()) > MOST_APART:
        why = f"two ways to estimate it differ by more than {100 * MOST_APART:.0f} points"
    middle = sum(estimates.values()) / len(estimates)
    if not why and before - middle > MOST_FALLEN:
        fallen, most = 100 * (before - middle), 100 * MOST_FALLEN
        why = f"it seems to have fallen by {fallen:.0f} points; more than {most:.0f} cannot be estimated"
    value = None if why else middle
    return Guess(value, low, high, before, estimates, why)


def thresholded_confidence(
    held_confidence: Float[np.ndarray, " h"],
    held_correct: Bool[np.ndarray, " h"],
    confidence: Float[np.ndarray, " n"],
) -> float:
    """Return the share of images above the confidence that as many held-out images exceed as are right (ATC).

    Garg et al. 2022, with the largest probability. Images at the threshold itself count in the share in which the
    held-out images there are needed, so that the estimate on the held-out images is their accuracy exactly.
    """
    ranked = np.sort(held_confidence)
    wrong = len(ranked) - int(np.sum(held_correct))
    if wrong == 0:
        return float((confidence >= ranked[0]).mean())
    if wrong == len(ranked):
        return float((confidence > ranked[-1]).mean())
    threshold = ranked[wrong]
    at = int((ranked == threshold).sum())
    needed = (len(ranked) - wrong - int((ranked > threshold).sum())) / at
    return float((confidence > threshold).mean() + needed * (confidence == threshold).mean())


def agreement(
    sketch: Sketch, before: float, embeddings: Float[np.ndarray, "n k"], predicted: Int[np.ndarray, " n"]
) -> float:
    """Return the accuracy on held-out images less what predictions agree less often with the nearest training image.

    Two classifiers from the same images that disagree cannot both be right (Jiang et al. 2022).
    """
    held = float((nearest_labels(sketch, sketch.embeddings) == sketch.predicted).mean())
    now = float((nearest_labels(sketch, embeddings) == predicted).mean())
    return min(1.0, max(0.0, before + now - held))
