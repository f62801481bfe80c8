"""What sets, guarantees, rejections and decisions are worth on test images, which nothing was calibrated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from headstart.errors import SpecError
from headstart.evaluate.metrics.intervals import mean_loss
from headstart.evaluate.uncertainty.answers import ONE_OF, SURE, UNKNOWN, Answer, AnswerOptions, Judge, Uncertainty
from headstart.evaluate.uncertainty.conformal import SCORES, prediction_sets, scores_in_sets, set_quality
from headstart.evaluate.uncertainty.costs import ASK, least_cost, paid
from headstart.evaluate.uncertainty.familiarity import MOST_REJECTED, rejection
from headstart.evaluate.uncertainty.selective import exact, fewest, risk_coverage

ACCURACIES = (0.9, 0.95, 0.98, 0.99)  # whose guarantees are measured
_POINTS = 200  # of the curve
_SHOWN = 24  # rejected images


def measured(
    uncertainty: Uncertainty,
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    shares: Float[np.ndarray, " n"] | None,
) -> dict[str, Any]:
    """Return all of it as JSON-able values.

    Args:
        uncertainty: calibrated on held-out images.
        probabilities: calibrated, of the test images.
        labels: of the test images.
        shares: how familiar they are, or None.
    """
    strange = np.zeros(len(labels), bool) if shares is None else shares <= MOST_REJECTED
    answers = Judge(uncertainty, AnswerOptions()).judged(probabilities, shares)
    return {
        "held_out": len(uncertainty.held_out),
        "test": len(labels),
        "level": AnswerOptions().level,
        "notes": list(uncertainty.notes),
        "sets": _sets(uncertainty, probabilities, labels),
        "answers": _answers(answers, labels),
        "curve": _curve(probabilities, labels),
        "promises": [_guarantee(uncertainty, each, probabilities, labels, strange) for each in ACCURACIES],
        "familiarity": None if shares is None else _familiarity(uncertainty, shares, strange),
        "costs": None if uncertainty.costs is None else _costs(uncertainty, probabilities, labels, strange),
    }


def _sets(uncertainty: Uncertainty, probabilities: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """Return coverage and sizes of every kind of set, as `predict` makes them: never empty."""
    rows = []
    for kind in SCORES:
        scores = scores_in_sets(kind, probabilities)
        for by_class in (False, True):
            thresholds = uncertainty.thresholds(AnswerOptions(sets=kind, by_class=by_class))
            found = set_quality(prediction_sets(scores, thresholds, never_empty=True), labels)
            rows.append(
                {
                    "kind": kind,
                    "by_class": by_class,
                    "coverage": found.coverage,
                    "size": found.size,
                    "sizes": list(found.sizes[: int(np.flatnonzero(found.sizes).max()) + 1]),
                    "classes": list(found.by_class),
                    "promised": thresholds.guaranteed.tolist(),
                    "calibrated": thresholds.calibrated.tolist(),
                }
            )
    return rows


def _answers(answers: Sequence[Answer], labels: np.ndarray) -> list[dict[str, Any]]:
    """Return for each kind of answer how many there are, and how often the set holds the right class."""
    held = np.array([label in answer.inside for answer, label in zip(answers, labels.tolist(), strict=True)], bool)
    kinds = np.array([answer.kind for answer in answers])
    return [
        {
            "kind": kind,
            "n": int((kinds == kind).sum()),
            "right": exact(int(held[kinds == kind].sum()), int((kinds == kind).sum())),
        }
        for kind in (SURE, ONE_OF, UNKNOWN)
    ]


def _curve(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    found = risk_coverage(probabilities.max(1).astype(np.float64), probabilities.argmax(1) == labels)
    places = np.unique(np.linspace(0, len(found.coverage) - 1, _POINTS).round().astype(int))
    return {
        "coverage": found.coverage[places].tolist(),
        "risk": found.risk[places].tolist(),
        "threshold": found.threshold[places].tolist(),
        "area": found.area,
    }


def _guarantee(
    uncertainty: Uncertainty, at_least: float, probabilities: np.ndarray, labels: np.ndarray, strange: np.ndarray
) -> dict[str, Any]:
    """Return what is guaranteed from held-out images, and what came of it on the test images."""
    row: dict[str, Any] = {"at_least": at_least, "needs": fewest(at_least), "left": None, "why": None}
    try:
        found = uncertainty.guarantee(at_least)
    except SpecError as error:
        return {**row, "why": str(error)}
    kept = (probabilities.max(1) > found.above) & ~strange
    right = int((probabilities.argmax(1) == labels)[kept].sum())
    test = {"left": exact(int((~kept).sum()), len(kept)), "right": exact(right, int(kept.sum()))}
    return {**row, "left": found.left, "low": found.low, "above": found.above, "on_test": test}


def _familiarity(uncertainty: Uncertainty, shares: np.ndarray, strange: np.ndarray) -> dict[str, Any]:
    order = np.argsort(shares, kind="stable")
    return {
        "score": uncertainty.score,
        "selection": dict(uncertainty.selection),
        "rejects": rejection(uncertainty.familiar).share,
        "rejected": exact(int(strange.sum()), len(strange)),
        "least": [[int(place), float(shares[place])] for place in order[:_SHOWN] if strange[place]],
    }


def _costs(
    uncertainty: Uncertainty, probabilities: np.ndarray, labels: np.ndarray, strange: np.ndarray
) -> Mapping[str, Any]:
    assert uncertainty.costs is not None
    costs = uncertainty.costs
    answers = least_cost(probabilities, costs, unfamiliar=strange)[0]
    most = float(max(costs.matrix.max(), 0 if np.isinf(costs.ask) else costs.ask)) or 1.0
    plain = paid(probabilities.argmax(1), labels, costs)
    return {
        "asked": exact(int((answers == ASK).sum()), len(answers)),
        "least_cost": mean_loss(paid(answers, labels, costs), most, most),
        "most_probable": mean_loss(plain, most, most),
        "ask": None if np.isinf(costs.ask) else costs.ask,
    }
