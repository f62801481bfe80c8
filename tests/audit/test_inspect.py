from __future__ import annotations

import io

import numpy as np
import pytest
from photographs import Files, dataset_of, jpeg, picture, shrunk
from PIL import Image

from headstart.audit import inspect
from headstart.audit.inspect import inspect_images, small
from headstart.data.dataset import Dataset
from headstart.data.decoding.decode import UndecodableError


def test_an_inspection_says_what_the_files_are() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(3)).convert("P").save(buffer, "GIF")
    whole = jpeg(picture(4, (300, 200)), 95)
    files = [whole, whole[: len(whole) // 2], b"", b"no image at all", buffer.getvalue(), picture(5)]
    seen = inspect_images(dataset_of(files))
    assert seen.problem[0] == ""
    assert "cut short" in seen.problem[1]
    assert seen.problem[2] == "has zero bytes"
    assert seen.problem[3] == "is not an image"
    assert seen.mode.tolist()[4:] == ["P", "RGB"]
    assert seen.format.tolist()[4:] == ["GIF", ""]
    assert (seen.width[0], seen.height[0]) == (200, 300)
    assert seen.frames.tolist()[4:] == [1, 1]
    assert not seen.grey[1:4].any()
    assert not seen.colour[1:4].any()


def test_arrays_of_one_three_and_four_channels_are_images() -> None:
    grey, seen_through = (
        picture(3).mean(axis=2).astype(np.uint8),
        np.dstack([picture(4), np.full(picture(4).shape[:2], 9)]),
    )
    seen = inspect_images(dataset_of([grey, grey[:, :, None] // 2, picture(3), seen_through.astype(np.uint8)]))
    assert seen.problem.tolist() == [""] * 4 and seen.mode.tolist() == ["L", "L", "RGB", "RGBA"]
    assert np.abs(seen.grey[0] / 2 - seen.grey[1]).max() <= 2


def test_frames_of_an_animation_are_counted() -> None:
    buffer = io.BytesIO()
    first, second = (Image.fromarray(picture(k)) for k in range(2))
    first.save(buffer, "GIF", save_all=True, append_images=[second])
    assert inspect_images(dataset_of([buffer.getvalue()])).frames.tolist() == [2]


def test_the_small_copies_are_the_image_averaged() -> None:
    pixels = picture(1, (64, 64))
    seen = inspect_images(dataset_of([pixels]))
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=float).reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.abs(seen.grey[0] - grey).max() <= 1
    assert (seen.colour[0] == shrunk(pixels, 16)).all()


def test_equal_files_are_decoded_once_and_both_rows_have_the_result() -> None:
    data = jpeg(picture(2))
    seen = inspect_images(dataset_of([data, jpeg(picture(3)), data]))
    assert (seen.grey[0] == seen.grey[2]).all()
    assert (seen.grey[0] != seen.grey[1]).any()


def test_a_second_inspection_opens_no_file() -> None:
    material = dataset_of([jpeg(picture(k)) for k in range(3)])
    first = inspect_images(material)
    closed = Dataset("closed", Files([b""] * 3), material.labels, ("a", "b"), digests=first.digests)
    again = inspect_images(closed)
    assert (again.grey == first.grey).all()
    assert (again.colour == first.colour).all()


def test_an_interrupted_inspection_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    material = dataset_of([jpeg(picture(k)) for k in range(7)])
    monkeypatch.setattr(inspect, "_BATCH", 2)
    whole, opened = inspect._inspect_row, []

    def row(dataset: Dataset, row: int) -> object:
        opened.append(row)
        if row == 5 and opened.count(5) == 1:
            raise RuntimeError("interrupted")
        return whole(dataset, row)

    monkeypatch.setattr(inspect, "_inspect_row", row)
    with pytest.raises(RuntimeError, match="interrupted"):
        inspect_images(material)
    seen = inspect_images(material)
    assert opened.count(0) == opened.count(1) == 1 and set(opened) == set(range(7))
    monkeypatch.undo()
    for at in range(7):
        assert (seen.grey[at] == inspect_images(dataset_of([jpeg(picture(at))])).grey[0]).all()


def test_a_small_image_has_its_shorter_side_as_asked_and_keeps_its_shape() -> None:
    assert small(picture(0, (100, 300)), 50).shape == (50, 150)
    assert small(jpeg(picture(0, (300, 100))), 50).shape == (150, 50)
    assert small(picture(0, (20, 30)), 40).shape == (40, 60)
    with pytest.raises(UndecodableError):
        small(b"no image", 50)
