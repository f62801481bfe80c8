"""A folder of small images in groups, with vectors that show the groups: no network runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.sources.without_labels import load_without_labels
from headstart.labelling.embeddings import Embeddings
from headstart.storage.opening import default_store
from headstart.study.resources import Resources
from headstart.study.spec.network import NetworkSpec

COLOURS = ((220, 40, 40), (40, 200, 60), (50, 70, 220))
NAMES = ("red", "green", "blue")


def draw_folder(folder: Path, each: int = 20) -> Path:
    """Draw `each` images of every colour, 24 x 24 px, named colour-number.png, no two of them equal."""
    folder.mkdir(parents=True, exist_ok=True)
    for code, (name, colour) in enumerate(zip(NAMES, COLOURS, strict=True)):
        for number in range(each):
            pixels = np.full((24, 24, 3), colour, dtype=np.uint8)
            pixels[number // 24, number % 24] = code
            Image.fromarray(pixels).save(folder / f"{name}-{number:03d}.png")
    return folder


def embedded(folder: Path, spread: float = 0.35, seed: int = 0, dimensions: int = 8) -> Embeddings:
    """Return vectors [n, 8] of the images of `draw_folder`: a Gaussian of this spread around each colour's centre."""
    dataset = load_without_labels(folder)
    generator = np.random.default_rng(seed)
    centres = np.eye(len(NAMES), dimensions) + 0.2
    colours = [NAMES.index(dataset.reader.name(row).partition("-")[0]) for row in range(len(dataset))]
    noise = spread * generator.standard_normal((len(dataset), dimensions))
    vectors = (centres[colours] + noise).astype(np.float32)
    return Embeddings(dataset, vectors, "drawn", "none", Resources(default_store()), NetworkSpec("lenet5"))


def colour_of(path: str | Path) -> str:
    """Return the right label of an image."""
    return Path(path).name.partition("-")[0]
