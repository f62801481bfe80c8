from __future__ import annotations

import pytest
import torch
from torch import Tensor

from headstart.transfer.heads import lbfgs
from headstart.transfer.heads.feature_rows import Dense
from headstart.transfer.heads.lbfgs import Curvature, Objective, State, minimise

PENALTY = 0.05


def problem(multi_label: bool, rows: int = 40) -> tuple[Objective, Tensor, Tensor]:
    """Return an objective on rows of 5 features and 3 classes, weights [6, 3] and a direction."""
    random = torch.Generator().manual_seed(3)
    features = torch.randn(rows, 5, generator=random)
    targets = torch.nn.functional.one_hot(torch.randint(3, (rows,), generator=random), 3).float()
    if multi_label:
        targets = (torch.rand(rows, 3, generator=random) < 0.4).float()
    weights, direction = torch.randn(2, 6, 3, generator=random)
    return Objective(Dense(features - features.mean(0)), targets, multi_label, PENALTY), weights, direction


def loss(objective: Objective, weights: Tensor) -> Tensor:
    """Return the objective in double precision from its definition."""
    assert isinstance(objective.rows, Dense)
    logits = objective.rows.values.double() @ weights[:-1] + weights[-1]
    targets = objective.targets.double()
    if objective.multi_label:
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)
    else:
        each = -(targets * torch.log_softmax(logits, 1)).sum(1)
    return each.mean() + objective.penalty / 2 * weights[:-1].square().sum()


def logits(objective: Objective, weights: Tensor) -> Tensor:
    assert isinstance(objective.rows, Dense)
    return objective.rows.values @ weights[:-1] + weights[-1]


@pytest.fixture(params=[1, 7, 100], ids=lambda rows: f"{rows} rows at a time")
def rows_at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setitem(lbfgs.ENTRIES, "cpu", 3 * request.param)
    return int(request.param)


@pytest.mark.parametrize("rows", [40, 5000])  # one block, two blocks
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_gradient_is_that_of_the_definition(multi_label: bool, rows: int) -> None:
    objective, weights, _ = problem(multi_label, rows)
    exact = weights.double().requires_grad_()
    (expected,) = torch.autograd.grad(loss(objective, exact), exact)
    found = objective.gradient(weights, logits(objective, weights))
    assert torch.allclose(found.double(), expected, atol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_derivatives_along_a_line_are_those_of_the_definition(multi_label: bool, rows_at_a_time: int) -> None:
    objective, weights, direction = problem(multi_label)
    assert len(list(objective.places())) == -(-40 // rows_at_a_time)
    change = logits(objective, direction)
    line = objective.line(State(weights, logits(objective, weights)), direction, change)
    step = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    value = loss(objective, weights.double() + step * direction.double())
    (first,) = torch.autograd.grad(value, step, create_graph=True)
    (second,) = torch.autograd.grad(first, step)
    assert line.at(0.3) == pytest.approx((first.item(), second.item()), rel=1e-4)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_curvature_is_the_mean_variance_of_the_labels(multi_label: bool, rows_at_a_time: int) -> None:
    objective, weights, _ = problem(multi_label)
    p = objective.probabilities(logits(objective, weights))
    assert objective.curvature(logits(objective, weights)) == pytest.approx(float((p * (1 - p)).mean()), abs=1e-6)


def test_the_minimum_is_where_newton_finds_it_and_the_logits_are_those_of_the_weights() -> None:
    objective, _, _ = problem(False)
    assert isinstance(objective.rows, Dense)
    exact = torch.zeros(18, dtype=torch.float64, requires_grad=True)

    def flat(weights: Tensor) -> Tensor:
        return loss(objective, weights.view(6, 3))

    # Newton's method in double precision; intercepts are free up to a constant, hence the pseudo-inverse
    for _ in range(20):
        (gradient,) = torch.autograd.grad(flat(exact), exact)
        bend = torch.autograd.functional.hessian(flat, exact)
        exact = (exact - torch.linalg.pinv(bend, rtol=1e-10) @ gradient).detach().requires_grad_()
    state = State(torch.zeros(6, 3), torch.zeros(40, 3))
    values = objective.rows.values
    reached = minimise(objective, Curvature(values.T @ values / 40), state, 1e-6, 200)
    assert reached.gradient_norm <= 1e-6 and 1 < reached.iterations < 60
    assert torch.allclose(state.weights[:-1].double(), exact.view(6, 3)[:-1], atol=1e-4)
    assert torch.allclose(state.logits, logits(objective, state.weights), atol=1e-4)
    assert state.earlier is not None and torch.equal(state.earlier[1], torch.zeros(40, 3))
