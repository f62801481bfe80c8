"""How uncertain a mean over seeds and images is: what seeds add, what images add, with how much to go by.

The score of seed s on image i is a mean, plus an effect of the seed, plus an effect of the image, plus a
rest. Seeds and images are both samples: another training and other photographs would give another mean.
Their variances are told apart as for several readers who judge the same cases (Obuchowski & Rockette
1995). What three seeds say about the spread of seeds is itself uncertain. Two classic answers are known:
Satterthwaite's degrees of freedom, whose intervals come out a little short, and Behrens and Fisher's sum of
a t and a normal, whose intervals come out a little long. The probability used here is a weighted mean
of the two; `docs/statistics.md` has the simulations, and why not the plain bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, special

from headstart.evaluate.metrics.intervals import LEVEL, normal_quantile

_NODES = 160  # of the quadrature over the unknown seed variance
_TAIL = 1e-14  # probability left out at its lower end


@dataclass(frozen=True)
class Spread:
    """A mean, or a difference of means, and where its variance comes from.

    Args:
        mean: over seeds and images.
        seed_variance: of the mean, that the choice of seeds adds; 0 with one seed, where it cannot be known.
        seed_freedom: degrees of freedom behind it; 0 with one seed.
        image_variance: of the mean, that the choice of images adds.
        image_freedom: degrees of freedom behind it.
        caution: the share of Behrens and Fisher's answer; the rest is Satterthwaite's.
    """

    mean: float
    seed_variance: float
    seed_freedom: float | int
    image_variance: float
    image_freedom: int
    caution: float = 0.4

    @property
    def error(self) -> float:
        """Return the standard error of the mean."""
        return float(np.sqrt(self.seed_variance + self.image_variance))

    def tail(self, distance: float) -> float:
        """Return the probability that the mean is off by more than `distance`, to either side."""
        if self.error == 0:
            return 1.0 if distance <= 0 else 0.0
        if self.seed_variance == 0:
            return float(2 * special.ndtr(-distance / self.error))
        return self.caution * self._behrens_fisher(distance) + (1 - self.caution) * self._satterthwaite(distance)

    def _satterthwaite(self, distance: float) -> float:
        doubt = self.seed_variance**2 / self.seed_freedom + self.image_variance**2 / max(1, self.image_freedom)
        return float(2 * special.stdtr(self.error**4 / doubt, -distance / self.error))

    def _behrens_fisher(self, distance: float) -> float:
        variance, weight = _seed_variances(self.seed_freedom)
        errors = np.sqrt(self.seed_variance * variance + self.image_variance)
        return float(weight @ (2 * special.ndtr(-distance / errors)))

    def half_width(self, level: float = LEVEL) -> float:
        """Return half the width of the interval of the mean."""
        if self.seed_variance == 0:
            return normal_quantile(level) * self.error
        far = self.error * float(special.stdtrit(self.seed_freedom, 0.5 + level / 2)) + self.error
        found = optimize.brentq(lambda x: self.tail(x) - (1 - level), 0.0, far, xtol=self.error * 1e-6)
        return float(found)

    def p_value(self) -> float:
        """Return the two-sided p of a mean of zero."""
        return min(1.0, self.tail(abs(self.mean)))


def spread_of(scores: Float[np.ndarray, "s n"], images: Int[np.ndarray, "s n"] | None = None) -> Spread:
    """Split the variance of the mean score.

    Args:
        scores: one row a seed.
        images: which image each score is of, where every seed has test images of its own; None where all
            rows are of the same images in the same order.
    """
    seeds, n = scores.shape
    means = scores.mean(axis=1)
    if seeds == 1:
        return Spread(float(means[0]), 0.0, 0, _variance_over_images(scores[0]), n - 1)
    if images is None:
        image_part = _variance_over_images(scores.mean(axis=0)) - _rest(scores) / (seeds * n)
    else:
        image_part = _shared_covariance(scores - means[:, None], images)
    return Spread(float(means.mean()), float(means.var(ddof=1)) / seeds, seeds - 1, max(0.0, image_part), n - 1)


def spread_of_difference(a: Float[np.ndarray, "s n"], b: Float[np.ndarray, "t n"]) -> Spread:
    """Split the variance of mean(a) - mean(b): the same images, seeds drawn independently on each side.

    The degrees of freedom of the seeds are Welch's.
    """
    n = a.shape[1]
    parts = [(float(side.mean(axis=1).var(ddof=1)) / len(side), len(side) - 1) for side in (a, b) if len(side) > 1]
    seed_variance = sum((part for part, _ in parts), 0.0)
    doubt = sum(part**2 / freedom for part, freedom in parts)
    image_part = _variance_over_images(a.mean(axis=0) - b.mean(axis=0))
    image_part -= sum(_rest(side) / (len(side) * n) for side in (a, b) if len(side) > 1)
    return Spread(
        float(a.mean() - b.mean()),
        seed_variance,
        seed_variance**2 / doubt if doubt > 0 else 0,
        max(0.0, image_part),
        n - 1,
        caution=0.7,
    )


def t_quantile(freedom: float | int, level: float = LEVEL) -> float:
    """Return t such that Student's t with so many degrees of freedom lies within ±t."""
    return float(special.stdtrit(freedom, 0.5 + level / 2))


@lru_cache(maxsize=64)
def _seed_variances(freedom: float | int) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return what the true variance may be, as multiples of the estimate, and the weight of each."""
    low = 2 / freedom * np.log(_TAIL)
    high = np.log(freedom + 12 * np.sqrt(2 * freedom) + 40)
    steps = np.linspace(low, high, _NODES)  # logarithms of a chi-squared variable
    log_density = freedom / 2 * steps - np.exp(steps) / 2
    weight = np.exp(log_density - log_density.max())
    return freedom * np.exp(-steps), weight / weight.sum()


def _variance_over_images(values: Float[np.ndarray, " n"]) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _rest(scores: Float[np.ndarray, "s n"]) -> float:
    """Return the mean square of what neither the seed nor the image explains."""
    seeds, n = scores.shape
    rest = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    return float((rest**2).sum() / ((seeds - 1) * max(1, n - 1)))


def _shared_covariance(centred: Float[np.ndarray, "s n"], images: Int[np.ndarray, "s n"]) -> float:
    """Return the covariance of two seeds' means that comes from images which both were tested on."""
    seeds, n = centred.shape
    _, place = np.unique(images, return_inverse=True)
    sums = np.bincount(place.ravel(), centred.ravel())
    own = float((centred**2).sum())
    return float(((sums**2).sum() - own) / (n * n * seeds * (seeds - 1)))
