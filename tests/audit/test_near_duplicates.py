from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from headstart.audit.hashes import MIRROR, close_pairs, perceptual_hashes
from headstart.audit.inspect import SIDE, look, small
from headstart.audit.match import SHORT, fine_match, rough_match
from headstart.audit.near_duplicates import near_duplicates
from headstart.audit.neighbours import nearest_pairs
from headstart.data.dataset import Dataset


def picture(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """Draw a picture with large and small shapes, unlike any other seed's."""
    generator = np.random.default_rng(seed)
    canvas = np.zeros(size)
    for cells in (3, 6, 12, 24):
        noise = Image.fromarray(generator.random((cells, cells)).astype(np.float32))
        canvas += np.asarray(noise.resize((size[1], size[0]), Image.Resampling.BICUBIC)) / cells**0.5
    scaled = (canvas - canvas.min()) / (canvas.max() - canvas.min())
    return np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, axis=2)


def jpeg(pixels: np.ndarray, quality: int = 60) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def squeezed(images: list[np.ndarray]) -> np.ndarray:
    return np.stack(
        [np.asarray(Image.fromarray(i).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)) for i in images]
    )


class Files:
    def __init__(self, files: list[bytes | np.ndarray]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def name(self, row: int) -> str:
        return f"file {row}"

    def read(self, row: int) -> bytes | np.ndarray:
        return self.files[row]

    def identity(self, row: int) -> str:
        return ""


def dataset(files: list[bytes | np.ndarray]) -> Dataset:
    return Dataset("files", Files(files), np.zeros(len(files), dtype=np.int64), ("a", "b"))


def test_the_hash_of_a_mirror_image_is_the_hash_with_fixed_bits_turned_over() -> None:
    grey = squeezed([picture(k) for k in range(20)])
    assert (perceptual_hashes(grey[:, :, ::-1]) == perceptual_hashes(grey) ^ MIRROR).all()


def test_hashes_hardly_change_when_an_image_is_saved_again_smaller() -> None:
    first = [picture(k) for k in range(20)]
    again = [np.asarray(Image.open(io.BytesIO(jpeg(p, 40))).resize((80, 60))) for p in first]
    differ = np.bitwise_count(perceptual_hashes(squeezed(first)) ^ perceptual_hashes(squeezed(again)))
    assert differ.max() <= 5


@pytest.mark.parametrize("radius", [7, 5])
def test_every_pair_of_close_hashes_is_found_and_no_other(radius: int) -> None:
    generator = np.random.default_rng(radius)
    hashes = generator.integers(0, 2**64, 300, dtype=np.uint64)
    for k in range(100):  # near ones, some of them mirrored
        flips = generator.permutation(64)[: generator.integers(0, radius + 2)]
        mask = np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64)) if len(flips) else np.uint64(0)
        hashes[200 + k] = hashes[k] ^ mask ^ (MIRROR if k % 3 == 0 else np.uint64(0))
    expected = {}
    for a, b in itertools.combinations(range(300), 2):
        for turned in (False, True):
            bits = int(np.bitwise_count(hashes[a] ^ hashes[b] ^ (MIRROR if turned else np.uint64(0))))
            if bits <= radius:
                expected[a, b, turned] = bits
    found = close_pairs(hashes, radius)
    rows = zip(found.a.tolist(), found.b.tolist(), found.mirrored.tolist(), strict=True)
    assert dict(zip(rows, found.bits.tolist(), strict=True)) == expected
    assert len(expected) > 60


def test_a_thousand_equal_hashes_do_not_explode() -> None:
    found = close_pairs(np.zeros(3000, dtype=np.uint64), 7)
    assert 0 < len(found.a) < 3000 * 3000 // 4


def test_the_nearest_pairs_among_few_are_those_of_all_with_all() -> None:
    features = np.random.default_rng(0).normal(size=(200, 40)).astype(np.float32)
    features[100:110] = features[:10] + 0.05 * features[50:60]
    found = nearest_pairs(features, 20)
    centred = features - features.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = np.triu(unit @ unit.T, 1)
    best = {tuple(divmod(int(k), 200)) for k in np.argsort(-cosine.ravel())[:10]}
    assert best <= set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    assert found.cosine[:10] == pytest.approx(np.sort(cosine.ravel())[::-1][:10], abs=1e-5)


def test_the_approximate_index_finds_nearly_every_near_copy() -> None:
    generator = np.random.default_rng(1)
    centres = generator.normal(size=(30, 200))
    features = (centres[generator.integers(0, 30, 9000)] + generator.normal(size=(9000, 200))).astype(np.float32)
    copies = generator.permutation(8000)[:300]
    features[8700:] = features[copies] + 0.2 * generator.normal(size=(300, 200))
    found = nearest_pairs(features, 3000)
    pairs = set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    assert sum((int(copy), 8700 + k) in pairs for k, copy in enumerate(copies)) >= 285


def test_a_cut_out_is_found_in_its_picture_and_not_in_another() -> None:
    whole, other = picture(0, (144, 180)), picture(1, (144, 180))
    part = whole[20:130, 30:170]
    rough = rough_match(squeezed([whole, part, other]), np.array([0, 1, 0]), np.array([1, 2, 2]))
    assert rough.score[0] > 0.9
    assert rough.inward[0]
    assert rough.score[0] > rough.score[1:].max() + 0.1
    fine = fine_match(small(whole, SHORT), small(part, SHORT), float(rough.height[0]), float(rough.width[0]))
    assert fine > 0.85


def test_two_flat_images_are_not_called_one_photograph() -> None:
    flat = [np.full((60, 60, 3), level, dtype=np.uint8) for level in (254, 255)]
    assert fine_match(small(flat[0], SHORT), small(flat[1], SHORT), SIDE, SIDE) < 0.1


def test_copies_mirror_images_and_cut_outs_are_told_apart() -> None:
    originals = [picture(k, (144, 180)) for k in range(40)]
    files = [jpeg(p, 90) for p in originals]
    files += [jpeg(originals[0], 40), jpeg(originals[1][:, ::-1]), jpeg(originals[2][20:130, 30:170])]
    grey = look(dataset(files)).grey  # type: ignore[arg-type]
    features = np.random.default_rng(2).normal(size=(43, 16)).astype(np.float32)
    features[42] = features[2] * 1.1
    found, notes = near_duplicates(grey, files.__getitem__, features)
    assert {(pair.a, pair.b): pair.kind for pair in found} == {
        (0, 40): "copy",
        (1, 41): "mirror image",
        (2, 42): "cut-out",
    }
    assert notes == []


def test_a_look_tells_what_the_files_are() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(3)).convert("P").save(buffer, "GIF")
    whole = jpeg(picture(4, (300, 200)), 95)
    files = [whole, whole[: len(whole) // 2], b"", b"no image at all", buffer.getvalue(), picture(5)]
    seen = look(dataset(files))  # type: ignore[arg-type]
    assert seen.problem[0] == ""
    assert "cut short" in seen.problem[1]
    assert seen.problem[2] == "has zero bytes"
    assert seen.problem[3] == "is no image"
    assert seen.mode.tolist()[4:] == ["P", "RGB"]
    assert seen.format.tolist()[4:] == ["GIF", ""]
    assert (seen.width[0], seen.height[0]) == (200, 300)


def test_a_second_look_opens_no_file() -> None:
    material = dataset([jpeg(picture(k)) for k in range(3)])
    first = look(material)
    closed = Dataset("closed", Files([b""] * 3), material.labels, ("a", "b"), digests=first.digests)
    assert (look(closed).grey == first.grey).all()
