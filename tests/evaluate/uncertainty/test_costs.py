from __future__ import annotations

import math

import numpy as np
import pytest

from headstart.errors import SpecError
from headstart.evaluate.uncertainty.costs import ASK, Costs, costs_of, least_cost, paid

CLASSES = ("chanterelle", "death cap", "morel")
DEADLY = costs_of(CLASSES, {"death cap": {"chanterelle": 1000, "morel": 1000}}, ask=0.5)


def test_a_mushroom_that_may_be_deadly_is_shown_to_a_person() -> None:
    sure, doubtful, poisonous = [0.9998, 0.0001, 0.0001], [0.99, 0.01, 0.0], [0.02, 0.98, 0.0]
    answers, cost = least_cost(np.array([sure, doubtful, poisonous]), DEADLY)
    assert answers.tolist() == [0, ASK, 1]
    assert cost == pytest.approx([0.1001, 0.5, 0.02])


def test_without_costs_the_most_probable_class_is_answered() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 50)
    answers, cost = least_cost(probabilities, costs_of(CLASSES, {}))
    assert np.array_equal(answers, probabilities.argmax(1))
    assert cost == pytest.approx(1 - probabilities.max(1))


def test_no_other_rule_pays_less_where_the_probabilities_are_right() -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet(np.ones(3), 20_000)
    labels = (probabilities.cumsum(1) < generator.random((20_000, 1))).sum(1)
    answers, expected = least_cost(probabilities, DEADLY)
    mean = paid(answers, labels, DEADLY).mean()
    assert mean == pytest.approx(expected.mean(), rel=0.1)
    for other in (probabilities.argmax(1), np.full(20_000, ASK), np.where(probabilities.max(1) < 0.9, ASK, answers)):
        assert mean <= paid(other, labels, DEADLY).mean()


def test_what_was_paid() -> None:
    assert paid(np.array([0, ASK, 2, 2]), np.array([1, 1, 2, 0]), DEADLY).tolist() == [1000, 0.5, 0, 1]
    assert Costs(np.zeros((2, 2))).ask == math.inf


def test_costs_that_cannot_be_are_refused() -> None:
    with pytest.raises(SpecError, match=r"death cup.*death cap"):
        costs_of(CLASSES, {"death cup": {"morel": 5}})
    with pytest.raises(SpecError, match="costs nothing"):
        costs_of(CLASSES, {"morel": {"morel": 5}})
    with pytest.raises(SpecError, match="at least 0, not -1"):
        costs_of(CLASSES, {}, ask=-1)
