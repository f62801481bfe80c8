"""Odd images: too dark, too bright, nearly blank, blurred, or of an unusual size or shape.

Brightness, contrast and sharpness are measured on grey copies whose shorter side is 128 px. Dark and bright are as
cleanvision 0.3 defines them: almost no pixel is brighter than a third of the range, or darker than 95 % of it. An image
is blurred if the variance of its second derivative is under 3 % of its variance: of 400 photographs of Caltech-101 none
is, and of the same photographs blurred with a Gaussian of 2 px (at 128 px) more than 99 %.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.audit.file_checks import LONG, TINY
from headstart.audit.inspect import small
from headstart.audit.inspection_store import Inspection
from headstart.data.dataset import Dataset
from headstart.data.decoding.decode import UndecodableError, quiet_pillow
from headstart.data.decoding.digests import distinct
from headstart.progress import progress
from headstart.storage.store import Store, content_key
from headstart.threads import cores
from headstart.units import percent

DARK, BRIGHT, BLANK, BLURRED, SIZE, SHAPE = "dark", "bright", "blank", "blurred", "size", "shape"
KIND = "measures"
_VERSION = 1
_SIDE = 128  # px
_FILE = "measures.npy"
_DARKEST = 0.32 * 255  # 99 % of the pixels are darker
_BRIGHTEST = 0.95 * 255  # 95 % of the pixels are brighter
_RANGE = 12.0  # grey levels within which 98 % of the pixels of a nearly blank image are
_SHARP = 0.03  # variance of the second derivative, as a share of the variance
_TIMES = 4.0  # how much larger or smaller than the middle half of the images, in their own spread

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class OddImage:
    """An image that is unlike what a camera usually gives: its row, what is odd, and the measure in words."""

    row: int
    kind: str
    words: str


def find_odd_images(dataset: Dataset, inspection: Inspection, store: Store) -> list[OddImage]:
    """Return the odd images, each once, by kind and then by row; those that do not decode are not among them."""
    low, fifth, high, sharp = measures(dataset, store).T
    good = (inspection.problem == "") & np.isfinite(high)
    width, height = inspection.width.astype(np.float64), inspection.height.astype(np.float64)
    short, long = np.minimum(width, height), np.maximum(width, height)
    size = [f"{each_width:.0f} × {each_height:.0f} px" for each_width, each_height in zip(width, height, strict=True)]
    checks: tuple[tuple[str, npt.NDArray[np.bool_], Callable[[int], str]], ...] = (
        (BLANK, high - low < _RANGE, lambda row: f"98 % of it is within {high[row] - low[row]:.0f} of 255 grey levels"),
        (
            DARK,
            high < _DARKEST,
            lambda row: f"99 % of it is darker than {percent(high[row] / 255, 0)} of full brightness",
        ),
        (
            BRIGHT,
            fifth > _BRIGHTEST,
            lambda row: f"95 % of it is brighter than {percent(fifth[row] / 255, 0)} of white",
        ),
        (BLURRED, (sharp < _SHARP) & (short >= _SIDE / 2), lambda row: "it has no fine details"),
        (SHAPE, long > LONG * np.maximum(short, 1), size.__getitem__),
        (SIZE, (short < TINY) | _far(np.sqrt(width * height), good), size.__getitem__),
    )
    found: list[OddImage] = []
    taken = ~good
    for kind, odd, words in checks:
        rows = np.flatnonzero(odd & ~taken)
        taken[rows] = True
        found += [OddImage(row, kind, words(row)) for row in rows.tolist()]
    return found


def measures(dataset: Dataset, store: Store) -> Floats:
    """Return the 1st, 5th and 99th percentile of the grey levels, and the sharpness, of each image: float32 [n, 4].

    They are cached; NaN where an image does not decode.
    """
    assert dataset.digests is not None
    first, codes = distinct(dataset.digests)
    key = content_key({"images": hashlib.blake2b(dataset.digests[first].tobytes()).hexdigest(), "version": _VERSION})
    with store.building(KIND, key) as entry:
        if entry is not None:
            found = np.full((len(first), 4), np.nan, dtype=np.float32)
            with (
                quiet_pillow(),
                progress(f"measuring {dataset.name}", len(first)) as ticker,
                ThreadPoolExecutor(cores(), "measure") as pool,
            ):
                for place, each in enumerate(pool.map(lambda row: _measured(dataset, row), first.tolist())):
                    found[place] = each
                    ticker.advance(1)
            np.save(entry.path / _FILE, found)
            entry.manifest.update(images=len(first))
    store.manifest(KIND, key)
    stored: Floats = np.load(store.path(KIND, key) / _FILE)
    return stored[codes]


def sharpness(grey: npt.NDArray[np.uint8]) -> float:
    """Return the variance of the second derivative (4 neighbours) of a grey image, divided by its own variance."""
    values = grey.astype(np.float32)
    inner = values[1:-1, 1:-1]
    second = 4 * inner - values[:-2, 1:-1] - values[2:, 1:-1] - values[1:-1, :-2] - values[1:-1, 2:]
    return float(second.var() / max(float(inner.var()), 1.0))


def _measured(dataset: Dataset, row: int) -> tuple[float, float, float, float]:
    try:
        grey = small(dataset.reader.read(row), _SIDE)
    except (OSError, UndecodableError):  # the audit lists it as unreadable
        return (np.nan,) * 4
    low, fifth, high = np.percentile(grey, [1, 5, 99])
    return float(low), float(fifth), float(high), sharpness(grey)


def _far(size: npt.NDArray[np.float64], good: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which sizes are far outside the middle half of all, by their logarithms: a factor of two is never far."""
    logs = np.log2(np.maximum(size, 1))
    if not good.any():
        return good
    lower, upper = np.percentile(logs[good], [25, 75])
    reach = max(_TIMES / 2 * (upper - lower), 2.0)
    far: npt.NDArray[np.bool_] = (logs < lower - reach) | (logs > upper + reach)
    return far
