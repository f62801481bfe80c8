from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from headstart.data.decoding import jpeg_structure
from headstart.data.decoding.decode import UndecodableError, check, decode, open_image
from headstart.data.decoding.jpeg_means import check_means
from headstart.data.decoding.jpeg_structure import STEPS, scan_ends, segments
from tests.data.decoding.test_jpeg import KINDS, encoded

OUT_OF_RANGE = "is damaged: a part is brighter than white or darker than black"


@pytest.fixture(autouse=True)
def any_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let quantisation tables pass that were altered: here this is how means get out of range."""
    monkeypatch.setattr(jpeg_structure, "is_altered", lambda _: False)
    jpeg_structure._fault.cache_clear()
    yield
    jpeg_structure._fault.cache_clear()


def flat(level: int, mode: str = "L", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (40, 24), (level,) * len(mode) if len(mode) > 1 else level).save(file, "JPEG", **options)
    return file.getvalue()


def photograph(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")).resize((320, 214)).save(file, "JPEG", **options)
    return file.getvalue()


def tables(data: bytes) -> list[int]:
    """Return where each quantisation table of one byte a step begins."""
    found = [(start, stop) for marker, start, stop in segments(data, scan_ends(data)[0]) if marker == STEPS]
    return [at for start, stop in found for at in range(start, stop, 65)]


def with_step(data: bytes, step: int, table: int = 0) -> bytes:
    """Return a JPEG whose means are multiples of another step, which makes them larger or smaller."""
    at = tables(data)[table] + 1
    return data[:at] + bytes((step,)) + data[at + 1 :]


def is_refused(data: bytes) -> bool:
    try:
        check_means(data, open_image(data))
    except UndecodableError as error:
        assert str(error) == OUT_OF_RANGE
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 20, 100, 128, 200, 255])
@pytest.mark.parametrize("quality", [30, 75, 90, 95])
def test_a_mean_beyond_white_or_black_is_refused(kind: str, level: int, quality: int) -> None:
    data = flat(level, quality=quality, **KINDS[kind])
    step = data[tables(data)[0] + 1]
    stored = abs(round(8 * (level - 128) / step))
    for factor in (1, 1.5, 2, 3, 4):
        changed = int(step * factor)
        beyond = stored * changed - 1024  # 8 times the grey levels
        if beyond <= 64 or beyond > 64 + 3 * changed + (16 if changed < 16 else 0):  # as near as the levels show it
            assert is_refused(with_step(data, changed)) == (beyond > 64), (factor, step)


def test_the_colours_have_bounds_too() -> None:
    data = flat(255, "RGB", quality=75)
    assert not is_refused(data)
    vivid = io.BytesIO()
    Image.new("RGB", (40, 24), (0, 0, 255)).save(vivid, "JPEG", quality=75)  # 127 above the middle in blue
    assert not is_refused(vivid.getvalue())
    assert is_refused(with_step(vivid.getvalue(), 40, table=1))  # 17 before


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (17, 31), (300, 8)])
@pytest.mark.parametrize("quality", [1, 30, 75, 95, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_black_and_white_and_noise_are_sound(kind: str, quality: int, size: tuple[int, int]) -> None:
    shape = (size[1], size[0], 3)
    noise = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8) * 255
    for pixels in (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), noise):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, **KINDS[kind])
        assert not is_refused(file.getvalue())


def test_other_kinds_of_colour_are_let_through() -> None:
    assert not is_refused(encoded("CMYK"))
    assert not is_refused(encoded(keep_rgb=True))


def test_the_tables_may_be_given_twice() -> None:
    data = encoded("L")
    start = tables(data)[0] - 4
    table = data[start : start + 2 + 67]
    assert not is_refused(data[:start] + table + data[start:])


def test_check_and_decode_say_it_and_what_was_checked_is_not_looked_at_again() -> None:
    data = with_step(flat(255, quality=75), 64)
    assert check(data) == OUT_OF_RANGE
    with pytest.raises(UndecodableError, match="brighter than white"):
        decode(data)
    assert decode(data, checked=True).min() == 255


def test_the_jpegs_in_a_tiff_are_looked_at() -> None:
    file = io.BytesIO()
    Image.new("L", (40, 24), 255).save(file, "TIFF", compression="jpeg", quality=75)
    sound = file.getvalue()
    at = sound.index(b"\xff\xdb") + 5
    damaged = sound[:at] + b"\x40" + sound[at + 1 :]
    assert check(sound) is None
    assert check(damaged) == OUT_OF_RANGE


def test_most_codes_that_get_back_into_step_are_seen() -> None:
    """Of single changed bits that no decoder objects to, and that change over a tenth of the picture."""
    rng, changed, seen = random.Random(0), 0, 0
    for kind in ("baseline", "optimised"):
        data = photograph(quality=85, **KINDS[kind])
        whole = decode(data).astype(int)
        start = next(stop for marker, _, stop in segments(data, scan_ends(data)[0]) if marker == 0xDA)
        for _ in range(120):
            at = rng.randrange(start, len(data) - 2)
            damaged = data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]
            try:
                found = decode(damaged, checked=True)
            except UndecodableError:
                continue
            if (abs(found - whole) > 8).any(axis=-1).mean() > 0.1:
                changed += 1
                seen += is_refused(damaged)
    assert changed > 20
    assert seen > 0.5 * changed


@pytest.mark.realdata
def test_no_photograph_is_refused(real_images: Path) -> None:
    photographs = sorted((real_images / "caltech101").glob("*/*.jpg"))[::120]
    assert [path.name for path in photographs if is_refused(path.read_bytes())] == []
