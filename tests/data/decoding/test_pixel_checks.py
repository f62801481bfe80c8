from __future__ import annotations

import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest

from headstart.data.decoding.pixel_checks import NAME, PixelChecks, checksums
from headstart.errors import StoreError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 2, 3, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / NAME, np.array(checksums(IMAGES.tobytes(), [18] * 5), dtype=np.uint32))
    (tmp_path / "manifest.json").touch()
    return tmp_path


def test_checksums_are_of_consecutive_stretches() -> None:
    assert checksums(b"aabbb", [2, 3]) == [zlib.crc32(b"aa"), zlib.crc32(b"bbb")]
    assert checksums(b"a", [2, 3]) == [zlib.crc32(b"a"), zlib.crc32(b"")]


def test_each_image_is_compared_once(folder: Path) -> None:
    read: list[int] = []
    checks = PixelChecks(folder)
    for codes in ([3, 1, 3], [1, 2], [2, 1, 3]):
        checks.compare(np.array(codes), lambda code: (read.append(code), IMAGES[code])[1])
    assert read == [1, 3, 2]
    again = pickle.loads(pickle.dumps(checks))  # a worker of a loader
    again.compare(np.array([0, 3]), lambda code: (read.append(code), IMAGES[code])[1])
    assert read == [1, 3, 2, 0]


def test_what_was_compared_already_is_not_compared_again(folder: Path) -> None:
    def closed(code: int) -> np.ndarray:
        raise AssertionError(f"image {code} was read")

    PixelChecks(folder, compared=True).compare(np.array([0, 4]), closed)


def test_an_image_that_was_altered_is_refused_and_the_entry_is_not_used_again(folder: Path) -> None:
    altered = IMAGES.copy()
    altered[4, 1, 2, 0] ^= 1
    checks = PixelChecks(folder)
    checks.compare(np.array([0, 1, 2, 3]), altered.__getitem__)
    assert (folder / "manifest.json").exists()
    for _ in range(2):
        with pytest.raises(StoreError, match="image 4 has changed since it was written; run the command again"):
            checks.compare(np.array([0, 4]), altered.__getitem__)
    assert not (folder / "manifest.json").exists()
