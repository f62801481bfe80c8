"""Pictures of five bands that people see in plain colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from multispectral import write_tiff

from headstart.bands import Bands
from headstart.data.band_statistics import measure_bands
from headstart.data.dataset import Reader
from headstart.data.sources.without_labels import load_without_labels


def banded_colours(folder: Path) -> tuple[Reader, Bands]:
    """Write pictures of five bands, of which numbers 4, 2 and 0 are shown: the first is red, the second green."""
    for place in (0, 1):
        numbers = np.full((20, 20, 5), 500, np.uint16)
        numbers[:, :, 4 - 2 * place] = 4000
        write_tiff(folder / f"{place}.tif", numbers)
    dataset = load_without_labels(folder, bands="all", show=[4, 2, 0])
    assert dataset.bands is not None
    return dataset.reader, measure_bands(dataset, np.arange(2), dataset.bands)
