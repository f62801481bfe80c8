"""The accuracy behind a few episodes: a beta-binomial model, whose intervals stay inside 0 to 1.

Each episode has its own difficulty, drawn from a beta distribution around the accuracy that is asked for; its queries
are right or wrong independently. Student's interval assumes symmetric noise and leaves the unit interval near 100 %;
the posterior of this model does neither.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import betaln, expit

# Concentration of the episodes' difficulties: log-uniform. At 3 the difficulties of single episodes fill the whole
# range; at 200 episodes differ less than their 75 queries make them (standard deviation 0.03 at an accuracy of 80 %).
_CONCENTRATIONS = np.geomspace(3.0, 200.0, 16)
_WIDEST = 16.0  # log odds of the accuracy: 1e-7 from 0 and 1
_COARSE, _FINE = 120, 240  # points: first over the whole range, then where the posterior is


def accuracy_bounds(
    right: Int[np.ndarray, " e"], queries: int, *, level: float = 0.95, prior: float = 0.5
) -> tuple[float, float]:
    """Return the equal-tailed posterior interval of the accuracy of new episodes, with the observed mean inside.

    Args:
        right: [e] queries that were right in each episode.
        queries: how many each episode has.
        level: posterior probability.
        prior: the accuracy's prior is Beta(prior, prior); 0.5 is Jeffreys'.
    """
    values, counts = np.unique(right, return_counts=True)
    log_odds = np.linspace(-_WIDEST, _WIDEST, _COARSE)
    weight = _posterior(log_odds, values, counts, queries, prior)
    seen = np.flatnonzero(weight > 1e-9)
    low, high = max(seen[0] - 1, 0), min(seen[-1] + 1, _COARSE - 1)
    log_odds = np.linspace(log_odds[low], log_odds[high], _FINE)
    weight = _posterior(log_odds, values, counts, queries, prior)
    below = np.cumsum(weight) - weight / 2
    bounds = expit(np.interp([(1 - level) / 2, (1 + level) / 2], below, log_odds))
    mean = float(right.mean()) / queries
    return min(float(bounds[0]), mean), max(float(bounds[1]), mean)


def _posterior(
    log_odds: Float[np.ndarray, " p"],
    values: Int[np.ndarray, " v"],
    counts: Int[np.ndarray, " v"],
    queries: int,
    prior: float,
) -> Float[np.ndarray, " p"]:
    """Return the posterior weight of each accuracy, the concentration summed out."""
    mean = expit(log_odds)[:, None, None]
    rest = expit(-log_odds)[:, None, None]
    a, b = mean * _CONCENTRATIONS[:, None], rest * _CONCENTRATIONS[:, None]
    likelihood = (betaln(values + a, queries - values + b) - betaln(a, b)) @ counts  # [p, concentrations]
    # The density of the log odds is the accuracy's times accuracy · (1 - accuracy).
    total = likelihood + prior * np.log(mean * rest)[:, :, 0]
    weight = np.exp(total - total.max()).sum(axis=1)
    return np.asarray(weight / weight.sum())
