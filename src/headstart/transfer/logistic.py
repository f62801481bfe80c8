"""Logistic regression along a path of penalties: multinomial, or one binary cross-entropy a class.

L-BFGS in the metric of a fixed preconditioner, (c XᵀX/n + penalty I)⁻¹, where c is the mean curvature of
the loss at the start of each penalty: the Hessian is bounded by such a product of the features' Gram
matrix (Böhning 1992), so that one Gram matrix serves the whole path and the number of steps hardly
depends on how the features are scaled. Logits are linear in the weights, so each line search moves along
stored logits and costs no product with the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.models.heads import LinearHead
from headstart.progress import progress
from headstart.transfer.problem import Fitted, Problem, complete, listed, logits_of, numbers
from headstart.transfer.rows import Rows, Transform, wide
from headstart.transfer.selection import Selection, score
from headstart.transfer.spectrum import gram

PENALTIES = tuple(float(f"{10 ** (-half / 2):.6g}") for half in range(7))  # 1 … 0.001
DEFAULTS: dict[str, Any] = {
    "penalty": PENALTIES,
    "normalise": "standardise",
    "tolerance": 1e-4,
    "max_iterations": 300,
}
MEMORY = 10  # pairs of steps and gradient changes that L-BFGS remembers


@dataclass
class State:
    """Weights along the path, with what is known of them.

    Args:
        weights: [d + 1, C], the intercepts last.
        logits: [n, C] of the training rows.
    """

    weights: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Convergence:
    """How far the minimum is.

    Args:
        iterations: L-BFGS steps taken.
        gradient_norm: euclidean norm of the gradient of the penalised mean loss.
        threshold: the norm at which to stop.
    """

    iterations: int
    gradient_norm: float
    threshold: float

    def facts(self) -> dict[str, Any]:
        """Return what is noted with each configuration."""
        return {
            "iterations": self.iterations,
            "gradient_norm": self.gradient_norm,
            "converged": self.gradient_norm <= self.threshold,
        }


@dataclass(frozen=True)
class Objective:
    """Mean loss of rows X [n, d] with targets [n, C] of zeros and ones, plus penalty |W|² / 2.

    Args:
        rows: X, centred.
        targets: [n, C].
        multi_label: binary cross-entropy of each class, summed over classes, in place of the multinomial.
        penalty: on the weights, not on the intercepts.
    """

    rows: Rows
    targets: Tensor
    multi_label: bool
    penalty: float

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return [n, C]."""
        return torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, 1)

    def gradient(self, weights: Tensor, logits: Tensor) -> Float[Tensor, "d1 c"]:
        """Return the gradient with respect to weights and intercepts."""
        residual = self.probabilities(logits).sub_(self.targets).div_(len(self.targets))
        out = torch.empty_like(weights)
        torch.mul(weights[:-1], self.penalty, out=out[:-1])
        for place, block in self.rows.blocks():
            out[:-1].addmm_(block.T, residual[place])
        out[-1] = residual.sum(0)
        return out

    def slope_and_bend(
        self, logits: Tensor, change: Tensor, weights: Tensor, direction: Tensor, step: float
    ) -> tuple[float, float]:
        """Return first and second derivative of the objective along `direction`, at `step`."""
        p = self.probabilities(torch.add(logits, change, alpha=step))
        if self.multi_label:
            bend = (p * (1 - p) * change.square()).sum(dtype=wide(p.device))
        else:
            mean = (p * change).sum(1)
            bend = ((p * change.square()).sum(1) - mean.square()).sum(dtype=wide(p.device))
        slope = ((p - self.targets) * change).sum(dtype=wide(p.device))
        along = direction[:-1].square().sum(dtype=wide(p.device))
        cross = (weights[:-1] * direction[:-1]).sum(dtype=wide(p.device))
        n = len(self.targets)
        first = slope / n + self.penalty * (cross + step * along)
        return float(first), float(bend / n + self.penalty * along)

    def line_search(self, state: State, change: Tensor, direction: Tensor, start_slope: float) -> float:
        """Return a step at which the slope is at most a tenth of what it was: safeguarded Newton."""
        low, high, step = 0.0, float("inf"), 1.0
        for _ in range(20):
            slope, bend = self.slope_and_bend(state.logits, change, state.weights, direction, step)
            if abs(slope) <= 0.1 * abs(start_slope):
                return step
            low, high = (low, step) if slope > 0 else (step, high)
            proposal = step - slope / bend if bend > 0 else float("inf")
            if not low < proposal < min(high, 10 * step):
                proposal = 4 * step if high == float("inf") else (low + high) / 2
            step = proposal
        return low or step


def fit_logistic(problem: Problem, options: Mapping[str, Any]) -> Fitted:
    """Fit a logistic head, the penalty chosen on validation rows.

    Minimises mean loss + penalty / 2 · |W|² (intercepts free), from the largest penalty to the smallest,
    each from the last one's weights. penalty = 1 / (C n) in the terms of scikit-learn.

    Options: `penalty`, `normalise` (lists), `tolerance` (the gradient norm at which a fit has converged,
    times min(1, 10 √penalty)), `max_iterations` (a penalty).

    Raises:
        SpecError: an option that does not exist or cannot be.
    """
    options = complete("logistic", options, DEFAULTS)
    penalties = sorted(numbers("logistic", "penalty", options["penalty"]), reverse=True)
    tolerance = numbers("logistic", "tolerance", options["tolerance"])[0]
    limit = int(numbers("logistic", "max_iterations", options["max_iterations"], above=1, equal=True)[0])
    selection: Selection[LinearHead] = Selection(problem.multi_label)
    styles = listed(options["normalise"])
    with progress("logistic path", len(styles) * len(penalties), "penalties") as ticker:
        for normalise in styles:
            transform = problem.transform(normalise, centred=True)
            rows, held = problem.train_rows(transform), problem.validation_rows(transform)
            targets = problem.targets_of(problem.train)
            products, state = gram(problem, rows), beginning(rows, targets, problem.multi_label)
            for penalty in penalties:
                objective = Objective(rows, targets, problem.multi_label, penalty)
                reached = minimise(objective, products, state, tolerance * min(1.0, 10 * penalty**0.5), limit)
                result = None
                if held is not None:
                    logits = logits_of(held, state.weights[:-1], state.weights[-1])
                    result = score(logits, problem.labels_of(problem.validation))
                selection.offer(
                    {"penalty": penalty, "normalise": normalise},
                    result,
                    partial(_head, transform, state.weights, problem.multi_label),
                    also=reached.facts(),
                )
                ticker.advance()
    return Fitted(selection.value, selection.chosen, selection.tried, _warnings(selection.tried))


def beginning(rows: Rows, targets: Float[Tensor, "n c"], multi_label: bool) -> State:
    """Return weights of zero with the intercepts that fit the class frequencies."""
    share = (targets.sum(0) + 0.5) / (len(targets) + 1)
    weights = torch.zeros(rows.dim + 1, targets.shape[1], device=targets.device)
    weights[-1] = torch.logit(share) if multi_label else share.log()
    return State(weights, weights[-1].expand(len(targets), -1).clone())


def minimise(objective: Objective, products: Tensor, state: State, threshold: float, limit: int) -> Convergence:
    """Bring `state` to the minimum of the objective, in place.

    Args:
        objective: what to minimise.
        products: [d, d], XᵀX / n.
        state: the start, and the result.
        threshold: gradient norm at which to stop.
        limit: at most so many steps.
    """
    precondition = preconditioner(objective, products, state.logits)
    steps: list[tuple[Tensor, Tensor, Tensor]] = []
    gradient = objective.gradient(state.weights, state.logits)
    iterations = 0
    while (norm := float(gradient.norm())) > threshold and iterations < limit:
        direction = descent(gradient, steps, precondition)
        slope = float((gradient * direction).sum(dtype=wide(gradient.device)))
        if not slope < 0:  # rounding has used up what the steps remembered: begin them again
            if not steps:
                break
            steps.clear()
            continue
        change = logits_of(objective.rows, direction[:-1], direction[-1])
        step = objective.line_search(state, change, direction, slope)
        state.weights = torch.add(state.weights, direction, alpha=step)
        state.logits.add_(change, alpha=step)
        following = objective.gradient(state.weights, state.logits)
        move, turn = step * direction, following - gradient
        if float(product := (move * turn).sum()) > 0:
            steps = [*steps[1 - MEMORY :], (move, turn, product)]
        gradient, iterations = following, iterations + 1
    return Convergence(iterations, norm, threshold)


def preconditioner(objective: Objective, products: Tensor, logits: Tensor) -> tuple[Tensor, float]:
    """Return ((c XᵀX/n + penalty I)⁻¹, 1/c) with c the mean curvature of the loss, a class."""
    p = objective.probabilities(logits)
    curvature = max(float((p * (1 - p)).mean()), 1e-8)
    matrix = products * curvature
    matrix.diagonal().add_(objective.penalty)
    return torch.cholesky_inverse(torch.linalg.cholesky(matrix)), 1 / curvature


def descent(
    gradient: Float[Tensor, "d1 c"],
    steps: list[tuple[Tensor, Tensor, Tensor]],
    precondition: tuple[Tensor, float],
) -> Float[Tensor, "d1 c"]:
    """Return the L-BFGS direction (two-loop recursion, Nocedal 1980) in the preconditioner's metric."""
    rest, shares = gradient.clone(), []
    for move, turn, product in reversed(steps):
        share = (move * rest).sum() / product
        rest -= share * turn
        shares.append(share)
    inverse, intercept = precondition
    out = torch.cat([inverse @ rest[:-1], intercept * rest[-1:]])
    for (move, turn, product), share in zip(steps, reversed(shares), strict=True):
        out += (share - (turn * out).sum() / product) * move
    return -out


def _head(transform: Transform, weights: Tensor, multi_label: bool) -> LinearHead:
    return transform.linear_head(weights[:-1].T, weights[-1], multi_label=multi_label)


def _warnings(tried: list[dict[str, Any]]) -> list[str]:
    late = [entry for entry in tried if not entry["converged"]]
    return [
        f"logistic: penalty {entry['penalty']:g} ({entry['normalise']}) stopped after {entry['iterations']} steps"
        f" at gradient norm {entry['gradient_norm']:.1e}; raise max_iterations or the penalty"
        for entry in late
    ]
