"""The wider interval, which also counts other training images of the same kind.

Refits with other seeds share their training images, so intervals over seeds say nothing about what other training
images would have given. Two ways to learn it: train again on bootstrap samples of the training images and score the
same test images (cheap for heads on stored features), or repeat the split into train and test.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from headstart.errors import DataError
from headstart.evaluate.comparison.leader import interval_of
from headstart.evaluate.comparison.sources import Bounds, Scores
from headstart.evaluate.metrics.intervals import LEVEL, Estimate

FEWEST_SAMPLES = 3


def with_training_images(
    mean: float,
    resampled: Scores,
    bounds: Bounds | None = (0.0, 1.0),
    level: float = LEVEL,
    *,
    correction: float = 1.0,
) -> Estimate:
    """Return the interval of a mean score for other seeds, other test images and other training images.

    Args:
        mean: the score of the model that was trained on all training images.
        resampled: scores of models that were each trained on a bootstrap sample of the training images with a new
            seed, one row a sample, all on the same test images; or differences of two such models.
        bounds: of a mean score; (-1, 1) for differences of shares, None for losses.
        level: of confidence.
        correction: by which the variance over samples is multiplied. Samples of k images from k vary less than other
            k images would, by (k - 1) / k: give k / (k - 1) where they are drawn within classes of k images.

    Raises:
        DataError: fewer than three samples.
    """
    table = resampled.astype(np.float64)
    samples, n = table.shape
    if samples < FEWEST_SAMPLES:
        raise DataError(
            f"{samples} bootstrap samples of the training images are too few: give 3 or more, 20 if you can"
        )
    means = table.mean(axis=1)
    rest = table - table.mean(axis=0) - means[:, None] + table.mean()
    noise = float((rest**2).sum()) / ((samples - 1) * max(1, n - 1)) / n
    trained = correction * max(0.0, float(means.var(ddof=1)) - noise)
    images = float(table.var(axis=1, ddof=1).mean()) / n if n > 1 else 0.0
    error = float(np.sqrt(trained + images))
    doubt = (correction * float(means.var(ddof=1))) ** 2 / (samples - 1) + images**2 / max(1, n - 1)
    freedom = max(float(samples - 1), error**4 / doubt) if doubt > 0 else float(samples - 1)
    return _estimate(mean, error, float(special.stdtrit(freedom, 0.5 + level / 2)), n, bounds)


def over_splits(
    figures: Sequence[float],
    test_share: float,
    bounds: Bounds | None = (0.0, 1.0),
    level: float = LEVEL,
    *,
    images: int | None = None,
) -> Estimate:
    """Return the mean over repeated random splits with the corrected t-interval of Nadeau & Bengio (2003).

    Args:
        figures: the score of each split, of any metric.
        test_share: test images as a share of the training images. Splits overlap, so the variance over them is too
            small; the share says by how much.
        bounds: of a score; (-1, 1) for differences of shares, None for losses.
        level: of confidence.
        images: test images of all splits together, which decide where all splits have the same score; the number of
            splits unless given.

    Raises:
        DataError: fewer than three splits.
    """
    values = np.asarray(figures, dtype=np.float64)
    if len(values) < FEWEST_SAMPLES:
        raise DataError(f"{len(values)} splits are too few for an interval: repeat the split three times or more")
    error = float(np.sqrt(values.var(ddof=1) * (1 / len(values) + test_share)))
    reach = float(special.stdtrit(len(values) - 1, 0.5 + level / 2))
    return _estimate(float(values.mean()), error, reach, images or len(values), bounds)


def _estimate(mean: float, error: float, reach: float, n: int, bounds: Bounds | None) -> Estimate:
    if bounds is None:
        low, high = mean - reach * error, mean + reach * error
    else:
        left = (mean - bounds[0]) * (bounds[1] - mean)
        low, high = interval_of(mean, error, left / error**2 if left > 0 and error > 0 else float(n), reach, bounds)
    return Estimate(value=float(mean), low=float(low), high=float(high), n=n)
