"""Logistic regression along a path of penalties: multinomial, or one binary cross-entropy a class.

L-BFGS in the metric of a fixed preconditioner, (c XᵀX/n + penalty I)⁻¹, where c is the mean curvature of
the loss at the start of each penalty: the Hessian is bounded by such a product of the features' Gram
matrix (Böhning 1992), so that one Gram matrix serves the whole path and the number of steps hardly
depends on how the features are scaled. Each fit after the second begins on the line through the last two minima.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.models.heads import LinearHead
from headstart.progress import progress
from headstart.transfer.heads.catalogue import complete
from headstart.transfer.heads.feature_rows import Dense, Rows, Transform
from headstart.transfer.heads.gram import gram, principal, rotate
from headstart.transfer.heads.lbfgs import Curvature, Objective, State, minimise
from headstart.transfer.heads.problem import Fitted, Problem, listed, logits_of, numbers
from headstart.transfer.heads.selection import Selection, score

LOOSE = 100.0  # how much less exactly the stops on the way are solved
CHOICE = 10.0  # and the penalties among which validation rows choose; the chosen one is then solved in full
STRIDE = 10**0.5


def fit_logistic(problem: Problem, options: Mapping[str, Any]) -> Fitted:
    """Fit a logistic head, the penalty chosen on validation rows.

    Minimises mean loss + penalty / 2 · |W|² (intercepts free), from the largest penalty to the smallest,
    each from the last one's weights. penalty = 1 / (C n) in the terms of scikit-learn. Several penalties are
    compared when each is solved to ten times the tolerance; the one that is kept is solved to all of it.

    Options: `penalty`, `normalise` (lists), `tolerance` (the gradient norm at which a fit has converged,
    times min(1, 30 penalty)), `max_iterations` (a penalty).

    Raises:
        SpecError: an option that does not exist or cannot be.
    """
    options = complete("logistic", options)
    penalties = sorted(numbers("logistic", "penalty", options["penalty"]), reverse=True)
    tolerance = numbers("logistic", "tolerance", options["tolerance"])[0]
    limit = int(numbers("logistic", "max_iterations", options["max_iterations"], above=1.0, equal=True)[0])
    styles = listed(options["normalise"])
    several = len(styles) * len(penalties) > 1 and len(problem.validation) > 0
    selection: Selection[_Candidate] = Selection(problem.multi_label, problem.metric)
    with progress("logistic path", len(styles) * len(penalties), "penalties") as ticker:
        for normalise in styles:
            transform = problem.transform(normalise, centred=True)
            rows, held = problem.train_rows(transform), problem.validation_rows(transform)
            targets = problem.targets_of(problem.train)
            basis, seen, curvature = coordinates(problem, rows)
            state = beginning(seen, targets, problem.multi_label)
            for penalty in route(penalties):
                objective = Objective(seen, targets, problem.multi_label, penalty)
                asked, threshold = penalty in penalties, tolerance * min(1.0, 30 * penalty)
                rough = LOOSE if not asked else CHOICE if several else 1.0
                reached = minimise(objective, curvature, state, rough * threshold, limit)
                if not asked:
                    continue
                weight = state.weights[:-1] if basis is None else basis @ state.weights[:-1]
                result = None
                if held is not None:
                    logits = logits_of(held, weight, state.weights[-1])
                    result = score(logits, problem.labels_of(problem.validation), problem.metric)
                kept = partial(_Candidate, transform, basis, objective, curvature, state.weights, threshold)
                settings = {"penalty": penalty, "normalise": normalise}
                selection.offer(settings, result, kept, simplicity=(penalty,), also=reached.facts())
                ticker.advance()
        polish = several and problem.final
        head = selection.value.solved(limit, selection.best if polish else None)
    return Fitted(head, selection.chosen, selection.tried, _warnings(selection.tried))


@dataclass(frozen=True)
class _Candidate:
    """What it takes to solve one penalty further.

    Args:
        transform: of the features.
        basis: [d, r] of the weights; None for that of the features.
        objective, curvature: of the penalty.
        weights: [r + 1, C], the current ones.
        threshold: the gradient norm at which it is solved.
    """

    transform: Transform
    basis: Tensor | None
    objective: Objective
    curvature: Curvature
    weights: Tensor
    threshold: float

    def solved(self, limit: int, entry: dict[str, Any] | None) -> LinearHead:
        """Return the head, solved in full; what that took is added to the entry of those tried."""
        weights = self.weights
        if entry is not None:
            state = State(weights, logits_of(self.objective.rows, weights[:-1], weights[-1]))
            reached = minimise(self.objective, self.curvature, state, self.threshold, limit - entry["iterations"])
            entry |= {**reached.facts(), "iterations": entry["iterations"] + reached.iterations}
            weights = state.weights
        weight = weights[:-1] if self.basis is None else self.basis @ weights[:-1]
        return self.transform.linear_head(weight.T, weights[-1], multi_label=self.objective.multi_label)


def route(penalties: list[float]) -> list[float]:
    """Return the penalties asked for and those on the way to them from 1, falling to a third at most each time.

    A small penalty is reached sooner along a path, each stop on the way solved roughly, than from zero.
    """
    stops: list[float] = []
    last = 1.0
    for penalty in penalties:
        count = math.ceil(math.log(last / penalty) / math.log(STRIDE) - 1e-6) if penalty < last else 1
        ratio = penalty / last
        begin = 1 if stops or last in penalties else 0
        stops += [last * ratio ** (step / count) for step in range(begin, count)] if count > 1 else []
        stops.append(penalty)
        last = penalty
    return stops


def coordinates(problem: Problem, rows: Rows) -> tuple[Tensor | None, Rows | Dense, Curvature]:
    """Return a basis [d, r], the rows in it and their curvature; with fewer rows than features, r < d.

    The minimum is in the span of the rows, so nothing is lost; None means the basis of the features.
    """
    if len(rows) >= rows.dim:
        return None, rows, Curvature(gram(problem, rows))
    basis, values = principal(problem, rows)
    return basis, Dense(rotate(rows, basis)), Curvature(values)


def beginning(rows: Rows | Dense, targets: Float[Tensor, "n c"], multi_label: bool) -> State:
    """Return weights of zero with the intercepts that fit the class frequencies."""
    share = (targets.sum(0) + 0.5) / (len(targets) + 1)
    weights = torch.zeros(rows.dim + 1, targets.shape[1], device=targets.device)
    weights[-1] = torch.logit(share) if multi_label else share.log()
    return State(weights, weights[-1].expand(len(targets), -1).clone())


def _warnings(tried: list[dict[str, Any]]) -> list[str]:
    late = [entry for entry in tried if not entry["converged"]]
    return [
        f"logistic: penalty {entry['penalty']:g} ({entry['normalise']}) stopped after {entry['iterations']} steps"
        f" at gradient norm {entry['gradient_norm']:.1e}; raise max_iterations or the penalty"
        for entry in late
    ]
