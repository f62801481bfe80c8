"""The gallery is what its script writes, and every picture is there, small, and of the report that it names."""

from __future__ import annotations

import importlib.util
import io
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from tests.docs.running import REPOSITORY

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    found = importlib.util.spec_from_file_location("make_gallery", DOCS / "gallery" / "make.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "make_gallery", module)
        found.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_writes(make: ModuleType) -> None:
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == make.page()


def test_every_entry_has_a_small_picture_and_every_picture_an_entry(make: ModuleType) -> None:
    pictures = {path.name: path for path in (DOCS / "gallery").iterdir() if path.suffix in (".png", ".webp")}
    assert sorted(pictures) == sorted(entry.file for entry in make.ENTRIES) and len(pictures) == 10
    for path in pictures.values():
        assert path.stat().st_size <= make.LARGEST
        with Image.open(path) as image:
            assert image.width >= 500 and image.height >= 150


def test_a_picture_has_as_many_colours_as_fit(make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "LARGEST", 6_000)
    calm = Image.new("RGB", (300, 200), (10, 200, 30))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (75, 100, 3), dtype=np.uint8))
    for image, least in ((calm, 1), (noise, 10)):
        data = make.small(image)
        with Image.open(io.BytesIO(data)) as found:
            assert len(data) <= make.LARGEST and len(found.getcolors() or ()) >= least
    with Image.open(io.BytesIO(make.small(calm))) as found:
        assert found.size == (300, 200) and found.convert("RGB").getpixel((0, 0)) == (10, 200, 30)


def test_a_picture_of_photographs_keeps_its_size_and_is_as_good_as_fits(
    make: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))
    data = make.small_photographs(noise)
    with Image.open(io.BytesIO(data)) as found:
        assert found.format == "WEBP" and found.size == (300, 200) and len(data) <= make.LARGEST
    monkeypatch.setattr(make, "LARGEST", 500)
    with pytest.raises(ValueError, match="no picture of 500 bytes"):
        make.small_photographs(noise)
