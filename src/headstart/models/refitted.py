"""What the file of a model says that was refitted on every labelled image, test images included.

No image is left to test such a model on. Its file therefore carries the score of the tested model that it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

REFITTED = "refitted"  # its key among the facts of a bundle's provenance
NO_GUARANTEE = (
    "No image is left to calibrate the refitted model on: it has no prediction sets and guarantees no accuracy."
)


class Refitted(TypedDict):
    """How a delivered model was refitted.

    `images` is their number. `run` and `seed` name the tested model, which has the score `value` by `metric`, with a
    95 % interval from `low` to `high`, on `n_test` images. The refitted model keeps its configuration and temperature.
    """

    images: int
    run: str
    seed: int
    metric: str
    value: float
    low: float
    high: float
    n_test: int


def refitted_of(provenance: Mapping[str, Any]) -> Refitted | None:
    """Return how a model was refitted; None for a model that was not, or whose file says it in another form."""
    found = provenance.get(REFITTED)
    if not isinstance(found, Mapping) or found.keys() != Refitted.__required_keys__:
        return None
    return cast(Refitted, dict(found))


def words(found: Mapping[str, Any]) -> str:
    """Return a `Refitted` in two sentences for people."""
    return (
        f"It was refitted on all {found['images']:,} labelled images, test images included, so this model itself is not"
        f" tested. The model that it was refitted from ({found['run']}, seed {found['seed']}) has"
        f" {found['metric'].replace('_', ' ')} {found['value']:.4f} (95 % interval {found['low']:.4f} to"
        f" {found['high']:.4f}) on {found['n_test']:,} test images."
    )
