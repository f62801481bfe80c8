"""Studies of known truth, as in benchmarks/verdict_simulation.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

IMAGE, OWN, REST = 2.0, 0.5, 0.7  # how much images, a run's view of an image, and chance vary, in probits


def study(
    generator: np.random.Generator, means: Sequence[float], seeds: int, n: int, spread: float
) -> dict[str, np.ndarray]:
    """Draw right or wrong for runs with known true accuracies on shared images."""
    total = np.sqrt(IMAGE**2 + OWN**2 + REST**2 + spread**2)
    images = generator.normal(size=n) * IMAGE
    found = {}
    for place, mean in enumerate(means):
        own = generator.normal(size=n) * OWN
        noise = generator.normal(size=(seeds, 1)) * spread + generator.normal(size=(seeds, n)) * REST
        found[f"run {place}"] = special.ndtri(mean) * total + images + own + noise > 0
    return found
