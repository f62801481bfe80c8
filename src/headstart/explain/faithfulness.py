"""Measures how faithful a map is: deletion and insertion (Petsiuk et al. 2018), compared with random maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headstart.errors import DataError, SpecError, choose
from headstart.explain.gradients import blurred
from headstart.explain.scope import Predict, as_pixels, backbone_of, check, undisturbed
from headstart.progress import progress

_BLUR = 0.05  # deviation of the blur that insertion starts from, as a share of the image's side


def faithfulness(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    maps: Float[np.ndarray, "_ _ _"],
    targets: Int[Tensor, " m"],
    *,
    tiles: int = 7,
    steps: int = 24,
    random_maps: int = 3,
    control: str = "random",
    reference: Mapping[str, Any] | None = None,
    batch: int = 64,
    engine: bool | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure how fast the target's probability changes when pixels are removed or added by their relevance.

    Deletion: the most relevant pixels become the mean colour first; a small area under the curve is good.
    Insertion: the most relevant are added first, onto a blurred image; a large area is good. Pixels are grouped in
    square tiles, ranked by their mean relevance, so that a map and a random one remove pieces of one size.

    Args:
        tiles: along the shorter side of the image; 7 is the resolution of most networks' last stage.
        steps: of each curve.
        random_maps: how many are drawn for each image; their curves are averaged.
        control: how they are made. "random": every tile has a random relevance. "moved": the same map, shifted and
            mirrored at random: a control with the map's own shapes, with a random place.
        reference: what this returned for another method on the same images, targets, tiles, steps and seed:
            its random curves are reused.
        batch: images run at a time.
        engine: run the network through ONNX Runtime (equal within 1e-3); None: where there is enough work.

    Returns:
        A dict that JSON can hold: n; for each image the areas "deletion", "insertion", "random_deletion",
        "random_insertion"; their means in "mean"; the shares of images on which the map is better,
        "better_deletion", "better_insertion", "better_both"; "fraction" [steps + 1] of the tiles and the mean
        "curves" by the same four names; "control".

    Raises:
        DataError: maps or a reference of other images.
        SpecError: fewer than one tile, step or random map; an unknown control.
    """
    draw = choose("control", control, CONTROLS)
    _check(images, maps, (tiles, steps, random_maps), control, reference)
    drawn = random_maps if reference is None else 0
    work = len(images) * 2 * (steps + 1) * (1 + drawn)
    found: list[np.ndarray] = []  # for each image [1 + drawn, 2, steps + 1]
    with undisturbed(network), progress("faithfulness", work) as ticker:
        check(network, images, targets)
        pixels, predict = as_pixels(network, images, work, engine)
        pieces = _tiles(images.shape[2], images.shape[3], tiles)
        for i, (image, heat, target) in enumerate(zip(pixels, maps, targets, strict=True)):
            rng = np.random.default_rng([seed, i])
            orders = [_order(heat, pieces), *(_order(draw(heat, pieces, rng), pieces) for _ in range(drawn))]
            states = _states(image, _empty(network, image), pieces, orders, steps)
            found.append(_run(predict, states, int(target), batch).reshape(len(orders), 2, steps + 1))
            ticker.advance(found[-1].size)
    return {**_summary(*_measured(found, reference)), "control": control}


def _measured(
    found: list[np.ndarray], reference: Mapping[str, Any] | None
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return for each of CURVES the area on every image, and the mean curve over images."""
    areas: dict[str, list[float]] = {}
    means: dict[str, list[float]] = {}
    own = [one[0] for one in found]
    random = [one[1:].mean(0) for one in found] if reference is None else []
    for number, name in enumerate(CURVES):
        curves = [pair[number % 2] for pair in (own if number < 2 else random)]
        if curves:
            areas[name] = [float(np.trapezoid(curve, dx=1 / (len(curve) - 1))) for curve in curves]
            means[name] = [float(value) for value in np.mean(curves, axis=0)]
        elif reference is not None:
            areas[name], means[name] = list(reference[name]), list(reference["curves"][name])
    return areas, means


def random_relevance(
    heat: Float[np.ndarray, "h w"], pieces: Int[np.ndarray, "h w"], rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Return a map with a random value in each tile."""
    return np.asarray(rng.random(int(pieces.max()) + 1)[pieces])


def moved(
    heat: Float[np.ndarray, "h w"], pieces: Int[np.ndarray, "h w"], rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Return the map shifted by a random distance (cyclically), possibly mirrored."""
    rolled = np.roll(heat, [int(rng.integers(side)) for side in heat.shape], axis=(0, 1))
    return rolled[:, ::-1] if rng.random() < 0.5 else rolled


Control = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
CONTROLS: dict[str, Control] = {"random": random_relevance, "moved": moved}
CURVES = ("deletion", "insertion", "random_deletion", "random_insertion")


def _check(images: Tensor, maps: np.ndarray, counts: tuple[int, int, int], control: str, reference: Any) -> None:
    if maps.shape != (len(images), *images.shape[2:]):
        raise DataError(f"maps {maps.shape} do not belong to images {tuple(images.shape)}")
    tiles, steps, random_maps = counts
    if min(counts) < 1 or tiles > min(images.shape[2:]):
        raise SpecError(f"faithfulness with {tiles} tiles, {steps} steps, {random_maps} random maps: at least 1")
    if reference is None:
        return
    if control == "moved" or reference["control"] == "moved":
        raise SpecError("moved maps are a control for their own method only: measure without a reference")
    if (reference["n"], len(reference["fraction"])) != (len(images), steps + 1):
        raise DataError("the reference curves were measured on other images or steps")


def _tiles(height: int, width: int, tiles: int) -> Int[np.ndarray, "h w"]:
    """Return the tile of each pixel; tiles at the ends may be a pixel smaller than those between."""
    side = min(height, width) / tiles
    row, column = (np.arange(height) // side).astype(int), (np.arange(width) // side).astype(int)
    return np.asarray(row[:, None] * (column[-1] + 1) + column[None, :])


def _order(heat: np.ndarray, pieces: np.ndarray) -> Int[np.ndarray, " tiles"]:
    """Return the tiles, the most relevant first."""
    flat = pieces.ravel()
    means = np.bincount(flat, heat.ravel().astype(np.float64)) / np.bincount(flat)
    return np.asarray(np.argsort(-means, kind="stable"))


def _empty(network: nn.Module, image: np.ndarray) -> np.ndarray:
    """Return the colour of a removed tile: the mean of the images that the network was trained on."""
    if image.dtype != np.uint8:
        return np.zeros(image.shape[-1], dtype=image.dtype)
    mean = np.array(backbone_of(network, "faithfulness").preprocessing.mean)
    return np.asarray((mean * 255).round().astype(np.uint8))


def _states(
    image: np.ndarray, empty: np.ndarray, pieces: np.ndarray, orders: list[np.ndarray], steps: int
) -> Iterator[np.ndarray]:
    """Yield every picture of each order's deletion, then of its insertion."""
    count = int(pieces.max()) + 1
    taken = np.round(np.linspace(0, count, steps + 1)).astype(int)
    channels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    soft = blurred(channels, _BLUR * min(image.shape[:2]))[0].permute(1, 2, 0).numpy().astype(image.dtype)
    for order in orders:
        rank = np.empty(count, dtype=int)
        rank[order] = np.arange(count)
        for inside, outside in ((empty, image), (image, soft)):  # what tiles become, from what
            for number in taken:
                yield np.where((rank < number)[pieces][..., None], inside, outside)


def _run(predict: Predict, states: Iterator[np.ndarray], target: int, batch: int) -> Float[np.ndarray, " states"]:
    found = []
    while part := list(itertools.islice(states, batch)):
        found.append(predict(np.stack(part))[:, target])
    return np.concatenate(found).astype(np.float64)


def _summary(areas: dict[str, list[float]], curves: dict[str, list[float]]) -> dict[str, Any]:
    steps = len(curves["deletion"]) - 1
    deletion = np.array(areas["deletion"]) < np.array(areas["random_deletion"])
    insertion = np.array(areas["insertion"]) > np.array(areas["random_insertion"])
    return {
        "n": len(deletion),
        **areas,
        "mean": {name: float(np.mean(values)) for name, values in areas.items()},
        "better_deletion": float(deletion.mean()),
        "better_insertion": float(insertion.mean()),
        "better_both": float((deletion & insertion).mean()),
        "fraction": [i / steps for i in range(steps + 1)],
        "curves": curves,
    }
