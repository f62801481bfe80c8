"""Drawn photographs for the tests of the audit: rich in details, no two alike, and changed as people change them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from headstart.data.dataset import Dataset


def picture(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """Draw a colour picture [h, w, 3] with large and small shapes, unlike any other seed's."""
    generator = np.random.default_rng(seed)
    canvas = np.zeros((*size, 3))
    for cells in (3, 6, 12, 24):
        noise = generator.random((cells, cells, 3)).astype(np.float32)
        noise[..., 1:] = 0.7 * noise[..., :1] + 0.3 * noise[..., 1:]
        layers = [Image.fromarray(noise[..., c]).resize((size[1], size[0]), Image.Resampling.BICUBIC) for c in range(3)]
        canvas += np.stack([np.asarray(layer) for layer in layers], axis=-1) / cells**0.5
    scaled = (canvas - canvas.min()) / np.ptp(canvas)
    return (scaled * 255).astype(np.uint8)


def shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return the picture squeezed into a square, averaged."""
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX))


def jpeg(pixels: np.ndarray, quality: int = 60) -> bytes:
    """Return the picture as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


class Files:
    """Image files in memory."""

    def __init__(self, files: list[bytes | np.ndarray]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def name(self, row: int) -> str:
        return f"file {row}"

    def read(self, row: int) -> bytes | np.ndarray:
        return self.files[row]

    def identity(self, row: int) -> str:
        return ""


def dataset_of(
    files: list[bytes | np.ndarray],
    labels: list[int] | None = None,
    classes: tuple[str, ...] = ("ant", "bee"),
    parts: list[str] | None = None,
    name: str = "files",
) -> Dataset:
    """Return a dataset of image files in memory."""
    rows = np.zeros(len(files), dtype=np.int64) if labels is None else np.array(labels, dtype=np.int64)
    split = None if parts is None else np.array(parts)
    return Dataset(name, Files(files), rows, classes, given_split=split)
