"""L-BFGS for linear classifiers, in the metric of a fixed preconditioner.

Logits are linear in the weights, so each line search moves along stored logits and costs no product with the features;
nor does the step from one penalty towards the next, along the line through the last two minima.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.transfer.heads.feature_rows import BLOCK, Dense, Rows, wide
from headstart.transfer.heads.problem import logits_of

MEMORY = 20  # pairs of steps and gradient changes that L-BFGS remembers
ENTRIES = {"cpu": 1 << 18}  # logits that are worked on at a time: 1 MB, which a core's cache holds
ON_ACCELERATOR = 1 << 26  # where fewer and larger steps are faster


@dataclass
class State:
    """Weights along the path, with what is known of them.

    Args:
        weights: [d + 1, C], the intercepts last.
        logits: [n, C] of the training rows.
        earlier: weights and logits at the minimum before, if there was one.
    """

    weights: Tensor
    logits: Tensor
    earlier: tuple[Tensor, Tensor] | None = None


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

    Probabilities are computed for a few rows at a time, which the processor's cache holds; no matrix [n, C] is made of
    them.

    Args:
        rows: X, centred.
        targets: [n, C].
        multi_label: binary cross-entropy of each class, summed over classes, in place of the multinomial.
        penalty: on the weights, not on the intercepts.
    """

    rows: Rows | Dense
    targets: Tensor
    multi_label: bool
    penalty: float

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return [n, C]."""
        return torch.sigmoid(logits) if self.multi_label else torch.softmax(logits, 1)

    @property
    def size(self) -> int:
        """How many rows are worked on at a time."""
        return max(1, ENTRIES.get(self.targets.device.type, ON_ACCELERATOR) // self.targets.shape[1])

    def places(self) -> Iterator[slice]:
        """Yield slices of rows that have at most `ENTRIES` logits each."""
        n = len(self.targets)
        return (slice(start, min(start + self.size, n)) for start in range(0, n, self.size))

    def curvature(self, logits: Tensor) -> float:
        """Return the mean of p (1 − p) over rows and classes."""
        parts = (self.probabilities(logits[place]) for place in self.places())
        double = wide(logits.device)
        return sum(float((p * (1 - p)).sum(dtype=double)) for p in parts) / logits.numel()

    def gradient(self, weights: Tensor, logits: Tensor) -> Float[Tensor, "d1 c"]:
        """Return the gradient with respect to weights and intercepts, at weights that have these logits."""
        out = torch.zeros_like(weights)
        for place, block in self.rows.blocks(min(self.size, BLOCK)):
            residual = self.probabilities(logits[place]).sub_(self.targets[place])
            out[:-1].addmm_(block.T, residual)
            out[-1] += residual.sum(0)
        out.div_(len(self.targets))
        out[:-1].add_(weights[:-1], alpha=self.penalty)
        return out

    def line(self, state: State, direction: Tensor, change: Tensor) -> Line:
        """Return the objective along a direction whose effect on the logits is `change`."""
        double = wide(direction.device)
        cross = float((state.weights[:-1] * direction[:-1]).sum(dtype=double))
        along = float(direction[:-1].square().sum(dtype=double))
        wanted = sum(float((self.targets[at] * change[at]).sum(dtype=double)) for at in self.places())
        return Line(self, state.logits, change, self.penalty * cross, self.penalty * along, wanted)


@dataclass(frozen=True)
class Line:
    """The objective on a line through the weights, seen through the logits.

    Args:
        objective: whose.
        logits, change: [n, C], where the line starts and where it leads.
        slope, bend: of the penalty, at the start.
        wanted: the sum of the changes of the logits of the classes that the rows have.
    """

    objective: Objective
    logits: Tensor
    change: Tensor
    slope: float
    bend: float
    wanted: float

    def at(self, step: float) -> tuple[float, float]:
        """Return first and second derivative at `step`."""
        count, double = len(self.change), wide(self.change.device)
        first = spread = 0.0
        for place in self.objective.places():
            change = self.change[place]
            weighted = self.objective.probabilities(torch.add(self.logits[place], change, alpha=step)).mul_(change)
            each = weighted if self.objective.multi_label else weighted.sum(1)
            first += float(each.sum(dtype=double))
            spread += float(torch.vdot(weighted.view(-1), change.reshape(-1)))
            spread -= float(each.square().sum(dtype=double))
        return (first - self.wanted) / count + self.slope + step * self.bend, spread / count + self.bend

    def search(self, start_slope: float | None = None) -> float:
        """Return a step where the slope is a tenth of what it was at most.

        Safeguarded Newton steps; after twenty, the longest step known to go downwards.
        """
        begun = self.at(0.0)[0] if start_slope is None else start_slope
        low, high, step = 0.0, float("inf"), 1.0
        for _ in range(20):
            slope, bend = self.at(step)
            if abs(slope) <= 0.1 * abs(begun):
                return step
            low, high = (low, step) if slope > 0 else (step, high)
            proposal = step - slope / bend if bend > 0 else float("inf")
            if not low < proposal < min(high, 10 * step):
                proposal = 4 * step if high == float("inf") else (low + high) / 2
            step = proposal
        return low


def minimise(objective: Objective, curvature: Curvature, state: State, threshold: float, limit: int) -> Convergence:
    """Bring `state` to the minimum of the objective, in place.

    Args:
        objective: what to minimise.
        curvature: of the features, for the preconditioner.
        state: the start, and the result.
        threshold: gradient norm at which to stop.
        limit: the maximum number of steps.
    """
    extrapolate(objective, state)
    precondition = curvature.inverse(max(objective.curvature(state.logits), 1e-8), objective.penalty)
    steps: list[tuple[Tensor, Tensor, Tensor]] = []
    gradient, iterations = objective.gradient(state.weights, state.logits), 0
    change = torch.empty_like(state.logits)
    while (norm := float(gradient.norm())) > threshold and iterations < limit:
        direction = descent(gradient, steps, precondition)
        slope = float((gradient * direction).sum(dtype=wide(gradient.device)))
        if not slope < 0:  # rounding has used up what the steps remembered: begin them again
            if not steps:
                break
            steps = []
            continue
        logits_of(objective.rows, direction[:-1], direction[-1], out=change)
        step = objective.line(state, direction, change).search(slope)
        move = step * direction
        state.weights = state.weights + move
        state.logits.add_(change, alpha=step)
        following = objective.gradient(state.weights, state.logits)
        turn = following - gradient
        if float(product := (move * turn).sum()) > 0:
            steps = [*steps[1 - MEMORY :], (move, turn, product)]
        gradient, iterations = following, iterations + 1
    return Convergence(iterations, norm, threshold)


def extrapolate(objective: Objective, state: State) -> None:
    """Move along the line through the last two minima to its lowest point, and remember the last minimum."""
    earlier, state.earlier = state.earlier, (state.weights, state.logits.clone())
    if earlier is None:
        return
    direction, change = state.weights - earlier[0], state.logits - earlier[1]
    step = objective.line(state, direction, change).search()
    state.weights = torch.add(state.weights, direction, alpha=step)
    state.logits.add_(change, alpha=step)


@dataclass(frozen=True)
class Curvature:
    """XᵀX / n of the rows: the matrix, or its diagonal where the rows are principal coordinates.

    Args:
        products: [d, d] or [d].
    """

    products: Tensor

    def inverse(self, scale: float, penalty: float) -> Preconditioner:
        """Return (scale XᵀX/n + penalty I)⁻¹ for the weights, and 1 / scale for the intercepts."""
        if self.products.dim() == 1:
            return Preconditioner(1 / (self.products * scale + penalty), 1 / scale)
        matrix = self.products * scale
        matrix.diagonal().add_(penalty)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        lift = torch.finfo(matrix.dtype).eps * float(matrix.diagonal().mean())
        while failed.item() and math.isfinite(lift):  # by rounding; a matrix near it serves as well
            matrix.diagonal().add_(lift)
            factor, failed = torch.linalg.cholesky_ex(matrix)
            lift *= 10
        return Preconditioner(torch.cholesky_inverse(factor), 1 / scale)


@dataclass(frozen=True)
class Preconditioner:
    """An approximate inverse of the Hessian.

    Args:
        weights: [d, d] or [d], the same for each class.
        intercepts: a factor.
    """

    weights: Tensor
    intercepts: float

    def __call__(self, gradient: Float[Tensor, "d1 c"]) -> Float[Tensor, "d1 c"]:
        """Return the product with the gradient."""
        body = gradient[:-1]
        product = self.weights[:, None] * body if self.weights.dim() == 1 else self.weights @ body
        return torch.cat([product, self.intercepts * gradient[-1:]])


def descent(
    gradient: Float[Tensor, "d1 c"],
    steps: list[tuple[Tensor, Tensor, Tensor]],
    precondition: Preconditioner,
) -> Float[Tensor, "d1 c"]:
    """Return the L-BFGS direction (two-loop recursion, Nocedal 1980) in the preconditioner's metric."""
    rest, shares = gradient.clone(), []
    for move, turn, product in reversed(steps):
        share = torch.vdot(move.view(-1), rest.view(-1)) / product
        rest.addcmul_(turn, share, value=-1)
        shares.append(share)
    out = precondition(rest)
    for (move, turn, product), share in zip(steps, reversed(shares), strict=True):
        out.addcmul_(move, share - torch.vdot(turn.view(-1), out.view(-1)) / product)
    return -out
