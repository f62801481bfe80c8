"""The decision of least expected cost: which class to answer, or to ask a person."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headstart.errors import SpecError, unknown_name

ASK = -1  # instead of a class


@dataclass(frozen=True)
class Costs:
    """What answers cost.

    Args:
        matrix: float64 [C, C]: row the right class, column the answer; the diagonal is 0.
        ask: what it costs to ask a person instead; infinity where nobody can be asked.
    """

    matrix: Float[np.ndarray, "c c"]
    ask: float = math.inf


def costs_of(
    classes: Sequence[str],
    confusions: Mapping[str, Mapping[str, float | int]],
    *,
    mistake: float | int = 1.0,
    ask: float | int | None = None,
) -> Costs:
    """Return the costs of a mapping from right class to answer to cost; every other mistake costs `mistake`.

    Raises:
        SpecError: an unknown class, a cost below zero, or a cost of the right answer.
    """
    number = {name: place for place, name in enumerate(classes)}
    matrix = np.full((len(classes), len(classes)), _cost("mistake", mistake))
    np.fill_diagonal(matrix, 0.0)
    for right, answers in confusions.items():
        for answer, cost in answers.items():
            for name in (right, answer):
                if name not in number:
                    raise SpecError(f"costs: {unknown_name('class', name, classes)}")
            if right == answer:
                raise SpecError(f"costs: the right answer {right!r} costs nothing; drop it")
            matrix[number[right], number[answer]] = _cost(f"{right} taken for {answer}", cost)
    return Costs(matrix, math.inf if ask is None else _cost("ask", ask))


def least_cost(
    probabilities: Float[np.ndarray, "n c"], costs: Costs, *, unfamiliar: Bool[np.ndarray, " n"] | None = None
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the answer of least expected cost for each image (a class, or ASK) and that cost.

    It is the best decision where the probabilities are calibrated. Of equal costs the lower class wins, and an answer
    wins over asking.

    Args:
        unfamiliar: images whose probabilities say little; they are asked about wherever asking has a price.
    """
    expected = probabilities.astype(np.float64) @ costs.matrix
    best = expected.argmin(1)
    cost = expected[np.arange(len(best)), best]
    asked = cost > costs.ask
    if unfamiliar is not None and costs.ask < math.inf:
        asked |= unfamiliar
    return np.where(asked, ASK, best), np.where(asked, costs.ask, cost)


def paid(answers: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"], costs: Costs) -> Float[np.ndarray, " n"]:
    """Return what each answer (a class, or ASK) cost, the right class known."""
    return np.where(answers == ASK, costs.ask, costs.matrix[labels, answers])


def _cost(what: str, value: float | int) -> float:
    if not 0 <= value < math.inf:
        raise SpecError(f"costs: {what} must cost a finite amount of at least 0, not {value!r}")
    return float(value)
