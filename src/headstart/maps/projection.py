"""Where each image is on the map: by neighbours if the extra is installed, else by principal components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from headstart.errors import SpecError, choose, require
from headstart.maps.neighbour_map import EXTRA, LEAST, PACKAGE, is_installed, neighbour_map
from headstart.maps.neighbourhoods import Neighbours, Preserved, kept_near, similar_images
from headstart.maps.principal import principal_components
from headstart.storage.store import Store, array_digest, content_key
from headstart.units import percent

KIND = "maps"
_VERSION = 1
MOST = 200_000  # images; for more, "auto" takes principal components
AUTO, PCA, TSNE = "auto", "pca", "tsne"
METHODS = {AUTO: "tsne if installed, else pca", PCA: "principal components", TSNE: "t-SNE, by neighbours"}
_FILE = "map.npz"


@dataclass(frozen=True)
class Projection:
    """Images in two dimensions.

    Args:
        positions: float32 [n, 2].
        method: "pca" or "tsne".
        kept: what is kept of the images' neighbourhoods.
        neighbours: that it was measured by.
        shares: of the variance along both axes; None for "tsne".
        why: why this method was taken, where it was not asked for.
    """

    positions: npt.NDArray[np.float32]
    method: str
    kept: Preserved
    neighbours: Neighbours
    shares: tuple[float, float] | None
    why: str

    @property
    def words(self) -> list[str]:
        """Sentences that say how the map was made, and how far it can be trusted."""
        if self.shares is not None:
            made = f"The two principal components of the vectors, with {percent(sum(self.shares), 0)} of their variance"
        else:
            made = "t-SNE: similar images are close together; distances between groups mean little"
        kept = self.kept
        if not kept.similar:
            return [f"{made}{self.why}."]
        share = (
            f"Of the {kept.similar} image{'s' if kept.similar > 1 else ''} most similar to each by their vectors,"
            f" {percent(kept.among_nearest, 0)} are among its {kept.similar} nearest here"
        )
        if kept.by_chance < 1:
            share += f" and {percent(kept.among_wide, 0)} among its {kept.wide} nearest"
        chance = kept.by_chance if kept.by_chance < 1 else kept.similar / kept.wide  # so few that all are near
        share += f" (by chance {_percent(chance)}; measured on {kept.measured:,} images)."
        return [f"{made}{self.why}.", share]


def _percent(share: float) -> str:
    """Return a share with two digits, or whole from ten per cent on."""
    return percent(share, 0) if share >= 0.0995 else f"{100 * share:.2g} %"


def project(
    vectors: npt.NDArray[np.float32],
    *,
    method: str = AUTO,
    seed: int = 0,
    store: Store | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Projection:
    """Return where each image is; what is computed is cached by its vectors, the method and the seed.

    Args:
        vectors: float32 [n, d]; only their directions count.
        method: "pca", "tsne" or "auto".
        seed: of "tsne", and of the images on which it is measured.
        store: the cache; None computes.
        watch: called often during "tsne" with the steps so far and all steps; it may raise to stop.

    Raises:
        SpecError: an unknown method, or too few images for "tsne".
        MissingExtra: "tsne" was asked for and is not installed.
    """
    used, why = method_for(method, len(vectors))
    if store is None:
        found = _computed(vectors, used, seed, watch)
        return _measured(found, used, why)
    facts = ["map", _VERSION, used, seed, list(vectors.shape), array_digest(vectors)]
    key = content_key([*facts, version(PACKAGE)] if used == TSNE else facts)
    with store.building(KIND, key, wait_message="another process computes this map; waiting") as entry:
        if entry is not None:
            made = _computed(vectors, used, seed, watch)
            np.savez(
                entry.path / _FILE,
                positions=made["positions"],
                shares=made["shares"],
                rows=made["rows"],
                nearest=made["nearest"],
            )
    store.check(KIND, key)
    with np.load(store.path(KIND, key) / _FILE, allow_pickle=False) as file:
        return _measured({name: file[name] for name in file.files}, used, why)


def method_for(method: str, images: int) -> tuple[str, str]:
    """Return the method that is used, and why, where it was not asked for.

    Raises:
        SpecError: an unknown method, or too few images for "tsne".
        MissingExtra: "tsne" was asked for and is not installed.
    """
    choose("method", method, METHODS)
    if method == TSNE:
        require(PACKAGE, "a t-SNE map", EXTRA)
    if method == TSNE and images < LEAST:
        raise SpecError(f"a t-SNE map needs at least {LEAST} images, not {images}; choose the method pca")
    if method != AUTO:
        return method, ""
    if images < LEAST:
        return PCA, f" ({images} images are too few for a t-SNE map)"
    if not is_installed():
        return PCA, f" (pip install 'headstart[{EXTRA}]' for a t-SNE map)"
    if images > MOST:
        return PCA, f" (a t-SNE map of {images:,} images takes long: choose the method tsne for one)"
    return TSNE, ""


def _computed(
    vectors: npt.NDArray[np.float32], method: str, seed: int, watch: Callable[[int, int], None] | None
) -> dict[str, npt.NDArray[np.generic]]:
    """Return positions, shares of the variance, and the similar images that the map is measured by."""
    if method == TSNE:
        positions, shares = neighbour_map(vectors, seed=seed, watch=watch), np.zeros(0)
    else:
        positions, shares = principal_components(vectors, 2)
    near = similar_images(vectors, seed)
    return {"positions": positions, "shares": shares, "rows": near.rows, "nearest": near.nearest}


def _measured(found: dict[str, npt.NDArray[np.generic]], method: str, why: str) -> Projection:
    positions = found["positions"].astype(np.float32)
    near = Neighbours(found["rows"].astype(np.int64), found["nearest"].astype(np.int64))
    shares = (float(found["shares"][0]), float(found["shares"][1])) if len(found["shares"]) else None
    return Projection(positions, method, kept_near(near, positions), near, shares, why)
