"""Folders of multispectral TIFF files with classes that differ in some bands only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")  # Sentinel-2's
CLASSES = ("crop", "forest", "water")


def scene(label: int, number: int, side: int = 24) -> npt.NDArray[np.uint16]:
    """Return uint16 [side, side, 13]: smooth texture, brightest near infrared for crops, dark there for water."""
    generator = np.random.default_rng([label, number])
    coarse = generator.uniform(0, 400, (side // 4, side // 4, len(BANDS)))
    values = np.kron(coarse, np.ones((4, 4, 1))) + generator.normal(1200, 60, (side, side, len(BANDS)))
    values[:, :, 7:9] += (2500, 1400, -700)[label]
    values[:, :, 11] += (300, -300, -500)[label]
    return np.clip(values, 0, 65535).astype(np.uint16)


def write_tiff(path: Path, numbers: npt.NDArray[Any], names: tuple[str, ...] = (), **options: Any) -> None:
    """Write numbers [h, w, bands] as a TIFF, bands named as GDAL names them."""
    import tifffile

    items = "".join(
        f'<Item name="DESCRIPTION" sample="{place}" role="description">{name}</Item>'
        for place, name in enumerate(names)
    )
    tags = [(42112, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)] if names else []
    tifffile.imwrite(path, numbers, photometric="minisblack", planarconfig="contig", extratags=tags, **options)


def write_folder(folder: Path, count: int, side: int = 24, **options: Any) -> Path:
    """Write `count` scenes of each class as 13-band TIFF files in class folders."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            write_tiff(folder / name / f"{name}{number:03}.tif", scene(label, number, side), BANDS, **options)
    return folder
