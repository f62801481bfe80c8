"""Whole images differ in size, so they are read one by one."""

from __future__ import annotations

from pathlib import Path

from headstart.data.decoding.decode import View
from headstart.data.decoding.image_store import decode_images
from headstart.data.sources.load import load_dataset
from headstart.study.execution.tuning.whole_images import WholeImages


def test_they_are_copies_and_no_batch(pictures: Path) -> None:
    found = decode_images(load_dataset(pictures), View(resize=20, crop=None, interpolation="bicubic"))
    whole = WholeImages(found)
    assert len(whole) == len(found) == 42 and whole.key == found.key and not hasattr(whole, "batch")
    first = whole[0]
    assert first.shape == (20, 24, 3) and first.flags.owndata
    first[:] = 0
    assert whole[0].any()
