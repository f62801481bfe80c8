from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from headstart.audit import odd_images
from headstart.audit.inspect import inspect_images
from headstart.audit.odd_images import find_odd_images, measures, sharpness
from headstart.data.sources.load import load_dataset
from headstart.storage.opening import default_store


def scenery(seed: int, width: int = 160, height: int = 140) -> Image.Image:
    """Return noise of all scales: as rough as a photograph, neither dark nor bright."""
    generator, total = np.random.default_rng(seed), np.zeros((height, width))
    for cells in (4, 16, 64):
        small = Image.fromarray(generator.integers(0, 256, (cells, cells), np.uint8))
        total += np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), dtype=float)
    return Image.fromarray((total / 3).astype(np.uint8)).convert("RGB")


def levels(image: Image.Image, scale: float, shift: float) -> Image.Image:
    return Image.fromarray((np.asarray(image) * scale + shift).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    odd = {
        "blank": levels(scenery(90), 0.03, 120),
        "blurred": scenery(91).filter(ImageFilter.GaussianBlur(8)),
        "bright": levels(scenery(92), 0.04, 244),
        "dark": levels(scenery(93), 0.35, 0),
        "large": scenery(94, 1600, 1400),
        "long": scenery(95, 700, 140),
        "tiny": scenery(96, 30, 30),
    }
    odd["bright"].paste((0, 0, 0), (60, 60, 86, 86))  # three hundredths of it: it is not blank
    for name, image in [*odd.items(), *((f"usual{seed}", scenery(seed)) for seed in range(12))]:
        place = tmp_path / ("a" if name < "c" or name == "usual3" else "b") / f"{name}.png"
        place.parent.mkdir(exist_ok=True)
        image.save(place)
    return tmp_path


def test_each_odd_image_is_found_once_and_usual_ones_are_not(folder: Path) -> None:
    dataset, store = load_dataset(folder), default_store()
    found = find_odd_images(dataset, inspect_images(dataset, store), store)
    named = {Path(dataset.reader.name(each.row)).stem: each.kind for each in found}
    assert named == {
        "blank": "blank",
        "blurred": "blurred",
        "bright": "bright",
        "dark": "dark",
        "large": "size",
        "long": "shape",
        "tiny": "size",
    }
    words = {each.kind: each.words for each in found}
    assert words["shape"] == "700 × 140 px" and "darker than" in words["dark"]


def test_measures_are_computed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, store = load_dataset(folder), default_store()
    first = measures(dataset, store)
    monkeypatch.setattr(odd_images, "small", None)  # whoever decodes again fails
    assert np.array_equal(measures(dataset, store), first) and first.shape == (19, 4)


def test_sharpness_of_a_chessboard_and_of_a_ramp() -> None:
    board = (np.indices((16, 16)).sum(axis=0) % 2 * 200).astype(np.uint8)
    assert sharpness(board) == pytest.approx(64.0)  # the second derivative is ±800, the values are ±100 around 100
    assert sharpness(np.tile(np.arange(16, dtype=np.uint8), (16, 1))) == 0
