"""Small images on disk for the tests of headstart.data."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Draw = Callable[..., Path]


def pixels(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Return noise uint8 [height, width, 3]; `size` is (width, height)."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


@pytest.fixture
def encoded() -> Callable[[int], bytes]:
    """Return encoded(seed): the bytes of a noise image."""

    def encode(seed: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels(seed, (12, 10))).save(file, "PNG")
        return file.getvalue()

    return encode


@pytest.fixture
def draw() -> Draw:
    """Return draw(path, seed): write a noise image and the folders above it."""

    def write(path: Path, seed: int = 0, size: tuple[int, int] = (12, 10)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(seed, size)).save(path)
        return path

    return write


@pytest.fixture
def flowers(tmp_path: Path, draw: Draw) -> Path:
    """Return a folder with 6 roses, 5 tulips and 4 asters, all different."""
    root = tmp_path / "flowers"
    seed = 0
    for name, count in (("tulip", 5), ("rose", 6), ("aster", 4)):
        for number in range(count):
            draw(root / name / f"{number}.png", seed)
            seed += 1
    return root
