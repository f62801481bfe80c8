"""The mean of a run with its interval; for the run that leads, one that holds for the best of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from headstart.errors import DataError
from headstart.evaluate.comparison.families import Chance
from headstart.evaluate.comparison.sources import Bounds, Runs, student
from headstart.evaluate.metrics.intervals import LEVEL, wilson_at

_DOUBT = 2.0  # errors' worth of belief that all seeds err on the same images


class Leader(TypedDict):
    """The run with the best mean on the test images; `low` to `high` holds although it was picked as the best.

    `optimism`: by how much its mean is too good on average, for having been picked. `of`: how many may have led.
    """

    run: str
    mean: float
    low: float
    high: float
    optimism: float
    of: int


class Chosen(TypedDict):
    """The run that was chosen on validation, with its own test score; nothing was picked on test, so none is taken off.

    `place`: in the ranking by test. `validation`: the figure that it was chosen by.
    """

    run: str
    validation: float
    mean: float
    low: float
    high: float
    place: int


@dataclass(frozen=True)
class Means:
    """Each run's mean, with what its interval needs: the variance of the mean, and how many errors to each side.

    Args:
        mean: over seeds and images.
        error: its standard error (moderated).
        reach: errors to each side of a 95 % interval.
        images: effective number of images, for means within bounds.
        bounds: of a mean.
    """

    mean: Float[np.ndarray, " r"]
    error: Float[np.ndarray, " r"]
    reach: Float[np.ndarray, " r"]
    images: Float[np.ndarray, " r"]
    bounds: Bounds | None

    def interval(self, run: int, lower: float = 1.0, upper: float = 1.0) -> tuple[float, float]:
        """Return the interval of one run's mean, its lower and upper half stretched by factors."""
        return (self._side(run, lower)[0], self._side(run, upper)[1])

    def _side(self, run: int, stretch: float) -> tuple[float, float]:
        return interval_of(
            float(self.mean[run]),
            float(self.error[run]),
            float(self.images[run]),
            float(self.reach[run]) * stretch,
            self.bounds,
        )


def interval_of(
    mean: float, error: float, effective: float, reach: float, bounds: Bounds | None
) -> tuple[float, float]:
    """Return mean ± reach · error; within bounds, Wilson's form of it with the effective number of images."""
    if bounds is None:
        return mean - reach * error, mean + reach * error
    width = bounds[1] - bounds[0]
    low, high = wilson_at(min(1.0, max(0.0, (mean - bounds[0]) / width)), effective, reach)
    return bounds[0] + low * width, bounds[0] + high * width


def means_of(runs: Runs, level: float = LEVEL) -> Means:
    """Return what the intervals of the runs' means need."""
    columns = runs.image_means.shape[1]
    part, effective = runs.image_variance.copy(), np.ones(len(runs.names))
    seeds_part = runs.spread.expected() / runs.seeds
    if runs.bounds is not None:
        width = runs.bounds[1] - runs.bounds[0]
        share = ((runs.means - runs.bounds[0]) / width).clip(0, 1)
        inner = (share * columns + 2) / (columns + 4)
        middle = inner * (1 - inner)
        with np.errstate(divide="ignore", invalid="ignore"):
            images = share * (1 - share) * width**2 / part
        images = np.where((part > 0) & (share > 0) & (share < 1), np.minimum(images, columns * runs.seeds), columns)
        few = _DOUBT / (
            columns * middle + _DOUBT
        )  # with few errors it is hardly known how alike those of the seeds are
        images = 1 / ((1 - few) / images + few / np.minimum(images, columns))
        part = width**2 * middle / images
        effective = middle / (1 / images * middle + seeds_part / width**2)
    scale, freedom = student(part, columns, seeds_part, np.diag(runs.spread.covariance()) / runs.seeds**2)
    total = np.sqrt(part + seeds_part)
    with np.errstate(divide="ignore", invalid="ignore"):
        share_of_error = np.where(total > 0, scale / total, 1.0)
    reach = special.stdtrit(freedom, 0.5 + level / 2) * share_of_error
    return Means(runs.means, total, np.asarray(reach), np.asarray(effective), runs.bounds)


def leader_of(
    runs: Runs, means: Means, chance: Chance, in_question: Bool[np.ndarray, " r"], sign: float, level: float = LEVEL
) -> Leader:
    """Return the first run with an interval that holds for the best of the runs that may have led.

    Its mean is too good if the luckiest of those runs was picked: the side of the interval towards worse scores is
    stretched so far that it holds for all of them together, whichever leads.

    Args:
        runs: best first.
        means: of the runs.
        chance: draws of the errors of their means.
        in_question: runs that are not clearly worse than the first; the first itself is always one.
        sign: -1 where lower is better.
        level: of confidence.
    """
    places = np.flatnonzero(in_question | (np.arange(len(runs.names)) == 0))
    own = np.maximum(means.reach * means.error, 1e-300)
    lucky = (sign * chance.errors[:, places] / own[places]).max(axis=1)
    stretch = max(1.0, float(np.quantile(lucky, 0.5 + level / 2))) if len(places) > 1 else 1.0
    low, high = means.interval(0, *((stretch, 1.0) if sign > 0 else (1.0, stretch)))
    return Leader(
        run=runs.names[0],
        mean=float(runs.means[0]),
        low=low,
        high=high,
        optimism=_optimism(runs.means[places], chance.errors[:, places], sign),
        of=len(places),
    )


def _optimism(means: Float[np.ndarray, " q"], errors: Float[np.ndarray, "b q"], sign: float) -> float:
    """Return how much too good the best of these means is on average, by repeating the choice on drawn errors."""
    if len(means) < 2:
        return 0.0
    spread, chance = float(means.var(ddof=1)), float(errors.var(axis=0).mean())
    keep = max(0.0, 1 - chance / spread) if spread > 0 else 0.0
    truth = means.mean() + np.sqrt(keep) * (means - means.mean())  # their spread with that of chance taken out
    picked = np.argmax(sign * (truth + errors), axis=1)
    return max(0.0, float(sign * errors[np.arange(len(errors)), picked].mean()))


def chosen_on_validation(
    ranking: Sequence[Mapping[str, Any]], validation: Mapping[str, float], higher_is_better: bool = True
) -> Chosen:
    """Return the run with the best validation figure and its own test score, which is the headline of a study.

    Args:
        ranking: rows of `compare_runs`.
        validation: run → figure on validation; of equal ones the first is chosen, so give the simplest first.
        higher_is_better: False for losses.

    Raises:
        DataError: a run in the ranking has no validation figure, or there is none at all.
    """
    rows = {str(row["run"]): (place, row) for place, row in enumerate(ranking, 1)}
    missing = sorted(set(rows) - set(validation))
    if missing or not rows:
        raise DataError(f"no validation figure for {', '.join(missing) or 'any run'}: the model cannot be chosen by it")
    known = [run for run in validation if run in rows]
    best = (max if higher_is_better else min)(known, key=lambda run: validation[run])
    place, row = rows[best]
    return Chosen(
        run=best, validation=float(validation[best]), mean=row["mean"], low=row["low"], high=row["high"], place=place
    )
