"""Checks that what a network computes are numbers, so that one broken network does not end a study."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.errors import RunFailed

_BLOCK = 4096  # rows checked at a time


def check_features(features: npt.NDArray[np.floating[Any]], network: str) -> None:
    """Refuse features [n, …] of which some are not finite.

    Raises:
        RunFailed: of how many images.
    """
    blocks = (features[start : start + _BLOCK] for start in range(0, len(features), _BLOCK))
    broken = sum(len(block) - int(np.isfinite(block.reshape(len(block), -1)).all(axis=1).sum()) for block in blocks)
    if broken:
        raise RunFailed(
            f"the features of {broken:,} of {len(features):,} images by {network} are not finite numbers; its weights"
            " hold NaN, or values so large that it overflows"
        )


def check_probabilities(*tables: npt.NDArray[np.floating[Any]] | None) -> None:
    """Refuse predictions that are not finite.

    Raises:
        RunFailed: there are some.
    """
    if not all(table is None or np.isfinite(table).all() for table in tables):
        raise RunFailed("the predictions are not finite numbers: the fit diverged; lower the learning rate")
