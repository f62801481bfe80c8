"""A map that keeps neighbourhoods: t-SNE (van der Maaten & Hinton 2008) by openTSNE (Poličar et al. 2024)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from headstart.errors import require
from headstart.maps.principal import principal_components
from headstart.progress import progress, say
from headstart.threads import cores

PACKAGE, EXTRA = "openTSNE", "map"
LEAST = 20  # images, below which there are no neighbourhoods to keep
PERPLEXITY = 30.0
_COMPONENTS = 50
_STEPS = (250, 500)  # with exaggeration 12, and without
_TICK = 10
_LONG = 20_000  # images, from which on the search for neighbours takes long, too


def is_installed() -> bool:
    """Return whether the package is there."""
    return find_spec(PACKAGE) is not None


def neighbour_map(
    vectors: npt.NDArray[np.float32], *, seed: int = 0, watch: Callable[[int, int], None] | None = None
) -> npt.NDArray[np.float32]:
    """Return float32 [n, 2]: t-SNE of the first 50 principal components, begun at the first two.

    Args:
        vectors: float32 [n, d], n at least `LEAST`.
        seed: of the search for neighbours.
        watch: called every few steps with the number of steps so far and of all; it may raise to stop.

    Raises:
        MissingExtra: openTSNE is not installed.
    """
    require(PACKAGE, "a t-SNE map", EXTRA)
    from openTSNE import TSNEEmbedding, initialization
    from openTSNE.affinity import PerplexityBasedNN

    n, d = vectors.shape
    scores, _ = principal_components(vectors, min(_COMPONENTS, d, n))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if n >= _LONG:
            say(f"map: searching for the neighbours of {n:,} images; then {sum(_STEPS)} steps")
        perplexity = min(PERPLEXITY, (n - 1) / 3)
        likeness = PerplexityBasedNN(scores, perplexity, metric="euclidean", n_jobs=cores(), random_state=seed)
        start = initialization.rescale(scores[:, :2].astype(np.float64))
        with progress("map", sum(_STEPS), "steps") as ticker:

            def stepped(step: int, error: float, positions: npt.NDArray[np.float64]) -> None:
                ticker.advance(_TICK)
                if watch is not None:
                    watch(ticker.done, ticker.total)

            placed = TSNEEmbedding(
                np.ascontiguousarray(start),
                likeness,
                n_jobs=cores(),
                random_state=seed,
                callbacks=[stepped],
                callbacks_every_iters=_TICK,
            )
            placed.optimize(_STEPS[0], exaggeration=12.0, momentum=0.8, inplace=True)
            placed.optimize(_STEPS[1], momentum=0.8, inplace=True)
    return np.asarray(placed, dtype=np.float32)
