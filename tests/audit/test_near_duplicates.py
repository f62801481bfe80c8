from __future__ import annotations

import re

import numpy as np
import pytest
from photographs import dataset_of, jpeg, picture, shrunk

from headstart.audit import near_duplicates as module
from headstart.audit.inspect import inspect_images
from headstart.audit.near_duplicates import Copies, NearPair, near_duplicates

Files = list[bytes | np.ndarray]


def copies_of(files: Files) -> Copies:
    seen = inspect_images(dataset_of(files))
    return Copies(seen.grey, seen.colour, np.minimum(seen.width, seen.height))


def kinds(pairs: list[NearPair]) -> dict[tuple[int, int], str]:
    return {(pair.a, pair.b): pair.kind for pair in pairs}


def changed(pixels: np.ndarray) -> np.ndarray:
    return (0.7 * pixels[3:-2, 2:-4] + 30).astype(np.uint8)


def test_copies_mirror_images_and_cut_outs_among_large_images_are_named() -> None:
    originals = [picture(k, (144, 180)) for k in range(40)]
    files: Files = [jpeg(p, 90) for p in originals]
    files += [jpeg(originals[0], 40), jpeg(originals[1][:, ::-1]), jpeg(originals[2][20:130, 30:170])]
    files += [jpeg(changed(originals[3])), jpeg(originals[4][12:-12, 15:-15])]
    features = np.random.default_rng(2).normal(size=(45, 16)).astype(np.float32)
    features[42] = features[2] * 1.1
    found, notes = near_duplicates(copies_of(files), files.__getitem__, features)
    assert kinds(found) == {
        (0, 40): "copy",
        (1, 41): "mirror image",
        (2, 42): "cut-out",
        (3, 43): "copy",
        (4, 44): "cut-out",
    }
    assert notes == []
    assert all(0.85 <= pair.similarity <= 1 for pair in found)
    assert [pair.similarity for pair in found] == sorted((pair.similarity for pair in found), reverse=True)


def test_small_images_need_no_file_to_be_read() -> None:
    originals = [shrunk(picture(k), 32) for k in range(40)]
    files: Files = [
        *originals,
        shrunk(changed(picture(0)), 32),
        originals[1][:, ::-1],
        shrunk(picture(2)[10:-6, 12:-8], 32),
    ]

    def closed(row: int) -> bytes:
        raise AssertionError(f"file {row} was read")

    found, _ = near_duplicates(copies_of(files), closed)
    assert kinds(found) == {(0, 40): "copy", (1, 41): "mirror image", (2, 42): "cut-out"}


def test_images_of_63_pixels_are_compared_on_small_copies_and_of_64_on_larger_ones() -> None:
    for side, expected in ((63, set()), (64, {0, 1})):
        files: Files = [shrunk(picture(0), side), np.ascontiguousarray(shrunk(changed(picture(0)), side))]
        read: set[int] = set()

        def reading(row: int, read: set[int] = read, files: Files = files) -> bytes | np.ndarray:
            read.add(row)
            return files[row]

        found, _ = near_duplicates(copies_of(files), reading)
        assert kinds(found) == {(0, 1): "copy"}
        assert read == expected


def test_pairs_that_are_not_of_interest_are_not_reported() -> None:
    files: Files = [shrunk(picture(k % 2), 32) for k in range(4)]
    files[2], files[3] = shrunk(changed(picture(0)), 32), shrunk(changed(picture(1)), 32)
    found, _ = near_duplicates(copies_of(files), files.__getitem__, allowed=lambda a, b: (a == 1) | (b == 1))
    assert kinds(found) == {(1, 3): "copy"}


def test_images_without_details_are_left_out_with_a_note() -> None:
    flat: Files = [np.full((40, 40, 3), level, dtype=np.uint8) for level in (200, 201, 202)]
    files = [*flat, shrunk(picture(0), 32)]
    found, notes = near_duplicates(copies_of(files), files.__getitem__)
    assert found == []
    assert notes == ["3 images without details were not searched for near duplicates"]


def digits(count: int, generator: np.random.Generator) -> tuple[Files, np.ndarray]:
    """Draw strokes at one of four slants, each a little different: all of a slant look alike."""
    files: Files = []
    labels = np.arange(count) % 4
    y, x = np.mgrid[:32, :32] - 15.5
    for label in labels:
        angle = np.pi * (0.28 + 0.08 * label) + generator.normal(0, 0.12)
        away = x * np.sin(angle) - y * np.cos(angle) - generator.normal(0, 2)
        along = np.abs(x * np.cos(angle) + y * np.sin(angle))
        stroke = 230 * np.exp(-((away / generator.uniform(1.5, 2.5)) ** 2)) * (along < generator.uniform(10, 13))
        files.append(np.repeat(stroke[..., None], 3, axis=2).astype(np.uint8))
    return files, labels


def test_where_look_alikes_of_different_classes_abound_the_threshold_rises() -> None:
    files, labels = digits(160, np.random.default_rng(0))
    copies = copies_of(files)
    without, quiet = near_duplicates(copies, files.__getitem__)
    calibrated, notes = near_duplicates(copies, files.__getitem__, different=lambda a, b: labels[a] != labels[b])
    assert len(without) > 200
    assert len(calibrated) < len(without) / 4
    assert quiet == []
    said = [
        re.fullmatch(
            r"(\d+) (mirrored )?pairs of small images with an agreement of 0\.89 to 0\.99\d are not reported: "
            "images of different classes agree as well",
            note,
        )
        for note in notes
    ]
    assert [bool(found and found[2]) for found in said] == [False, True]
    doubtful = sum(int(found[1]) for found in said if found)  # a pair may be alike both ways
    assert len(without) - len(calibrated) <= doubtful <= 1.05 * (len(without) - len(calibrated))


def test_what_is_beyond_a_limit_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    files: Files = [shrunk(picture(k % 3), 32) for k in range(6)]
    for k in range(3, 6):
        files[k] = shrunk(changed(picture(k - 3)), 32)
    monkeypatch.setattr(module, "_LIMITS", {"hash": 0, "align": 2, "read": 9, "cut-out": 9})
    found, notes = near_duplicates(copies_of(files), files.__getitem__)
    assert len(found) == 2
    assert notes[-1] == "1 of 3 pairs of alike small copies were not checked"


def test_features_bring_candidates_that_hashes_and_descriptors_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    files: Files = [shrunk(picture(k), 32) for k in range(10)]
    files.append(shrunk(changed(picture(3)), 32))
    monkeypatch.setattr(module, "_LIMITS", {"hash": 0, "align": 0, "read": 9, "cut-out": 9})
    features = np.random.default_rng(3).normal(size=(11, 8)).astype(np.float32)
    features[10] = features[3] + 0.01
    assert kinds(near_duplicates(copies_of(files), files.__getitem__, features)[0]) == {(3, 10): "copy"}
    assert near_duplicates(copies_of(files), files.__getitem__)[0] == []


def test_the_result_is_the_same_each_time() -> None:
    files: Files = [
        shrunk(picture(k // 2), 32) if k % 2 == 0 else shrunk(changed(picture(k // 2)), 32) for k in range(40)
    ]
    first, second = (near_duplicates(copies_of(files), files.__getitem__)[0] for _ in range(2))
    assert first == second
    assert len(first) == 20
