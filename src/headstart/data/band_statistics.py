"""What each band of a dataset is like, measured on some of its images: range, mean, deviation and percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from headstart.bands import TOP, BandChoice, Bands
from headstart.data.dataset import Dataset, IntArray
from headstart.data.decoding.band_numbers import PERCENTILES
from headstart.data.decoding.decode import UndecodableError, band_numbers, quiet_pillow
from headstart.data.decoding.faults import LacksMemoryError
from headstart.errors import DataError
from headstart.progress import progress
from headstart.threads import cores

IMAGES = 2_000  # of which at most bands are measured, spread evenly over those given
PIXELS = 4_096  # of an image, spread evenly
RANGE = (0.1, 99.9)  # percentiles that become 0 and 255


def measure_bands(dataset: Dataset, rows: IntArray, choice: BandChoice) -> Bands:
    """Return the bands with their ranges, from up to 4,096 pixels of each of up to 2,000 of these images.

    Args:
        dataset: gives the images.
        rows: those that may be looked at: training images.
        choice: which bands.

    Raises:
        DataError: none of the images can be read.
    """
    if len(rows) > IMAGES:
        rows = rows[np.linspace(0, len(rows) - 1, IMAGES).round().astype(np.int64)]
    starts = range(0, len(rows), 64)
    with (
        quiet_pillow(),
        progress(f"measuring the bands of {dataset.name}", len(rows)) as ticker,
        ThreadPoolExecutor(cores(), "measure") as pool,
    ):
        found: list[npt.NDArray[np.float64]] = []
        for start in starts:  # batches, so that few images are in memory
            batch = rows[start : start + 64].tolist()
            found += [each for each in pool.map(lambda row: _sample(dataset, row, choice), batch) if each is not None]
            ticker.advance(len(batch))
    if not found:
        raise DataError(f"{dataset.name}: no training image can be read, so that its bands cannot be measured")
    return bands_of(np.concatenate(found), choice)


def bands_of(sample: npt.NDArray[np.float64], choice: BandChoice) -> Bands:
    """Return the bands with what is measured on a sample of pixels [n, bands]; what is not finite is left out."""
    columns = [column[np.isfinite(column)] for column in sample.T]
    for name, column in zip(choice.names, columns, strict=True):
        if not column.size:
            raise DataError(f"band {name} has no finite number in the training images; leave it out of data.bands")
    low, high = np.array([np.percentile(column, RANGE) for column in columns]).T
    high = np.where(high > low, high, low + 1.0)  # a band that is constant
    scaled = [
        np.clip((column - bottom) * (TOP / (top - bottom)), 0, TOP)
        for column, bottom, top in zip(columns, low, high, strict=True)
    ]
    dark, bright = np.array([np.percentile(column, PERCENTILES) for column in scaled]).T
    return Bands(
        choice,
        _floats(low),
        _floats(high),
        _floats([column.mean() / TOP for column in scaled]),
        _floats([max(column.std() / TOP, 1e-3) for column in scaled]),
        _floats(dark),
        _floats(bright),
    )


def _floats(values: Sequence[float] | npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _sample(dataset: Dataset, row: int, choice: BandChoice) -> npt.NDArray[np.float64] | None:
    """Return pixels of one image, float64 [n, bands]; None where it cannot be decoded, which is said elsewhere."""
    try:
        numbers = band_numbers(dataset.reader.read(row))
    except LacksMemoryError as error:
        raise DataError(f"{dataset.name}: {dataset.reader.name(row)} {error}") from error
    except (UndecodableError, OSError):
        return None
    if numbers.shape[2] != choice.of:
        return None
    flat = numbers.reshape(-1, numbers.shape[2])[:, list(choice.indices)]
    places = np.linspace(0, len(flat) - 1, min(len(flat), PIXELS)).round().astype(np.int64)
    return flat[places].astype(np.float64)
