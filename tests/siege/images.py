"""Mutated images of every format: decoded as they were, refused with a reason, or changed where no file can show it."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.data.decoding.decode import UndecodableError, View, check, decode, quiet_pillow
from tests.siege.guarded import Guarded
from tests.siege.mutators import damaged
from tests.siege.siege import Attack

# How often each is drawn: photographs are JPEGs and PNGs.
FORMATS: dict[str, tuple[int, dict[str, Any]]] = {
    "JPEG": (4, {"quality": 85}),
    "JPEG progressive": (2, {"quality": 85, "progressive": True}),
    "JPEG optimised": (2, {"quality": 92, "optimize": True, "subsampling": 0}),
    "JPEG restarts": (1, {"quality": 85, "restart_marker_rows": 1}),
    "PNG": (4, {}),
    "PNG palette": (1, {}),
    "WEBP": (1, {}),
    "WEBP lossless": (1, {"lossless": True}),
    "GIF": (1, {}),
    "TIFF": (1, {}),
    "TIFF lzw": (1, {"compression": "tiff_lzw"}),
    "TIFF jpeg": (1, {"compression": "jpeg"}),
    "BMP": (1, {}),
    "PPM": (1, {}),
    "TGA": (1, {"compression": "tga_rle"}),
    "JPEG2000": (1, {}),
    "AVIF": (1, {}),
}
WRONG = 8  # grey levels by which a pixel that is wrong differs


def picture(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """Return a picture with edges, slopes and noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * a + columns * b for a, b in rng.uniform(-1, 1, (3, 2))], axis=-1) + 128
    for _ in range(6):
        top, left = int(rng.integers(height)), int(rng.integers(width))
        pixels[top : top + 40, left : left + 40] = rng.integers(0, 256, 3)
    return Image.fromarray(np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8))


def encoded(kind: str, seed: int) -> bytes:
    """Return a picture as a file of one kind."""
    image, file = picture(seed), io.BytesIO()
    if "palette" in kind or kind == "GIF":
        image = image.quantize(64)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, "a maker of cameras"
    options = FORMATS[kind][1] | ({"exif": exif} if kind.startswith(("JPEG", "PNG", "WEBP")) else {})
    options.pop("exif", None) if kind == "JPEG2000" else None
    image.save(file, kind.split()[0], **options)
    return file.getvalue()


def prepare(scratch: Path) -> Attack:
    """Return the attack on a decoder."""
    weights = [weight for weight, _ in FORMATS.values()]
    sound = {kind: [encoded(kind, seed) for seed in range(4)] for kind in FORMATS}
    pixels = {kind: [decode(data) for data in files] for kind, files in sound.items()}

    def work(given: tuple[str, int, bytes]) -> str:
        kind, number, data = given
        with quiet_pillow():
            reason = check(data)
            try:
                found = decode(data)
                decode(data, View(64, 56))
            except UndecodableError:
                return "refused"
        if reason is not None:
            return "refused when looked at"
        return f"{_likeness(found, pixels[kind][number])}: {kind}"

    guarded = Guarded(work)

    def attack(seed: int) -> str:
        rng = random.Random(seed)
        kind = rng.choices(list(FORMATS), weights)[0]
        number = rng.randrange(4)
        return guarded((kind, number, damaged(sound[kind][number], rng)))

    return attack


def _likeness(found: np.ndarray, whole: np.ndarray) -> str:
    if found.shape != whole.shape:
        return "changed"
    wrong = (np.abs(found.astype(np.int16) - whole) > WRONG).any(axis=-1).mean()
    return "whole" if wrong <= 0.1 else "changed"
