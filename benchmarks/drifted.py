"""Pictures as another camera, a bad network or another season would give them, and what a network makes of them.

Used by `drift.py`. Sizes are relative to the picture's shorter side, so that small and large ones suffer alike.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from headstart.data.decoding.decode import decode
from headstart.data.decoding.image_store import decode_images
from headstart.data.sources.load import load_dataset
from headstart.evaluate.uncertainty.appearance import appearance
from headstart.models.create import create_backbone
from headstart.storage.store import cache_root
from headstart.transfer.frozen.engine import Engine
from headstart.transfer.frozen.features import extract, features_key
from headstart.transfer.frozen.views import view_of

POOL = 400  # pictures of each data set that are changed
BATCH = 20

Pixels = np.ndarray


def _jpeg(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _blur(pixels: Pixels) -> Pixels:
    radius = max(1.0, min(pixels.shape[:2]) / 100)
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _gains(pixels: Pixels, gains: tuple[float, float, float]) -> Pixels:
    """Multiply the channels in linear light, as a camera does."""
    linear = (pixels / 255.0) ** 2.2 * np.array(gains)
    return np.round(np.clip(linear, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def _pixelate(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels)
    small = image.resize((max(1, image.width // 4), max(1, image.height // 4)), Image.Resampling.BOX)
    return np.asarray(small.resize(image.size, Image.Resampling.NEAREST))


def _noise(pixels: Pixels) -> Pixels:
    generator = np.random.default_rng(pixels.size)
    return np.clip(pixels + generator.normal(0, 30, pixels.shape), 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "unchanged": lambda pixels: pixels,
    "JPEG quality 10": lambda pixels: _jpeg(pixels, 10),
    "blur": _blur,
    "white balance": lambda pixels: _gains(pixels, (1.6, 1.0, 0.6)),
}
OTHERS: dict[str, Callable[[Pixels], Pixels]] = {  # on which the rules for the estimated accuracy were settled
    "noise": _noise,
    "dark": lambda pixels: _gains(pixels, (0.15, 0.15, 0.15)),
    "low contrast": lambda pixels: (128 + (pixels.astype(np.float32) - 128) * 0.3).astype(np.uint8),
    "pixelated": _pixelate,
    "grey": lambda pixels: np.repeat(pixels.mean(2, keepdims=True), 3, axis=2).astype(np.uint8),
}


@dataclass(frozen=True)
class Seen:
    """What EfficientNet-Lite0 and the eye see of a data set.

    Args:
        features: float32 [n, d], of all pictures.
        looks: float32 [n, 6], their appearance.
        labels: int64 [n].
        pool: the rows that were changed.
        changed: the features and the appearance of the changed copies, by the change.
    """

    features: np.ndarray
    looks: np.ndarray
    labels: np.ndarray
    pool: np.ndarray
    changed: dict[str, tuple[np.ndarray, np.ndarray]]


def seen(name: str) -> Seen:
    """Return what is seen of groceries, or of a data set in $HEADSTART_DATA; it is kept in the cache."""
    path = cache_root() / "drifted" / f"{name}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **_computed(name))
    with np.load(path) as file:
        changed = {each: (file[f"{each}/features"], file[f"{each}/looks"]) for each in {**CHANGES, **OTHERS}}
        return Seen(file["features"], file["looks"], file["labels"], file["pool"], changed)


def _computed(name: str) -> dict[str, np.ndarray]:
    dataset = load_dataset(name if name == "groceries" else str(Path(os.environ["HEADSTART_DATA"]) / name))
    keep = np.flatnonzero(np.array(dataset.classes)[dataset.labels] != "BACKGROUND_Google")
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    how, view = backbone.preprocessing, view_of(backbone.preprocessing)
    images = decode_images(dataset, view)
    key = features_key(images.key, backbone.stages, how, "cpu")
    features = extract(images, backbone.stages, how, key=key).reshape(len(dataset), -1)[keep]
    looks = np.concatenate([appearance(images.batch(keep[k : k + 64])) for k in range(0, len(keep), 64)])
    pool = np.sort(np.random.default_rng(0).permutation(len(keep))[:POOL])
    engine = Engine(backbone, how)
    found = {"features": features, "looks": looks, "labels": np.asarray(dataset.labels)[keep], "pool": pool}
    for change, make in {**CHANGES, **OTHERS}.items():
        parts: list[np.ndarray] = []
        seen_looks: list[np.ndarray] = []
        for start in range(0, len(pool), BATCH):
            rows = keep[pool[start : start + BATCH]]
            pixels = np.stack([decode(make(decode(dataset.reader.read(int(row)))), view) for row in rows])
            parts.append(engine(pixels).reshape(len(pixels), -1))
            seen_looks.append(appearance(pixels))
        found[f"{change}/features"], found[f"{change}/looks"] = np.concatenate(parts), np.concatenate(seen_looks)
    return found
