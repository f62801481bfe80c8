"""A Bayesian power law for learning curves, with room for misfit.

The error falls as floor + scale · labels^-exponent in most measured learning curves (Hestness et al. 2017, 1712.00409;
Hoiem et al. 2021, 2010.11029), but not exactly: there may be a plateau at few labels, and smooth deviations. The model:

    error(n) = floor + (first - floor) · ((n + offset) / (n_1 + offset))^-exponent + deviation(log n)

with floor ≤ first in 0 … 1, a smaller floor being likelier (density ∝ (1 - floor / first)²); the deviation a smooth
Gaussian process whose size is estimated; and a spread over seeds that shrinks with a power of n. Everything linear is
integrated in closed form, everything else summed over a grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_EXPONENTS = np.geomspace(0.1, 2.5, 20)
_OFFSETS = np.array([0.0, 1.0, 4.0, 16.0])  # plateau at few labels, in units of the fewest labels
_OFFSET_PRIOR = np.array([0.45, 0.25, 0.2, 0.1])
_DEVIATIONS = np.array([0.0, 0.015, 0.03, 0.06, 0.12])  # standard deviation from the law, as shares of the drop
_DEVIATION_PRIOR = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
_LEAST_DROP = 0.02  # of the error between the fewest and the most labels, that the deviation is a share of
_LENGTH = 2.0  # of the deviation, in natural logarithms of the number of labels: a factor of 7
_SPREADS = np.geomspace(0.002, 0.1, 10)  # over seeds, at the fewest labels
_SHRINKING = np.array([0.0, 0.25, 0.5, 0.75])  # exponents at which the spread shrinks with labels
_LEAST_SD = 1e-3  # of a mean accuracy: no finite test set knows it better
_ENOUGH = 8.0  # log likelihoods below the best, from which on a spread is ignored
_TRIES = 5  # curves tried for each one wanted, since many have a floor below 0
_LEAST_SHARE = 0.0125  # of curves inside the bounds, below which no power law describes the data


@dataclass(frozen=True)
class Posterior:
    """Curves drawn from the posterior.

    Args:
        error: [draws, m] the expected error at the numbers of labels asked for.
        floor, scale, exponent: medians of the draws, of error = floor + scale · labels^-exponent.
        misfit: [k] how far the measured means are from the middle of the draws, in posterior standard deviations.
    """

    error: Float[np.ndarray, "draws m"]
    floor: float
    scale: float
    exponent: float
    misfit: Float[np.ndarray, " k"]


@dataclass(frozen=True)
class _Grid:
    """The combinations of spread over seeds, shrinking and deviation: [v]; all that is not linear and not the shape."""

    sd: Float[np.ndarray, "v k"]
    deviation: Float[np.ndarray, " v"]
    precision: Float[np.ndarray, "v k k"]
    log_weight: Float[np.ndarray, " v"]


def draw_curves(
    sizes: Float[np.ndarray, " k"],
    runs: list[Float[np.ndarray, " _"]],
    ahead: Float[np.ndarray, " m"],
    *,
    draws: int,
    seed: int,
) -> Posterior | None:
    """Return curves that the measured accuracies allow, or None where no curve inside the bounds describes them.

    Args:
        sizes: numbers of labels, ascending.
        runs: the accuracies over seeds at each.
        ahead: numbers of labels at which the error is wanted.
        draws: how many curves are wanted; there may be fewer where most lie outside the bounds.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    measured = 1 - np.array([run.mean() for run in runs])
    logs, wanted = np.log(sizes / sizes[0]), np.log(ahead / sizes[0])
    drop = max(float(np.ptp(measured)), _LEAST_DROP)
    kernel = drop**2 * np.exp(-0.5 * ((np.append(logs, wanted)[:, None] - np.append(logs, wanted)) / _LENGTH) ** 2)
    k = len(sizes)
    grid = _make_grid(logs, runs, kernel[:k, :k])
    shapes, shape_weight = _shapes(np.append(logs, wanted))
    log_weight, mean, covariance = _linear(grid, shapes[:, :k], measured)
    weight = np.exp(log_weight + shape_weight - (log_weight + shape_weight).max())
    tries = _TRIES * draws
    v, c = np.divmod(generator.choice(weight.size, size=tries, p=weight.ravel() / weight.sum()), weight.shape[1])
    noise = np.linalg.cholesky(covariance[v, c]) @ generator.standard_normal((tries, 2, 1))
    floor, first = (mean[v, c] + noise[:, :, 0]).T
    tilt = generator.random(tries) < (1 - np.clip(floor / np.maximum(first, 1e-9), 0, 1)) ** 2
    inside = np.flatnonzero((floor >= 0) & (floor <= first) & (first <= 1) & tilt)
    if len(inside) < _LEAST_SHARE * tries:
        return None
    inside = inside[:draws]
    v, c, floor, first = v[inside], c[inside], floor[inside, None], first[inside, None]
    law = floor + (first - floor) * shapes[c]
    deviation = _deviations(grid, v, measured - law[:, :k], kernel, generator)
    error = law + deviation
    exponents = np.tile(_EXPONENTS, len(_OFFSETS))[c]
    scale = (first - floor)[:, 0] * sizes[0] ** exponents
    return Posterior(
        error=error[:, k:],
        floor=float(np.median(floor)),
        scale=float(np.median(scale)),
        exponent=float(np.median(exponents)),
        misfit=(measured - error[:, :k].mean(axis=0)) / _root_mean_square(grid, v),
    )


def _make_grid(
    logs: Float[np.ndarray, " k"], runs: list[Float[np.ndarray, " _"]], kernel: Float[np.ndarray, "k k"]
) -> _Grid:
    """Return the spreads that the seeds allow, each with every size of the deviation."""
    counts = np.array([len(run) for run in runs])
    squares = np.array([((run - run.mean()) ** 2).sum() for run in runs])
    sd = (_SPREADS[:, None, None] * np.exp(-_SHRINKING[:, None] * logs)).reshape(-1, len(logs))
    likelihood = (-(counts - 1) * np.log(sd) - squares / (2 * sd**2)).sum(axis=1)
    kept = likelihood > likelihood.max() - _ENOUGH
    sd, likelihood = sd[kept], likelihood[kept]
    own = (sd**2 / counts + _LEAST_SD**2)[:, None, :, None] * np.eye(len(logs))
    variance = own + _DEVIATIONS[:, None, None] ** 2 * kernel  # [spreads, deviations, k, k]
    variance = variance.reshape(-1, len(logs), len(logs))
    log_weight = (likelihood[:, None] + np.log(_DEVIATION_PRIOR)).ravel() - 0.5 * np.linalg.slogdet(variance)[1]
    return _Grid(
        sd=np.repeat(np.sqrt(sd**2 / counts + _LEAST_SD**2), len(_DEVIATIONS), axis=0),
        deviation=np.tile(_DEVIATIONS, len(sd)),
        precision=np.linalg.inv(variance),
        log_weight=log_weight,
    )


def _shapes(logs: Float[np.ndarray, " p"]) -> tuple[Float[np.ndarray, "c p"], Float[np.ndarray, " c"]]:
    """Return, for each offset and exponent, what remains of the error above the floor (1 at the fewest labels)."""
    ratio = (np.exp(logs) + _OFFSETS[:, None]) / (1 + _OFFSETS[:, None])
    shapes = ratio[:, None, :] ** -_EXPONENTS[:, None]
    return shapes.reshape(-1, len(logs)), np.repeat(np.log(_OFFSET_PRIOR), len(_EXPONENTS))


def _linear(
    grid: _Grid, shapes: Float[np.ndarray, "c k"], measured: Float[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "v c"], Float[np.ndarray, "v c 2"], Float[np.ndarray, "v c 2 2"]]:
    """Return the log weight of every combination, with the mean and covariance of (floor, first error)."""
    design = np.stack([1 - shapes, shapes], axis=2)  # [c, k, 2]
    weighted = np.einsum("vkl,clj->vckj", grid.precision, design)
    # The ridge stands for the bounds 0 … 1, where the data say nothing about the floor.
    information = np.einsum("cki,vckj->vcij", design, weighted) + 1e-4 * np.eye(2)
    covariance = np.linalg.inv(information)
    pull = np.einsum("vckj,k->vcj", weighted, measured)
    mean = np.einsum("vcij,vcj->vci", covariance, pull)
    squares = np.einsum("k,vkl,l->v", measured, grid.precision, measured)[:, None] - (pull * mean).sum(axis=2)
    log_weight = grid.log_weight[:, None] - 0.5 * squares - 0.5 * np.linalg.slogdet(information)[1]
    return log_weight, mean, covariance


def _deviations(
    grid: _Grid,
    v: np.ndarray,
    residual: Float[np.ndarray, "draws k"],
    kernel: Float[np.ndarray, "p p"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "draws p"]:
    """Draw each curve's deviation from its power law, given how far the measured means are from the law."""
    k, p = residual.shape[1], len(kernel)
    out = np.zeros((len(v), p))
    for combination in np.unique(v[grid.deviation[v] > 0]):
        rows = np.flatnonzero(v == combination)
        square = grid.deviation[combination] ** 2
        gain = square * kernel[:, :k] @ grid.precision[combination]
        covariance = square * kernel - gain @ (square * kernel[:k])
        value, vector = np.linalg.eigh(covariance)
        root = vector * np.sqrt(np.maximum(value, 0.0))
        out[rows] = residual[rows] @ gain.T + generator.standard_normal((len(rows), p)) @ root.T
    return out


def _root_mean_square(grid: _Grid, v: np.ndarray) -> Float[np.ndarray, " k"]:
    return np.asarray(np.sqrt((grid.sd[v] ** 2).mean(axis=0)))
